"""Features that are nothing but rounding, and numbers at the end of their range."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.solvers.device_items import DeviceItemMatrix
from skreward.solvers.items import ItemMatrix
from skreward.solvers.lbfgs import Minimum
from skreward.solvers.linear import LinearProblem, Point, has_converged
from skreward.utils.arrays import least_spread

TINY = [0.0, 1e-8, 1e-12, 1e-20, 1e-33, 1e-40]


@pytest.fixture(scope="module")
def data():
    """Gaussian items, pairs of them, noisy labels, and one column more."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(600, 12))
    first = rng.integers(600, size=2000)
    index = np.column_stack([first, (first + rng.integers(1, 600, 2000)) % 600])
    reward = items @ rng.normal(size=12)
    margin = reward[index[:, 0]] - reward[index[:, 1]]
    y = (margin > rng.logistic(size=2000)).astype(int)
    return items, index, y, rng.normal(size=600)


def fitted(items, index, y, sample_weight=None, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BradleyTerryRegressor(**params)
        return model.fit(EmbeddingPairs(items, index), y, sample_weight)


@pytest.mark.parametrize("store", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("alpha", [5e-4, 0.0])
@pytest.mark.parametrize("scale", TINY)
def test_a_feature_of_rounding_changes_nothing(data, scale, alpha, store):
    items, index, y, more = data
    items = np.column_stack([items, scale * more]).astype(np.float32)
    model = fitted(store(items), index, y, alpha=alpha)
    alone = fitted(store(items[:, :-1]), index, y, alpha=alpha)
    assert model.coef_[-1] == 0
    assert_allclose(model.coef_[:-1], alone.coef_, rtol=1e-3, atol=1e-4)
    assert model.score(EmbeddingPairs(items, index), y) > 0.8


@pytest.mark.parametrize("scale", TINY)
def test_in_float64_a_tiny_feature_counts_until_it_is_rounding(data, scale):
    items, index, y, _ = data
    items = items.copy()
    items[:, 3] *= scale
    model = fitted(items, index, y, alpha=0.0)
    reference = fitted(data[0], index, y, alpha=0.0)
    if scale > 1e-15:
        assert_allclose(model.coef_[3] * scale, reference.coef_[3], rtol=1e-6)
        assert_allclose(model.loss_, reference.loss_, rtol=1e-9)
    else:
        assert model.coef_[3] == 0
        assert model.loss_ > reference.loss_ + 1e-3


@pytest.mark.parametrize("scale", [1e-60, 1e-20, 1e-6, 1.0, 1e6, 1e60])
@pytest.mark.parametrize("alpha", [5e-4, 0.0])
def test_no_feature_is_tiny_where_all_are(data, scale, alpha):
    items, index, y, _ = data
    model = fitted(scale * items, index, y, alpha=alpha * scale**2)
    reference = fitted(items, index, y, alpha=alpha)
    assert_allclose(model.coef_ * scale, reference.coef_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-20, 1e-9, 1e9])
def test_a_penalty_that_rules_leaves_the_order(data, scale):
    # The reward is all but the gradient at zero over alpha, however small that is.
    items, index, y, _ = data
    model = fitted(scale * items, index, y, alpha=1e3 * scale**2)
    assert 0 < np.abs(model.coef_ * scale).max() < 1e-2
    assert model.score(EmbeddingPairs(scale * items, index), y) > 0.8


def test_one_huge_feature_does_not_silence_the_others(data):
    items, index, y, _ = data
    items = items.astype(np.float32)
    items[:, 0] *= 1e10
    model = fitted(items, index, y)
    assert (model.coef_[1:] != 0).all()
    assert model.score(EmbeddingPairs(items, index), y) > 0.8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 1.0, 3e4, 6e-8])
def test_items_that_are_all_the_same(data, dtype, value):
    _, index, y, _ = data
    model = fitted(np.full((600, 3), value, dtype=dtype), index, y)
    assert_array_equal(model.coef_, 0)
    assert model.n_iter_ == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_feature_of_subnormal_numbers(data, dtype):
    items, index, y, more = data
    items = np.column_stack([items, more]).astype(dtype)
    items[:, -1] *= np.finfo(dtype).tiny / dtype(64)
    assert np.ptp(items[:, -1]) > 0
    model = fitted(items, index, y)
    assert model.score(EmbeddingPairs(items, index), y) > 0.8


def test_a_feature_that_differs_between_prompts_alone_counts_for_nothing(data):
    items, _, _, more = data
    index = np.column_stack([np.arange(0, 600, 2), np.arange(1, 600, 2)])
    y = (items[index[:, 0], 0] > items[index[:, 1], 0]).astype(int)
    items = np.column_stack([items, 1e3 * np.repeat(more[:300], 2)])
    model = fitted(items.astype(np.float32), index, y, alpha=0.01)
    assert model.coef_[-1] == 0


def test_a_feature_that_differs_in_few_pairs_is_not_dead(data):
    items, _, _, _ = data
    n = 40_000
    index = np.random.default_rng(1).integers(1, 600, size=(n, 2))
    index = index[index[:, 0] != index[:, 1]]
    index[-5:, 0] = 0
    items = np.column_stack([items, np.arange(600) == 0])
    y = np.ones(len(index))
    y[:-5] = items[index[:-5, 0], 0] > items[index[:-5, 1], 0]
    assert fitted(items, index, y, alpha=1e-5).coef_[-1] > 1


