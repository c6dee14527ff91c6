"""Products with the items, on the CPU."""

import numpy as np
import scipy.sparse as sp

from skreward.utils import float16
from skreward.utils.arrays import compute_dtype, lifted, times_power

# float16 that takes no more than this in float32 is converted once.
CONVERTED_BYTES = 1 << 28
# Columns that are looked at side by side.
COLUMNS_AT_ONCE = 64
# Up to so many vectors are multiplied one by one, as fast as memory gives the items:
# BLAS takes its time to prepare the product of two matrices.
FEW_VECTORS = 3
# Rows whose product with a matrix takes the least time.
BLOCK_ROWS = 1024


def item_rewards(items, coef):
    """Items @ coef, (n_items,) or (n_items, k), in the items' dtype.

    In float32 for float16.
    """
    if items.dtype == np.float16:
        return float16.rewards(items, coef)
    coef = coef.astype(items.dtype)
    if coef.ndim == 1 or sp.issparse(items):
        return items @ coef
    if coef.shape[1] <= FEW_VECTORS:
        return np.stack([items @ column for column in coef.T]).T
    rewards = np.empty((coef.shape[1], items.shape[0]), dtype=items.dtype)
    for start in range(0, items.shape[0], BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        rewards[:, block] = (items[block] @ coef).T
    return rewards.T


def keeps_infinity(items):
    """Whether a row with infinity or NaN has a reward that is infinite or NaN, too.

    Any number times such a one is, zero included; but where a column lies in one piece
    BLAS may leave out the columns whose coefficient is zero.
    """
    if not isinstance(items, np.ndarray) or not items.flags.c_contiguous:
        return False
    if items.dtype == np.float16:
        return float16.keeps_infinity()
    return items.dtype in (np.float32, np.float64)


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
        self._items = float16.to_float32(items) if is_half and is_small else items

    def rewards(self, coef):
        """Items @ coef, shape (n_items,) or (n_items, k), in float64."""
        coef, exponent = lifted(coef)
        return times_power(item_rewards(self._items, coef), exponent)

    def gradient(self, item_gradient):
        """Items.T @ item_gradient, (n_features,) or (n_features, k), in float64."""
        item_gradient, exponent = lifted(item_gradient)
        gradient = gradient_of(self._items, item_gradient)
        return times_power(gradient, exponent)

    def differences(self, index):
        """items[index[:, 0]] - items[index[:, 1]], dense or sparse as the items."""
        first, second = self._items[index[:, 0]], self._items[index[:, 1]]
        if self._items.dtype == np.float16:
            first, second = float16.to_float32(first), float16.to_float32(second)
        return first - second

    def sizes(self, rows):
        """Largest size of every feature in some rows, in float64."""
        return largest(self._items[rows])

    def extent(self, features, index):
        """How far some features differ within a pair, and their sizes, at most.

        Of sparse items, how far they differ within all pairs together.
        """
        if sp.issparse(self._items):
            occurring = self._items[np.unique(index)]
            high, low = (
                m.toarray().ravel() for m in (occurring.max(0), occurring.min(0))
            )
            size = np.maximum(high, -low)
            return tuple(a[features].astype(np.float64) for a in (high - low, size))
        return extent(lambda block: self._items[:, block], features, index)


def gradient_of(items, item_gradient):
    """Items.T @ item_gradient, (n_features,) or (n_features, k), as `item_rewards`."""
    if items.dtype == np.float16:
        return float16.gradient(items, item_gradient)
    item_gradient = item_gradient.astype(items.dtype)
    if item_gradient.ndim == 1 or sp.issparse(items):
        return items.T @ item_gradient
    if item_gradient.shape[1] <= FEW_VECTORS:
        return np.stack([items.T @ column for column in item_gradient.T]).T
    return (np.ascontiguousarray(item_gradient.T) @ items).T


def extent(columns, features, index):
    """Find the extents of some features of dense items, a few side by side."""
    apart, size = np.empty((2, len(features)))
    for start in range(0, len(features), COLUMNS_AT_ONCE):
        block = slice(start, start + COLUMNS_AT_ONCE)
        values = columns(features[block]).astype(np.float64)
        first, second = values[index[:, 0]], values[index[:, 1]]
        apart[block] = largest(first - second)
        size[block] = np.maximum(largest(first), largest(second))
    return apart, size


def largest(values):
    """Find the largest size in every column, in float64."""
    if sp.issparse(values):
        return abs(values).max(axis=0).toarray().ravel().astype(np.float64)
    return np.maximum(values.max(axis=0), -values.min(axis=0)).astype(np.float64)
