"""The study's human pairs: who is scored on what, and never on what it saw."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.study import human
from benchmarks.study.encoded import DATA_SETS, EncodedSets, HumanPairs
from benchmarks.study.human import Training, read, score

N = 40 * 6


@pytest.fixture
def folder(tmp_path):
    """Rewards and people follow the first feature; prompts 0 to 9 are shared."""
    rng = np.random.default_rng(0)
    prompt = np.repeat(np.arange(40), 6)
    items = rng.normal(size=(N, 3)).astype("float32")
    known = {
        "row_index": np.arange(N),
        "prompt_id": prompt,
        "generator": np.tile(list("abcdef"), 40),
        "golden_reward": 2 * items[:, 0],
        "response_chars": rng.integers(50, 500, N),
    }
    hashes = np.array([f"prompt {k}" for k in prompt])
    for data in DATA_SETS:
        np.savez(tmp_path / f"{data}_minilm.npz", embeddings=items, **known)
        noise = rng.normal(size=(N, 2)).astype("float32")
        known = {**known, "prompt_hash": hashes}
        np.savez(tmp_path / f"{data}_statistics.npz", embeddings=noise, **known)
    index = np.arange(N).reshape(-1, 2)
    better = items[index[:, 0], 0] > items[index[:, 1], 0]
    index[~better] = index[~better][:, ::-1]
    pairs = {
        "index": index,
        "prompt_id": np.arange(N // 2) // 3,
        "source": np.where(np.arange(N // 2) % 3 == 0, "hard", "plain"),
        "response_chars": rng.integers(50, 500, N),
    }
    hashes = np.array([f"prompt {k + 30}" for k in pairs["prompt_id"]])
    np.savez(tmp_path / "human_pairs_minilm.npz", items=items, **pairs)
    noise = rng.normal(size=(N, 2)).astype("float32")
    pairs = {**pairs, "prompt_hash": hashes}
    np.savez(tmp_path / "human_pairs_statistics.npz", items=noise, **pairs)
    return tmp_path


def test_training_leaves_out_the_prompts_of_the_test(folder):
    training = Training(EncodedSets(folder), "minilm", "arenabench", ["human_pairs"])
    assert training.n_left_out == 10
    assert set(training.prompts) == set(range(30))
    assert_allclose(
        training.rewards / training.rewards.std(),
        training.items[:, 0] / training.items[:, 0].std(),
        rtol=1e-5,
    )


def test_scores_are_by_source_with_errors_over_prompts():
    pairs = HumanPairs(
        embeddings=np.zeros((8, 1)),
        index=np.array([[0, 1], [2, 3], [4, 5], [6, 7]]),
        prompts=np.array([0, 0, 1, 2]),
        sources=np.array(["a", "a", "a", "b"]),
        lengths=np.array([100, 105, 100, 50, 70, 70, 9, 10]),
        statistics=np.zeros((8, 1)),
    )
    shared = {"human_set": "h", "trained_on": "t", "encoder": "e", "model": "m",
              "beta": 1.0, "seed": 0, "error_rate": 0.1}  # fmt: skip
    a, b = score(np.array([2.0, -1.0, 0.0, 3.0]), pairs, **shared)
    assert (a.source, a.n_pairs, a.agreement) == ("a", 3, 0.5)
    # Prompt 0 has +1/2 and -1/2, prompt 1 has 0: they cancel inside the prompt.
    assert a.standard_error == 0
    assert (a.n_similar, a.similar) == (2, 0.75)
    assert (b.source, b.agreement, b.n_similar) == ("b", 1.0, 0)
    assert np.isnan(b.similar)


def test_the_table_is_filled_and_gone_on_with(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(human, "N_PAIRS", 300)
    monkeypatch.setattr(human, "BETAS", (10.0,))
    monkeypatch.setattr(human, "SEEDS", (0, 1))
    monkeypatch.setattr(human, "FOLDS", 2)
    out = tmp_path / "table" / "human.csv"
    arguments = [str(folder), "--out", str(out), "--encoders", "minilm"]
    human.main(arguments)
    rows = read(out)
    runs = {row.run for row in rows}
    # Two data sets and the folds, for two kinds of features, models and seeds.
    assert len(runs) == 3 * 2 * 2 * 2 + 1
    assert len(rows) == 2 * len(runs)
    for row in rows:
        if row.encoder == "minilm":
            assert row.agreement > 0.85, row
        else:
            assert 0.2 < row.agreement < 0.75, row
    whole = out.read_text()
    lines = whole.splitlines(keepends=True)
    cut = [line for line in lines if ",human_pairs,minilm,clf-linear" not in line]
    assert len(cut) == len(lines) - 4
    out.write_text("".join(cut))
    human.main(arguments)
    assert_array_equal(sorted(out.read_text().splitlines()), sorted(whole.splitlines()))
    human.main([*arguments, "--models", "bt-mlp", "--betas", "10"])
    more = [row for row in read(out) if row.model == "bt-mlp"]
    # Two data sets, seeds and sources, for two kinds of features; no folds of people's.
    assert len(more) == 16
    assert min(row.agreement for row in more if row.encoder == "minilm") > 0.8
