"""Derivatives of stacked networks by hand, against those of autograd."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skreward.networks.forward import ACTIVATIONS
from skreward.networks.jobs import Network

SIZES = (5, 7, 4)
N_ROWS = [9, 6]


def stack_of(
    dtype, activation="relu", dropout=0.0, has_level=False, is_half=False,
    alphas=(0.0, 0.3), rates=(1e-3, 1e-3), n_theta=0,
):  # fmt: skip
    """Networks of random weights, with penalties and rates of their own."""
    from skreward.networks.stack import Stack

    rng = np.random.default_rng(0)
    networks, settings = [], []
    for alpha, rate in zip(alphas, rates, strict=True):
        coefs = [rng.normal(size=s) for s in zip(SIZES, (*SIZES[1:], 1), strict=True)]
        intercepts = [rng.normal(size=n) for n in (*SIZES[1:], *[1] * has_level)]
        networks.append(
            Network(
                [c.astype(dtype) for c in coefs],
                [b.astype(dtype) for b in intercepts],
                rng.normal(size=SIZES[0]).astype(dtype),
                rng.uniform(1, 2, SIZES[0]).astype(dtype),
                np.zeros(n_theta, dtype),
            )
        )
        settings.append(
            SimpleNamespace(
                alpha=alpha,
                learning_rate_init=rate,
                dropout=dropout,
                activation=activation,
            )
        )
    generators = [torch.Generator().manual_seed(k) for k in range(len(alphas))]
    return Stack(networks, generators, settings, torch.device("cpu"), is_half)


@pytest.mark.parametrize("has_level", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("is_half", [False, True])
def test_derivatives_are_those_of_autograd(activation, dropout, has_level, is_half):
    dtype = np.float32 if is_half else np.float64
    x = torch.from_numpy(
        np.random.default_rng(1).normal(size=(2, max(N_ROWS), SIZES[0])).astype(dtype)
    )
    slope = torch.from_numpy(
        np.random.default_rng(2).normal(size=x.shape[:2]).astype(dtype)
    )
    members, found = slice(0, 2), []
    stack = stack_of(dtype, activation, dropout, has_level, is_half)
    stack._adam = found.extend
    tape = []
    with torch.inference_mode():
        rewards = stack.rewards(x.clone(), members, tape, N_ROWS)
        stack.descend(tape, slope, torch.zeros(2, 0))

    other = stack_of(dtype, activation, dropout, has_level, is_half)
    leaves = [p.requires_grad_() for p in other._parameters[:-1]]
    again = other.rewards(x.clone(), members, [], N_ROWS)
    assert_allclose(rewards, again.detach())
    expected = torch.autograd.grad((again * slope).sum(), leaves)
    tolerance = 2e-2 if is_half else 1e-12
    for ours, theirs in zip(found[:-1], expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert_allclose(
            ours, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max())
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_those_of_torch_adam(dtype):
    """Members of several rates and penalties; some sit steps out, some are dropped."""
    from skreward.networks.stack import THETA_STEP

    alphas, rates = (0.0, 0.3, 0.3, 0.1), (1e-2, 3e-2, 3e-2, 1e-2)
    stack = stack_of(dtype, alphas=alphas, rates=rates, n_theta=2)
    leaves = [[p[m].clone() for p in stack._parameters] for m in range(4)]
    decays = [[stack._decay(k, m) for k in range(3)] for m in range(4)]
    optimizers = [
        torch.optim.Adam(
            [{"params": own[:-1]}, {"params": own[-1:], "lr": THETA_STEP * rate}],
            lr=rate,
        )
        for own, rate in zip(leaves, rates, strict=True)
    ]
    rng = torch.Generator().manual_seed(0)
    members = [0, 1, 2, 3]
    for step in range(12):
        if step == 8:
            members = [0, 1, 3]
            stack.keep(members)
        some = members[: 2 if step % 3 else None]
        gradients = [
            torch.randn(len(some), *p.shape[1:], dtype=p.dtype, generator=rng)
            for p in stack._parameters
        ]
        for place, m in enumerate(some):
            for k, own in enumerate(leaves[m]):
                own.grad = gradients[k][place].clone()
                if k < 3:
                    own.grad += decays[m][k] * own
            optimizers[m].step()
        stack._adam(gradients)
    tolerance = {np.float32: 2e-6, np.float64: 1e-13}[dtype]
    for place, m in enumerate(members):
        assert stack.adam_state(place)[0] == optimizers[m].state[leaves[m][0]]["step"]
        for ours, theirs in zip(stack._parameters, leaves[m], strict=True):
            assert_allclose(ours[place], theirs, rtol=tolerance, atol=tolerance)


def test_derivatives_of_items_add_up_over_their_pairs():
    from skreward.networks.steps import of_items

    rng = np.random.default_rng(0)
    place = torch.from_numpy(rng.integers(6, size=(2, 2, 20)))
    slope = torch.from_numpy(rng.normal(size=(2, 20)))
    step = SimpleNamespace(items=torch.zeros(2, 6), place=place)
    expected = np.zeros((2, 6))
    for m in range(2):
        np.add.at(expected[m], place[m, 0], slope[m])
        np.add.at(expected[m], place[m, 1], -slope[m])
    assert_allclose(of_items(slope, step), expected)
    one = SimpleNamespace(items=torch.zeros(2, 6), place=place[:, :1])
    assert_allclose(of_items(slope, one).sum(), slope.sum())
