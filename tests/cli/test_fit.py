"""What `fit` and `evaluate` say of rewards, and when they say that it says little."""

import json
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    ItemwiseTransformer,
    PairwiseClassifierReward,
)
from skreward.cli import comparison
from skreward.cli.features import embedding_of, scaled
from skreward.cli.rewards import Recipe
from skreward.datasets import make_preferences
from skreward.export import fold
from skreward.metrics import expected_calibration_error, order_consistency_score
from skreward.model_selection import PromptDisjointKFold
from tests.cli.tables import good_and_bad, labelled, write_jsonl


@pytest.fixture
def fit(command, tmp_path, tiny):
    """Fit rows; give code, stdout, stderr."""

    def run(rows, *options):
        path = write_jsonl(tmp_path / "rows.jsonl", rows)
        args = ["fit", path, "-o", tmp_path / "m.skops", "--force", "--model", tiny]
        return command.run(*args, *options)

    return run


def report_of(result):
    code, out, err = result
    assert code == 0, err
    assert "nan" not in out.lower().replace("tenant", "")
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("soft", [[0.5], [0.25, 0.7, 0.5]])
def test_soft_labels_work_with_every_reward(fit, soft):
    rows = labelled(good_and_bad(), 1, 0)
    for k, value in enumerate(soft):
        rows[k]["label"] = value
    code, out, err = fit(rows, "--json")
    assert code == 0, err
    assert "Traceback" not in err
    assert "sample_weight" not in err
    assert list(json.loads(out.splitlines()[-1])["compared"])[:3] == [
        "linear",
        "network",
        "classifier",
    ]


def test_the_device_binds_the_reward_too(fit, tmp_path, monkeypatch):
    asked = []
    candidates = Recipe.candidates
    monkeypatch.setattr(
        "skreward.cli.rewards.Recipe.candidates",
        lambda recipe: asked.append(recipe.device) or candidates(recipe),
    )
    report_of(fit(good_and_bad(), "--device", "cpu", "--reward", "network", "--json"))
    assert asked == ["cpu"]
    for reward in candidates(Recipe(0, 4, device="cpu")).values():
        devices = {k: v for k, v in reward.get_params().items() if "device" in k}
        assert set(devices.values()) <= {"cpu"}
    network = candidates(Recipe(0, 4, device="cpu"))["network"][-1]
    assert network.device == "cpu"
    # A model that was fitted on one device is read on a machine without it.
    fitted = skreward.load(tmp_path / "m.skops")
    saved = fitted.get_params()
    assert saved["features__transformer__embedding__device"] == "auto"
    assert embedding_of(fitted[0]).device == "auto"
    assert {v for k, v in saved.items() if k.endswith("__device")} == {"auto"}


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "meta", "c u d a", ""])
def test_a_device_that_is_none(fit, device):
    code, out, err = fit(good_and_bad(), "--device", device)
    assert (code, out) == (2, "")
    assert err.startswith(f"skreward: device={device!r} ")
    assert err.count("\n") == 1


def test_two_prompts_make_two_folds(fit):
    for n_prompts in (2, 3):
        rows = good_and_bad(n_prompts)
        report_of(fit(rows, "--folds", 2, "--json"))


def test_three_pairs_are_too_few(fit):
    rows = [{"prompt": p, "chosen": "a b c", "rejected": "e f g h one"} for p in "abc"]
    code, out, err = fit(rows, "--folds", 3, "--reward", "linear", "--json")
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["order_consistency_std"] is None
    assert report["notes"] == [
        "the smallest fold tests 1 pair: too few to say how well a reward orders "
        "unseen prompts, or which is best"
    ]
    assert f"note: {report['notes'][0]}" in out
    assert out.splitlines()[4].split("│")[3].strip() == "-"
    assert "1 pairs" not in out + err
    assert "1 prompts" not in out + err


def test_labels_that_contradict_each_other(fit):
    rows = []
    for row in good_and_bad():
        turned = {"chosen": row["rejected"], "rejected": row["chosen"]}
        rows += [row, row | turned]
    report = report_of(fit(rows, "--reward", "linear", "--json"))
    assert_allclose(report["order_consistency"], 0.5)
    n = len(rows) // 2
    assert report["notes"] == [
        f"{n} pairs of texts are labelled both ways, which no reward can follow",
        f"0.500 on {len(rows)} pairs cannot be told from a coin",
    ]


