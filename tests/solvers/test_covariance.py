"""Covariance of coefficients: against statsmodels, and against sums over all pairs."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from skreward.data.comparisons import Comparisons
from skreward.objectives import OBJECTIVES
from skreward.solvers import covariance as module
from skreward.solvers.covariance import coef_covariance


def comparisons(items, index, target, weight=None):
    weight = np.ones(len(index)) if weight is None else weight
    return Comparisons(items, index, target, weight, np.ones(items.shape[0]), None)


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(40, 3))
    index = np.array([rng.choice(40, 2, replace=False) for _ in range(300)])
    target = rng.integers(0, 2, size=300).astype(float)
    return items, index, target, rng.normal(scale=0.2, size=3)


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_statsmodels_gives_the_same(sample, link):
    from statsmodels.discrete import discrete_model as discrete

    items, index, target, _ = sample
    groups = np.repeat(np.arange(30), 10)
    z = items[index[:, 0]] - items[index[:, 1]]
    peer = {"logistic": discrete.Logit, "probit": discrete.Probit}[link](target, z)
    plain = peer.fit(disp=0, tol=1e-12)
    robust = peer.fit(
        disp=0,
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": groups, "use_correction": False},
    )
    data, objective = comparisons(items, index, target), OBJECTIVES[link]
    laplace = coef_covariance(data, objective, plain.params, None)
    assert_allclose(laplace.coef, plain.params, atol=1e-10)
    assert_allclose(laplace.covariance, plain.cov_params(), rtol=1e-8)
    cluster = coef_covariance(
        data, objective, plain.params, np.column_stack([groups, groups])
    )
    # statsmodels' own factor also counts coefficients; ours is G / (G - 1) alone.
    assert_allclose(cluster.covariance, robust.cov_params() * 30 / 29, rtol=1e-8)


@pytest.mark.parametrize("block", [4096, 7])
def test_pairs_that_share_a_group_are_counted_once(sample, block, monkeypatch):
    """Two groups a pair: all pairs of pairs, by brute force."""
    monkeypatch.setattr(module, "BLOCK_ROWS", block)
    items, index, target, coef = sample
    groups = index % 6
    data = comparisons(items, index, target, np.linspace(0.5, 2, 300))
    found = coef_covariance(data, OBJECTIVES["logistic"], coef, groups)
    z = items[index[:, 0]] - items[index[:, 1]]
    share = data.weight / data.weight.sum()
    proba = 1 / (1 + np.exp(-z @ coef))
    scores = z * (share * (proba - target))[:, None]
    sides = [set(pair) for pair in groups.tolist()]
    meat = sum(
        np.outer(scores[k], scores[j])
        for k in range(300)
        for j in range(300)
        if sides[k] & sides[j]
    )
    bread = np.linalg.inv((z * (share * proba * (1 - proba))[:, None]).T @ z)
    assert_allclose(found.covariance, bread @ meat @ bread * 6 / 5, rtol=1e-8)
    assert_allclose(found.coef, coef - bread @ scores.sum(axis=0), rtol=1e-8)


def test_sparse_items_give_the_same(sample):
    items, index, target, coef = sample
    items = np.where(items > 0, items, 0)
    dense, sparse = (
        coef_covariance(
            comparisons(X, index, target), OBJECTIVES["logistic"], coef, index % 6
        )
        for X in (items, sp.csr_array(items))
    )
    assert_allclose(sparse.covariance, dense.covariance, rtol=1e-10)


def test_what_no_pair_tells_is_named(sample):
    items, index, target, coef = sample
    # A constant, and a sum of the others.
    wider = np.column_stack([items, np.full(40, 3.0), items.sum(axis=1)])
    coef = np.concatenate([coef, [0, 0]])
    found = coef_covariance(
        comparisons(wider, index, target), OBJECTIVES["logistic"], coef, None
    )
    assert found.unidentified.shape == (5, 2)
    z = wider[index[:, 0]] - wider[index[:, 1]]
    assert_allclose(z @ found.unidentified, 0, atol=1e-10)
    alone = coef_covariance(
        comparisons(items, index, target), OBJECTIVES["logistic"], coef[:3], None
    )
    assert_allclose(
        np.einsum("ij,jk,ik->i", z, found.covariance, z),
        np.einsum("ij,jk,ik->i", z[:, :3], alone.covariance, z[:, :3]),
        rtol=1e-8,
    )
    assert_allclose(z @ found.coef, z[:, :3] @ alone.coef, rtol=1e-8)
