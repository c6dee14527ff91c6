"""A likelihood that the package does not have, added as CONTRIBUTING says.

All there is of it stands here: the estimators' fit, both solvers, probabilities,
saved files and refusals come with its entry in the table.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, ndtr
from sklearn.base import clone

import skreward
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    RewardEnsemble,
)
from skreward.objectives import NUMPY, OBJECTIVES, Objective, Observed
from skreward.utils.compat import StrOptions

COEF, LAPSE = np.array([0.9, -0.6, 0.3]), 0.2


class Lapse(Objective):
    r"""Probit with lapses: P(first) = lapse / 2 + (1 - lapse) Phi(m).

    In a share of the comparisons, ``lapse``, the annotator tosses a coin; theta is
    its logit. F. A. Wichmann and N. J. Hill, "The psychometric function: I" (2001).
    """

    def initial(self, data):
        """Start at a tenth."""
        return np.array([np.log(1 / 9)])

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Compute -t log P(first) - (1 - t) log P(second)."""
        lapse = xp.expit(theta[..., :1])
        phi = xp.exp(-margin * margin / 2) / (2 * np.pi) ** 0.5
        below = xp.exp(xp.log_ndtr(margin))
        first = lapse / 2 + (1 - lapse) * below
        second = lapse / 2 + (1 - lapse) * xp.exp(xp.log_ndtr(-margin))
        value = -data.target * xp.log(first) - (1 - data.target) * xp.log(second)
        pull = (1 - data.target) / second - data.target / first
        of_theta = pull * lapse * (1 - lapse) * (0.5 - below)
        return (
            value,
            pull * (1 - lapse) * phi,
            (data.weight * of_theta).sum(-1)[..., None],
        )

    def curvature(self, margin, theta, data):
        """Give the Fisher information; for theta that of margins of 1, where less."""
        lapse = expit(theta[0])
        first = self.probability(margin, theta)[:, 0]
        phi = np.exp(-(margin**2) / 2) / (2 * np.pi) ** 0.5
        least = ndtr(np.maximum(np.abs(margin), 1)) - 0.5
        spread = first * (1 - first)
        of_theta = (lapse * (1 - lapse) * least) ** 2 / spread
        return ((1 - lapse) * phi) ** 2 / spread, np.array([data.weight @ of_theta])

    def probability(self, margin, theta):
        """P(first) and P(second)."""
        lapse = expit(theta[0])
        first = lapse / 2 + (1 - lapse) * ndtr(np.asarray(margin, dtype=np.float64))
        return np.stack([first, 1 - first], axis=-1)


@pytest.fixture(autouse=True)
def entered(monkeypatch):
    """Enter it in the table, from which the estimators take their choices."""
    monkeypatch.setitem(OBJECTIVES, "lapse", Lapse())
    for estimator in (BradleyTerryRegressor, BradleyTerryMLPRegressor):
        choices = [StrOptions(set(OBJECTIVES))]
        monkeypatch.setitem(estimator._parameter_constraints, "link", choices)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(3000, 3))
    first = rng.integers(3000, size=30_000)
    index = np.column_stack([first, (first + rng.integers(1, 3000, 30_000)) % 3000])
    margin = (items[index[:, 0]] - items[index[:, 1]]) @ COEF
    proba = LAPSE / 2 + (1 - LAPSE) * ndtr(margin)
    y = (rng.uniform(size=len(proba)) < proba).astype(int)
    return EmbeddingPairs(items, index), y, proba


def network(**params):
    return BradleyTerryMLPRegressor(
        (), link="lapse", learning_rate_init=5e-3, tol=1e-5, early_stopping=False,
        device="cpu", random_state=0, **params,
    )  # fmt: skip


