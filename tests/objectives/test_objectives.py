"""Values against brute force, gradients against differences and autograd, limits."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, ndtr

from skreward.networks.namespace import TORCH
from skreward.objectives import NO_THETA, OBJECTIVES, TIES, Observed
from skreward.objectives.base import Objective, check_offers

ALL = OBJECTIVES | TIES
LINKS = list(OBJECTIVES)
EXTREME = np.array([-700.0, -80.0, -30.0, -1.0, 0.0, 1e-9, 2.0, 36.0, 80.0, 700.0])
THETA = {"logistic": [], "probit": [], "davidson": [-0.7], "rao-kupper": [0.2]}


def seen(target, weight=None):
    target = np.asarray(target, dtype=float)
    return Observed(target, np.ones_like(target) if weight is None else weight, {})


def theta_of(name):
    return np.array(THETA[name], dtype=float)


def targets(name, n, seed=0):
    """Draw labels that the objective takes."""
    among = [0.0, 0.5, 1.0] if name in TIES else [0.0, 0.3, 0.5, 0.9, 1.0]
    return np.random.default_rng(seed).choice(among, n)


def stencil(f, at, step):
    """Differentiate by five points."""
    shifted = [f(at + k * step) for k in (-2, -1, 1, 2)]
    return (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / (12 * step)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0, 20.0])
def test_derivatives_by_a_five_point_stencil(name, spread):
    objective, theta = ALL[name], theta_of(name)
    margin = np.random.default_rng(0).normal(scale=spread, size=60)
    weight = np.random.default_rng(1).exponential(size=60)
    data = seen(targets(name, 60), weight)
    step = 1e-4 * max(1.0, spread)

    def at(margin, theta=theta):
        return objective.value_gradient(margin, theta, data)

    _, slope, of_theta = at(margin)
    curvature, curvature_of_theta = objective.curvature(margin, theta, data)
    assert_allclose(slope, stencil(lambda m: at(m)[0], margin, step), 1e-6, 1e-9)
    assert_allclose(curvature, stencil(lambda m: at(m)[1], margin, step), 1e-6, 1e-9)
    assert of_theta.shape == curvature_of_theta.shape == theta.shape
    if name in TIES:
        wanted = stencil(lambda t: weight @ at(margin, t)[0], theta, 1e-4)
        assert_allclose(of_theta, wanted, rtol=1e-7)
        assert (curvature_of_theta > 0).all()


@pytest.mark.parametrize("name", TIES)
def test_curvature_of_theta_is_the_second_derivative_at_the_optimum(name):
    # With margins of 0 the optimum is where the search starts.
    objective = TIES[name]
    data = seen(targets(name, 200), np.random.default_rng(0).exponential(size=200))
    theta, margin = objective.initial(data), np.zeros(200)

    def slope(theta):
        return objective.value_gradient(margin, theta, data)[2]

    assert_allclose(slope(theta), 0, atol=1e-9)
    wanted = stencil(slope, theta, 1e-4)
    assert_allclose(objective.curvature(margin, theta, data)[1], wanted, rtol=1e-6)


def davidson(d, theta):
    return np.array([np.exp(d / 2), 0 * d + 2 * np.exp(theta), np.exp(-d / 2)])


def rao_kupper(d, theta):
    worth, edge = np.exp(d), np.exp(np.exp(theta))
    tie = (edge**2 - 1) * worth / ((worth + edge) * (1 + edge * worth))
    return np.array([worth / (worth + edge), tie, 1 / (1 + edge * worth)])


BRUTE = {
    "logistic": lambda d, _: np.array([expit(d), expit(-d)]),
    "probit": lambda d, _: np.array([ndtr(d), ndtr(-d)]),
    "davidson": lambda d, t: davidson(d, t[0]) / davidson(d, t[0]).sum(axis=0),
    "rao-kupper": lambda d, t: rao_kupper(d, t[0]),
}


@pytest.mark.parametrize("name", ALL)
def test_value_is_the_negative_log_likelihood_of_the_outcomes(name):
    objective, theta = ALL[name], theta_of(name)
    margin = np.linspace(-6, 6, 25)
    outcomes = BRUTE[name](margin, theta).T
    assert_allclose(objective.probability(margin, theta), outcomes, rtol=1e-12)
    for k, outcome in enumerate(objective.outcomes):
        label = {"first": 1.0, "tie": 0.5, "second": 0.0}[outcome]
        data = seen(np.full(25, label))
        value = objective.value_gradient(margin, theta, data)[0]
        assert_allclose(value, -np.log(outcomes[:, k]), rtol=1e-10, atol=1e-13)
    expected = outcomes[:, 0] + (outcomes[:, 1] / 2 if name in TIES else 0)
    assert_allclose(objective.preference(margin, theta), expected, rtol=1e-12)


@pytest.mark.parametrize(("link", "cdf"), [("logistic", expit), ("probit", ndtr)])
def test_soft_labels_are_shares_of_both(link, cdf):
    margin = np.linspace(-4, 4, 9)
    for target in (0.0, 0.25, 1.0):
        wanted = -target * np.log(cdf(margin)) - (1 - target) * np.log(cdf(-margin))
        value = OBJECTIVES[link].value(margin, np.full(9, target))
        assert_allclose(value, wanted, rtol=1e-12)
    assert_allclose(OBJECTIVES[link].distribution(margin), cdf(margin))
    assert_array_equal(
        OBJECTIVES[link].distribution(np.array([-np.inf, np.inf])), [0, 1]
    )


@pytest.mark.parametrize("link", LINKS)
def test_extreme_margins_stay_finite(link):
    margin = np.array([-1e150, -1e8, -1e3, -40.0, 0.0, 40.0, 1e3, 1e8, 1e150])
    objective = OBJECTIVES[link]
    for target in (0.0, 0.5, 1.0):
        data = seen(np.full(margin.shape, target))
        with np.errstate(over="ignore"):
            value, slope, _ = objective.value_gradient(margin, NO_THETA, data)
        assert not np.isnan(value).any()
        assert np.isfinite(slope).all()
        curvature, _ = objective.curvature(margin, NO_THETA, data)
        assert ((curvature >= 0) & (curvature <= 1)).all()
    right = objective.value(np.array([1e4, -1e4]), np.array([1.0, 0.0]))
    assert_allclose(right, 0.0)


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("strength", [-30.0, -2.0, 0.0, 1.5])
def test_ties_at_extreme_margins(name, strength):
    objective, theta = TIES[name], np.array([strength])
    for label in (0.0, 0.5, 1.0):
        data = seen(np.full(len(EXTREME), label))
        value, slope, of_theta = objective.value_gradient(EXTREME, theta, data)
        assert np.isfinite(value).all()
        assert (value >= 0).all()
        assert (np.abs(slope) <= 1).all()
        assert np.isfinite(of_theta).all()
        curvature, of_theta = objective.curvature(EXTREME, theta, data)
        assert ((curvature >= 0) & (curvature <= 1)).all()
        assert (of_theta >= 0).all()
    probability = objective.probability(EXTREME, theta)
    assert_allclose(probability.sum(axis=1), 1, rtol=1e-9)
    swapped = objective.probability(-EXTREME, theta)[:, ::-1]
    assert_allclose(probability, swapped, rtol=1e-9, atol=1e-300)
    # A label that was certain costs nothing, and one that was not its margin.
    certain = objective.value_gradient(np.array([700.0]), theta, seen([1.0]))[0]
    assert_allclose(certain, 0, atol=1e-12)
    wrong = objective.value_gradient(np.array([-700.0]), theta, seen([1.0]))[0]
    assert abs(wrong - 700) < 7


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("parameter", ["none", "all but none"])
def test_without_ties_it_is_bradley_terry(name, parameter):
    objective = TIES[name]
    margin = np.concatenate([EXTREME, np.random.default_rng(0).normal(size=50)])
    target = np.random.default_rng(1).integers(0, 2, len(margin)).astype(float)
    if parameter == "none":
        first, tie, second = objective.probability(
            margin, objective.theta(objective.none)
        ).T
        plain = OBJECTIVES["logistic"].probability(margin).T
        assert_allclose([first, second], plain, rtol=1e-14)
        assert_array_equal(tie, 0)
        return
    theta = np.array([-45.0])
    value, slope, _ = objective.value_gradient(margin, theta, seen(target))
    wanted = OBJECTIVES["logistic"].value_gradient(margin, NO_THETA, seen(target))
    assert_allclose(value, wanted[0], rtol=1e-12, atol=1e-14)
    assert_allclose(slope, wanted[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", TIES)
def test_parameter_and_theta_undo_each_other(name):
    objective = TIES[name]
    for parameter in (objective.none, objective.none + 0.3, 7.0):
        assert_allclose(objective.parameter(objective.theta(parameter)), parameter)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_takes_the_same_formula(name, dtype):
    objective, theta = ALL[name], theta_of(name)
    rng = np.random.default_rng(0)
    margin = np.stack([rng.normal(scale=5, size=100), np.resize(EXTREME, 100)])
    target, weight = targets(name, 200).reshape(2, 100), rng.exponential(size=(2, 100))
    there = [torch.tensor(a, dtype=dtype) for a in (margin, target, weight)]
    thetas = torch.tensor(np.stack([theta, theta + 0.3]), dtype=dtype)
    value, slope, of_theta = objective.value_gradient(
        there[0], thetas, Observed(there[1], there[2], {}), TORCH
    )
    assert value.dtype == slope.dtype == of_theta.dtype == dtype
    tol = 1e-11 if dtype == torch.float64 else 2e-5
    for member in range(2):
        here = objective.value_gradient(
            margin[member],
            theta + 0.3 * member,
            seen(target[member], weight[member]),
        )
        assert_allclose(value[member], here[0], rtol=tol, atol=tol)
        assert_allclose(slope[member], here[1], rtol=tol, atol=tol)
        assert_allclose(of_theta[member], here[2], rtol=tol, atol=tol)


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_autograd(name):
    objective = ALL[name]
    # Where the derivative has no kink of an absolute value.
    margin = np.concatenate([EXTREME[EXTREME != 0], np.linspace(-9, 9, 40)])
    data = Observed(
        torch.tensor(targets(name, len(margin))), torch.ones(len(margin)).double(), {}
    )
    m = torch.tensor(margin, requires_grad=True)
    theta = torch.tensor(theta_of(name), requires_grad=True)
    value, slope, of_theta = objective.value_gradient(m, theta, data, TORCH)
    value.sum().backward()
    assert_allclose(m.grad, slope.detach(), rtol=1e-8, atol=1e-12)
    if len(theta):
        assert_allclose(theta.grad, of_theta.detach(), rtol=1e-8, atol=1e-10)


class Bare(Objective):
    needs = ("annotator", "position")

    def value_gradient(self, margin, theta, data, xp=None):
        raise AssertionError("called")

    def probability(self, margin, theta=NO_THETA):
        raise AssertionError("called")


def test_what_an_objective_lacks_is_named():
    with pytest.raises(TypeError, match=r"linear solver needs curvature .* Bare"):
        check_offers(Bare(), ("curvature",), (), "The linear solver")
    with pytest.raises(ValueError, match="Bare needs position of every pair"):
        check_offers(Bare(), ("value_gradient",), ("annotator",), "A network")
