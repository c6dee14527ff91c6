import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, ndtr

from skreward.objectives import OBJECTIVES

LINKS = ["logistic", "probit"]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0, 20.0])
def test_derivatives_by_a_five_point_stencil(link, target, spread):
    objective = OBJECTIVES[link]
    margin = np.random.default_rng(0).normal(scale=spread, size=50)
    target = np.full_like(margin, target)
    step = 1e-4 * max(1.0, spread)

    def stencil(f):
        shifted = [f(margin + k * step, target) for k in (-2, -1, 1, 2)]
        return (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / (12 * step)

    gradient, hessian = stencil(objective.value), stencil(objective.gradient)
    assert_allclose(objective.gradient(margin, target), gradient, rtol=1e-6, atol=1e-9)
    assert_allclose(objective.hessian(margin, target), hessian, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("link", "cdf"), [("logistic", expit), ("probit", ndtr)])
def test_value_is_the_negative_log_likelihood(link, cdf):
    margin = np.linspace(-4, 4, 9)
    for target in (0.0, 0.25, 1.0):
        wanted = -target * np.log(cdf(margin)) - (1 - target) * np.log(cdf(-margin))
        value = OBJECTIVES[link].value(margin, np.full(9, target))
        assert_allclose(value, wanted, rtol=1e-12)
    assert_allclose(OBJECTIVES[link].probability(margin), cdf(margin))


@pytest.mark.parametrize("link", LINKS)
def test_value_and_gradient_at_once_are_those_one_by_one(link):
    rng = np.random.default_rng(0)
    margin = np.concatenate([rng.normal(scale=s, size=99) for s in (1e-3, 1, 30, 1e3)])
    target = rng.choice([0.0, 0.3, 0.5, 0.9, 1.0], margin.size)
    objective = OBJECTIVES[link]
    value, gradient = objective.value_gradient(margin, target)
    plain = super(type(objective), objective).value(margin, target)
    assert_allclose(value, plain, rtol=1e-12)
    assert_allclose(gradient, objective.gradient(margin, target), 1e-12, 1e-15)


@pytest.mark.parametrize("link", LINKS)
def test_extreme_margins_stay_finite(link):
    margin = np.array([-1e150, -1e8, -1e3, -40.0, 0.0, 40.0, 1e3, 1e8, 1e150])
    objective = OBJECTIVES[link]
    for target in (0.0, 0.5, 1.0):
        target = np.full(margin.shape, target)
        with np.errstate(over="ignore"):
            value = objective.value(margin, target)
        assert not np.isnan(value).any()
        assert np.isfinite(objective.gradient(margin, target)).all()
        hessian = objective.hessian(margin, target)
        assert ((hessian >= 0) & (hessian <= 1)).all()
    right = objective.value(np.array([1e4, -1e4]), np.array([1.0, 0.0]))
    assert_allclose(right, 0.0)


@pytest.mark.parametrize("link", LINKS)
def test_torch_losses_are_the_same(link):
    import torch

    from skreward.networks.training import LOSSES

    rng = np.random.default_rng(0)
    margin = rng.normal(scale=5, size=100)
    target = rng.choice([0.0, 0.3, 1.0], 100)
    m = torch.tensor(margin, requires_grad=True)
    value = LOSSES[link](m, torch.tensor(target))
    value.sum().backward()
    objective = OBJECTIVES[link]
    assert_allclose(value.detach(), objective.value(margin, target), rtol=1e-10)
    assert_allclose(m.grad, objective.gradient(margin, target), rtol=1e-9, atol=1e-12)
