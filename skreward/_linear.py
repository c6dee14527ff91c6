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
import scipy.sparse as sp

from skreward import _half
from skreward._lbfgs import Step, minimise
from skreward._validation import compute_dtype, rows_as, too_large

# A Cholesky factor of the curvature costs d^3 / 3; beyond, only its diagonal.
MAX_FACTORED_FEATURES = 4096
# Pairs a feature that the curvature is estimated on: their noise costs iterations, not
# accuracy.
CURVATURE_PAIRS_PER_FEATURE = 2
MIN_CURVATURE_PAIRS = 4096
# Up to here Newton steps on all pairs cost next to nothing.
POLISHED_PAIRS = 8192
# Share of the first gradient at which polishing ends.
POLISHED = 1e-9
# In units this small a coefficient does not move.
FROZEN = 1e100
# float16 that takes no more than this in float32 is converted once.
CONVERTED_BYTES = 1 << 28


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


def item_rewards(items, coef):
    """Items @ coef, shape (n_items,), in the items' dtype; in float32 for float16."""
    if items.dtype == np.float16:
        return _half.rewards(items, coef)
    return items @ coef.astype(items.dtype)


class ItemMatrix:
    """Products with the items, which stay where and as they are stored.

    float16 is converted to float32 block by block unless it is small.
    """

    def __init__(self, items):
        self.dtype = compute_dtype(items)
        self.shape = items.shape
        n_bytes = items.shape[0] * items.shape[1] * self.dtype.itemsize
        is_half = items.dtype == np.float16
        is_small = n_bytes <= CONVERTED_BYTES
        self._items = _half.to_float32(items) if is_half and is_small else items

    def rewards(self, coef):
        """Items @ coef, shape (n_items,)."""
        return item_rewards(self._items, coef)

    def gradient(self, item_gradient):
        """Items.T @ item_gradient, shape (n_features,)."""
        if self._items.dtype == np.float16:
            return _half.gradient(self._items, item_gradient)
        return self._items.T @ item_gradient.astype(self.dtype)

    def differences(self, index):
        """items[index[:, 0]] - items[index[:, 1]], dense or sparse as the items."""
        first, second = self._items[index[:, 0]], self._items[index[:, 1]]
        if self._items.dtype == np.float16:
            first, second = _half.to_float32(first), _half.to_float32(second)
        return first - second

    def is_constant(self, features):
        """Whether each of some features is the same in every item."""
        if sp.issparse(self._items):
            return np.zeros(len(features), dtype=bool)
        return (self._items[:, features] == self._items[0, features]).all(axis=0)


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


class Curvature:
    """Curvature of the mean loss, sum_k c_k z_k z_k', z_k the differences.

    Estimated on a deterministic subset of at most ``max_pairs`` pairs, and shrunk
    towards its diagonal as far as it is noise.
    """

    def __init__(self, items, index, curvature, max_pairs):
        n_pairs, n_features = len(index), items.shape[1]
        left_out = 1 - min(1, max_pairs / n_pairs)
        if left_out:
            kept = np.random.default_rng(0).choice(n_pairs, max_pairs, replace=False)
            kept.sort()
            curvature = curvature[kept] * (curvature.sum() / curvature[kept].sum())
            index = index[kept]
        z = items.differences(index)
        largest = _largest(z)
        still = np.flatnonzero(largest == 0)
        largest[still] = 1.0
        # The gradient of a constant feature is nothing but rounding: it stays where
        # it is.
        largest[still[items.is_constant(still)]] = FROZEN
        # In units of each feature's largest difference nothing over- or underflows.
        self._unit = largest
        self._is_factored = n_features <= MAX_FACTORED_FEATURES
        if self._is_factored:
            scaled = _scale(z, np.sqrt(curvature), 1 / largest)
            gram = scaled.T @ scaled
            self._gram = gram.toarray() if sp.issparse(gram) else gram
            self._diagonal = self._gram.diagonal().astype(np.float64)
            if left_out:
                # The diagonal is kept beside, and put back where this is factored.
                self._gram *= 1 - left_out * self._noise(scaled)
        else:
            self._diagonal = _weighted_square_sum(z, curvature, largest)

    def _noise(self, rows):
        r"""Estimate the share of noise in the correlations of few rows.

        .. math:: \frac{\sum_k ||x_k||^4 - ||C||^2 / n}{||C||^2 - d}

        with the n rows x in units in which C = X'X has a diagonal of ones. From
        O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional
        covariance matrices" (2004).
        """
        size = np.sqrt(self._diagonal + _tiny(self._diagonal)).astype(rows.dtype)
        squares = rows.power(2) if sp.issparse(rows) else np.square(rows)
        lengths = (squares @ (1 / size**2)).astype(np.float64)
        correlation = self._gram / size / size[:, np.newaxis]
        total = float(np.linalg.norm(correlation)) ** 2
        spread = total - np.count_nonzero(self._diagonal)
        noise = lengths @ lengths - total / len(lengths)
        return min(1.0, noise / spread) if spread > 0 else 0.0

    def preconditioner(self, alpha):
        """Factor the curvature plus alpha I, or scale by its diagonal."""
        with np.errstate(over="ignore", divide="ignore"):
            ridge = np.minimum(alpha / self._unit / self._unit, 1e200)
        diagonal = self._diagonal + ridge
        scale = np.sqrt(diagonal + _tiny(diagonal))
        if not self._is_factored:
            return _Diagonal(self._unit * scale)
        inverse = (1 / scale).astype(self._gram.dtype)
        correlation = self._gram * inverse
        correlation *= inverse[:, np.newaxis]
        return _Factor(correlation, self._unit * scale)


