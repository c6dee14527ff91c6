"""The annotation study: its grid, its results file, its workers, its report."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.annotation_study import main
from benchmarks.study import scoring, sources, worker
from benchmarks.study import settings as grid
from benchmarks.study.cost import describe, grid_seconds
from benchmarks.study.paper_recipe import PaperRewardModel
from benchmarks.study.results import ResultsFile, read_results
from benchmarks.study.sources import Source, beyond_length
from skreward import EmbeddingPairs
from skreward.datasets import make_preferences
from skreward.metrics import best_of_n_score
from tests.support import ROOT

TINY = "synthetic:features=6:prompts=60:responses=12"
SOME = "n_pairs=5000,seed=0,task=linear,beta=3,beta=10"
FAST = ["--data", TINY, "--models", "bt-linear,clf-linear", "--only", SOME]
N_FAST = 6 * 3 * 2 * 2
MEASURED = ("core_seconds", "versions")


def table(**changes):
    arguments = {
        "data": "d",
        "pools": tuple("abcdef"),
        "tasks": ("s", "t"),
        "learners": grid.learners(),
        **changes,
    }
    return grid.Table(**arguments)


def setting(**changes):
    values = {
        "data": TINY,
        "pool": "all",
        "task": "linear",
        "design": "random",
        "pairing": "same",
        "beta": 3.0,
        "n_pairs": 400,
        "seed": 0,
        "model": "bt-linear",
        "recipe": "matched",
        **changes,
    }
    return grid.Setting(**values)


# --- the grid ----------------------------------------------------------------


def test_the_grid_has_the_paper_s_settings_and_the_cross_prompt_ones_on_top():
    one_pairing = table(pairings=("same",))
    assert len(one_pairing) == 12_960
    assert len({setting.key for setting in one_pairing.settings()}) == 12_960
    assert len(table()) == len(list(table().settings())) == 25_920


def test_keys_do_not_depend_on_the_rest_of_the_grid():
    key = (
        "data=d/pool=a/task=s/design=similar/pairing=cross/beta=0.5/n_pairs=5000/"
        "seed=2/model=clf-lgbm/recipe=matched"
    )
    only = "pool=a,task=s,design=similar,pairing=cross,beta=0.5,n_pairs=5000,seed=2"
    small = table().only(only + ",model=clf-lgbm")
    assert [setting.key for setting in small.settings()] == [key]
    assert key in {setting.key for setting in table().settings()}


def test_only_takes_several_values_of_an_axis_and_refuses_unknown_ones():
    some = table().only("beta=3,beta=10.0,model=bt-mlp")
    assert some.betas == (3.0, 10.0)
    assert some.learners == (("bt-mlp", "matched"),)
    assert len(some) == 25_920 // 9
    assert table().only("") == table()
    with pytest.raises(ValueError, match=r"the values of beta are 0\.5, 0\.7"):
        table().only("beta=4")
    with pytest.raises(ValueError, match="--only knows data, pool"):
        table().only("alpha=1")


def test_units_come_seed_by_seed_and_hold_all_that_shares_pairs():
    units = grid.units(table().settings())
    assert len(units) == 6 * 2 * 3 * 2 * 5
    assert {len(unit) for unit in units} == {6 * 4 * 3}
    assert len({grid.of_unit(unit[0]) for unit in units}) == len(units)
    # Wherever a run stops, all but the seed under way is whole.
    seeds = [unit[0].seed for unit in units]
    assert seeds == sorted(seeds)
    for name, levels in (("pool", 6), ("task", 2), ("design", 3)):
        first = Counter(getattr(unit[0], name) for unit in units[: len(units) // 5])
        assert len(first) == levels
        assert len(set(first.values())) == 1


def test_the_paper_s_recipes_are_for_networks():
    learners = grid.learners(("bt-mlp", "clf-lgbm"), ("matched", "paper-row"))
    assert learners == (
        ("bt-mlp", "matched"),
        ("clf-lgbm", "matched"),
        ("bt-mlp", "paper-row"),
    )


# --- the results file ----------------------------------------------------------


def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path):
    path = tmp_path / "r.jsonl"
    with ResultsFile(path) as results:
        results.append([{"key": "a"}, {"key": "b"}])
    path.write_bytes(path.read_bytes()[:-4])
    assert [row["key"] for row in read_results(path)] == ["a"]
    with ResultsFile(path) as results:
        assert results.done == {"a"}
        results.append([{"key": "b"}])
    assert [row["key"] for row in read_results(path)] == ["a", "b"]


def test_a_results_file_has_one_driver_and_no_key_twice(tmp_path):
    path = tmp_path / "r.jsonl"
    with ResultsFile(path) as results:
        results.append([{"key": "a"}])
        with pytest.raises(ValueError, match=r"a is in .* already"):
            results.append([{"key": "a"}])
        with (
            pytest.raises(BlockingIOError, match="in use by another driver"),
            ResultsFile(path),
        ):
            pass
    with pytest.raises(ValueError, match=r"plain \.jsonl"):
        ResultsFile(tmp_path / "r.jsonl.gz")


def test_damage_inside_the_file_is_reported_with_its_line(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"key": "a"}\n{"key"\n{"key": "b"}\n')
    with pytest.raises(ValueError, match="line 2 is no JSON"):
        read_results(path)


# --- one unit ------------------------------------------------------------------


@pytest.mark.parametrize("pairing", ["same", "cross"])
@pytest.mark.parametrize("design", ["random", "similar", "diverse"])
def test_training_pairs_follow_the_design_in_panels(design, pairing):
    data = Source("synthetic:features=4:prompts=30:responses=24").open()
    train, test = data.parts("all", "linear", 0)
    assert not set(train.prompts) & set(test.prompts)
    index = worker.train_pairs(train, setting(design=design, pairing=pairing), 400)
    assert index.shape == (400, 2)
    prompts = train.prompts[index]
    assert ((prompts[:, 0] == prompts[:, 1]) == (pairing == "same")).all()
    gap = np.abs(np.diff(train.rewards[index], axis=1)).mean()
    if pairing == "same":
        everything = np.subtract.outer(train.rewards, train.rewards)[
            np.equal.outer(train.prompts, train.prompts)
        ]
        usual = np.abs(everything[everything != 0]).mean()
        assert {
            "random": 0.8 * usual < gap < 1.2 * usual,
            "similar": gap < 0.5 * usual,
            "diverse": gap > 1.8 * usual,
        }[design]
        # A prompt is asked about several pairs, whatever the design.
        assert len(np.unique(np.sort(index, axis=1), axis=0)) > 5 * 22


def test_fewer_pairs_are_the_first_of_more_and_noise_is_drawn_once():
    train, _ = Source(TINY).open().parts("all", "linear", 0)
    settings = [setting(n_pairs=n, beta=b) for n in (100, 400) for b in (0.5, 10.0)]
    labels = worker.Labels(train, settings[0], settings)
    few, more = labels[settings[1]], labels[settings[3]]
    assert_array_equal(few.index, more.index[:100])
    assert_array_equal(few.y, more.y[:100])
    wrong = [labels.describe(s)["error_rate"] for s in settings]
    assert wrong[0] > wrong[1]
    assert wrong[2] > wrong[3]
    # The draw that decides a label is the same, so with less noise it is right wherever
    # it was right with more.
    first, second = more.index.T
    truth = train.rewards[first] > train.rewards[second]
    noisy = labels[settings[2]].y == truth
    assert ((more.y == truth) >= noisy).all()


def test_pools_of_the_same_responses_see_the_same_pairs_and_labels(tmp_path):
    source = Source(str(encoded_folder(tmp_path)))
    rows = [
        worker.run_unit(source, [setting(data="e", pool=pool, task="judged_dev")])[0]
        for pool in ("minilm", "wordllama")
    ]
    for name in "error_rate", "share_equal", "n_distinct":
        assert rows[0][name] == rows[1][name]
    prompts = [row["per_prompt"]["prompts"] for row in rows]
    assert prompts[0] == prompts[1]
    assert rows[0]["order_consistency"] != rows[1]["order_consistency"]


def encoded_folder(folder):
    """Write two data sets by two encoders, and statistics of their texts."""
    rng = np.random.default_rng(0)
    n = 24 * 10
    for data in "judged_dev", "arenabench":
        known = {
            "row_index": np.arange(n),
            "prompt_id": np.repeat(np.arange(24), 10),
            "generator": np.tile([f"model {k}" for k in range(10)], 24),
            "response_chars": rng.integers(100, 3000, size=n),
        }
        statistics = rng.normal(size=(n, 3))
        known["golden_reward"] = statistics[:, 0] + rng.normal(size=n)
        hashes = np.repeat(np.arange(24).astype(str), 10)
        np.savez(
            folder / f"{data}_statistics.npz",
            embeddings=statistics,
            prompt_hash=hashes,
            **known,
        )
        for encoder in "minilm", "wordllama":
            noise = rng.normal(size=(n, 4))
            embeddings = (noise + known["golden_reward"][:, np.newaxis]).astype("f2")
            np.savez(folder / f"{data}_{encoder}.npz", embeddings=embeddings, **known)
    return folder


def test_baselines_have_lines_of_their_own(tmp_path):
    folder, path = encoded_folder(tmp_path), tmp_path / "r.jsonl"
    only = "seed=0,design=random,n_pairs=5000,beta=3"
    arguments = ["--data", str(folder), "--only", only, "--pools", "minilm,wordllama"]
    linear = [*arguments, "--models", "bt-linear", "--out", str(path)]
    assert main(["run", *linear]) == 0
    rows = read_results(path)
    models = Counter(row["setting"]["model"] for row in rows)
    assert models == {"bt-linear": 4, "statistics": 2, "length": 2}
    by_model = {row["setting"]["model"]: row for row in rows}
    assert by_model["length"]["error_rate"] is None
    assert by_model["length"]["setting"]["n_pairs"] == 0
    assert {r["setting"]["pool"] for r in rows} == {"-", "minilm", "wordllama"}
    assert 0.6 < by_model["statistics"]["order_consistency"] < 0.9
    assert abs(by_model["length"]["order_consistency"] - 0.5) < 0.15
    widths = {model: row["n_features"] for model, row in by_model.items()}
    assert widths == {"length": 1, "statistics": 3, "bt-linear": 4}
    error_rates = {
        row["error_rate"] for row in rows if row["setting"]["task"] == "arenabench"
    }
    assert len(error_rates - {None}) == 1


def test_models_of_a_unit_see_the_same_pairs_and_labels():
    source = Source(TINY)
    pair = [setting(model=model) for model in ("bt-linear", "clf-linear")]
    rows = worker.run_unit(source, pair)
    assert [row["key"] for row in rows] == [s.key for s in pair]
    assert rows[0]["error_rate"] == rows[1]["error_rate"]
    (alone,) = worker.run_unit(source, pair[:1])
    for name in set(alone) - set(MEASURED):
        assert rows[0][name] == alone[name]
    assert rows[0]["order_consistency"] != rows[1]["order_consistency"]
    (other,) = worker.run_unit(source, [setting(seed=1)])
    assert other["per_prompt"]["prompts"] != rows[0]["per_prompt"]["prompts"]


def test_a_result_holds_what_it_should():
    (row,) = worker.run_unit(Source(TINY), [setting(beta=10.0)])
    assert 0.8 < row["order_consistency"] <= 1
    assert 0.5 < row["order_consistency_cross"] <= 1
    assert 0.6 < row["spearman"] <= 1
    assert row["error_rate"] < 0.12
    assert 200 < row["n_distinct"] <= 400
    assert row["share_equal"] == 0
    assert list(row["best_of_n"]) == ["2", "5", "10"]
    assert all(
        0 < gain <= row["best_of_n_oracle"][n] for n, gain in row["best_of_n"].items()
    )
    assert row["core_seconds"] > 0
    assert row["setting"] == vars(setting(beta=10.0))
    assert row["versions"]["skreward"]
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    # Every prompt has equally many test pairs, so their mean is the whole.
    assert_allclose(
        np.mean(row["per_prompt"]["order_consistency"]),
        row["order_consistency"],
        atol=1e-3,
    )


def judged_file(path):
    rng = np.random.default_rng(0)
    n = 40 * 12
    prompts = np.repeat(np.arange(40), 12)
    chars = rng.integers(100, 3000, size=n)
    embeddings = rng.normal(size=(n, 5))
    np.savez(
        path,
        embeddings=embeddings.astype(np.float16),
        prompt_id=prompts,
        generator=np.tile([f"model {k}" for k in range(12)], 40),
        golden_reward=2 * np.log(chars) + embeddings[:, 0] + rng.normal(size=n),
        response_chars=chars,
    )
    return path


def test_judged_data_tell_how_length_orders(tmp_path):
    source = Source(str(judged_file(tmp_path / "judged.npz")))
    assert source.label == "judged"
    assert source.open().tasks == ("judge", "judge-beyond-length")
    length = {"pool": "-", "design": "-", "pairing": "-", "beta": 0.0, "n_pairs": 0}
    length |= {"model": "length", "recipe": "baseline", "data": "judged"}
    judge, beyond = (
        worker.run_unit(source, [setting(task=task, **length)])[0]
        for task in source.open().tasks
    )
    assert judge["order_consistency"] > 0.65
    assert abs(beyond["order_consistency"] - 0.5) < 0.06
    (row,) = worker.run_unit(source, [setting(data="judged", task="judge")])
    assert 0.4 < row["order_consistency_similar_length"] < 0.95
    (row,) = worker.run_unit(
        source, [setting(data="judged", task="judge-beyond-length")]
    )
    assert row["order_consistency"] > 0.65


def test_a_prompt_of_equal_true_rewards_has_no_order_consistency(tmp_path):
    path = judged_file(tmp_path / "judged.npz")
    with np.load(path) as file:
        fields = dict(file)
    fields["golden_reward"][fields["prompt_id"] % 3 == 0] = 1.0
    np.savez(path, **fields)
    judged = setting(data="judged", task="judge", n_pairs=2000)
    (row,) = worker.run_unit(Source(str(path)), [judged])
    json.dumps(row, allow_nan=False)
    assert 0.2 < row["share_equal"] < 0.5
    for prompt, value in zip(
        row["per_prompt"]["prompts"],
        row["per_prompt"]["order_consistency"],
        strict=True,
    ):
        assert (value is None) == (prompt % 3 == 0)


def test_scores_are_those_of_the_package():
    rng = np.random.default_rng(0)
    _, test = Source(TINY).open().parts("all", "linear", 0)
    scorer = scoring.Test(test, np.random.RandomState(0))
    predicted = np.round(test.rewards + rng.normal(size=len(test.rewards)), 1)
    found = scorer(predicted)
    i, j = np.triu_indices(len(predicted), 1)
    same = test.prompts[i] == test.prompts[j]
    truth = np.sign(test.rewards[i] - test.rewards[j])
    agrees = 0.5 * (1 + truth * np.sign(predicted[i] - predicted[j]))
    assert_allclose(found["order_consistency"], agrees[same].mean(), atol=1e-5)
    cross = agrees[~same].mean()
    assert_allclose(found["order_consistency_cross"], cross, atol=0.02)
    best = best_of_n_score(test.rewards, predicted, test.prompts, n=10)
    mean = best_of_n_score(test.rewards, predicted, test.prompts, n=1)
    assert_allclose(found["best_of_n"]["10"], best - mean, atol=1e-5)
    assert_allclose(np.mean(found["per_prompt"]["best_of_n"]), best - mean, atol=1e-3)
    whole = scorer(test.rewards)
    assert whole["order_consistency"] == whole["order_consistency_cross"] == 1
    assert whole["best_of_n"] == whole["best_of_n_oracle"]


def test_beyond_length_is_uncorrelated_with_log_length_within_prompts():
    rng = np.random.default_rng(0)
    prompts, lengths = np.repeat(np.arange(50), 8), rng.integers(10, 999, size=400)
    rewards = np.log(lengths) + rng.normal(size=400) + prompts
    left = beyond_length(rewards, lengths, prompts)
    x = np.log(lengths).reshape(50, 8)
    x = x - x.mean(axis=1, keepdims=True)
    assert abs(np.sum(x * left.reshape(50, 8))) < 1e-9
    assert_allclose(np.std(left), 1.0)


def test_a_folder_of_published_files_is_a_source(tmp_path):
    rng = np.random.default_rng(0)
    for split, shape in ("train", (40, 10)), ("test", (30, 20)):
        embeddings = rng.normal(size=(*shape, 4)).astype(np.float32)
        np.save(tmp_path / f"embd_gemma_{split}.npy", embeddings)
        np.save(tmp_path / f"reward_gemma_{split}.npy", 3 * embeddings[..., 0])
    data = Source(str(tmp_path)).open()
    assert data.pools == ("gemma",)
    assert data.fewest_responses == 20
    train, test = data.parts("gemma", "golden", 0)
    assert_allclose(np.std(train.rewards), 1.0)
    assert not set(train.prompts) & set(test.prompts)
    (row,) = worker.run_unit(
        Source(str(tmp_path)), [setting(data="f", pool="gemma", task="golden")]
    )
    assert row["order_consistency"] > 0.85
    assert row["per_prompt"]["n"] == 10


def test_a_process_reads_its_data_once():
    source = Source("synthetic:features=3:prompts=8:responses=4")
    before = sources.reads()
    assert source.open() is source.open()
    assert sources.reads() == before + 1


# --- the paper's recipe ----------------------------------------------------------


@pytest.mark.parametrize("cross_prompt", [False, True])
@pytest.mark.parametrize(
    ("split", "twins"), [("row", 0.8), ("pair", 0.0), ("prompt", 0.0)]
)
def test_only_the_row_split_validates_on_mirror_images(split, twins, cross_prompt):
    data = make_preferences(
        2000, 6, 4, 20_000, cross_prompt=cross_prompt, random_state=0
    )
    model = PaperRewardModel("bt", split)
    training, validating = model._split(data.pairs, 20_000, np.random.default_rng(0))
    assert not set(training) & set(validating)
    mirror = (validating + 20_000) % 40_000
    assert_allclose(np.isin(mirror, training).mean(), twins, atol=0.02)
    prompts = data.pairs.pair_prompt_ids
    shared = np.isin(prompts[validating % 20_000], prompts[training % 20_000]).any()
    assert shared == (split != "prompt")
    assert 0.01 < len(validating) / 40_000 < 0.3


def test_a_constant_feature_is_scaled_by_nothing():
    data = make_preferences(n_pairs=200, random_state=0)
    items = np.hstack([data.pairs.embeddings, np.full((len(data.rewards), 1), 0.25)])
    pairs = EmbeddingPairs(items, data.pairs.index, data.pairs.prompt_ids)
    model = PaperRewardModel("bt", "prompt", scales=True).fit(pairs, data.y)
    assert np.isfinite(model.predict(items)).all()


@pytest.mark.parametrize("objective", ["bt", "clf"])
def test_the_recipe_learns_and_is_deterministic(objective):
    data = make_preferences(300, 6, 8, 3000, beta=10.0, random_state=0)
    first, second = (
        PaperRewardModel(objective, "prompt").fit(data.pairs, data.y) for _ in range(2)
    )
    rewards = first.predict(data.embeddings)
    assert_array_equal(rewards, second.predict(data.embeddings))
    margin = rewards[data.pairs.index[:, 0]] - rewards[data.pairs.index[:, 1]]
    assert np.mean((margin > 0) == (data.y == 1)) > 0.85
    assert 3 <= first.n_epochs_ <= 30


# --- the driver ------------------------------------------------------------------


def command(out, *more):
    return [
        sys.executable,
        "-m",
        "benchmarks.annotation_study",
        "run",
        *FAST,
        "--out",
        str(out),
        *more,
    ]


def wait_for_lines(path, n, process, timeout=120):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if path.exists() and path.read_bytes().count(b"\n") >= n:
            return
        assert process.poll() is None, "the driver ended too early"
        time.sleep(0.02)
    raise AssertionError("the driver is too slow")


def scores(path):
    rows = read_results(path)
    assert len({row["key"] for row in rows}) == len(rows)
    return {
        row["key"]: {name: row[name] for name in set(row) - set(MEASURED)}
        for row in rows
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Run some settings in this process, never stopped."""
    path = tmp_path_factory.mktemp("study") / "whole.jsonl"
    assert main(["run", *FAST, "--out", str(path)]) == 0
    return scores(path)


