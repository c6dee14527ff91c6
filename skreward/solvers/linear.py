r"""Solver for the linear reward r(x) = x @ w.

Conventions: with weights scaled to sum to 1,

    F(w, theta) = sum_k weight_k loss(m_k, theta, target_k) + 1/2 alpha ||w||^2
    m = r[index[:, 0]] - r[index[:, 1]],  r = items @ w

where theta are parameters of the objective, if it has any; a position is both.

Rewards are computed once an item and gathered; gradients are scattered back to the
items and multiplied once: two passes over the items an iteration, whatever the
number of pairs. Differences of items are formed only for the preconditioner.

A feature whose differences are rounding (`skreward.utils.arrays.least_spread`) has
the coefficient 0, and its products are left out of every gradient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from skreward.objectives.base import Observed, check_offers
from skreward.solvers.curvature import Curvature
from skreward.solvers.items import largest
from skreward.solvers.lbfgs import MEMORY, Minimum, minimise
from skreward.solvers.lockstep import in_step
from skreward.utils.arrays import ROUNDING_STEPS, least_spread, out_of_range

# What is called of an objective.
CALLS = "initial", "value_gradient", "curvature"
# Pairs a feature that the curvature is estimated on: their noise costs iterations, not
# accuracy.
CURVATURE_PAIRS_PER_FEATURE = 2
MIN_CURVATURE_PAIRS = 4096
# Pairs whose items show how large the features are, and pairs that show how far these
# lie apart where no curvature is estimated.
SIZED_PAIRS, SPREAD_PAIRS = 64, 256
# What solving for many penalties at once may take.
BYTES_AT_ONCE = 1 << 29
# Up to here Newton steps on all pairs cost next to nothing; who asks for less than this
# wants no more.
POLISHED_PAIRS = 8192
POLISHED_TOL = 1e-3
# Share of the first gradient at which polishing ends.
POLISHED = 1e-9
DOUBLE = float(np.finfo(np.float64).eps)
# A gradient of theta that is a sum of shares rounded.
FLAT_THETA = 1e-12
# No smaller share of the first gradient is asked for: rounding decides there.
LEAST_TOL = np.sqrt(DOUBLE)


@dataclass(frozen=True)
class Point:
    """Where F was evaluated; all but ``alpha`` is of the loss without its penalty."""

    position: np.ndarray
    n_features: int
    rewards: np.ndarray
    loss: float
    slope: np.ndarray
    alpha: float = 0.0

    @property
    def value(self):
        """F."""
        return self.loss + self.alpha / 2 * float(self.coef @ self.coef)

    @property
    def gradient(self):
        """Of F."""
        gradient = self.slope.copy()
        gradient[: self.n_features] += self.alpha * self.coef
        return gradient

    @property
    def coef(self):
        """Weights of the features."""
        return self.position[: self.n_features]

    @property
    def theta(self):
        """Parameters of the objective."""
        return self.position[self.n_features :]


class LinearSolution(NamedTuple):
    """What a linear solver returns.

    ``reduction`` is the norm of the preconditioned gradient, relative to the one at
    zero.
    """

    point: Point
    n_iter: int
    converged: bool
    reduction: float

    @property
    def coef(self):
        """Weights, shape (n_features,), in float64."""
        return self.point.coef

    @property
    def theta(self):
        """Parameters of the objective, in float64."""
        return self.point.theta

    @property
    def loss(self):
        """F at the end."""
        return self.point.value

    @property
    def rewards(self):
        """Of the items, in float64."""
        return self.point.rewards

    def stopped(self, tol) -> str:
        """Say where a run ended that has not converged."""
        return (
            f"L-BFGS stopped after {self.n_iter} iterations with its gradient at "
            f"{self.reduction:.1e} of the first (tol={tol:g})."
        )


class LinearProblem:
    """F for one set of comparisons, solved for one alpha or for many.

    Parameters
    ----------
    items : ItemMatrix, or another with its methods
    comparisons : Comparisons
    objective : Objective
    like : LinearProblem, default=None
        Of more comparisons of the same items, whose curvature is taken for this one's.
    """

    def __init__(self, items, comparisons, objective, like: Self | None = None):
        check_offers(objective, CALLS, comparisons.columns, "The linear solver")
        self.items, self._objective = items, objective
        self._index = comparisons.index
        self._first, self._second = np.ascontiguousarray(comparisons.index.T)
        self._seen = Observed(
            comparisons.target,
            comparisons.weight / comparisons.weight.sum(),
            comparisons.columns,
        )
        self._precision = float(np.finfo(items.dtype).eps)
        n_pairs = SPREAD_PAIRS
        if like is None:
            per_feature = CURVATURE_PAIRS_PER_FEATURE * items.shape[1]
            n_pairs = max(MIN_CURVATURE_PAIRS, per_feature)
        sample = self._sample(n_pairs)
        z = items.differences(self._index[sample])
        self._dead: np.ndarray = np.zeros(0, dtype=int) if like is None else like._dead
        self._unit, size = self._measure(z)
        self._dead = np.flatnonzero(np.isinf(self._unit))
        theta = objective.initial(self._seen)
        origin = np.concatenate([np.zeros(items.shape[1]), theta])
        (self._origin,) = in_step(items, [self._at(origin)])
        self._is_flat = self._find_flat(size)
        if like is None:
            self._curvature = self._curvature_at(self._origin, sample, z)
        else:
            self._curvature = like._curvature

    def solve(self, alpha, *, max_iter, tol, coef_init=None) -> LinearSolution:
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
        scaling = self._curvature.preconditioner(alpha)
        run = self._run(alpha, scaling, max_iter, tol, coef_init)
        return in_step(self.items, [run])[0]

    def _run(self, alpha, scaling, max_iter, tol, coef_init=None):
        """Solve, and ask for the products with the items."""
        start = self._origin
        if coef_init is not None and not self._is_flat:
            position = np.concatenate([coef_init, self._origin.theta])
            start = yield from self._at(position)
        reference = float(np.linalg.norm(scaling.gradient(self._origin.slope)))
        if not (self._is_flat or 0 < reference < np.inf):
            raise out_of_range(self.items.dtype)

        search = minimise(
            replace(start, alpha=alpha),
            scaling,
            size=np.inf if self._is_flat else max(tol, LEAST_TOL) * reference,
            max_iter=max_iter,
            # The rounding of float32 rewards averages out over pairs in the loss.
            noise=max(4 * DOUBLE, 1e-3 * self._precision),
        )
        found = yield from self._evaluated(search, alpha)
        reduction = found.size / reference if reference else 0.0
        converged = has_converged(
            found, reduction, self._origin, tol=tol, precision=self._precision
        )
        here = found.point
        if self._is_flat:
            # Zero is the minimum, whatever the rounding of its gradient points at.
            here, converged = replace(self._origin, alpha=alpha), True
        elif converged and tol <= POLISHED_TOL and len(self._index) <= POLISHED_PAIRS:
            here = yield from self._polish(here, reference)
        self._check_range(here)
        return LinearSolution(here, found.n_iter, converged, reduction)

    def _evaluated(self, search, alpha):
        """Evaluate F where a search wants it, until it ends."""
        point = None
        while True:
            try:
                position = search.send(point)
            except StopIteration as end:
                return end.value
            point = yield from self._at(position, alpha)

    def _sample(self, max_pairs):
        """Choose pairs, the same at every call; all where there are no more."""
        n_pairs = len(self._index)
        if n_pairs <= max_pairs:
            return np.arange(n_pairs)
        chosen = np.random.default_rng(0).choice(n_pairs, max_pairs, replace=False)
        return np.sort(chosen)

    def _measure(self, z):
        """Find each feature's largest difference, infinite if rounding, and its size.

        What seems to be rounding in a sample is looked for in all pairs, but for what
        is known to be.
        """
        apart = largest(z)
        if not np.isfinite(apart).all():
            raise out_of_range(self.items.dtype)
        apart[self._dead] = 0.0
        size = self.items.sizes(self._index[:SIZED_PAIRS].ravel())
        least = least_spread(apart, size, self.items.dtype)
        doubtful = np.setdiff1d(np.flatnonzero(apart <= least), self._dead)
        if len(doubtful):
            apart[doubtful], size[doubtful] = self.items.extent(doubtful, self._index)
        apart[apart <= least_spread(apart, size, self.items.dtype)] = np.inf
        return apart, size

    def _at(self, position, alpha=0.0):
        """Evaluate F; sets coefficients of rounding to 0."""
        n_features = self.items.shape[1]
        position[self._dead] = 0.0
        coef, theta = np.split(position, [n_features])
        if coef.any():
            rewards = yield "rewards", coef
        else:
            rewards = np.zeros(self.items.shape[0])
        value, slope, of_theta = self._objective.value_gradient(
            self._margin(rewards), theta, self._seen
        )
        loss = float(self._seen.weight @ value)
        of_coef = yield "gradient", self._back(slope)
        of_coef[self._dead] = 0.0
        slope = np.concatenate([of_coef, of_theta])
        return Point(position, n_features, rewards, loss, slope, alpha)

    def _margin(self, rewards):
        return rewards[self._first] - rewards[self._second]

    def _back(self, slope):
        """Take slopes of the pairs' losses back to the items."""
        n_items = self.items.shape[0]
        slope = self._seen.weight * slope
        item_gradient = np.bincount(self._first, slope, n_items)
        item_gradient -= np.bincount(self._second, slope, n_items)
        return item_gradient

    def _find_flat(self, size):
        """Whether the gradient at zero is nothing but rounding, as of a coin's labels.

        ``size`` is that of the features. A sum of products errs by the root of the sum
        of their squares, in steps of rounding.
        """
        origin = self._origin
        _, slope, _ = self._objective.value_gradient(
            self._margin(origin.rewards), origin.theta, self._seen
        )
        of_products = self._precision * np.linalg.norm(self._back(slope))
        of_sums = DOUBLE * np.linalg.norm(self._seen.weight * slope)
        rounding = ROUNDING_STEPS * (of_products + of_sums) * size
        rounding = np.append(rounding, np.full(len(origin.theta), FLAT_THETA))
        return bool((np.abs(origin.slope) <= rounding).all())

    def _curvature_at(self, point, sample, z):
        """Estimate the curvature on a sample of pairs, given their differences."""
        curvature, of_theta = self._objective.curvature(
            self._margin(point.rewards), point.theta, self._seen
        )
        curvature = self._seen.weight * curvature
        of_sample = curvature[sample]
        # None may be left of the weights that hide in a sample.
        total = of_sample.sum()
        of_sample = of_sample / total if total > 0 else np.full(len(sample), 1.0)
        of_sample *= curvature.sum()
        left_out = 1 - len(sample) / len(self._index)
        return Curvature(z, of_sample, self._unit, left_out, of_theta)

    def _polish(self, here, reference, max_steps=5):
        """Take Newton steps while they at least halve the gradient.

        L-BFGS compares values of the loss, which resolve the optimum to the root of
        their rounding; a gradient resolves it to the rounding.
        """
        floor = max(POLISHED, 10 * self._precision) * reference
        every = self._sample(POLISHED_PAIRS)
        for _ in range(max_steps):
            z = self.items.differences(self._index)
            scaling = self._curvature_at(here, every, z).preconditioner(here.alpha)
            scaled = scaling.gradient(here.gradient)
            there = yield from self._at(
                here.position - scaling.coef(scaled), here.alpha
            )
            size = np.linalg.norm(scaling.gradient(there.gradient))
            if not size < np.linalg.norm(scaled) / 2:
                break
            here = there
            if size <= floor:
                break
        return here

    def _check_range(self, point):
        """Refuse coefficients or rewards that the items' dtype cannot hold."""
        for values in (point.coef, point.rewards):
            with np.errstate(over="ignore", under="ignore"):
                held = values.astype(self.items.dtype)
            if not np.isfinite(held).all() or (values.any() and not held.any()):
                raise out_of_range(self.items.dtype)


