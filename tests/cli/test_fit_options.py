"""What `fit` can be asked for, by the command line and by a file."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import skreward
from skreward.cli import comparison
from skreward.cli.features import embedding_of
from skreward.cli.rewards import Recipe, find_classifier
from skreward.datasets import make_preferences
from skreward.metrics import expected_calibration_error, preference_log_loss
from skreward.model_selection import PromptDisjointKFold
from skreward.models.calibrated import CalibratedReward
from tests.cli.tables import good_and_bad, write_jsonl

STATISTICS = ["--features", "statistics"]


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """File of pairs of which the longer response is mostly preferred."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        texts = sorted([" ".join(["two"] * n) for n in rng.choice(30, 2, False) + 1])
        other, chosen = texts if rng.random() < 0.85 else texts[::-1]
        rows.append({"prompt": f"one {k % 12}", "chosen": chosen, "rejected": other})
    return write_jsonl(tmp_path_factory.mktemp("longer") / "pairs.jsonl", rows)


@pytest.fixture
def fit(command, tmp_path, longer):
    """Fit to statistics alone; give the report and the model."""

    def run(*options):
        out = tmp_path / "m.skops"
        args = ["fit", longer, "-o", out, "--force", "--folds", 2, *STATISTICS]
        return command.report(*args, *options), skreward.load(out)

    return run


def test_statistics_alone_need_no_embedding(command, tmp_path, fit, longer):
    report, fitted = fit("--reward", "linear")
    assert report["embedding_model"] is None
    assert list(report["compared"]) == ["linear", "longer response", "coin"]
    assert report["order_consistency"] > 0.7
    assert embedding_of(fitted[0]) is None
    found = command.report("evaluate", tmp_path / "m.skops", longer)
    assert found["order_consistency"] > 0.7
    assert command.report("score", tmp_path / "m.skops", longer, "-o",
                          tmp_path / "o.csv")["n_rows"] == 60  # fmt: skip


def test_alpha_hidden_classifier_and_ensemble_reach_the_reward(fit):
    _, fitted = fit("--reward", "linear", "--alpha", "0.25")
    assert fitted[1][-1].get_params()["alpha"] == 0.25
    _, fitted = fit("--reward", "network", "--hidden", "5,3", "--alpha", "0.125")
    assert [c.shape[1] for c in fitted[1][-1].coefs_] == [5, 3, 1]
    assert fitted[1][-1].alpha == 0.125
    _, fitted = fit("--reward", "classifier", "--classifier", "DecisionTreeClassifier")
    tree = fitted[1][-1].estimator_
    assert (type(tree).__name__, tree.random_state) == ("DecisionTreeClassifier", 0)
    report, fitted = fit("--reward", "linear", "--ensemble", "3", "--alpha", "0.1")
    assert len(fitted[1][-1].estimators_) == 3
    assert report["calibration_error"] is None  # an ensemble's margin is no log-odds
    _, fitted = fit("--reward", "classifier", "--ensemble", "2")
    assert len(fitted[1][-1].estimators_) == 2


def test_options_of_the_embedding_reach_it(command, tmp_path, tiny, data):
    out = tmp_path / "m.skops"
    args = ["fit", data, "-o", out, "--model", tiny, "--reward", "linear", "--alpha", 1]
    args += ["--features", "embedding", "--pooling", "last", "--dtype", "float32"]
    assert command.run(*args, "--batch-size", 2, "--device", "cpu")[0] == 0
    embed = embedding_of(skreward.load(out)[0])
    assert (embed.pooling, embed.dtype, embed.batch_size) == ("last", "float32", 2)
    assert (embed.device, embed.show_progress) == ("auto", "auto")
    said = command.refused(*args, "--force", "--revision", "main")
    assert "revision goes with a hub id" in said


