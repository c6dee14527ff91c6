"""The shift and scale by which a network sees its items."""

import numpy as np
import scipy.sparse as sp

from skreward.utils.arrays import compute_dtype, least_spread, rows_as

# Pairs that the scale of the features is measured on.
SCALING_PAIRS = 1024
# Columns that are looked at side by side.
COLUMNS_AT_ONCE = 64


def scaling(items, index, rng):
    """Find every feature's mean, and its standard deviation in some pairs' items.

    Parameters
    ----------
    items : {array, csr} of shape (n_items, n_features)
    index : array of shape (n_pairs, 2) or (n_items, 1)
    rng : RandomState
        Draws `SCALING_PAIRS` where there are more.

    Returns
    -------
    shift, scale : arrays of shape (n_features,)
        In the dtype that the items are computed with. ``scale`` is 0 where the
        feature is rounding in all pairs: the network does not see it.
    """
    dtype = compute_dtype(items)
    some = index
    if len(index) > SCALING_PAIRS:
        some = index[rng.choice(len(index), SCALING_PAIRS, replace=False)]
    rows = rows_as(items[some.ravel()], dtype)
    unit = float(np.abs(rows).max())
    unit = unit if unit > 0 else 1.0
    shift, scale, size = _moments(rows, unit)
    least = least_spread(scale, size, dtype)
    doubtful = np.flatnonzero(scale <= least)
    if len(doubtful):
        rows = np.unique(index)
        if sp.issparse(items):
            items, rows = items[rows].tocsc(), np.arange(len(rows))
        for first in range(0, len(doubtful), COLUMNS_AT_ONCE):
            block = doubtful[first : first + COLUMNS_AT_ONCE]
            columns = rows_as(items[:, block][rows], dtype)
            shift[block], scale[block], size[block] = _moments(columns, unit)
        scale[scale <= np.maximum(least, least_spread(scale, size, dtype))] = 0.0
    return (shift * unit).astype(dtype), (scale * unit).astype(dtype)


def _moments(rows, unit):
    """Find mean, deviation and largest size of every column, over ``unit``."""
    rows = rows / rows.dtype.type(unit)
    size = np.abs(rows).max(axis=0).astype(np.float64)
    shift = rows.mean(axis=0, dtype=np.float64)
    rows -= shift.astype(rows.dtype)
    return shift, np.sqrt(np.square(rows).mean(axis=0, dtype=np.float64)), size
