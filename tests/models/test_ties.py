"""Laws of ties: margins and P(tie) of the right size, from either estimator."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    RewardEnsemble,
)
from skreward.objectives import TIES, Observed
from skreward.solvers.theta import best_theta

# Parameters under which three in ten pairs tie.
LAWS = {"davidson": 0.65, "rao-kupper": 2.75}


def drawn(law, parameter, seed=0, n_pairs=30_000, n_features=20):
    """Draw items, pairs, labels and true margins of a law of ties."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(4000, n_features))
    coef = rng.normal(size=n_features)
    coef *= 1.5 / np.linalg.norm(coef)
    first = rng.integers(4000, size=n_pairs)
    second = (first + rng.integers(1, 4000, n_pairs)) % 4000
    index = np.column_stack([first, second])
    margin = (items[first] - items[second]) @ coef
    objective = TIES[law]
    outcomes = objective.probability(margin, objective.theta(parameter))
    share = rng.uniform(size=n_pairs)
    y = np.where(share < outcomes[:, 0], 1.0, 0.0)
    y[(share >= outcomes[:, 0]) & (share < outcomes[:, :2].sum(axis=1))] = 0.5
    return items, index, y, margin


def three_way(model, pairs, share=None):
    """P(first), P(tie), P(second); by ``share`` of ties where the model has no law."""
    proba = model.predict_preference_proba(pairs)
    if share is not None:
        return np.stack(
            [proba * (1 - share), share + 0 * proba, (1 - proba) * (1 - share)]
        )
    tie = model.predict_tie_proba(pairs)
    return np.stack([proba - tie / 2, tie, 1 - proba - tie / 2])


def log_loss(outcomes, y):
    return -np.log(outcomes[(2 - 2 * y).astype(int), np.arange(len(y))]).mean()


def slope(model, pairs, margin):
    return float(model.predict(pairs) @ margin / (margin @ margin))


@pytest.fixture(scope="module")
def small():
    return {law: drawn(law, p, n_pairs=1500, n_features=4) for law, p in LAWS.items()}


@pytest.mark.parametrize("law", LAWS)
def test_margins_parameter_and_log_loss_come_out_true(law):
    gains = []
    for seed in range(5):
        items, index, y, margin = drawn(law, LAWS[law], seed)
        assert abs((y == 0.5).mean() - 0.3) < 0.05
        train, test = slice(0, 20_000), slice(20_000, None)
        seen, held = (EmbeddingPairs(items, index[part]) for part in (train, test))
        plain = BradleyTerryRegressor(alpha=1e-6).fit(seen, y[train])
        model = BradleyTerryRegressor(ties=law, alpha=1e-6).fit(seen, y[train])
        assert 0.96 <= slope(model, held, margin[test]) <= 1.04
        assert slope(plain, held, margin[test]) < 0.9
        assert abs(model.tie_parameter_ / LAWS[law] - 1) < 0.05
        share = (y[train] == 0.5).mean()
        gains.append(
            log_loss(three_way(plain, held, share), y[test])
            - log_loss(three_way(model, held), y[test])
        )
        # The order is that of the margins either way.
        order = model.score(held, y[test]) - plain.score(held, y[test])
        assert abs(order) < 0.003
        # What is told to be preferred is what labels are on average.
        proba = model.predict_preference_proba(held)
        for low in (0.1, 0.3, 0.5, 0.7):
            there = (proba >= low) & (proba < low + 0.2)
            assert abs(proba[there].mean() - y[test][there].mean()) < 0.03
    assert np.mean(gains) > 0.025


@pytest.mark.parametrize("law", LAWS)
def test_the_network_fits_the_same_law(law):
    items, index, y, margin = drawn(law, LAWS[law], n_pairs=20_000, n_features=6)
    pairs = EmbeddingPairs(items, index)
    model = BradleyTerryMLPRegressor(
        (), ties=law, random_state=0, learning_rate_init=3e-3, early_stopping=False
    ).fit(pairs, y)
    linear = BradleyTerryRegressor(ties=law, alpha=1e-6).fit(pairs, y)
    assert 0.93 <= slope(model, pairs, margin) <= 1.07
    assert_allclose(model.tie_parameter_, linear.tie_parameter_, rtol=0.05)
    assert_allclose(
        model.predict_tie_proba(pairs), linear.predict_tie_proba(pairs), atol=0.03
    )
    deep = clone(model).set_params(hidden_layer_sizes=(16,)).fit(pairs, y)
    assert abs(deep.tie_parameter_ / LAWS[law] - 1) < 0.1