def test_what_belongs_to_this_machine_is_not_saved_wherever_it_is(fit):
    _, fitted = fit("--reward", "network", "--device", "cpu", "--calibrate",
                    "--ensemble", "2")  # fmt: skip
    calibrated = fitted[1]
    members = calibrated.estimator_[-1].estimators_
    assert {member.device for member in members} == {"auto"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--reward", "classifier", "--alpha", "1"],
            "--alpha cannot act with --reward",
        ),
        (["--reward", "linear", "--hidden", "3"], "--hidden cannot act with --reward"),
        (
            ["--reward", "network", "--classifier", "GaussianNB"],
            "--classifier cannot act with --reward network",
        ),
        ([*STATISTICS, "--pooling", "mean"], "--pooling cannot act with --features"),
        (
            [*STATISTICS, "--model", "x"],
            "--model cannot act with --features statistics",
        ),
        ([*STATISTICS, "--batch-size", "3"], "--batch-size cannot act with --features"),
        ([*STATISTICS, "--cache-dir", "x"], "--cache-dir cannot act with --features"),
        (["--features", "words"], "wanted embedding, statistics or embedding,statist"),
        (["--features", "statistics,statistics"], "wanted embedding, statistics or"),
        (["--hidden", "3,x"], "wanted widths of layers"),
        (["--hidden", "0"], "wanted widths of layers"),
        (["--alpha", "0"], "--alpha"),
        (["--alpha", "inf"], "--alpha"),
        (["--alpha", "nan"], "--alpha"),
        (["--ensemble", "1"], "--ensemble"),
        (["--dtype", "int8"], "--dtype"),
        (["--classifier", "LogisticRegresion"], "did you mean LogisticRegression"),
        (["--classifier", "VotingClassifier"], "is made of another estimator"),
    ],
)
def test_options_that_mean_nothing_or_cannot_act(
    command, tmp_path, longer, options, message, monkeypatch
):
    monkeypatch.setattr("skreward.cli.fitting.read_pairs", None)  # before any work
    out = tmp_path / "m.skops"
    assert message in command.refused("fit", longer, "-o", out, *options)
    assert not out.exists()


# -- calibration


def test_figures_of_calibration_are_of_pairs_held_out():
    data = make_preferences(
        n_prompts=20, n_responses=6, n_features=4, n_pairs=400, random_state=0
    )
    cv = PromptDisjointKFold(3, random_state=0)
    folds = list(PromptDisjointKFold(2, random_state=1).split(data.pairs))
    reward = Recipe(0, None, alpha=10.0).linear()
    done = []
    before, after = comparison.calibrated(
        reward, data.pairs, data.y, folds=folds, cv=cv, progress=lambda: done.append(1)
    )
    wanted = []
    for train, test in folds:
        model = CalibratedReward(reward, cv=cv).fit(data.pairs[train], data.y[train])
        proba = model.predict_preference_proba(data.pairs[test])
        margin = model.predict(data.pairs[test])
        wanted.append(
            [
                expected_calibration_error(data.y[test], proba),
                preference_log_loss(data.y[test], margin),
            ]
        )
    assert_allclose(after, np.mean(wanted, axis=0), rtol=1e-6)
    assert len(done) == 2
    # A penalty that strong leaves margins much too small.
    assert after.error < before.error
    assert after.log_loss < before.log_loss


def test_fit_calibrates_and_says_what_that_gives(command, fit, longer, tmp_path):
    report, fitted = fit("--reward", "linear", "--alpha", "3", "--calibrate")
    found = report["calibration"]
    assert found["log_loss_after"] < found["log_loss_before"]
    assert fitted[1].temperature_ < 1
    plain = tmp_path / "plain.skops"
    args = ["fit", longer, "-o", plain, "--folds", 2, *STATISTICS]
    command.report(*args, "--reward", "linear", "--alpha", "3")
    model = skreward.load(plain)
    rows = [{"prompt": "one", "response": "two " * n} for n in range(1, 9)]
    assert_allclose(
        fitted.predict(rows) * fitted[1].temperature_, model.predict(rows), rtol=1e-5
    )
    report, fitted = fit("--reward", "classifier", "--calibrate")
    assert report["calibration"]["error_before"] is None
    assert report["calibration"]["error_after"] is not None
    found = command.report("evaluate", tmp_path / "m.skops", longer)
    assert found["calibration_error"] is not None


def test_calibration_says_before_and_after(command, tmp_path, longer):
    args = ["fit", longer, "-o", tmp_path / "m.skops", "--folds", 2, *STATISTICS]
    _, out, _ = command.run(*args, "--reward", "classifier", "--calibrate")
    assert "calibration error no probabilities -> 0." in out
    assert "log-loss none -> 0." in out
    few = write_jsonl(tmp_path / "few.jsonl", good_and_bad(2))
    args = ["fit", few, "-o", tmp_path / "n.skops", "--folds", 2, *STATISTICS]
    said = command.refused(*args, "--calibrate")
    assert said.startswith(f"{few}: --calibrate needs two prompts")


