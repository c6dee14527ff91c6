"""What a network sees of its items: no feature that is nothing but rounding."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skreward import BradleyTerryMLPRegressor, EmbeddingPairs
from skreward.networks.scaling import scaling


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    items = rng.normal(loc=3.0, size=(500, 6))
    first = rng.integers(500, size=1500)
    index = np.column_stack([first, (first + rng.integers(1, 500, 1500)) % 500])
    margin = items[index[:, 0]].sum(axis=1) - items[index[:, 1]].sum(axis=1)
    return items, index, (margin > rng.logistic(size=1500)).astype(int), rng


@pytest.mark.parametrize("store", [np.asarray, sp.csr_array])
def test_rounding_has_no_scale(data, store):
    items, index, _, rng = data
    more = rng.normal(size=500)
    dead = [np.full(500, 7.0), 1e-33 * more, 1e-8 * more, 1e6 + 0.1 * more]
    items = np.column_stack([items, *dead, 1e-5 * more]).astype(np.float32)
    shift, scale = scaling(store(items), index, np.random.RandomState(0))
    assert_array_equal(scale == 0, [False] * 6 + [True] * 4 + [False])
    assert shift.dtype == scale.dtype == np.float32
    assert_allclose(scale[:6], 1.0, rtol=0.1)
    assert_allclose(shift[:6], 3.0, rtol=0.1)
    assert_allclose(scale[-1], 1e-5, rtol=0.1)


@pytest.mark.parametrize("store", [np.asarray, sp.csr_array])
def test_a_feature_of_few_items_is_seen(data, store, monkeypatch):
    items, index, *_ = data
    monkeypatch.setattr("skreward.networks.scaling.SCALING_PAIRS", 5)
    items = np.column_stack([items, np.arange(500) == 7])
    _, scale = scaling(store(items), index, np.random.RandomState(1))
    assert_allclose(scale[-1], np.sqrt(1 / 500), rtol=0.05)


@pytest.mark.parametrize("sizes", [(), (8,)])
def test_weights_of_rounding_are_zero_and_stay_so(data, sizes):
    items, index, y, rng = data
    more = rng.normal(size=(500, 3)) * [1e-33, 1e-8, 1e-40]
    items = np.column_stack([items, more]).astype(np.float32)
    pairs = EmbeddingPairs(items, index)
    model = BradleyTerryMLPRegressor(
        sizes, random_state=0, learning_rate_init=0.01, warm_start=True
    )
    model.fit(pairs, y)
    assert_array_equal(model.coefs_[0][6:], 0)
    assert (model.coefs_[0][:6] != 0).all()
    assert model.score(pairs, y) > 0.75
    other = EmbeddingPairs(items + more.max(), index)
    assert_allclose(model.predict(other), model.predict(pairs), rtol=1e-3, atol=1e-4)
    for again in (model.fit(pairs, y), model.partial_fit(pairs, y)):
        again.partial_fit(pairs, y)
        assert_array_equal(again.coefs_[0][6:], 0)
        assert np.isfinite(again.predict(pairs)).all()
