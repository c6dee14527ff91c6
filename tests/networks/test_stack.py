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


def stack_of(dtype, activation, dropout, has_level, is_half):
    """Two networks of random weights, with penalties and rates of their own."""
    from skreward.networks.stack import Stack

    rng = np.random.default_rng(0)
    networks, settings = [], []
    for alpha in (0.0, 0.3):
        coefs = [rng.normal(size=s) for s in zip(SIZES, (*SIZES[1:], 1), strict=True)]
        intercepts = [rng.normal(size=n) for n in (*SIZES[1:], *[1] * has_level)]
        networks.append(
            Network(
                [c.astype(dtype) for c in coefs],
                [b.astype(dtype) for b in intercepts],
                rng.normal(size=SIZES[0]).astype(dtype),
                rng.uniform(1, 2, SIZES[0]).astype(dtype),
                np.zeros(0, dtype),
            )
        )
        settings.append(
            SimpleNamespace(
                alpha=alpha,
                learning_rate_init=1e-3,
                dropout=dropout,
                activation=activation,
            )
        )
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
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
    stack._adam = lambda _, gradients: found.extend(gradients)
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