@pytest.mark.parametrize("law", LAWS)
def test_the_optimum_is_that_of_scipy(law, small):
    items, index, y, _ = small[law]
    weight = np.random.default_rng(0).exponential(size=len(y))
    model = BradleyTerryRegressor(ties=law, alpha=0.01, tol=1e-9)
    model.fit(EmbeddingPairs(items, index), y, weight)
    z = items[index[:, 0]] - items[index[:, 1]]
    seen = Observed(y, weight / weight.sum(), {})

    def loss(at):
        value = TIES[law].value_gradient(z @ at[:4], at[4:], seen)[0]
        return seen.weight @ value + 0.005 * at[:4] @ at[:4]

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    assert_allclose(model.coef_, best.x[:4], rtol=1e-4)
    assert_allclose(model.tie_parameter_, TIES[law].parameter(best.x[4:]), rtol=1e-4)
    assert_allclose(model.loss_, best.fun, rtol=1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", ["linear", "network"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_without_ties_it_is_bradley_terry(law, kind, small):
    items, index, y, _ = small[law]
    y = (y > 0.5).astype(int)
    pairs = EmbeddingPairs(items, index)
    estimator = (
        BradleyTerryRegressor()
        if kind == "linear"
        else BradleyTerryMLPRegressor((4,), random_state=0, max_iter=3)
    )
    plain = clone(estimator).fit(pairs, y)
    model = estimator.set_params(ties=law).fit(pairs, y)
    assert model.tie_parameter_ == TIES[law].none
    assert_array_equal(model.predict(pairs), plain.predict(pairs))
    assert_array_equal(model.predict_tie_proba(pairs), 0)
    assert_allclose(
        model.predict_preference_proba(pairs),
        plain.predict_preference_proba(pairs),
        rtol=1e-6,
    )


@pytest.mark.parametrize("law", LAWS)
def test_invariants(law, small):
    items, index, y, _ = small[law]
    pairs = EmbeddingPairs(items, index)
    model = BradleyTerryRegressor(ties=law, tol=1e-9).fit(pairs, y)
    swapped = EmbeddingPairs(items, index[:, ::-1])
    assert_allclose(model.predict_tie_proba(swapped), model.predict_tie_proba(pairs))
    proba = model.predict_preference_proba(pairs)
    assert_allclose(model.predict_preference_proba(swapped), 1 - proba)
    assert_allclose(model.predict_preference_proba(items[index]), proba)
    others = {
        "swapped": clone(model).fit(swapped, 1 - y),
        "sparse": clone(model).fit(EmbeddingPairs(sp.csr_array(items), index), y),
        "weighted": clone(model).fit(pairs, y, np.full(len(y), 2)),
        "path": model.fit_path(pairs, y, alphas=[model.alpha])[0],
        "warm": clone(model).set_params(warm_start=True).fit(pairs, y).fit(pairs, y),
        "pickled": pickle.loads(pickle.dumps(model)),
    }
    for name, other in others.items():
        assert_allclose(other.coef_, model.coef_, rtol=1e-5, err_msg=name)
        assert_allclose(
            other.tie_parameter_, model.tie_parameter_, rtol=1e-5, err_msg=name
        )
    few = np.random.default_rng(0).integers(0, 3, len(y))
    repeated = EmbeddingPairs(items, np.repeat(index, few, axis=0))
    assert_allclose(
        clone(model).fit(pairs, y, few).coef_,
        clone(model).fit(repeated, np.repeat(y, few)).coef_,
        rtol=1e-5,
    )
    single = clone(model).fit(EmbeddingPairs(items.astype(np.float32), index), y)
    assert single.predict_tie_proba(pairs[:5]).dtype == np.float64
    assert_allclose(single.tie_parameter_, model.tie_parameter_, rtol=1e-3)


def test_a_path_is_what_separate_fits_are(small):
    items, index, y, _ = small["davidson"]
    pairs = EmbeddingPairs(items, index)
    model = BradleyTerryRegressor(ties="davidson", tol=1e-7)
    for fitted in model.fit_path(pairs, y, alphas=[1e-4, 0.1, 1e-2]):
        alone = clone(fitted).fit(pairs, y)
        assert_allclose(fitted.coef_, alone.coef_, rtol=1e-4)
        assert_allclose(fitted.tie_parameter_, alone.tie_parameter_, rtol=1e-4)


@pytest.mark.parametrize("law", LAWS)
def test_partial_fit_goes_on_with_the_parameter(law, small):
    items, index, y, _ = small[law]
    pairs = EmbeddingPairs(items, index)
    decided = y != 0.5
    model = BradleyTerryMLPRegressor((4,), ties=law, random_state=0)
    with pytest.raises(ValueError, match="needs a tie, labelled 1/2, among the first"):
        model.partial_fit(pairs[decided], y[decided])
    model.partial_fit(pairs, y)
    seen = model.tie_parameter_
    model.partial_fit(pairs[decided][:200], y[decided][:200])
    assert TIES[law].none < model.tie_parameter_ < seen
    fewer = model.tie_parameter_
    for _ in range(5):
        model.partial_fit(pairs[~decided], y[~decided])
    assert model.tie_parameter_ > fewer


def test_an_ensemble_of_networks_has_members_with_ties(small):
    items, index, y, _ = small["davidson"]
    member = BradleyTerryMLPRegressor((4,), ties="davidson", learning_rate_init=0.01)
    ensemble = RewardEnsemble(member, n_estimators=3, random_state=0)
    ensemble.fit(EmbeddingPairs(items, index), y)
    found = [model.tie_parameter_ for model in ensemble.estimators_]
    assert_allclose(found, LAWS["davidson"], rtol=0.3)
    assert len(set(found)) == 3


@pytest.mark.parametrize("kind", [BradleyTerryRegressor, BradleyTerryMLPRegressor])
def test_what_a_law_does_not_go_with_is_refused_by_name(kind, small):
    items, index, y, _ = small["davidson"]
    pairs = EmbeddingPairs(items, index)
    soft = y.copy()
    soft[7] = 0.3
    with pytest.raises(ValueError, match=r"ties='davidson' takes labels .* 0\.3"):
        kind(ties="davidson").fit(pairs, soft)
    with pytest.raises(ValueError, match='is a law for link="logistic", got link=\'p'):
        kind(ties="rao-kupper", link="probit").fit(pairs, y)
    with pytest.raises(ValueError, match="ties='davidson' needs pairs"):
        kind(ties="davidson").fit(items, items[:, 0])
    with pytest.raises(ValueError, match="every pair is a tie"):
        kind(ties="davidson").fit(pairs, np.full(len(y), 0.5))
    with pytest.raises(ValueError, match="'ties' parameter"):
        kind(ties="coin").fit(pairs, y)
    model = kind(ties="half")
    assert not hasattr(model, "predict_tie_proba")
    with pytest.raises(AttributeError) as error:
        model.predict_tie_proba(pairs)
    assert 'needs ties="davidson"' in str(error.value.__cause__)


def test_a_covariance_of_ties_is_refused(small):
    items, index, y, _ = small["davidson"]
    model = BradleyTerryRegressor(ties="davidson", covariance="laplace")
    with pytest.raises(ValueError, match="covariance='laplace' is that of ties"):
        model.fit(EmbeddingPairs(items, index), y)


def test_another_fit_forgets_the_parameter(small):
    items, index, y, _ = small["davidson"]
    pairs = EmbeddingPairs(items, index)
    model = BradleyTerryRegressor(ties="davidson").fit(pairs, y)
    model.set_params(ties="half").fit(pairs, y)
    assert not hasattr(model, "tie_parameter_")
    model.set_params(ties="rao-kupper").fit(pairs, (y > 0.5).astype(int))
    assert model.tie_parameter_ == 1


def test_predictions_need_pairs(small):
    items, index, y, _ = small["davidson"]
    model = BradleyTerryRegressor(ties="davidson").fit(EmbeddingPairs(items, index), y)
    with pytest.raises(ValueError, match="predict_tie_proba needs pairs"):
        model.predict_tie_proba(items)


def test_theta_settles_at_its_best_for_margins_that_stay():
    _, _, y, margin = drawn("davidson", 0.65, n_pairs=2000, n_features=3)
    law, seen = TIES["davidson"], Observed(y, np.full(len(y), 3.0), {})
    found = best_theta(law, margin.astype(np.float32), seen, np.array([2.0]))
    assert_allclose(law.value_gradient(margin, found, seen)[2], 0, atol=1e-3)
    around = [
        law.value_gradient(margin, found + d, seen)[0].sum() for d in (-1e-3, 0, 1e-3)
    ]
    assert np.argmin(around) == 1
