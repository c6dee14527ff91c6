"""Curvature of the mean loss, and what preconditions by it."""

import numpy as np
import scipy.sparse as sp

from skreward.utils.arrays import rows_as

# A Cholesky factor of the curvature costs d^3 / 3; beyond, only its diagonal.
MAX_FACTORED_FEATURES = 4096
# In units this small a coefficient does not move.
FROZEN = 1e100


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