def test_a_killed_run_goes_on_where_it_was(tmp_path, uninterrupted):
    path = tmp_path / "r.jsonl"
    arguments = command(path, "--jobs", "2")
    process = subprocess.Popen(
        arguments, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_lines(path, 5, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    finally:  # the workers of a driver that is gone would wait for minutes
        os.killpg(process.pid, signal.SIGKILL)
    content = path.read_bytes()
    n_before = content.count(b"\n")
    assert 5 <= n_before < N_FAST
    path.write_bytes(content[: content.rfind(b"\n", 0, -1) + 30])
    assert len(read_results(path)) == n_before - 1
    again = ["run", *FAST, "--out", str(path)]
    assert main(again) == 0
    assert scores(path) == uninterrupted
    content = path.read_bytes()
    assert main(again) == 0
    assert path.read_bytes() == content


@pytest.fixture
def cluster(tmp_path):
    """Start a Dask scheduler and two workers on this machine."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        processes.append(process)
        return process

    file = tmp_path / "scheduler.json"
    start(
        *("scheduler", "--host", "127.0.0.1", "--port", "0"),
        *("--no-dashboard", "--scheduler-file", str(file)),
    )
    workers = [
        start(
            *("worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard"),
            *("--nthreads", "1", "--local-directory", str(tmp_path / f"worker {k}")),
        )
        for k in range(2)
    ]
    from distributed import Client

    with Client(scheduler_file=str(file), timeout=60) as client:
        client.wait_for_workers(2, timeout=60)
        yield client, workers
    for process in processes:
        process.kill()
        process.wait()


def test_a_worker_that_dies_costs_no_setting(tmp_path, cluster, uninterrupted):
    client, workers = cluster
    path = tmp_path / "r.jsonl"
    address = client.scheduler.address
    process = subprocess.Popen(
        command(path, "--dask", address),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    wait_for_lines(path, 5, process)
    workers[0].kill()
    workers[0].wait()
    assert path.read_bytes().count(b"\n") < N_FAST
    assert process.wait(timeout=180) == 0
    assert scores(path) == uninterrupted
    # Not once a setting; a worker too late for any setting has read nothing.
    assert max(client.run(sources.reads).values()) == 1


def test_a_failing_setting_is_reported_and_left_for_later(tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    arguments = [
        *("run", "--data", "synthetic:features=4:prompts=40:responses=2"),
        *("--models", "bt-linear", "--out", str(path)),
        *(
            "--only",
            "n_pairs=5000,task=linear,beta=3,seed=0,design=random",
        ),
    ]
    # Half of two responses is one: most pools have nothing to compare.
    assert main(arguments) == 1
    pools = {row["setting"]["pool"] for row in read_results(path)}
    assert pools == {"all"}
    assert "a prompt with two items to compare" in capsys.readouterr().err
    assert main(arguments) == 1


def test_only_models_that_are_not_all_there_are_trained(tmp_path, monkeypatch):
    path, trained = tmp_path / "r.jsonl", []
    arguments = ["run", *FAST[:-1], f"{SOME},pool=all,design=random"]
    assert main([*arguments, "--out", str(path)]) == 0
    lines = path.read_text().splitlines(keepends=True)
    whole = scores(path)
    path.write_text("".join(lines[:3]))
    run_unit = worker.run_unit

    def spy(source, settings):
        trained.extend(setting.key for setting in settings)
        return run_unit(source, settings)

    monkeypatch.setattr("benchmarks.study.drive.run_unit", spy)
    assert main([*arguments, "--out", str(path)]) == 0
    # Two labellings of each of two models: the second was half there.
    assert trained == [json.loads(line)["key"] for line in lines[2:]]
    assert scores(path) == whole


def test_time_is_up(tmp_path):
    path = tmp_path / "r.jsonl"
    assert main(["run", *FAST, "--out", str(path), "--minutes", "0"]) == 0
    assert read_results(path) == []


def test_the_cost_of_the_grid_is_the_sum_over_its_strata():
    whole = table(pairings=("same",))
    rows = [
        {
            "key": setting.key,
            "setting": vars(setting),
            "n_features": 384,
            "core_seconds": setting.n_pairs / 1000 + setting.beta,
        }
        for setting in whole.only("seed=1,beta=3,beta=5,design=random").settings()
    ]
    per_pool = 3 * 2 * 3 * 6 * 5
    expected = 6 * per_pool * sum(n / 1000 + 4 for n in grid.QUANTITIES)
    assert_allclose(grid_seconds(rows, whole), expected)
    few = [row for row in rows if row["setting"]["n_pairs"] != 5000]
    assert np.isnan(grid_seconds(few, whole))
    text = "\n".join(describe(rows, whole))
    assert f"{len(rows):,} of 12,960" in text
    assert f"{expected / 3600:.1f} core-hours" in text
    assert "clf-lgbm   matched" in text


def test_status_prints_progress_and_cost(tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    fast = [*FAST[:-1], f"{SOME},pool=all,design=random"]
    assert main(["run", *fast, "--out", str(path)]) == 0
    assert main(["status", *fast, "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "4 of 4 settings" in printed
    assert "core-hours" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "beta=2"], "the values of beta are"),
        (["--models", "bt-mlp,gpt"], "--models knows"),
        (["--pairing", "none"], "--pairing knows"),
        (["--recipe", "fold"], "--recipe knows"),
        (["--data", "absent.npz"], "no such file or folder"),
        (["--data", "synthetic:features=x"], "synthetic:features=x"),
    ],
)
def test_bad_usage_is_one_line(tmp_path, capsys, arguments, message):
    given = ["run", "--data", TINY, "--out", str(tmp_path / "r.jsonl"), *arguments]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
