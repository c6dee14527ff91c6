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
from benchmarks.study import settings as grid
from benchmarks.study import sources, worker
from benchmarks.study.intervals import by_prompt
from benchmarks.study.paper_recipe import PaperRewardModel
from benchmarks.study.results import ResultsFile, read_results
from benchmarks.study.sources import Source, beyond_length
from skreward.datasets import make_preferences
from tests.support import ROOT

TINY = "synthetic:features=6:prompts=60:responses=12"
FAST = ["--data", TINY, "--models", "bt-linear,clf-linear", "--only", "n_pairs=5000"]
MEASURED = ("seconds", "core_seconds", "versions")


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
        "recipe": "package",
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
        "seed=2/model=clf-lgbm/recipe=package"
    )
    only = "pool=a,task=s,design=similar,pairing=cross,beta=0.5,n_pairs=5000,seed=2"
    small = table().only(only + ",model=clf-lgbm")
    assert [setting.key for setting in small.settings()] == [key]
    assert key in {setting.key for setting in table().settings()}


def test_only_takes_several_values_of_an_axis_and_refuses_unknown_ones():
    some = table().only("beta=3,beta=10.0,model=bt-mlp")
    assert some.betas == (3.0, 10.0)
    assert some.learners == (("bt-mlp", "package"),)
    assert len(some) == 25_920 // 9
    assert table().only("") == table()
    with pytest.raises(ValueError, match=r"the values of beta are 0\.5, 0\.7"):
        table().only("beta=4")
    with pytest.raises(ValueError, match="--only knows data, pool"):
        table().only("alpha=1")


def test_a_sample_is_spread_evenly_and_compares_models_on_the_same_pairs():
    sample = table().sample(360, seed=0)
    assert len({setting.key for setting in sample}) == 360
    for name, levels in table().axes.items():
        counts = Counter(getattr(setting, name) for setting in sample)
        assert set(counts) == set(levels)
        assert max(counts.values()) == min(counts.values())
    blocks = Counter(setting.block for setting in sample)
    assert set(blocks.values()) == {3}
    assert sample[:60] == table().sample(60, seed=0)
    assert sample != table().sample(360, seed=1)
    small = table().only("pool=a,task=s,beta=3,n_pairs=5000")
    assert {s.key for s in small.sample(10**6, 0)} == {s.key for s in small.settings()}


def test_the_paper_s_recipe_is_for_networks():
    learners = grid.learners(("bt-mlp", "clf-lgbm"), ("row", "prompt"))
    assert learners == (
        ("bt-mlp", "package"),
        ("clf-lgbm", "package"),
        ("bt-mlp", "paper-row"),
        ("bt-mlp", "paper-prompt"),
    )


# --- the results file ----------------------------------------------------------


def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path):
    path = tmp_path / "r.jsonl"
    with ResultsFile(path) as results:
        results.append({"key": "a"})
        results.append({"key": "b"})
    path.write_bytes(path.read_bytes()[:-4])
    assert [row["key"] for row in read_results(path)] == ["a"]
    with ResultsFile(path) as results:
        assert results.done == {"a"}
        results.append({"key": "b"})
    assert [row["key"] for row in read_results(path)] == ["a", "b"]


def test_a_results_file_has_one_driver_and_no_key_twice(tmp_path):
    path = tmp_path / "r.jsonl"
    with ResultsFile(path) as results:
        results.append({"key": "a"})
        with pytest.raises(ValueError, match=r"a is in .* already"):
            results.append({"key": "a"})
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


# --- one setting ---------------------------------------------------------------


@pytest.mark.parametrize("pairing", ["same", "cross"])
@pytest.mark.parametrize("design", ["random", "similar", "diverse"])
def test_training_pairs_follow_the_design_in_panels_of_ten(design, pairing):
    data = Source("synthetic:features=4:prompts=30:responses=24").open()
    train, test = data.parts("all", "linear", 0)
    assert not set(train.prompts) & set(test.prompts)
    index = worker.train_pairs(train, setting(design=design, pairing=pairing))
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
            "diverse": gap > 2 * usual,
        }[design]


def test_models_of_a_block_see_the_same_pairs_and_labels():
    source = Source(TINY)
    rows = [
        worker.run_setting(source, setting(model=model))
        for model in ("bt-linear", "clf-linear", "bt-linear")
    ]
    assert rows[0]["error_rate"] == rows[1]["error_rate"]
    for name in set(rows[0]) - set(MEASURED):
        assert rows[0][name] == rows[2][name]
    assert rows[0]["order_consistency"] != rows[1]["order_consistency"]
    other = worker.run_setting(source, setting(seed=1))
    assert other["per_prompt"]["prompts"] != rows[0]["per_prompt"]["prompts"]


