"""Fitted models against somebody else's answer."""

import choix
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import log_ndtr
from sklearn.linear_model import LogisticRegression

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
)


@pytest.mark.parametrize("alpha", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("n_pairs", [400, 20_000])
def test_linear_is_logistic_regression_on_differences(alpha, n_pairs):
    rng = np.random.default_rng(0)
    items = rng.normal(size=(300, 12)) * np.geomspace(0.1, 10, 12)
    first = rng.integers(300, size=n_pairs)
    index = np.column_stack([first, (first + rng.integers(1, 300, n_pairs)) % 300])
    truth = items @ rng.normal(size=12) / 10
    z = items[index[:, 0]] - items[index[:, 1]]
    margin = truth[index[:, 0]] - truth[index[:, 1]]
    y = (rng.random(n_pairs) < 1 / (1 + np.exp(-margin))).astype(int)
    peer = LogisticRegression(
        C=1 / (alpha * n_pairs),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-12,
    ).fit(z, y)
    ours = BradleyTerryRegressor(alpha=alpha, tol=1e-10)
    ours.fit(EmbeddingPairs(items, index), y)
    assert_allclose(ours.coef_, peer.coef_[0], rtol=1e-6, atol=1e-6)
    reward = items @ peer.coef_[0]
    reward -= reward[np.unique(index)].mean()
    assert_allclose(ours.predict(items), reward, rtol=1e-5, atol=1e-5)


def test_weights_are_those_of_logistic_regression(preferences):
    rng = np.random.default_rng(1)
    weight = rng.exponential(size=len(preferences.y))
    z = np.diff(preferences.pairs.to_dense()[:, ::-1], axis=1)[:, 0]
    peer = LogisticRegression(
        C=1 / (1e-2 * weight.sum()),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-12,
    ).fit(z, preferences.y, weight)
    ours = BradleyTerryRegressor(alpha=1e-2).fit(
        preferences.pairs, preferences.y, weight
    )
    assert_allclose(ours.coef_, peer.coef_[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("alpha", [1e-3, 0.1])
def test_one_hot_items_are_classic_bradley_terry(alpha):
    rng = np.random.default_rng(0)
    n_items, n_pairs = 8, 300
    strength = rng.normal(size=n_items)
    games = choix.generate_pairwise(strength, n_pairs)
    theirs = choix.opt_pairwise(
        n_items, games, alpha=alpha * n_pairs / 2, method="Newton-CG", tol=1e-12
    )
    pairs = EmbeddingPairs(np.eye(n_items), games)
    ours = BradleyTerryRegressor(alpha=alpha, tol=1e-10).fit(pairs)
    assert_allclose(ours.coef_ - ours.coef_.mean(), theirs, atol=1e-6)


def test_probit_by_a_general_minimiser(preferences):
    z = np.diff(preferences.pairs.to_dense()[:, ::-1], axis=1)[:, 0]
    sign = 2 * preferences.y - 1
    alpha = 1e-2

    def objective(w):
        return -log_ndtr(sign * (z @ w)).mean() + alpha / 2 * w @ w

    best = minimize(objective, np.zeros(z.shape[1]), tol=1e-12)
    ours = BradleyTerryRegressor(link="probit", alpha=alpha)
    ours.fit(preferences.pairs, preferences.y)
    assert_allclose(ours.coef_, best.x, atol=1e-5)
    assert_allclose(ours.loss_, best.fun, rtol=1e-9)


def test_classifier_on_weighted_items_is_that_on_two_rows_a_pair(preferences):
    pairs, y = preferences.pairs, preferences.y
    rows = pairs.to_dense().reshape(-1, pairs.n_features)
    won = np.column_stack([y, 1 - y]).ravel()
    peer = LogisticRegression(tol=1e-10, max_iter=1000).fit(rows, won)
    ours = PairwiseClassifierReward(LogisticRegression(tol=1e-10, max_iter=1000))
    ours.fit(pairs, y)
    assert_allclose(ours.estimator_.coef_, peer.coef_, rtol=1e-6, atol=1e-8)
    logit = peer.decision_function(pairs.embeddings)
    occurring = np.unique(pairs.index)
    assert_allclose(
        ours.predict(pairs.embeddings), logit - logit[occurring].mean(), atol=1e-7
    )


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_network_training_is_that_of_plain_torch(activation, preferences):
    """Dense pairs, autograd and torch.optim.Adam take the same steps.

    The penalty is that of the weights for items as they are, of unlike scales.
    """
    import torch
    from torch import nn

    pairs, y = badly_scaled(preferences.pairs), preferences.y.astype(float)
    weight = np.random.default_rng(0).exponential(size=len(y))
    n_epochs, alpha = 6, 0.02
    ours = BradleyTerryMLPRegressor(
        (7, 5), activation, alpha=alpha, batch_size=len(y), max_iter=n_epochs,
        early_stopping=False, tol=0, learning_rate_init=1e-2, random_state=0,
    )  # fmt: skip
    rng = np.random.RandomState(0)
    comparisons = ours._check_data(pairs, y, weight, rng, reset=True)
    start = ours._job(comparisons, rng, goes_on=False, holds_out=False).network
    with pytest.warns(match="Adam stopped"):
        ours.fit(pairs, y, weight)

    act = {
        "relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid,
        "identity": nn.Identity,
    }[activation]  # fmt: skip
    module = nn.Sequential(
        nn.Linear(pairs.n_features, 7), act(), nn.Linear(7, 5), act(),
        nn.Linear(5, 1, bias=False),
    ).double()  # fmt: skip
    with torch.no_grad():
        for k, coef in enumerate(start.coefs):
            module[2 * k].weight.copy_(torch.from_numpy(coef.T.copy()))
            if k < 2:
                module[2 * k].bias.zero_()
    layers = [module[0], module[2], module[4]]
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    scale = torch.from_numpy(start.scale)

    def penalty():
        weights = layers[0].weight / scale, layers[1].weight, layers[2].weight
        return alpha / 2 * sum(w.square().sum() for w in weights)

    dense = torch.from_numpy((pairs.to_dense() - start.shift) / start.scale)
    target, w = torch.from_numpy(y), torch.from_numpy(weight / weight.mean())
    losses = []
    for _ in range(n_epochs):
        margin = (module(dense[:, 0]) - module(dense[:, 1])).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(margin, target, weight=w)
        optimizer.zero_grad()
        (loss + penalty()).backward()
        optimizer.step()
        losses.append(float((loss + penalty()).detach()))
    assert_allclose(ours.loss_curve_, losses, rtol=1e-9)
    margin = (module(dense[:, 0]) - module(dense[:, 1])).squeeze(1).detach().numpy()
    assert_allclose(ours.predict(pairs), margin, rtol=1e-6, atol=1e-9)


def badly_scaled(pairs):
    scales = np.geomspace(0.1, 10, pairs.n_features)
    return EmbeddingPairs(pairs.embeddings * scales, pairs.index, pairs.prompt_ids)


@pytest.mark.parametrize(
    ("link", "alpha"), [("logistic", 0.01), ("logistic", 1.0), ("probit", 0.01)]
)
def test_alpha_means_the_same_for_the_linear_reward_and_the_network(
    link, alpha, preferences
):
    """One problem, solved by L-BFGS and by Adam, at penalties that matter."""
    pairs, y = badly_scaled(preferences.pairs), preferences.y
    exact = BradleyTerryRegressor(link, alpha=alpha, tol=1e-8).fit(pairs, y)
    adam = BradleyTerryMLPRegressor(
        (), link=link, alpha=alpha, early_stopping=False, batch_size=len(y),
        learning_rate_init=1e-2, tol=1e-9, n_iter_no_change=60, max_iter=1500,
        random_state=0,
    )  # fmt: skip
    adam.fit(pairs, y)
    assert_allclose(adam.coefs_[0].ravel(), exact.coef_, rtol=1e-3, atol=1e-4)
    assert_allclose(adam.loss_, exact.loss_, rtol=1e-6)
    # The penalty is felt: without it the coefficients are others.
    free = BradleyTerryRegressor(link, alpha=0).fit(pairs, y).coef_
    assert np.abs(exact.coef_ - free).max() > 0.1 * np.abs(free).max()
