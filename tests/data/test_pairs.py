import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import shuffle

from skreward import EmbeddingPairs


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    index = np.array([[0, 1], [2, 3], [3, 0], [4, 1], [2, 4]])
    return EmbeddingPairs(rng.normal(size=(5, 3)), index, list("aabbb"))


@st.composite
def keys(draw, n):
    """Any key that picks pairs out of n, and keeps the axis in numpy."""
    whole = st.slices(n)
    ints = st.integers(-n, n - 1)
    kind = draw(st.sampled_from(["slice", "array", "mask", "list"]))
    if kind == "slice" or n == 0:
        return draw(whole)
    if kind == "mask":
        return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    chosen = draw(st.lists(ints, min_size=1, max_size=8))
    return chosen if kind == "list" else np.array(chosen)


@given(data=st.data(), ellipsis=st.booleans())
def test_indexing_composes_as_numpy(data, ellipsis):
    rng = np.random.default_rng(0)
    index = np.array([[0, 1], [2, 3], [3, 0], [4, 1], [2, 4], [1, 0]])
    pairs = EmbeddingPairs(rng.normal(size=(5, 3)), index)
    dense = pairs.to_dense()
    for _ in range(3):
        key = data.draw(keys(len(pairs)))
        picked = pairs[key, ...] if ellipsis else pairs[key]
        assert picked.embeddings is pairs.embeddings
        pairs, dense = picked, dense[key]
        assert_array_equal(pairs.to_dense(), dense)
        assert pairs.shape == dense.shape


def test_int_key_gives_one_pair(pairs):
    assert_array_equal(pairs[1].to_dense(), pairs.to_dense()[[1]])
    assert_array_equal(pairs[np.int64(-1)].index, [[2, 4]])
    assert len(list(pairs)) == 5
    with pytest.raises(IndexError):
        pairs[5]


@pytest.mark.parametrize("key", [(0, 1), (slice(None), 0, 1), np.ones((2, 2), int)])
def test_keys_inside_a_pair_are_refused(pairs, key):
    with pytest.raises(IndexError, match="indexed"):
        pairs[key]


def test_what_scikit_learn_sees(pairs):
    assert pairs.shape == (5, 2, 3)
    assert pairs.ndim == 3
    assert len(pairs) == 5
    assert pairs.dtype == np.float64
    assert "n_pairs=5, n_items=5, n_features=3" in repr(pairs)
    assert "n_prompts=2" in repr(pairs)
    train, test = train_test_split(pairs, random_state=0)
    assert isinstance(train, EmbeddingPairs)
    assert len(train) + len(test) == 5
    for part, _ in KFold(2).split(pairs):
        assert pairs[part].embeddings is pairs.embeddings
    shuffled, order = shuffle(pairs, np.arange(5), random_state=0)
    assert_array_equal(shuffled.index, pairs.index[order])


def test_array_names_to_dense(pairs):
    with pytest.raises(TypeError, match="to_dense"):
        np.asarray(pairs)


def test_swap_and_compact(pairs):
    assert_array_equal(pairs.swap().to_dense(), pairs.to_dense()[:, ::-1])
    few = pairs[[2, 4]]
    compact = few.compact()
    assert compact.n_items == 4
    assert_array_equal(compact.to_dense(), few.to_dense())
    assert_array_equal(compact.pair_prompt_ids, few.pair_prompt_ids)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_stay(dtype):
    pairs = EmbeddingPairs(np.eye(3, dtype=dtype), [[0, 1], [1, 2]])
    assert pairs.dtype == dtype
    assert pairs.to_dense().dtype == dtype


def test_memmap_is_not_read(tmp_path):
    stored = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float16, shape=(4, 3)
    )
    pairs = EmbeddingPairs(stored, [[0, 1], [2, 3]])
    assert pairs.embeddings is stored
    assert isinstance(pairs[1:].embeddings, np.memmap)


def test_sparse_pairs():
    items = sp.random_array((6, 5), density=0.5, rng=0, format="coo")
    pairs = EmbeddingPairs(items, [[0, 1], [4, 5]])
    assert pairs.embeddings.format == "csr"
    assert_array_equal(pairs.to_dense(), items.toarray()[pairs.index])
    assert pairs[[1]].compact().n_items == 2


def test_pickle(pairs):
    again = pickle.loads(pickle.dumps(pairs))
    assert_array_equal(again.to_dense(), pairs.to_dense())
    assert_array_equal(again.prompt_ids, pairs.prompt_ids)


def test_from_dense_stores_equal_items_once():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(4, 3))
    dense = items[[[0, 1], [1, 2], [3, 0]]]
    pairs = EmbeddingPairs.from_dense(dense)
    assert pairs.n_items == 4
    assert_array_equal(pairs.to_dense(), dense)
    assert_array_equal(pairs.embeddings, items)
    whole = EmbeddingPairs.from_dense(dense, deduplicate=False)
    assert whole.n_items == 6
    assert np.shares_memory(whole.embeddings, dense)
    by_prompt = EmbeddingPairs.from_dense(dense, prompt_ids=["p", "q", "p"])
    assert by_prompt.n_items == 5
    assert_array_equal(by_prompt.pair_prompt_ids, [["p"] * 2, ["q"] * 2, ["p"] * 2])


def test_equal_items_of_a_pair_stay_two():
    items = np.arange(9.0).reshape(3, 3)
    dense = items[[[0, 1], [2, 2], [1, 0], [0, 0]]]
    pairs = EmbeddingPairs.from_dense(dense, prompt_ids=[0, 0, 0, 0])
    assert pairs.n_items == 5
    assert (pairs.index[:, 0] != pairs.index[:, 1]).all()
    assert_array_equal(pairs.to_dense(), dense)
    assert_array_equal(pairs.prompt_ids, np.zeros(5))


