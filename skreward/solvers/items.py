"""Products with the items, on the CPU."""

import numpy as np
import scipy.sparse as sp

from skreward.utils import float16
from skreward.utils.arrays import compute_dtype

# float16 that takes no more than this in float32 is converted once.
CONVERTED_BYTES = 1 << 28


def item_rewards(items, coef):
    """Items @ coef, shape (n_items,), in the items' dtype; in float32 for float16."""
    if items.dtype == np.float16:
        return float16.rewards(items, coef)
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
        self._items = float16.to_float32(items) if is_half and is_small else items

    def rewards(self, coef):
        """Items @ coef, shape (n_items,)."""
        return item_rewards(self._items, coef)

    def gradient(self, item_gradient):
        """Items.T @ item_gradient, shape (n_features,)."""
        if self._items.dtype == np.float16:
            return float16.gradient(self._items, item_gradient)
        return self._items.T @ item_gradient.astype(self.dtype)

    def differences(self, index):
        """items[index[:, 0]] - items[index[:, 1]], dense or sparse as the items."""
        first, second = self._items[index[:, 0]], self._items[index[:, 1]]
        if self._items.dtype == np.float16:
            first, second = float16.to_float32(first), float16.to_float32(second)
        return first - second

    def is_constant(self, features):
        """Whether each of some features is the same in every item."""
        if sp.issparse(self._items):
            return np.zeros(len(features), dtype=bool)
        return (self._items[:, features] == self._items[0, features]).all(axis=0)