def test_a_result_holds_what_it_should():
    row = worker.run_setting(Source(TINY), setting(beta=10.0))
    assert 0.8 < row["order_consistency"] <= 1
    assert 0.5 < row["order_consistency_cross"] <= 1
    assert 0.6 < row["spearman"] <= 1
    assert row["error_rate"] < 0.12
    assert list(row["best_of_n"]) == ["2", "5", "10"]
    assert all(
        0 < gain <= row["best_of_n_oracle"][n] for n, gain in row["best_of_n"].items()
    )
    assert row["seconds"] > 0
    assert row["setting"] == vars(setting(beta=10.0))
    assert row["versions"]["skreward"]
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    # Every prompt has equally many test pairs, so their mean is the whole.
    assert_allclose(
        np.mean(row["per_prompt"]["order_consistency"]),
        row["order_consistency"],
        atol=1e-4,
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


def test_judged_data_carry_the_length_only_null(tmp_path):
    source = Source(str(judged_file(tmp_path / "judged.npz")))
    assert source.label == "judged"
    assert source.open().tasks == ("judge", "judge-beyond-length")
    row, beyond = (
        worker.run_setting(source, setting(data="judged", task=task))
        for task in source.open().tasks
    )
    assert row["length_only"]["order_consistency"] > 0.65
    assert abs(beyond["length_only"]["order_consistency"] - 0.5) < 0.06
    assert 0.4 < row["order_consistency_similar_length"] < 0.95
    assert beyond["order_consistency"] > 0.65


def test_a_prompt_of_equal_true_rewards_has_no_order_consistency(tmp_path):
    path = judged_file(tmp_path / "judged.npz")
    with np.load(path) as file:
        fields = dict(file)
    fields["golden_reward"][fields["prompt_id"] % 3 == 0] = 1.0
    np.savez(path, **fields)
    row = worker.run_setting(
        Source(str(path)), setting(data="judged", task="judge", pairing="cross")
    )
    json.dumps(row, allow_nan=False)
    for prompt, value in zip(
        row["per_prompt"]["prompts"],
        row["per_prompt"]["order_consistency"],
        strict=True,
    ):
        assert (value is None) == (prompt % 3 == 0)
    (known,) = by_prompt([row], "order_consistency").values()
    assert {prompt % 3 for _, prompt in known} == {1, 2}


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
    row = worker.run_setting(
        Source(str(tmp_path)), setting(data="f", pool="gemma", task="golden")
    )
    assert row["order_consistency"] > 0.85
    assert row["per_prompt"]["n"] == 20


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
    """Run a sample of settings in this process, never stopped."""
    path = tmp_path_factory.mktemp("study") / "whole.jsonl"
    assert main(["run", *FAST, "--out", str(path), "--sample", "40"]) == 0
    return scores(path)


def test_a_killed_run_goes_on_where_it_was(tmp_path, uninterrupted):
    path = tmp_path / "r.jsonl"
    arguments = command(path, "--sample", "40", "--jobs", "2")
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
    assert 5 <= n_before < 40
    path.write_bytes(content[: content.rfind(b"\n", 0, -1) + 30])
    assert len(read_results(path)) == n_before - 1
    again = ["run", *FAST, "--out", str(path), "--sample", "40"]
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
        command(path, "--sample", "40", "--dask", address),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    wait_for_lines(path, 5, process)
    workers[0].kill()
    workers[0].wait()
    assert path.read_bytes().count(b"\n") < 40
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
            "n_pairs=5000,pairing=same,task=linear,beta=3,seed=0,design=random",
        ),
    ]
    # Half of two responses is one: most pools have nothing to compare.
    assert main(arguments) == 1
    pools = {row["setting"]["pool"] for row in read_results(path)}
    assert pools == {"all"}
    assert "a prompt with two items to compare" in capsys.readouterr().err
    assert main(arguments) == 1


def test_time_is_up(tmp_path):
    path = tmp_path / "r.jsonl"
    assert main(["run", *FAST, "--out", str(path), "--minutes", "0"]) == 0
    assert read_results(path) == []


def test_status_prints_progress_and_cost(tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    only = ["--only", "n_pairs=5000,pool=all,task=linear,beta=3,design=random,seed=0"]
    fast = [*FAST[:-2], *only]
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
        (["--validation-split", "fold"], "--validation-split knows"),
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
