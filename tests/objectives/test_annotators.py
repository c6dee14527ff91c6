"""Annotators' likelihood: brute force, differences, autograd, limits."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime

from skreward.networks.namespace import TORCH
from skreward.objectives import NO_THETA, OBJECTIVES, Annotators, Observed

N, A = 60, 5
EFFECTS = ["reliability", "position", "both"]


def drawn(effects, link="logistic"):
    rng = np.random.default_rng(0)
    objective = Annotators(OBJECTIVES[link], effects, A, 2.0 * N)
    who = np.concatenate([np.arange(A), rng.integers(A, size=N - A)])
    weight = rng.exponential(size=N)
    weight /= weight.sum()
    target = rng.choice([0.0, 0.3, 1.0], N)
    data = Observed(target, weight, {"annotators": who})
    margin = rng.normal(size=N)
    theta = rng.normal(scale=0.7, size=len(objective.initial(data)))
    return objective, data, margin, theta


@pytest.mark.parametrize("link", OBJECTIVES)
@pytest.mark.parametrize("effects", EFFECTS)
def test_value_and_derivatives(effects, link):
    objective, data, margin, theta = drawn(effects, link)
    value, slope, of_theta = objective.value_gradient(margin, theta, data)

    beta, bias = objective.reliability(theta), objective.position_bias(theta)
    assert_allclose(beta.mean(), 1)
    prior = ((4 * (beta - 1) ** 2).sum() + (bias**2).sum()) / (2 * 2 * N)
    for k, who in enumerate(data.columns["annotators"]):
        first = OBJECTIVES[link].distribution(beta[who] * margin[k] + bias[who])
        t = data.target[k]
        wanted = -t * np.log(first) - (1 - t) * np.log(1 - first) + prior
        assert_allclose(value[k], wanted, rtol=1e-9)

    def loss(theta):
        return data.weight @ objective.value_gradient(margin, theta, data)[0]

    step = 1e-5
    up, down = (
        objective.value_gradient(margin + s, theta, data)[0] for s in (step, -step)
    )
    assert_allclose(slope, (up - down) / (2 * step), rtol=1e-5, atol=1e-8)
    assert_allclose(of_theta, approx_fprime(theta, loss, 1e-7), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("effects", EFFECTS)
def test_curvature_where_margins_are_large(effects):
    objective, data, margin, theta = drawn(effects)
    margin = np.sign(margin) * (1 + np.abs(margin))
    step = 1e-5

    def at(margin, theta):
        return objective.value_gradient(margin, theta, data)[1:]

    of_margin, of_theta = objective.curvature(margin, theta, data)
    wanted = (at(margin + step, theta)[0] - at(margin - step, theta)[0]) / (2 * step)
    assert_allclose(of_margin, wanted, rtol=1e-5, atol=1e-8)
    for k, move in enumerate(step * np.eye(len(theta))):
        wanted = at(margin, theta + move)[1] - at(margin, theta - move)[1]
        assert_allclose(of_theta[k], wanted[k] / (2 * step), rtol=1e-5)


@pytest.mark.parametrize("effects", EFFECTS)
def test_torch_agrees_for_members_at_once(effects):
    objective, data, margin, theta = drawn(effects)
    stacked = [np.stack([x, x]) for x in (margin, theta, data.target, data.weight)]
    m, t, target, weight = map(torch.from_numpy, stacked)
    who = torch.from_numpy(np.stack([data.columns["annotators"]] * 2))
    m.requires_grad_(True), t.requires_grad_(True)
    seen = Observed(target, weight, {"annotators": who})
    value, slope, of_theta = objective.value_gradient(m, t, seen, TORCH)
    by_autograd = torch.autograd.grad((weight * value).sum(), (m, t))
    wanted = objective.value_gradient(margin, theta, data)
    for k in range(2):
        for found, other in zip((value, slope, of_theta), wanted, strict=True):
            assert_allclose(found[k].detach().numpy(), other, rtol=1e-10)
    assert_allclose((weight * slope).detach(), by_autograd[0], rtol=1e-9)
    assert_allclose(of_theta.detach(), by_autograd[1], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("effects", EFFECTS)
def test_where_all_are_alike_it_is_bradley_terry(effects):
    objective, data, margin, theta = drawn(effects)
    found = objective.value_gradient(margin, 0 * theta, data)
    wanted = OBJECTIVES["logistic"].value_gradient(margin, NO_THETA, data)
    for k in range(2):
        assert_allclose(found[k], wanted[k])
    assert_allclose(objective.initial(data), 0 * theta)


@pytest.mark.parametrize("effects", EFFECTS)
def test_standard_errors_are_those_of_the_inverse_hessian(effects):
    objective, data, margin, theta = drawn(effects)
    step = 1e-5
    hessian = np.array(
        [
            objective.value_gradient(margin, theta + move, data)[2]
            - objective.value_gradient(margin, theta - move, data)[2]
            for move in step * np.eye(len(theta))
        ]
    ) / (2 * step)
    covariance = np.linalg.inv(hessian) / (2 * N)
    eye, zero = np.eye(len(theta)), np.zeros(len(theta))
    shown = [
        np.array([f(row) - f(zero) for row in eye]).T
        for f in (objective.reliability, objective.position_bias)
    ]
    wanted = [np.sqrt(np.einsum("ij,jk,ik->i", s, covariance, s)) for s in shown]
    found = objective.standard_errors(margin, theta, data)
    assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-12)
    assert_allclose(found[1], wanted[1], rtol=1e-5, atol=1e-12)
