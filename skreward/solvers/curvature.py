"""Curvature of the mean loss, and what preconditions by it."""

import numpy as np
import scipy.sparse as sp

from skreward.utils.arrays import rows_as

# A Cholesky factor of the curvature costs d^3 / 3; beyond, only its diagonal.
MAX_FACTORED_FEATURES = 4096
# Columns of the factor that are found at once.
BLOCK = 64


class Curvature:
    """Curvature of the mean loss, sum_k c_k z_k z_k', z_k the differences.

    Parameters
    ----------
    z : {array, csr} of shape (n, n_features)
        Differences of a sample of the pairs. Overwritten.
    curvature : array of shape (n,)
        Of the sample, so that it stands for all pairs.
    unit : array of shape (n_features,)
        Near the largest difference of each feature: in these units nothing over- or
        underflows. Infinite where a feature has none, and its coefficient stays.
    left_out : float
        Share of the pairs that are not in the sample. What is noise then is shrunk
        towards the diagonal.
    of_theta : array of shape (n_parameters,)
        Curvature of parameters beside the coefficients, if there are any.
    """

    def __init__(self, z, curvature, unit, left_out=0.0, of_theta=()):
        self._unit = unit
        self._of_theta = np.asarray(of_theta, dtype=np.float64)
        self._is_factored = z.shape[1] <= MAX_FACTORED_FEATURES
        if self._is_factored:
            scaled = _scale(z, np.sqrt(curvature), unit)
            gram = scaled.T @ scaled
            self._gram = gram.toarray() if sp.issparse(gram) else gram
            self._diagonal = self._gram.diagonal().astype(np.float64)
            if left_out:
                # The diagonal is kept beside, and put back where this is factored.
                self._gram *= 1 - left_out * self._noise(scaled)
        else:
            self._diagonal = _weighted_square_sum(z, curvature, unit)

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

    @property
    def n_bytes(self):
        """What a preconditioner takes."""
        return self._gram.nbytes if self._is_factored else 8 * len(self._unit)

    def preconditioner(self, alpha):
        """Factor the curvature plus alpha I, or scale by its diagonal."""
        of_coef = self._of_coef(alpha)
        if not len(self._of_theta):
            return of_coef
        floor = np.finfo(np.float64).tiny
        of_theta = _Diagonal(np.sqrt(np.maximum(self._of_theta, floor)))
        return _Beside(of_coef, of_theta, len(self._unit))

    def _of_coef(self, alpha):
        root = np.sqrt(self._diagonal + _tiny(self._diagonal))
        has_any = np.isfinite(self._unit)
        unit = np.where(has_any, self._unit, 1.0)
        scale = np.hypot(unit * root, np.sqrt(alpha))
        scale = np.maximum(scale, np.finfo(np.float64).tiny)
        if not self._is_factored:
            return _Diagonal(scale)
        with np.errstate(over="ignore"):
            inverse = 1 / np.hypot(root, np.sqrt(alpha) / unit)
        inverse = (inverse * has_any).astype(self._gram.dtype)
        correlation = self._gram * inverse
        correlation *= inverse[:, np.newaxis]
        return _Factor(correlation, scale)


def _scale(z, of_rows, unit):
    """Multiply rows, and divide columns by their units, in z's own dtype."""
    of_rows, unit = of_rows.astype(z.dtype), unit.astype(z.dtype)
    if sp.issparse(z):
        z = sp.diags_array(of_rows) @ z.tocsr()
        z.data /= unit[z.indices]
        return z
    # Divided first: products of the two may underflow.
    z /= unit
    z *= of_rows[:, np.newaxis]
    return z


class _Diagonal:
    """w = v / s."""

    def __init__(self, scale):
        self._scale = scale

    def coef(self, scaled):
        return scaled / self._scale

    def gradient(self, gradient):
        return gradient / self._scale


class _Beside:
    """One for the coefficients and one for theta."""

    def __init__(self, of_coef, of_theta, n_features):
        self._parts, self._n_features = (of_coef, of_theta), n_features

    def coef(self, scaled):
        parts = zip(self._parts, np.split(scaled, [self._n_features]), strict=True)
        return np.concatenate([part.coef(vector) for part, vector in parts])

    def gradient(self, gradient):
        parts = zip(self._parts, np.split(gradient, [self._n_features]), strict=True)
        return np.concatenate([part.gradient(vector) for part, vector in parts])


class _Factor:
    """w = L^-T v / s, where L L' is the curvature with a unit diagonal."""

    def __init__(self, correlation, scale):
        jitter = 10 * np.finfo(correlation.dtype).eps
        while True:
            np.fill_diagonal(correlation, 1.0 + jitter)
            try:
                self._factor = CholeskyFactor(correlation)
                break
            except np.linalg.LinAlgError:
                jitter *= 100
        self._scale = scale

    def coef(self, scaled):
        return self._between_sizes(self._factor.solve_transposed, scaled) / self._scale

    def gradient(self, gradient):
        return self._between_sizes(self._factor.solve, gradient / self._scale)

    def _between_sizes(self, solve, vector):
        # In the factor's dtype, between sizes that it can hold.
        size = np.abs(vector).max()
        size = size if size > 0 else 1.0
        return size * solve((vector / size).astype(self._factor.dtype))


class CholeskyFactor:
    """L of a matrix L L', a block of columns after the other.

    Nearly all of it is products, of NumPy: LAPACK's routine takes longer, and SciPy's
    would have threads of their own wait for the same cores, as `benchmarks.twins`
    measures. Blocks on the diagonal are kept inverted, so that solving is products too.
    """

    def __init__(self, matrix):
        self.dtype = matrix.dtype
        lower = matrix.copy()
        self._blocks = []
        for start in range(0, len(matrix), BLOCK):
            here = slice(start, start + BLOCK)
            before = lower[start:, :start]
            lower[start:, here] -= before @ before[:BLOCK].T
            inverse = np.tril(np.linalg.inv(np.linalg.cholesky(lower[here, here])))
            below = lower[start + BLOCK :, here]
            below[:] = below @ inverse.T
            self._blocks.append((here, lower[here, :start], inverse))

    def solve(self, vector):
        """L^-1 vector, in float64."""
        solution = np.empty_like(vector)
        for here, before, inverse in self._blocks:
            known = before @ solution[: here.start]
            solution[here] = inverse @ (vector[here] - known)
        return solution.astype(np.float64)

    def solve_transposed(self, vector):
        """L'^-1 vector, in float64."""
        solution = vector.copy()
        for here, before, inverse in reversed(self._blocks):
            solution[here] = inverse.T @ solution[here]
            solution[: here.start] -= before.T @ solution[here]
        return solution.astype(np.float64)


def _weighted_square_sum(z, weight, unit, block=1024):
    """sum_k weight_k (z_kj / unit_j)^2 for every feature j."""
    total = np.zeros(z.shape[1])
    for start in range(0, z.shape[0], block):
        rows = rows_as(z[start : start + block], np.float64) / unit
        total += weight[start : start + block] @ np.square(rows)
    return total


def _tiny(diagonal):
    """A floor for the curvature of features that do not differ in the sample."""
    floor = float(np.finfo(np.float32).tiny)
    return floor + 1e-12 * float(np.max(diagonal, initial=0.0))