def test_a_reward_no_better_than_length_is_remarked_on(fit):
    rows = [
        row | {"chosen": row["chosen"] + " three three", "rejected": row["rejected"]}
        for row in good_and_bad()
    ]
    report = report_of(fit(rows, "--reward", "linear", "--json"))
    assert report["compared"]["longer response"] == 1
    assert "the longer response alone orders about as well: 1.000" in report["notes"]


def test_one_pair_is_evaluated_without_nan(command, tmp_path, model):
    path = write_jsonl(tmp_path / "x.jsonl", good_and_bad(seed=7)[:1])
    code, out, err = command.run("evaluate", model, path, "--json")
    assert (code, err) == (0, "")
    assert "nan" not in out.lower()
    assert "1 pair, 1 prompt" in out
    assert json.loads(out.splitlines()[-1])["order_consistency_stderr"] is None


def test_prompts_that_the_model_was_trained_on_are_counted(
    command, tmp_path, model, data
):
    n_prompts = len({row["prompt"] for row in good_and_bad()})
    code, out, _ = command.run("evaluate", model, data)
    assert code == 0
    assert (
        f"note: the model was trained on {n_prompts} of the {n_prompts} prompts" in out
    )
    report = command.report("evaluate", model, data)
    assert report["n_prompts_trained_on"] == n_prompts
    new = [row | {"prompt": "new " + row["prompt"]} for row in good_and_bad(seed=3)]
    path = write_jsonl(tmp_path / "new.jsonl", new)
    assert command.report("evaluate", model, path)["n_prompts_trained_on"] == 0
    mixed = write_jsonl(tmp_path / "mixed.jsonl", good_and_bad()[:5] + new)
    report = command.report("evaluate", model, mixed)
    known = len({row["prompt"] for row in good_and_bad()[:5]})
    assert report["n_prompts_trained_on"] == known
    alone = command.report("evaluate", model, path)["order_consistency"]
    assert report["compared"]["model, new prompts"] == alone


def test_a_pipeline_of_several_steps_is_evaluated(command, tmp_path, tiny, data):
    embed = skreward.LLMEmbeddingTransformer(tiny)
    scale = ItemwiseTransformer(StandardScaler())
    rows = good_and_bad()
    fitted = make_pipeline(embed, scale, BradleyTerryRegressor()).fit(rows)
    path = tmp_path / "m.skops"
    skreward.save(fitted, path)
    report = command.report("evaluate", path, data)
    assert report["order_consistency"] == order_consistency_score(
        None, fitted.predict(rows)
    )
    assert 0 < report["calibration_error"] < 1


# -- the comparison


@pytest.fixture(scope="module")
def preferences():
    return make_preferences(
        n_prompts=30, n_responses=6, n_features=5, n_pairs=400, random_state=0
    )