@given(st.integers(1, 5), st.sampled_from([np.float16, np.float32, np.float64]))
def test_from_dense_round_trip(n_features, dtype):
    rng = np.random.default_rng(n_features)
    items = rng.normal(size=(6, n_features)).astype(dtype)
    dense = items[rng.permuted(np.tile(np.arange(6), (9, 1)), axis=1)[:, :2]]
    pairs = EmbeddingPairs.from_dense(dense)
    assert_array_equal(pairs.to_dense(), dense)
    assert pairs.n_items == len(np.unique(dense.reshape(-1, n_features), axis=0))


@pytest.mark.parametrize("as_sparse", [False, True])
def test_from_chosen_rejected(as_sparse):
    rng = np.random.default_rng(0)
    chosen, rejected = rng.normal(size=(2, 4, 3))
    wrap = sp.csr_array if as_sparse else np.asarray
    pairs = EmbeddingPairs.from_chosen_rejected(
        wrap(chosen), wrap(rejected), prompt_ids=[7, 7, 8, 9]
    )
    assert_array_equal(pairs.to_dense(), np.stack([chosen, rejected], axis=1))
    assert_array_equal(pairs.pair_prompt_ids, [[7, 7], [7, 7], [8, 8], [9, 9]])


def test_from_candidates_of_either_layout():
    rng = np.random.default_rng(0)
    candidates = rng.normal(size=(3, 4, 2))
    triples = np.array([[0, 1, 3], [2, 0, 2]])
    wanted = np.stack([candidates[[0, 2], [1, 0]], candidates[[0, 2], [3, 2]]], axis=1)
    sides = np.array([[[0, 1], [0, 3]], [[2, 0], [2, 2]]])
    flat = np.array([[1, 3], [8, 10]])
    other = np.ascontiguousarray(candidates.swapaxes(0, 1))
    for index in (triples, sides, flat):
        for embeddings, axis in ((candidates, 1), (other, 0)):
            pairs = EmbeddingPairs.from_candidates(
                embeddings, index, response_axis=axis
            )
            assert_array_equal(pairs.to_dense(), wanted)
            assert np.shares_memory(pairs.embeddings, embeddings)
            assert_array_equal(pairs.pair_prompt_ids, [[0, 0], [2, 2]])


E = np.eye(4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EmbeddingPairs(E, [[0, 1], [2, 4]]), "pair 1.*4 items"),
        (lambda: EmbeddingPairs(E, [[0, 1], [-1, 2]]), "pair 1"),
        (lambda: EmbeddingPairs(E, [[0, 1], [2, 2]]), "pair 1 compares item 2"),
        (lambda: EmbeddingPairs(E, [[0.0, 1.0]]), "integers.*float64"),
        (lambda: EmbeddingPairs(E, [[True, False]]), "integers.*bool"),
        (lambda: EmbeddingPairs(E, [0, 1]), r"\(n_pairs, 2\).*\(2,\)"),
        (lambda: EmbeddingPairs(E, [[0, 1, 2]]), r"\(n_pairs, 2\).*\(1, 3\)"),
        (lambda: EmbeddingPairs(E[0], [[0, 1]]), r"\(n_items, n_features\).*\(4,\)"),
        (lambda: EmbeddingPairs(E.astype(str), [[0, 1]]), "real numbers"),
        (lambda: EmbeddingPairs(E * 1j, [[0, 1]]), "real numbers.*complex"),
        (lambda: EmbeddingPairs(E, [[0, 1]], [1, 2]), r"per item.*\(4,\).*\(2,\)"),
        (lambda: EmbeddingPairs(E, [[0, 1]], [0, np.nan, 1, 1]), "missing.*item 1"),
        (lambda: EmbeddingPairs(E, [[0, 1]], ["a", None, "b", "b"]), "item 1"),
        (lambda: EmbeddingPairs.from_dense(np.zeros((3, 3, 2))), r"\(3, 3, 2\)"),
        (lambda: EmbeddingPairs.from_dense(np.zeros((3, 2))), r"\(3, 2\)"),
        (
            lambda: EmbeddingPairs.from_dense(np.ones((3, 2, 2)), prompt_ids=[1]),
            r"\(3,\) or \(3, 2\), got \(1,\)",
        ),
        (lambda: EmbeddingPairs.from_chosen_rejected(E, E[:2]), "same shape"),
        (
            lambda: EmbeddingPairs.from_candidates(np.ones((2, 3, 4)), [[0, 0, 3]]),
            "pair 0: response .*3",
        ),
        (
            lambda: EmbeddingPairs.from_candidates(np.ones((2, 3, 4)), [[2, 0, 1]]),
            "pair 0: prompt",
        ),
        (
            lambda: EmbeddingPairs.from_candidates(np.ones((2, 3, 4)), [[0, 1, 1]]),
            "itself",
        ),
        (lambda: EmbeddingPairs.from_candidates(E, [[0, 1]]), "3 dimensions"),
        (
            lambda: EmbeddingPairs.from_candidates(np.ones((2, 3, 4)), [[0.0, 1.0]]),
            "integers",
        ),
        (
            lambda: EmbeddingPairs.from_candidates(np.ones((2, 3, 4)), [0, 1]),
            r"\(n_pairs, 3\)",
        ),
        (
            lambda: EmbeddingPairs.from_candidates(
                np.ones((2, 3, 4)), [[0, 1]], response_axis=2
            ),
            "response_axis",
        ),
    ],
)
def test_bad_construction(make, words):
    with pytest.raises(ValueError, match=words):
        make()