def solve_paths(
    problems: Sequence[LinearProblem], alphas, *, max_iter, tol
) -> Iterator[list[LinearSolution]]:
    """Solve problems of the same items for many penalties, in lockstep.

    Parameters
    ----------
    problems : sequence of LinearProblem
        The first, and others like it.
    alphas : sequence of float
    max_iter : int
    tol : float
        As in `LinearProblem.solve`.

    Yields
    ------
    solutions : list of LinearSolution
        Of every problem, for one alpha after the other.
    """
    items, curvature = problems[0].items, problems[0]._curvature
    n_items, n_features = items.shape
    of_run = 8 * (3 * n_items + 2 * MEMORY * n_features)
    n_bytes = curvature.n_bytes + len(problems) * of_run
    at_once = max(1, BYTES_AT_ONCE // n_bytes)
    for start in range(0, len(alphas), at_once):
        runs = []
        for alpha in alphas[start : start + at_once]:
            scaling = curvature.preconditioner(alpha)
            runs += [
                problem._run(alpha, scaling, max_iter, tol) for problem in problems
            ]
        solutions = in_step(items, runs)
        for first in range(0, len(runs), len(problems)):
            yield solutions[first : first + len(problems)]


def has_converged(found: Minimum, reduction, origin, *, tol, precision) -> bool:
    """Whether a run ended at a minimum, which the origin is known not to be.

    Parameters
    ----------
    found : Minimum
    reduction : float
        Norm of the gradient at the end, relative to the one at the origin.
    origin : Point
        Where the coefficients are zero.
    tol : float
        What the reduction should be.
    precision : float
        Relative rounding of the items' products.

    Returns
    -------
    converged : bool
        Where the gradient is small; or where nothing is better nearby, and either the
        gradient is lost in the rounding of the products, or half its square, what a
        Newton step would gain, in that of the loss. Never at the origin.
    """
    if np.array_equal(found.point.position, origin.position):
        return False
    is_lost = reduction <= max(tol, np.sqrt(precision))
    gain = found.size**2 / 2
    is_lost = is_lost or gain <= precision * found.point.value
    return bool(found.is_small or (found.is_stuck and is_lost))
