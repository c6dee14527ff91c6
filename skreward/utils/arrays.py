"""Rows and dtypes of item matrices, and what is only rounding in them."""

import numpy as np
import scipy.sparse as sp

# So many steps of rounding apart, numbers that should be equal may come out.
ROUNDING_STEPS = 8


def rows_as(items, dtype):
    """Give rows as a dense array of a dtype, without a copy where they are one."""
    if sp.issparse(items):
        items = items.toarray()
    return np.asarray(items, dtype=dtype)


def compute_dtype(items):
    """Follow X's dtype; float16 is storage and computes in float32."""
    return np.dtype(np.float64 if items.dtype == np.float64 else np.float32)


def least_spread(spread, size, dtype):
    r"""Give the spread up to which a feature is rounding and no information.

    .. math:: 8 \varepsilon \max(|x_j|, M)

    with epsilon of ``dtype``, the feature's own size :math:`|x_j|`, and M the median
    of the spreads that are not zero (the lower of two): neither a feature of huge
    spread nor many of none move it.

    Parameters
    ----------
    spread, size : arrays of shape (n_features,)
        How far apart a feature's values lie, and how large they are.
    dtype : dtype
        That the items are computed with.

    Returns
    -------
    least : array of float64, shape (n_features,)
    """
    others = np.sort(spread[spread > 0])
    typical = others[(len(others) - 1) // 2] if len(others) else 0.0
    step = ROUNDING_STEPS * float(np.finfo(dtype).eps)
    return step * np.maximum(size, typical).astype(np.float64)


def lifted(vector):
    """Give a vector of sizes up to 1, and the power of two it was divided by.

    What is multiplied by it in float32 neither over- nor underflows sooner than the
    other factor. Of a matrix, the same for every column.
    """
    vector = np.asarray(vector, dtype=np.float64)
    size = np.maximum(vector.max(axis=0, initial=0), -vector.min(axis=0, initial=0))
    # Of powers whose inverse is a float too.
    exponent = np.clip(np.frexp(size)[1], -1000, 1000)
    return times_power(vector, -exponent), exponent


def times_power(values, exponent):
    """Give values times powers of two in float64: `np.ldexp`, in less time."""
    return np.multiply(values, np.ldexp(1.0, exponent), dtype=np.float64)


def out_of_range(dtype):
    """Give the error of items whose rewards leave the floats."""
    return ValueError(
        f"The fitted rewards leave the range of {dtype}: the numbers in X are too "
        "large or too small for it. Scale the items with "
        "ItemwiseTransformer(StandardScaler())."
    )