def test_rewards_that_no_number_holds_are_an_error(data):
    items, index, y, _ = data
    pairs = EmbeddingPairs((1e-35 * items).astype(np.float32), index)
    with pytest.raises(ValueError, match="too large or too small"):
        BradleyTerryRegressor().fit(pairs, y)
    pairs = EmbeddingPairs(1e-200 * items, index)
    with pytest.raises(ValueError, match="too large or too small"):
        BradleyTerryRegressor().fit(pairs, y)


@pytest.mark.parametrize("weight", [5e-324, 1e-200, 1e-90, 1e300])
def test_weights_at_the_ends_of_the_range(data, weight):
    items, index, y, _ = data
    every = fitted(items, index, y, np.full(2000, weight))
    assert_allclose(every.coef_, fitted(items, index, y).coef_, rtol=1e-6)
    last = np.full(2000, min(weight, 1e-3))
    last[-1] = 1.0
    assert np.isfinite(fitted(items, index, y, last).coef_).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BradleyTerryRegressor(max_pairs=50, random_state=0)
        reward = items @ np.ones(12)
        one = np.full(600, min(weight, 1e-3))
        one[int(np.argmax(reward))] = 1.0
        model.fit(items, reward, one, prompt_ids=np.zeros(600))
    assert np.isfinite(model.coef_).all()
    assert model.coef_.any()


def test_labels_without_a_direction_give_zero(data):
    items, index, y, _ = data
    for dtype in (np.float32, np.float64):
        both = np.vstack([index, index]), np.concatenate([y, 1 - y])
        model = fitted(items.astype(dtype), *both)
        assert_array_equal(model.coef_, 0)
        model.set_params(warm_start=True).fit(
            EmbeddingPairs(items.astype(dtype), index), y
        )
        model.fit(EmbeddingPairs(items.astype(dtype), both[0]), both[1])
        assert_array_equal(model.coef_, 0)


def problem(items, index, y):
    from skreward.data.gate import check_comparisons
    from skreward.objectives import OBJECTIVES

    pairs = EmbeddingPairs(items, index)
    seen = check_comparisons(BradleyTerryRegressor(), pairs, y, None)
    return seen, OBJECTIVES["logistic"]


@pytest.mark.parametrize("scale", [1e-8, 1e-33])
def test_a_device_finds_the_same_features_dead(data, scale):
    import torch

    items, index, y, more = data
    items = np.column_stack([items, scale * more]).astype(np.float32)
    seen, objective = problem(items, index, y)
    there = DeviceItemMatrix(items, torch.device("cpu"))
    device, host = (
        LinearProblem(matrix, seen, objective).solve(5e-4, max_iter=200, tol=1e-4)
        for matrix in (there, ItemMatrix(items))
    )
    assert device.converged
    assert device.coef[-1] == host.coef[-1] == 0
    assert_allclose(device.coef, host.coef, rtol=1e-3, atol=1e-4)


def ended(position, *, size=0.0, value=0.5, is_small=False, is_stuck=False):
    there = np.asarray(position, dtype=float)
    point = Point(there, 1, there, value, there)
    return Minimum(point, size, 3, is_small, is_stuck)


@pytest.mark.parametrize(
    ("end", "reduction", "wanted"),
    [
        (ended([1.0], is_small=True), 1e-5, True),
        # At zero the gradient is what it was.
        (ended([0.0], is_small=True), 1e-5, False),
        (ended([0.0], is_stuck=True, size=1e-30), 1.0, False),
        # max_iter came first.
        (ended([1.0]), 1e-5, False),
        # Stuck where the gradient is lost in the rounding of the products,
        (ended([1.0], is_stuck=True, size=1.0), 1e-9, True),
        (ended([1.0], is_stuck=True, size=1.0), 1e-4, True),
        (ended([1.0], is_stuck=True, size=1.0), 1e-3, False),
        # or what a step would gain in that of the loss.
        (ended([1.0], is_stuck=True, size=1e-9), 0.5, True),
        (ended([1.0], is_stuck=True, size=1e-5), 0.5, False),
    ],
)
def test_the_verdict_on_convergence(end, reduction, wanted):
    eps = np.finfo(np.float64).eps
    origin = ended([0.0]).point
    assert has_converged(end, reduction, origin, tol=1e-4, precision=eps) is wanted


def test_ending_at_zero_against_the_gradient_is_never_silent(data):
    items, index, y, _ = data
    with pytest.warns(ConvergenceWarning):
        BradleyTerryRegressor(tol=2.0).fit(EmbeddingPairs(items, index), y)


def test_least_spread():
    eps = np.finfo(np.float32).eps
    spread, size = np.array([0.0, 1.0, 2.0, 1e9]), np.array([5.0, 1.0, 1e8, 0.0])
    least = least_spread(spread, size, np.float32)
    assert_allclose(least, 8 * eps * np.array([5.0, 2.0, 1e8, 2.0]))
    assert_array_equal(least_spread(np.zeros(2), np.zeros(2), np.float32), 0)


@pytest.mark.parametrize("scaled", [False, True])
def test_logistic_regression_does_no_better_beside_dead_features(data, scaled):
    items, index, y, more = data
    items = np.column_stack([items, 1e-33 * more, 1e-8 * more]).astype(np.float32)
    if scaled:
        spread = items.std(axis=0)
        items[:, spread > 1e-6] /= spread[spread > 1e-6]
    train, test = slice(0, 1500), slice(1500, None)
    model = fitted(items, index[train], y[train])
    difference = items[index[:, 0]] - items[index[:, 1]]
    peer = LogisticRegression(C=1 / (5e-4 * 1500), fit_intercept=False)
    peer.fit(difference[train], y[train])
    ours = model.score(EmbeddingPairs(items, index[test]), y[test])
    assert abs(ours - peer.score(difference[test], y[test])) <= 0.01