def test_classifiers_are_found_by_name():
    assert find_classifier("RewardMLPClassifier", 3).random_state == 3
    assert find_classifier("GaussianNB", 3).get_params()["priors"] is None


# -- files of options


def written(command, *args):
    code, out, err = command.run("fit", *args, "--print-config")
    assert (code, err) == (0, "")
    return out


ASKED = ["--reward", "classifier", "--features", "statistics", "--folds", "3"]
ASKED += ["--label-map", 'left=1,right=0,x "y"=.5', "--template", 'a "b"\\\n{response}']
ASKED += ["--delimiter", "tab", "--calibrate", "--ensemble", "4", "--seed", "7"]


def test_what_is_printed_gives_the_same_again(command, tmp_path):
    embed = [arg for arg in ASKED if arg != "statistics"]
    embed.insert(embed.index("--features") + 1, "embedding")
    path = tmp_path / "run.toml"
    first = written(command, "x.csv", "-o", tmp_path / "m.skops", *embed)
    path.write_text(first)
    assert written(command, "x.csv", "--config", path) == first
    assert "folds = 3" in first
    assert "calibrate = true" in first
    more = written(command, "x.csv", "--config", path, "--folds", 9)
    assert more == first.replace("folds = 3", "folds = 9")
    empty = written(command, "x.csv", "-o", "m.skops")
    path.write_text(empty)
    assert written(command, "x.csv", "--config", path) == empty


def test_a_model_by_a_file_is_that_by_the_command_line(command, tmp_path, longer):
    one, two = tmp_path / "1.skops", tmp_path / "2.skops"
    asked = ["--folds", 2, *STATISTICS, "--reward", "linear", "--alpha", "0.5"]
    assert command.run("fit", longer, "-o", one, *asked)[0] == 0
    path = tmp_path / "run.toml"
    path.write_text(
        f'output = "{two}"\nfolds = 2\nalpha = 0.5\n'
        '# what a reward learns from\nfeatures = "statistics"\nreward = "linear"\n'
    )
    assert command.run("fit", longer, "--config", path)[0] == 0
    rows = [{"prompt": "one", "response": "two " * n} for n in range(1, 9)]
    wanted = skreward.load(one).predict(rows)
    assert_allclose(skreward.load(two).predict(rows), wanted, rtol=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("folds = 3\nfold = 4", ":2: fit has no option 'fold' (did you mean 'folds'?)"),
        ("[fit]\nfolds = 3", ":1: fit has no option 'fit'"),
        ("\nfolds = 1", ":2: folds: 1 is not in the range x>=2"),
        ("folds = true", ":1: folds: wanted a number or a string"),
        ("folds = 2.5", ":1: folds: '2.5' is not a valid integer"),
        ("calibrate = 1", ":1: calibrate: wanted true or false"),
        ('calibrate = "yes"', ":1: calibrate: wanted true or false"),
        ("hidden = [3, 4]", ":1: hidden: wanted a number or a string"),
        ('hidden = "x"', ":1: hidden: 'x': wanted widths"),
        ('reward = "best"', ":1: reward: 'best' is not one of"),
        ('label-map = "A"', ":1: label-map: 'A': wanted a value"),
        ("folds = ", ":1: broken TOML: Invalid value"),
        ("folds = 3\nfolds = 4", ":2: broken TOML: Cannot overwrite a value"),
        ('config = "x"', ":1: fit has no option 'config'"),
        ("print_config = true", ":1: fit has no option 'print_config'"),
        (b"\xff\xfe", ": no TOML file"),
        (None, ": No such file or directory"),
    ],
)
def test_a_file_of_options_that_is_wrong(command, tmp_path, content, message):
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = command.refused(
        "fit", "x.jsonl", "-o", tmp_path / "m.skops", "--config", path
    )
    assert said.startswith(f"{path}{message}")


def test_what_a_file_asks_for_cannot_act_either(command, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('hidden = "3"\n')
    args = ["fit", "x.jsonl", "-o", tmp_path / "m.skops", "--config", path]
    said = command.refused(*args, "--reward", "linear")
    assert said == "--hidden cannot act with --reward linear"
