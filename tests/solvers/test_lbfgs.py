"""L-BFGS against SciPy's, and where it has to give up."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit

from skreward.solvers import lbfgs
from skreward.solvers.lbfgs import evaluated, minimise


class Plain:
    """No preconditioning."""

    coef = gradient = staticmethod(lambda vector: vector)


class Diagonal:
    def __init__(self, scale):
        self._scale = scale

    def coef(self, vector):
        return vector / self._scale

    gradient = coef


@pytest.fixture
def logistic():
    """A penalised logistic loss of badly scaled features."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 12)) * np.logspace(-1, 1, 12)
    sign = np.where(rng.uniform(size=300) < 0.5 + 0.4 * np.tanh(z[:, 3]), 1, -1)

    def value_gradient(w, alpha=1e-3):
        margin = sign * (z @ w)
        slope = -sign * expit(-margin) / 300
        value = np.logaddexp(0, -margin).mean() + alpha / 2 * w @ w
        return value, z.T @ slope + alpha * w

    value_gradient.scale = np.sqrt((z**2).mean(axis=0) / 4)
    return value_gradient


class Point(NamedTuple):
    position: np.ndarray
    value: float
    gradient: np.ndarray


def run(function, scaling=Plain, n=12, start=None, **params):
    def evaluate(position):
        return Point(position, *function(position))

    defaults = {"size": 1e-9, "max_iter": 500, "noise": 1e-15}
    start = evaluate(np.zeros(n) if start is None else start)
    return evaluated(minimise(start, scaling, **defaults | params), evaluate)


def test_points_are_the_caller_s(logistic):
    seen = []

    def evaluate(position):
        seen.append(Point(position, *logistic(position)))
        return seen[-1]

    start = evaluate(np.zeros(12))
    search = minimise(start, Plain, size=1e-9, max_iter=500, noise=1e-15)
    found = evaluated(search, evaluate)
    assert any(found.point is point for point in seen)
    positions = {point.position.tobytes() for point in seen}
    assert len(positions) == len(seen), "a point was evaluated twice"


def test_the_minimum_is_that_of_scipy(logistic):
    found = run(logistic)
    theirs = minimize(logistic, np.zeros(12), jac=True, tol=1e-12, method="BFGS")
    assert found.is_small
    assert not found.is_stuck
    assert_allclose(found.point.position, theirs.x, rtol=1e-5, atol=1e-8)
    assert_allclose(found.point.value, theirs.fun, rtol=1e-12)


def test_scaling_changes_the_way_and_not_the_end(logistic):
    plain, scaled = run(logistic), run(logistic, Diagonal(logistic.scale))
    assert_allclose(scaled.point.position, plain.point.position, rtol=1e-5, atol=1e-7)
    assert scaled.n_iter < 0.8 * plain.n_iter


def test_no_iteration_raises_the_function(logistic):
    values = [run(logistic, max_iter=k).point.value for k in range(12)]
    assert (np.diff(values) < 0).all()


def test_a_memory_that_misleads_is_dropped(logistic, monkeypatch):
    precondition, lengths = lbfgs._precondition, []

    def misled(gradient, memory, scaling):
        lengths.append(len(memory))
        uphill = -1 if lengths.count(3) == 1 == lengths[-1] - 2 else 1
        return uphill * precondition(gradient, memory, scaling)

    monkeypatch.setattr(lbfgs, "_precondition", misled)
    found = run(logistic)
    assert lengths[:5] == [0, 1, 2, 3, 0]
    assert found.is_small
    assert_allclose(
        found.point.position, run(logistic).point.position, rtol=1e-4, atol=1e-6
    )


def test_max_iter(logistic):
    found = run(logistic, max_iter=3)
    assert found.n_iter == 3
    assert not found.is_small
    assert not found.is_stuck


def test_nothing_to_do(logistic):
    found = run(logistic, size=1e9)
    assert found.n_iter == 0
    assert found.is_small


def test_a_function_in_low_precision_is_followed_by_its_slopes(logistic):
    def rounded(w):
        value, gradient = logistic(w)
        return float(np.float32(value)), gradient

    found = run(rounded, size=1e-6, noise=1e-7)
    assert found.is_small
    assert_allclose(
        found.point.position, run(logistic).point.position, rtol=1e-3, atol=1e-4
    )


def test_steps_that_gain_nothing_end_it(logistic):
    def rounded(w):
        value, gradient = logistic(w)
        return value, gradient.astype(np.float16).astype(np.float64)

    found = run(rounded, size=1e-12, noise=1e-4)
    assert found.is_stuck
    assert not found.is_small
    assert found.n_iter < 100
    assert found.point.value <= run(logistic).point.value + 1e-3


def test_a_gradient_that_lies_leaves_it_stuck():
    found = run(lambda w: (float(w @ w), -2 * w - 1.0), n=3)
    assert found.is_stuck
    assert not found.is_small
    assert_allclose(found.point.position, 0)


def test_a_step_into_the_infinite_is_taken_back():
    def barrier(w):
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(-np.log(1 - w[0]) - 3 * w[0])
        value = value if np.isfinite(value) else np.inf
        return value, np.array([1 / (1 - w[0]) - 3])

    assert_allclose(run(barrier, n=1).point.position, 2 / 3, rtol=1e-6)