def _largest(z):
    """Find the largest size in every column, in float64."""
    if sp.issparse(z):
        return abs(z).max(axis=0).toarray().ravel().astype(np.float64)
    return np.maximum(z.max(axis=0), -z.min(axis=0)).astype(np.float64)


def _scale(z, of_rows, of_columns):
    """Multiply rows and columns, in z's own dtype."""
    of_rows, of_columns = of_rows.astype(z.dtype), of_columns.astype(z.dtype)
    if sp.issparse(z):
        return sp.diags_array(of_rows) @ z @ sp.diags_array(of_columns)
    z *= of_rows[:, np.newaxis]
    z *= of_columns
    return z


class _Diagonal:
    """w = v / s."""

    def __init__(self, scale):
        self._scale = scale

    def coef(self, scaled):
        return scaled / self._scale

    def gradient(self, gradient):
        return gradient / self._scale


class _Factor:
    """w = L^-T v / s, where L L' is the curvature with a unit diagonal."""

    def __init__(self, correlation, scale):
        jitter = 10 * np.finfo(correlation.dtype).eps
        while True:
            np.fill_diagonal(correlation, 1.0 + jitter)
            try:
                self._inverse = _inverse_factor(correlation)
                break
            except np.linalg.LinAlgError:
                jitter *= 100
        self._scale = scale

    def coef(self, scaled):
        return self._times(self._inverse.T, scaled) / self._scale

    def gradient(self, gradient):
        return self._times(self._inverse, gradient / self._scale)

    def _times(self, matrix, vector):
        # In the matrix's dtype, between sizes that it can hold.
        size = np.abs(vector).max()
        size = size if size > 0 else 1.0
        return size * (matrix @ (vector / size).astype(matrix.dtype)).astype(np.float64)


def _inverse_factor(matrix, largest=64):
    """Invert the Cholesky factor of a matrix, by halves.

    Nearly all of it is products, of NumPy: LAPACK's two routines take longer, and
    SciPy's would have threads of their own wait for the same cores.
    """
    n = len(matrix)
    if n <= largest:
        return np.tril(np.linalg.inv(np.linalg.cholesky(matrix)))
    half = n // 2
    inverse = np.zeros_like(matrix)
    first = _inverse_factor(matrix[:half, :half])
    below = matrix[half:, :half] @ first.T
    last = _inverse_factor(matrix[half:, half:] - below @ below.T)
    inverse[:half, :half], inverse[half:, half:] = first, last
    inverse[half:, :half] = -last @ (below @ first)
    return inverse


def _weighted_square_sum(z, weight, largest, block=1024):
    """sum_k weight_k (z_kj / largest_j)^2 for every feature j."""
    total = np.zeros(z.shape[1])
    for start in range(0, z.shape[0], block):
        rows = rows_as(z[start : start + block], np.float64) / largest
        total += weight[start : start + block] @ np.square(rows)
    return total


def _tiny(values):
    """A floor for features that never differ, whose scale is free."""
    return 1e-200 + 1e-12 * float(np.max(values, initial=0.0))
