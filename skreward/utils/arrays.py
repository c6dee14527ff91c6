"""Rows and dtypes of item matrices."""

import numpy as np
import scipy.sparse as sp


def rows_as(items, dtype):
    """Give rows as a dense array of a dtype, without a copy where they are one."""
    if sp.issparse(items):
        items = items.toarray()
    return np.asarray(items, dtype=dtype)


def compute_dtype(items):
    """Follow X's dtype; float16 is storage and computes in float32."""
    return np.dtype(np.float64 if items.dtype == np.float64 else np.float32)


def too_large(dtype):
    """Give the error of items whose rewards leave the floats."""
    return ValueError(
        f"The fitted rewards are not finite: X is too large for {dtype}. Scale the "
        "items with ItemwiseTransformer(StandardScaler())."
    )
