"""Many penalties at once; fast paths of the linear reward against plain ones."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.linear_model import LogisticRegression

from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.datasets import make_preferences
from skreward.solvers.curvature import Curvature
from skreward.solvers.items import ItemMatrix

ALPHAS = np.array([1e-3, 1.0, 1e-5, 0.03, 1e-2])


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_a_path_is_what_separate_fits_are(link, preferences):
    pairs, y = preferences.pairs, preferences.y
    weight = np.random.default_rng(0).exponential(size=len(y))
    model = BradleyTerryRegressor(link=link, alpha=7.0)
    path = model.fit_path(pairs, y, weight, alphas=ALPHAS)
    assert not hasattr(model, "coef_")
    assert [m.alpha for m in path] == ALPHAS.tolist()
    for fitted in path:
        alone = clone(fitted).fit(pairs, y, weight)
        assert_allclose(fitted.loss_, alone.loss_, rtol=1e-9)
        assert_allclose(fitted.predict(pairs), alone.predict(pairs), 1e-6, 1e-7)
        assert fitted.n_features_in_ == alone.n_features_in_
        assert fitted.get_params() == alone.get_params()


@pytest.mark.parametrize("kind", ["dense", "sparse", "float16", "wide", "ratings"])
def test_a_path_takes_what_fit_takes(kind, preferences, monkeypatch):
    X, y = preferences.pairs, preferences.y
    if kind == "dense":
        X = X.to_dense()
    elif kind == "ratings":
        X, y = preferences.embeddings, preferences.rewards
    elif kind == "wide":
        monkeypatch.setattr("skreward.solvers.curvature.MAX_FACTORED_FEATURES", 2)
    elif kind == "sparse":
        X = EmbeddingPairs(sp.csr_array(X.embeddings), X.index, X.prompt_ids)
    else:
        X = EmbeddingPairs(X.embeddings.astype(np.float16), X.index, X.prompt_ids)
    for fitted in BradleyTerryRegressor(random_state=0).fit_path(X, y, alphas=ALPHAS):
        alone = clone(fitted).fit(X, y)
        assert_allclose(fitted.loss_, alone.loss_, rtol=1e-5)
        assert_allclose(fitted.coef_, alone.coef_, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("bytes_at_once", [1, 1 << 29])
def test_a_path_reads_the_items_together(bytes_at_once, monkeypatch):
    data = make_preferences(
        n_prompts=600, n_responses=8, n_features=40, n_pairs=20_000, random_state=0
    )
    monkeypatch.setattr("skreward.solvers.linear.BYTES_AT_ONCE", bytes_at_once)
    rewards, widths = ItemMatrix.rewards, []

    def watched(self, coef):
        widths.append(1 if coef.ndim == 1 else coef.shape[1])
        return rewards(self, coef)

    monkeypatch.setattr(ItemMatrix, "rewards", watched)
    alphas = np.logspace(-5, -1, 10)
    path = BradleyTerryRegressor().fit_path(data.pairs, data.y, alphas=alphas)
    rounds = [m.n_iter_ for m in path]
    if bytes_at_once == 1:
        # No room for two: one after the other.
        assert set(widths) == {1}
    else:
        assert max(widths) == len(alphas)
        assert len(widths) <= max(rounds) + 2 < sum(rounds) / 2
    alone = [BradleyTerryRegressor(alpha=a).fit(data.pairs, data.y) for a in alphas]
    assert_allclose([m.loss_ for m in path], [m.loss_ for m in alone], rtol=1e-7)
    assert rounds == [m.n_iter_ for m in alone]


def test_repeated_and_zero_penalties(preferences):
    pairs, y = preferences.pairs, preferences.y
    path = BradleyTerryRegressor().fit_path(pairs, y, alphas=[0.1, 0.0, 0.1])
    assert_allclose(path[0].coef_, path[2].coef_, rtol=1e-6)
    assert_allclose(path[1].loss_, BradleyTerryRegressor(alpha=0.0).fit(pairs, y).loss_)


def test_names_of_features_are_kept(preferences):
    import pandas as pd

    frame = pd.DataFrame(preferences.embeddings, columns=list("abcdef"))
    for model in BradleyTerryRegressor().fit_path(
        frame, preferences.rewards, alphas=[0.1, 0.01]
    ):
        assert_array_equal(model.feature_names_in_, list("abcdef"))


@pytest.mark.parametrize(
    ("params", "alphas", "message"),
    [
        ({"device": "gpu"}, [0.1], "device must be"),
        ({}, [], "alphas"),
        ({}, [0.1, -1.0], "alphas must hold penalties >= 0"),
        ({}, [np.nan], "alphas"),
        ({}, ["a"], "alphas must hold numbers"),
        ({"tol": -1.0}, [0.1], "tol"),
    ],
)
def test_bad_paths(params, alphas, message, preferences):
    model = BradleyTerryRegressor(**params)
    with pytest.raises(ValueError, match=message):
        model.fit_path(preferences.pairs, preferences.y, alphas=alphas)


@pytest.mark.parametrize("alpha", [1e-2, 1e-4])
def test_curvature_of_some_of_the_pairs_gives_the_optimum_of_all(alpha):
    """More pairs than the preconditioner looks at, against a Newton solver."""
    data = make_preferences(
        n_prompts=3000, n_responses=8, n_features=30, n_pairs=40_000, random_state=1
    )
    ours = BradleyTerryRegressor(alpha=alpha, tol=1e-8).fit(data.pairs, data.y)
    dense = data.pairs.to_dense()
    theirs = LogisticRegression(
        C=1 / (alpha * len(dense)), fit_intercept=False, tol=1e-10,
        solver="newton-cholesky",
    ).fit(dense[:, 0] - dense[:, 1], data.y)  # fmt: skip
    assert_allclose(ours.coef_, theirs.coef_[0], rtol=1e-6, atol=1e-7)
    by_default = BradleyTerryRegressor(alpha=alpha).fit(data.pairs, data.y)
    assert_allclose(by_default.loss_, ours.loss_, rtol=1e-6)


@pytest.mark.parametrize("store", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_noise_of_the_curvature_is_that_of_ledoit_and_wolf(decay, store):
    rng = np.random.default_rng(0)
    items = rng.standard_normal((300, 20)) @ rng.standard_normal((20, 20))
    items *= np.arange(1, 21) ** -decay
    items[:, 7] = 3.0
    index = np.column_stack([np.arange(0, 300, 2), np.arange(1, 300, 2)])
    z = np.delete(items[index[:, 0]] - items[index[:, 1]], 7, axis=1)
    z /= np.sqrt((z**2).mean(axis=0))
    differences = ItemMatrix(store(items)).differences(index)
    unit = abs(items[index[:, 0]] - items[index[:, 1]]).max(axis=0)
    unit[7] = np.inf
    rows = store(0.5 * differences / unit)
    curvature = Curvature(differences, np.full(150, 0.25), unit)
    wanted = ledoit_wolf_shrinkage(z, assume_centered=True)
    assert 0.01 < wanted < 1
    assert_allclose(curvature._noise(rows), wanted, rtol=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_noisy_curvature_does_not_mislead(decay, monkeypatch):
    rng = np.random.default_rng(0)
    items = rng.standard_normal((20_000, 100)) * np.arange(1, 101) ** -decay
    items = items @ np.linalg.qr(rng.standard_normal((100, 100))).Q
    index = rng.permutation(20_000).reshape(-1, 2)
    margin = items[index[:, 0]] @ np.ones(100) - items[index[:, 1]] @ np.ones(100)
    y = (2 * margin / margin.std() > rng.logistic(size=10_000)).astype(int)
    monkeypatch.setattr("skreward.solvers.linear.MIN_CURVATURE_PAIRS", 1)
    monkeypatch.setattr("skreward.solvers.linear.CURVATURE_PAIRS_PER_FEATURE", 1)
    model = BradleyTerryRegressor(alpha=1e-6).fit(EmbeddingPairs(items, index), y)
    # Without shrinkage 92 and 98.
    assert model.n_iter_ <= 20
