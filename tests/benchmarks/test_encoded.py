"""The study's folder of data sets by encoders, and of people's pairs."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from benchmarks.study.encoded import DATA_SETS, ENCODERS
from benchmarks.study.sources import Source


def judged(rows, features, seed=0):
    """Rows of a data set of 24 prompts by 12 models."""
    rng = np.random.default_rng(3)
    chars, reward = rng.integers(9, 999, 288), rng.normal(size=288).astype("float32")
    return {
        "embeddings": np.random.default_rng(seed).normal(size=(288, features))[rows],
        "row_index": rows,
        "prompt_id": np.repeat(np.arange(24), 12)[rows],
        "generator": np.tile([f"model {k}" for k in range(12)], 24)[rows],
        "golden_reward": 7 * reward[rows],
        "response_chars": chars[rows],
    }


@pytest.fixture
def folder(tmp_path):
    """Data sets of ten models; an encoder may have more rows, in any order."""
    taken = np.flatnonzero(np.arange(288) % 12 < 10)
    shuffled = np.random.default_rng(0).permutation(288)
    for data in DATA_SETS:
        known = judged(taken, 2)
        known["prompt_hash"] = known["prompt_id"].astype(str)
        np.savez(tmp_path / f"{data}_statistics.npz", **known)
        for k, encoder in enumerate(ENCODERS):
            fields = judged(shuffled, 3 + k, seed=k)
            np.savez(tmp_path / f"{data}_{encoder}.npz", **fields)
        whole = judged(np.arange(288), 4)
        del whole["row_index"]
        np.savez(tmp_path / f"{data}_gemma_mean.npz", **whole)
    return tmp_path


def test_encoders_are_pools_and_data_sets_tasks(folder):
    source = Source(str(folder))
    data = source.open()
    assert source.label == "encoders"
    assert (data.pools, data.tasks) == (ENCODERS, DATA_SETS)
    assert data.more_pools == ("gemma_mean",)
    assert data.fewest_responses == 10


@pytest.mark.parametrize("encoder", [*ENCODERS, "gemma_mean", "statistics"])
def test_encoders_differ_in_nothing_but_the_embedding(folder, encoder):
    data = Source(str(folder)).open()
    first = data.parts("minilm", "arenabench", 1)
    other = data.parts(encoder, "arenabench", 1)
    for a, b in zip(first, other, strict=True):
        for name in "rows", "prompts", "rewards", "lengths", "statistics":
            assert_array_equal(getattr(a, name), getattr(b, name))
        # Rows of the file in another order, and of two more models.
        k = ENCODERS.index(encoder) if encoder in ENCODERS else 0
        if encoder in ENCODERS:
            wanted = judged(np.arange(288), 3 + k, seed=k)["embeddings"]
            taken = np.flatnonzero(np.arange(288) % 12 < 10)[b.rows]
            assert_array_equal(b.embeddings[b.rows], wanted[taken].astype("float32"))
    assert not set(first.train.prompts) & set(first.test.prompts)
    assert len(set(first.test.prompts)) == 6
    assert np.std(np.r_[first.train.rewards, first.test.rewards]) == pytest.approx(1)
    assert set(first.test.prompts) != set(data.parts("minilm", "arenabench", 2)[1][2])


def test_a_file_that_lacks_rows_is_refused_and_no_other(folder):
    path = folder / "arenabench_mpnet.npz"
    np.savez(path, **judged(np.arange(144), 5))
    data = Source(str(folder)).open()
    with pytest.raises(ValueError, match="holds 120 of the 240 rows of arenabench"):
        data.parts("mpnet", "arenabench", 0)
    data.parts("mpnet", "judged_dev", 0)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="arenabench_mpnet"):
        data.parts("mpnet", "arenabench", 0)


def test_a_file_of_other_rewards_or_with_nan_is_refused(folder):
    path = folder / "judged_dev_mpnet.npz"
    fields = judged(np.arange(288), 5)
    np.savez(path, **{**fields, "golden_reward": fields["golden_reward"] + 1})
    with pytest.raises(ValueError, match="golden_reward is not that"):
        Source(str(folder)).open().parts("mpnet", "judged_dev", 0)
    fields["embeddings"][0, 1] = np.nan
    np.savez(path, **fields)
    with pytest.raises(ValueError, match="not every number is finite"):
        Source(str(folder)).open().parts("mpnet", "judged_dev", 0)


def human(features, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "items": rng.normal(size=(6, features)).astype("float16"),
        "index": np.array([[0, 1], [3, 2], [4, 5]]),
        "prompt_id": np.array([0, 0, 1]),
        "source": np.array(["a", "a", "b"]),
        "response_chars": np.arange(6) + 10,
    }


def test_pairs_of_people_are_read_beside_their_statistics(folder):
    np.savez(folder / "human_pairs_minilm.npz", **human(3))
    known = {**human(2, seed=1), "prompt_hash": np.array(["x", "x", "y"])}
    np.savez(folder / "human_pairs_statistics.npz", **known)
    data = Source(str(folder)).open()
    pairs = data.human("minilm", "human_pairs")
    assert pairs.embeddings.dtype == np.float32
    assert_array_equal(pairs.index, human(3)["index"])
    assert_array_equal(pairs.statistics, known["items"])
    assert data.prompt_hashes("human_pairs").tolist() == ["x", "x", "y"]
    swapped = {**human(3), "index": human(3)["index"][:, ::-1]}
    np.savez(folder / "human_pairs_minilm.npz", **swapped)
    with pytest.raises(ValueError, match="index is not that of the statistics"):
        data.human("minilm", "human_pairs")