@pytest.mark.parametrize("folds_bytes", [1 << 28, 1])
def test_compare_is_cross_validation(preferences, monkeypatch, folds_bytes):
    """Scaled once and trained together, or fold by fold, and as scikit-learn does."""
    monkeypatch.setattr(comparison, "FOLDS_BYTES", folds_bytes)
    data = preferences
    cv = PromptDisjointKFold(4, random_state=0)
    folds = list(cv.split(data.pairs, data.y))
    longer = np.linspace(-1, 1, len(data.y))
    done, scaler = [], ItemwiseTransformer(StandardScaler())
    rewards = {
        "linear": make_pipeline(scaler, BradleyTerryRegressor(link="probit")),
        "other": make_pipeline(clone(scaler), BradleyTerryRegressor(alpha=0.1)),
        "network": make_pipeline(
            scaler, BradleyTerryMLPRegressor((4,), max_iter=9, random_state=0)
        ),
        "classifier": make_pipeline(scaler, PairwiseClassifierReward()),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = comparison.compare(
            rewards,
            data.pairs,
            data.y,
            longer,
            folds=folds,
            seed=0,
            progress=lambda: done.append(1),
        )
        assert len(done) == 16
        for result, (name, model) in zip(results[:4], rewards.items(), strict=True):
            shares, errors = [], []
            for train, test in folds:
                fitted = clone(model).fit(data.pairs[train], data.y[train])
                shares.append(fitted.score(data.pairs[test], data.y[test]))
                error = comparison.calibration_error(
                    fitted, data.pairs[test], data.y[test]
                )
                errors.append(error)
            assert result[:3] == (name, np.mean(shares), np.std(shares))
            if name == "classifier":
                assert result.calibration_error is None
            else:
                assert_allclose(result.calibration_error, np.mean(errors))
    lengths = [order_consistency_score(data.y[test], longer[test]) for _, test in folds]
    length, coin = results[4:]
    assert_allclose(length[1:3], [np.mean(lengths), np.std(lengths)])
    assert length.calibration_error is None
    assert 0.4 < coin.order_consistency < 0.6


def test_a_reward_without_probabilities_has_no_calibration(preferences):
    """The estimator is asked, in pipelines and searches; a margin is no log-odds."""
    pairs, y = preferences.pairs, preferences.y
    classifier = make_pipeline(
        ItemwiseTransformer(StandardScaler()),
        PairwiseClassifierReward(LogisticRegression()),
    )
    assert comparison.calibration_error(classifier.fit(pairs, y), pairs, y) is None
    probit = BradleyTerryRegressor(link="probit").fit(pairs, y)
    wanted = expected_calibration_error(y, probit.predict_preference_proba(pairs))
    logistic = expected_calibration_error(y, 1 / (1 + np.exp(-probit.predict(pairs))))
    assert abs(wanted - logistic) > 0.01
    search = GridSearchCV(
        make_pipeline("passthrough", BradleyTerryRegressor(link="probit")),
        {"bradleyterryregressor__alpha": [probit.alpha]},
        cv=2,
    )
    nested = make_pipeline("passthrough", search).fit(pairs, y)
    assert_allclose(comparison.calibration_error(nested, pairs, y), wanted)


def test_rewards_that_are_compared_take_every_label(preferences):
    y = np.where(np.arange(len(preferences.y)) % 3, preferences.y, 0.5)
    for name, reward in Recipe(0, 4, inner_folds=1).candidates().items():
        fitted = reward.fit(preferences.pairs, y)
        assert fitted.score(preferences.pairs, preferences.y) > 0.6, name
    assert isinstance(
        Recipe(0, 4).candidates()["network"][-1], BradleyTerryMLPRegressor
    )


def test_the_error_of_a_mean_over_prompts():
    rng = np.random.default_rng(0)
    values, groups = rng.random(60), np.repeat(np.arange(12), 5)
    sums = np.add.reduceat(values - values.mean(), np.arange(0, 60, 5))
    assert_allclose(
        comparison.clustered_error(values, groups),
        np.sqrt(12 / 11 * (sums**2).sum()) / 60,
    )
    assert comparison.clustered_error(values, np.zeros(60)) is None


def test_each_part_of_the_features_is_told_alone(fit, tmp_path):
    """Labels that follow the length alone: statistics know it, the embedding less."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "prompt": f"one {k % 20}",
            "chosen": " ".join(rng.choice(["two", "three", "four"], 12)),
            "rejected": " ".join(rng.choice(["two", "three", "four"], 5)),
        }
        for k in range(100)
    ]
    report = report_of(fit(rows, "--reward", "linear", "--json"))
    compared = report["compared"]
    assert compared["linear, statistics alone"] == 1
    assert compared["linear"] == report["order_consistency"]
    others = report_of(fit(rows, "--reward", "classifier", "--json", "--force"))[
        "compared"
    ]
    assert not [name for name in others if "alone" in name]


def test_the_embedding_weighs_as_one_statistic():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(50, 12)) * rng.uniform(1, 9, 12)
    both = scaled(9).fit_transform(items)
    assert_allclose(np.square(both[:, :9]).sum(axis=1).mean(), 1)
    assert_allclose(np.square(both[:, 9:]).mean(axis=0), 1)
    for part, columns in ("embedding", slice(0, 9)), ("statistics", slice(9, 12)):
        alone = scaled(9, (part,)).fit_transform(items)
        assert_allclose(alone, both[:, columns])


def test_the_embedding_alone_is_saved_for_export(fit, tmp_path):
    report = report_of(
        fit(good_and_bad(), "--features", "embedding", "--reward", "linear", "--json")
    )
    assert list(report["compared"]) == ["linear", "longer response", "coin"]
    fitted = skreward.load(tmp_path / "m.skops")
    assert isinstance(fitted[0], skreward.LLMEmbeddingTransformer)
    assert fitted[0].cache_dir is None
    rows = good_and_bad()
    folded = fold(fitted)
    embedded = fitted[0].transform(rows)
    assert_allclose(
        folded.predict(embedded.embeddings),
        fitted[1:].predict(embedded.embeddings),
        atol=1e-5,
    )
