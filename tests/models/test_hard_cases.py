"""Inputs that break careless implementations."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
)
from tests.support import random_pairs

NETWORK = {
    "hidden_layer_sizes": (16,),
    "max_iter": 20,
    "learning_rate_init": 1e-2,
    "random_state": 0,
}
MODELS = {
    "linear": lambda: BradleyTerryRegressor(),
    "probit": lambda: BradleyTerryRegressor(link="probit"),
    "network": lambda: BradleyTerryMLPRegressor(**NETWORK),
    "classifier": lambda: PairwiseClassifierReward(LogisticRegression(max_iter=1000)),
}
each_model = pytest.mark.parametrize("name", MODELS)
pytestmark = pytest.mark.filterwarnings(
    "ignore:early_stopping found", "ignore:Adam stopped", "error::RuntimeWarning"
)


@each_model
def test_separable_pairs(name):
    pairs, y = random_pairs(50, 4, 300)
    model = MODELS[name]().fit(pairs, y)
    assert np.isfinite(model.predict(pairs)).all()
    assert model.score(pairs, y) > 0.9


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_separable_pairs_without_a_penalty(link):
    pairs, y = random_pairs(50, 4, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BradleyTerryRegressor(alpha=0, link=link).fit(pairs, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(pairs, y) == 1


@each_model
def test_contradictory_pairs_cancel(name):
    pairs, y = random_pairs(20, 3, 40)
    both = EmbeddingPairs(
        pairs.embeddings, np.concatenate([pairs.index, pairs.index[:, ::-1]])
    )
    # Each pair is said to go one way, and then the other way round.
    model = MODELS[name]().fit(both, np.concatenate([y, y]))
    one_way = MODELS[name]().fit(pairs, y)
    # The network starts elsewhere, and comes near in its 20 epochs.
    near = 0.05 if name == "network" else 1e-6
    assert np.abs(one_way.predict(pairs)).mean() > 0.5
    assert np.abs(model.predict(pairs)).mean() < near


@each_model
def test_one_pair(name):
    items = np.array([[0.0, 1.0], [1.0, 0.0]])
    for X in (EmbeddingPairs(items, [[0, 1]]), items[np.newaxis]):
        model = MODELS[name]().fit(X)
        assert model.predict(X) > 0
        assert model.predict(items).shape == (2,)


@each_model
@pytest.mark.parametrize(("n_features", "n_pairs"), [(10, 10), (500, 20), (5000, 20)])
def test_features_far_above_pairs(name, n_features, n_pairs):
    pairs, y = random_pairs(15, n_features, n_pairs)
    model = MODELS[name]().fit(pairs, y)
    assert model.score(pairs, y) > 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-30, -8, 8, 30])
def test_scale_of_the_features_is_no_obstacle(dtype, exponent):
    pairs, y = random_pairs(40, 5, 300)
    scale = 10.0**exponent
    scaled = EmbeddingPairs((pairs.embeddings * scale).astype(dtype), pairs.index)
    tiny_penalty = BradleyTerryRegressor(alpha=1e-3 * scale**2).fit(scaled, y)
    same = BradleyTerryRegressor(alpha=1e-3).fit(pairs, y)
    assert_allclose(tiny_penalty.predict(scaled), same.predict(pairs), rtol=2e-2)
    network = BradleyTerryMLPRegressor(**NETWORK, alpha=0).fit(scaled, y)
    assert network.score(scaled, y) > 0.8
    assert np.isfinite(network.predict(scaled.embeddings)).all()


@pytest.mark.parametrize("alpha", [1e-3, 1e-8])
def test_features_of_very_different_scale(alpha):
    pairs, y = random_pairs(40, 5, 300)
    scales = np.array([1e-12, 1e-6, 1.0, 1e6, 1e12])
    scaled = EmbeddingPairs(pairs.embeddings * scales, pairs.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = BradleyTerryRegressor(alpha=alpha).fit(scaled, y)
    assert np.isfinite(model.coef_).all()
    network = BradleyTerryMLPRegressor(**NETWORK, alpha=0).fit(scaled, y)
    assert network.score(scaled, y) > 0.8
    # What is penalised out of all measure is left without weight, and nothing breaks.
    network = BradleyTerryMLPRegressor(**NETWORK, alpha=alpha).fit(scaled, y)
    assert all(np.isfinite(coef).all() for coef in network.coefs_)
    assert np.isfinite(network.loss_curve_).all()


@each_model
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes(name, dtype):
    pairs, y = random_pairs(40, 5, 300)
    stored = EmbeddingPairs(pairs.embeddings.astype(dtype), pairs.index)
    model = MODELS[name]().fit(stored, y)
    computed = np.float64 if dtype == np.float64 else np.float32
    if name != "classifier":
        assert model.predict(stored.embeddings).dtype == computed
        weights = model.coefs_ if name == "network" else [model.coef_]
        assert {w.dtype for w in weights} == {np.dtype(computed)}
    reference = MODELS[name]().fit(pairs, y).predict(pairs)
    assert np.corrcoef(model.predict(stored), reference)[0, 1] > 0.99


@each_model
def test_memmap_and_read_only(name, tmp_path):
    pairs, y = random_pairs(40, 5, 300)
    stored = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=pairs.embeddings.shape
    )
    stored[:] = pairs.embeddings
    stored.flush()
    frozen = np.array(stored)
    frozen.flags.writeable = False
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    index, labels = pairs.index.copy(), y.copy()
    index.flags.writeable = labels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*not writable.*")
        rewards = [
            MODELS[name]().fit(EmbeddingPairs(items, index), labels).predict(items)
            for items in (np.array(stored), frozen, mapped)
        ]
    assert_array_equal(rewards[1], rewards[0])
    assert_array_equal(rewards[2], rewards[0])


@each_model
@pytest.mark.parametrize("wide", [False, True])
def test_sparse_is_dense(name, wide):
    pairs, y = random_pairs(30, 5000 if wide else 8, 200)
    keep = np.random.default_rng(1).random(pairs.embeddings.shape) < 0.3
    items = pairs.embeddings * keep
    dense, sparse = (
        EmbeddingPairs(x, pairs.index) for x in (items, sp.csr_array(items))
    )
    kwargs = {"rtol": 1e-2, "atol": 1e-2} if wide else {"rtol": 1e-5, "atol": 1e-5}
    one, other = MODELS[name]().fit(dense, y), MODELS[name]().fit(sparse, y)
    assert_allclose(other.predict(sparse), one.predict(dense), **kwargs)
    assert_allclose(other.predict(sp.csr_matrix(items)), one.predict(items), **kwargs)
    assert_allclose(
        other.predict_reward(sparse.embeddings), one.predict(items), **kwargs
    )


@each_model
def test_constant_features(name):
    pairs, y = random_pairs(40, 5, 300)
    for constant in (0.0, 1.0, 0.1, 1e6):
        items = np.column_stack([pairs.embeddings, np.full(40, constant)])
        for dtype in (np.float32, np.float64):
            X = EmbeddingPairs(items.astype(dtype), pairs.index)
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                if name == "network":
                    warnings.simplefilter("ignore", ConvergenceWarning)
                model = MODELS[name]().fit(X, y)
            assert model.score(X, y) > 0.8
    only = EmbeddingPairs(np.ones((40, 2)), pairs.index)
    assert_allclose(MODELS[name]().fit(only, y).predict(only), 0, atol=1e-12)


@each_model
def test_a_pair_of_equal_embeddings_has_margin_zero(name):
    pairs, y = random_pairs(20, 3, 40)
    dense = pairs.to_dense()
    dense[3, 1] = dense[3, 0]
    assert MODELS[name]().fit(dense, y).predict(dense)[3] == 0


@each_model
def test_integers_and_lists(name):
    items = np.arange(12).reshape(6, 2) % 7
    index = [[0, 1], [2, 3], [4, 5], [1, 4]]
    pairs = EmbeddingPairs(items.tolist(), index)
    model = MODELS[name]().fit(pairs, [1, 0, 1, 1])
    again = MODELS[name]().fit(items[index].tolist(), [1, 0, 1, 1])
    assert_allclose(again.predict(items), model.predict(items.astype(float)), atol=1e-9)


def test_lbfgs_that_does_not_converge_says_what_to_do():
    pairs, y = random_pairs(40, 5, 300)
    with pytest.warns(ConvergenceWarning, match=r"Increase max_iter.*StandardScaler"):
        BradleyTerryRegressor(max_iter=1).fit(pairs, y)


def test_adam_that_does_not_converge_says_what_to_do():
    pairs, y = random_pairs(40, 5, 300)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2.*Increase max_iter"):
        BradleyTerryMLPRegressor((4,), max_iter=2, random_state=0).fit(pairs, y)


def test_a_diverging_network_is_an_error():
    pairs, y = random_pairs(40, 5, 300)
    model = BradleyTerryMLPRegressor((16,), learning_rate_init=1e30, random_state=0)
    with pytest.raises(ValueError, match=r"diverged.*learning_rate_init"):
        model.fit(EmbeddingPairs(pairs.embeddings.astype(np.float32), pairs.index), y)
    assert not hasattr(model, "coefs_")


def test_values_that_overflow_their_dtype_are_an_error():
    pairs, y = random_pairs(40, 5, 300)
    items = np.where(pairs.embeddings > 0, 3e38, -3e38).astype(np.float32)
    X = EmbeddingPairs(items, pairs.index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="leave the range of float32"):
            BradleyTerryRegressor().fit(X, y)


def test_early_stopping_that_finds_nothing_to_hold_out_says_so():
    pairs, y = random_pairs(4, 3, 6)
    model = BradleyTerryMLPRegressor((4,), max_iter=2, random_state=0)
    with pytest.warns(UserWarning, match=r"early_stopping found .* of 6 pairs"):
        model.fit(pairs, y)
    assert model.validation_loss_curve_ == []


@pytest.mark.parametrize("seed", [71, 130, 142, 149])
def test_rounding_of_a_small_problem_is_no_failure(seed):
    rng = np.random.RandomState(seed)
    items = rng.standard_normal((36, 16)) @ rng.standard_normal((16, 16))
    items = 0.25 * items * np.arange(1, 17) ** -1.5 + rng.standard_normal(16)
    sides = [rng.randint(12, size=(12, 2)) + 12 * prompt for prompt in range(3)]
    index = np.concatenate(sides)
    index = index[index[:, 0] != index[:, 1]]
    pairs = EmbeddingPairs(items.astype(np.float32), index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BradleyTerryRegressor(alpha=0.1).fit(pairs)
    assert model.n_iter_ < 50
    exact = BradleyTerryRegressor(alpha=0.1).fit(EmbeddingPairs(items, index))
    assert_allclose(model.loss_, exact.loss_, rtol=1e-6)


def test_large_float16_is_converted_in_blocks(monkeypatch):
    pairs, y = random_pairs(400, 5, 3000)
    stored = EmbeddingPairs(pairs.embeddings.astype(np.float16), pairs.index)
    at_once = BradleyTerryRegressor().fit(stored, y)
    monkeypatch.setattr("skreward.solvers.items.CONVERTED_BYTES", 0)
    monkeypatch.setattr("skreward.utils.float16.BLOCK_BYTES", 1 << 10)
    in_blocks = BradleyTerryRegressor().fit(stored, y)
    assert_allclose(in_blocks.coef_, at_once.coef_, rtol=1e-3, atol=1e-4)
    assert_allclose(
        in_blocks.predict(stored.embeddings), at_once.predict(stored.embeddings),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", MODELS)
def test_embeddings_stored_backwards_or_by_column(name, dtype):
    pairs, y = random_pairs(40, 5, 300)
    items = pairs.embeddings.astype(dtype)
    wanted = MODELS[name]().fit(EmbeddingPairs(items, pairs.index), y)
    backwards = np.ascontiguousarray(items[::-1, ::-1])[::-1, ::-1]
    for stored in (backwards, np.asfortranarray(items)):
        model = MODELS[name]().fit(EmbeddingPairs(stored, pairs.index), y)
        assert_allclose(
            model.predict(stored), wanted.predict(items), rtol=1e-3, atol=1e-3
        )
