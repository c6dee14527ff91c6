"""The linear reward on real embeddings, dead features and all, beside a peer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreward import BradleyTerryRegressor, EmbeddingPairs, ItemwiseTransformer

pytestmark = pytest.mark.realdata
# Of all-MiniLM-L6-v2: constant but for rounding, whatever the text.
DEAD = [127, 223, 319]
ALPHA = BradleyTerryRegressor().alpha


@pytest.fixture(scope="module")
def task(judged):
    """Pairs of one prompt, an error-free label, and prompts apart for the test."""
    prompts = judged["prompt_id"]
    order = np.argsort(prompts, kind="stable")
    edges = np.flatnonzero(np.diff(prompts[order], prepend=-1, append=-2))
    rng = np.random.default_rng(0)
    prompt = rng.integers(len(edges) - 1, size=5000)
    low, high = edges[prompt], edges[prompt + 1]
    index = order[(low + rng.uniform(size=(2, 5000)) * (high - low)).astype(int)].T
    reward = judged["golden_reward"][index]
    kept = reward[:, 0] != reward[:, 1]
    is_test = (prompt % 4 == 0)[kept]
    y = (reward[:, 0] > reward[:, 1]).astype(int)[kept]
    return judged["embeddings"], index[kept], y, is_test


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "scaled"])
def peer_score(task, request):
    """Score logistic regression on differences, scaled or not."""
    items, index, y, is_test = task
    # Of float64: the peer is not to suffer from rounding.
    difference = items[index[:, 0]].astype(float) - items[index[:, 1]].astype(float)
    peer = LogisticRegression(C=1 / (ALPHA * (~is_test).sum()), fit_intercept=False)
    if request.param:
        peer = make_pipeline(StandardScaler(with_mean=False), peer)
    peer.fit(difference[~is_test], y[~is_test])
    return request.param, peer.score(difference[is_test], y[is_test])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_order_is_that_of_logistic_regression(task, dtype, peer_score):
    items, index, y, is_test = task
    items = items.astype(dtype)
    scaled, wanted = peer_score
    model = BradleyTerryRegressor()
    if scaled:
        model = make_pipeline(ItemwiseTransformer(StandardScaler()), model)
    model.fit(EmbeddingPairs(items, index[~is_test]), y[~is_test])
    ours = model.score(EmbeddingPairs(items, index[is_test]), y[is_test])
    assert abs(ours - wanted) < 0.01
    assert ours > 0.6
    if not scaled and dtype != np.float64:
        assert np.flatnonzero(model.coef_ == 0).tolist() == DEAD


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_features_of_rounding_as_encoders_leave_them(task, dtype):
    # float32 keeps what float16 has stored as 0: about 1e-33, whatever the text.
    items, index, y, _ = task
    items = items.astype(dtype)
    if dtype == np.float32:
        rng = np.random.default_rng(0)
        items[:, DEAD[:2]] = 1e-33 * rng.normal(size=(len(items), 2))
    model = BradleyTerryRegressor().fit(EmbeddingPairs(items, index), y)
    plain = np.delete(items, DEAD, axis=1)
    reference = BradleyTerryRegressor().fit(EmbeddingPairs(plain, index), y)
    assert model.n_iter_ > 3
    np.testing.assert_allclose(
        np.delete(model.coef_, DEAD), reference.coef_, rtol=1e-2, atol=1e-2
    )
    assert model.score(EmbeddingPairs(items, index), y) > 0.65