def test_the_linear_reward_finds_its_optimum(data):
    """Against SciPy's minimiser on differences."""
    pairs, y, proba = data
    model = BradleyTerryRegressor("lapse", alpha=1e-4, tol=1e-8).fit(pairs, y)
    z = pairs.embeddings[pairs.index[:, 0]] - pairs.embeddings[pairs.index[:, 1]]
    seen = Observed(y, np.full(len(y), 1 / len(y)), {})

    def loss(at):
        value, slope, of_theta = OBJECTIVES["lapse"].value_gradient(
            z @ at[:3], at[3:], seen
        )
        coef = at[:3]
        gradient = np.append((seen.weight * slope) @ z + 1e-4 * coef, of_theta)
        return seen.weight @ value + 0.5e-4 * coef @ coef, gradient

    start = np.append(np.zeros(3), -2.0)
    best = minimize(loss, start, jac=True, tol=1e-12)
    assert_allclose(model.coef_, best.x[:3], rtol=1e-4)
    assert_allclose(model.theta_, best.x[3:], rtol=1e-4)
    assert_allclose(model.loss_, best.fun, rtol=1e-9)
    assert model.n_iter_ < 30
    assert_allclose(model.coef_, COEF, atol=0.1)
    assert_allclose(expit(model.theta_), LAPSE, atol=0.03)
    assert np.abs(model.predict_preference_proba(pairs) - proba).max() < 0.03


def test_the_network_finds_it_too(data):
    pairs, y, proba = data
    linear = BradleyTerryRegressor("lapse").fit(pairs, y)
    model = network().fit(pairs, y)
    assert_allclose(model.coefs_[0].ravel(), linear.coef_, atol=0.1)
    assert_allclose(model.theta_, linear.theta_, atol=0.1)
    assert np.abs(model.predict_preference_proba(pairs) - proba).max() < 0.04
    deep = clone(model).set_params(hidden_layer_sizes=(16,)).fit(pairs, y)
    assert abs(expit(deep.theta_[0]) - LAPSE) < 0.05


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_built_on_a_fit_keeps_its_parameters(data, tmp_path):
    pairs, y, _ = data
    few, labels = pairs[:4000], y[:4000]
    model = BradleyTerryRegressor("lapse").fit(few, labels)
    path = model.fit_path(few, labels, alphas=[1e-3, 5e-4])
    assert_allclose(path[1].theta_, model.theta_, atol=1e-2)
    skreward.save(model, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(
        loaded.predict_preference_proba(few), model.predict_preference_proba(few)
    )
    # A network goes on from them, by epochs and by warm starts.
    going = network().partial_fit(few, labels)
    before = going.theta_
    going.partial_fit(few, labels)
    assert 0 < np.abs(going.theta_ - before)[0] < 1
    ensemble = RewardEnsemble(network(max_iter=30), 2, random_state=0).fit(few, labels)
    assert len({member.theta_[0] for member in ensemble.estimators_}) == 2
    # A fit without parameters leaves none behind.
    assert not hasattr(model.set_params(link="probit").fit(few, labels), "theta_")


def test_margins_of_any_size_are_finite():
    margin = np.array([-1e30, -1e3, -40.0, 0.0, 40.0, 1e3, 1e30])
    seen = Observed(np.ones(7), np.ones(7), {})
    for part in Lapse().value_gradient(margin, np.array([-2.0]), seen):
        assert np.isfinite(part).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"covariance": "laplace"}, "that of link='logistic' or 'probit', got link="),
        ({"annotator_effects": "both"}, "needs link='logistic' or 'probit', got link="),
        ({"ties": "davidson"}, "is a law for link="),
    ],
)
def test_what_knows_no_parameters_refuses_it_by_name(data, params, message):
    pairs, y, _ = data
    who = np.arange(len(y)) % 3 if "annotator_effects" in params else None
    model = BradleyTerryRegressor("lapse", **params)
    with pytest.raises(ValueError, match=message):
        model.fit(pairs, y, annotators=who)


def test_scores_by_a_link_do_not_offer_it():
    from skreward.metrics import preference_log_loss

    with pytest.raises(ValueError, match=r"one of \['logistic', 'probit'\]"):
        preference_log_loss([1, 0], [0.5, 0.5], link="lapse")
