r"""Solver for the linear reward r(x) = x @ w.

Conventions: with weights scaled to sum to 1,

    F(w) = sum_k weight_k loss(m_k, target_k) + 1/2 alpha ||w||^2
    m = r[index[:, 0]] - r[index[:, 1]],  r = items @ w

Rewards are computed once an item and gathered; gradients are scattered back to the
items and multiplied once: two passes over the items an iteration, whatever the
number of pairs. Differences of items are formed only for the preconditioner.
"""

from typing import NamedTuple

import numpy as np

from skreward.solvers.curvature import Curvature
from skreward.solvers.lbfgs import Step, minimise
from skreward.utils.arrays import too_large

# Pairs a feature that the curvature is estimated on: their noise costs iterations, not
# accuracy.
CURVATURE_PAIRS_PER_FEATURE = 2
MIN_CURVATURE_PAIRS = 4096
# Up to here Newton steps on all pairs cost next to nothing.
POLISHED_PAIRS = 8192
# Share of the first gradient at which polishing ends.
POLISHED = 1e-9


class LinearSolution(NamedTuple):
    """What a linear solver returns."""

    coef: np.ndarray
    loss: float
    n_iter: int
    converged: bool
    reduction: float
    """Norm of the preconditioned gradient, relative to the one at zero."""
    rewards: np.ndarray
    """Of the items, in float64."""


class _Point(NamedTuple):
    """The loss without its penalty, and what it was computed from."""

    coef: np.ndarray
    rewards: np.ndarray
    margin: np.ndarray
    loss: float
    gradient: np.ndarray

    def penalised(self, alpha):
        """Give F and its gradient."""
        value = self.loss + alpha / 2 * self.coef @ self.coef
        return value, self.gradient + alpha * self.coef


class LinearProblem:
    """F for one set of comparisons, solved for one alpha or for many.

    Parameters
    ----------
    items : ItemMatrix, or another with its methods
    comparisons : Comparisons
    objective : Objective
    """

    def __init__(self, items, comparisons, objective):
        self._items, self._objective = items, objective
        self._index, self._target = comparisons.index, comparisons.target
        self._first, self._second = np.ascontiguousarray(comparisons.index.T)
        self._weight = comparisons.weight / comparisons.weight.sum()
        self._precision = np.finfo(items.dtype).eps
        self._last = None
        origin = self._at(np.zeros(items.shape[1]))
        self._first_gradient = origin.gradient
        n_looked_at = CURVATURE_PAIRS_PER_FEATURE * items.shape[1]
        self._curvature = self._curvature_at(
            origin, max(MIN_CURVATURE_PAIRS, n_looked_at)
        )
        # Of the solutions so far, without the penalty's part.
        self._steps: list[Step] = []

    def solve(self, alpha, *, max_iter, tol, coef_init=None):
        """Minimise F by L-BFGS, preconditioned by the curvature at w = 0.

        Parameters
        ----------
        alpha : float
        max_iter : int
        tol : float
            Stop when the preconditioned gradient has fallen to ``tol`` times its norm
            at w = 0: a measure that no scale of features or weights changes.
        coef_init : array of shape (n_features,), default=None
            Start; zero by default.

        Returns
        -------
        solution : LinearSolution
        """
        start = np.zeros(self._items.shape[1]) if coef_init is None else coef_init
        scaling = self._curvature.preconditioner(alpha)
        reference = float(np.linalg.norm(scaling.gradient(self._first_gradient)))
        if not np.isfinite(reference):
            raise too_large(self._items.dtype)

        found = minimise(
            lambda coef: self._at(coef).penalised(alpha),
            start.astype(np.float64),
            scaling,
            # No gain is seen in the loss, which is log 2 at first, from a smaller one.
            size=max(tol * reference, np.sqrt(np.finfo(np.float64).eps)),
            max_iter=max_iter,
            # The rounding of float32 rewards averages out over pairs in the loss.
            noise=max(4 * np.finfo(np.float64).eps, 1e-3 * self._precision),
            steps=[Step(move, change + alpha * move) for move, change in self._steps],
        )
        self._steps = [
            Step(move, change - alpha * move) for move, change in found.steps
        ]
        reduction = found.size / reference if reference else 0.0
        # Where half the squared gradient, what a Newton step would gain, is lost in
        # the rounding of the loss, or the gradient in that of the products, being
        # stuck is the floor and no failure.
        is_at_floor = found.is_stuck and (
            reduction <= max(tol, np.sqrt(self._precision))
            or found.size**2 / 2 <= self._precision * found.value
        )
        converged = found.is_small or is_at_floor
        here = self._at(found.point)
        if converged and len(self._index) <= POLISHED_PAIRS:
            here = self._polish(here, alpha, reference)
        # Where one run ends the next of a path begins.
        self._last = here
        value, _ = here.penalised(alpha)
        return LinearSolution(
            here.coef, float(value), found.n_iter, converged, reduction, here.rewards
        )

    def _at(self, coef):
        """Evaluate the loss, unless that was done last."""
        if self._last is None or not np.array_equal(coef, self._last.coef):
            rewards = self._items.rewards(coef).astype(np.float64)
            margin = rewards[self._first] - rewards[self._second]
            value, slope = self._objective.value_gradient(margin, self._target)
            loss, gradient = self._weight @ value, self._back(slope)
            self._last = _Point(coef, rewards, margin, loss, gradient)
        return self._last

    def _back(self, slope):
        """Take slopes of the pairs' losses back to the coefficients."""
        n_items = self._items.shape[0]
        slope = self._weight * slope
        item_gradient = np.bincount(self._first, slope, n_items)
        item_gradient -= np.bincount(self._second, slope, n_items)
        return self._items.gradient(item_gradient).astype(np.float64)

    def _curvature_at(self, point, max_pairs):
        hessian = self._objective.hessian(point.margin, self._target)
        of_pairs = self._weight * hessian
        return Curvature(self._items, self._index, of_pairs, max_pairs)

    def _polish(self, here, alpha, reference, max_steps=5):
        """Take Newton steps while they at least halve the gradient.

        L-BFGS compares values of the loss, which resolve the optimum to the root of
        their rounding; a gradient resolves it to the rounding.
        """
        floor = max(POLISHED, 10 * self._precision) * reference
        for _ in range(max_steps):
            scaling = self._curvature_at(here, POLISHED_PAIRS).preconditioner(alpha)
            scaled = scaling.gradient(here.penalised(alpha)[1])
            there = self._at(here.coef - scaling.coef(scaled))
            size = np.linalg.norm(scaling.gradient(there.penalised(alpha)[1]))
            if not size < np.linalg.norm(scaled) / 2:
                break
            here = there
            if size <= floor:
                break
        return here
