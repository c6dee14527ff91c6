"""Products with items in a Dask array."""

import numpy as np
from sklearn import get_config

from skreward.solvers.items import gradient_of, item_rewards, largest
from skreward.utils import float16
from skreward.utils.arrays import compute_dtype, lifted, times_power
from skreward.utils.lazy import map_rows, sum_rows, take_rows

# What is looked at of some features, of all items together.
COLUMNS_BYTES = 1 << 29


class DaskItemMatrix:
    """What `skreward.solvers.items.ItemMatrix` offers, with the items beyond memory.

    Each product is a pass over the items.
    """

    def __init__(self, items):
        self.dtype = compute_dtype(items)
        self.shape = items.shape
        self._items = items
        # Whether numbers have to be looked at: until all were.
        self._check = not get_config()["assume_finite"]

    def rewards(self, coef):
        """Items @ coef, shape (n_items,) or (n_items, k), in float64."""
        columns = coef.reshape(len(coef), -1)
        rewards = map_rows(
            _rewards, self._items, columns, self._check,
            width=columns.shape[1], dtype=np.float64,
        )  # fmt: skip
        return rewards.reshape(self.shape[0], *coef.shape[1:])

    def gradient(self, item_gradient):
        """Items.T @ item_gradient, (n_features,) or (n_features, k), in float64."""
        values, exponent = lifted(item_gradient)
        columns = values.reshape(len(values), -1).astype(self.dtype)
        shape = self.shape[1], *item_gradient.shape[1:]
        gradient = sum_rows(
            _gradient, self._items, columns, self._check, width=int(np.prod(shape))
        )
        self._check = False
        return times_power(gradient.reshape(shape), exponent)

    def differences(self, index):
        """items[index[:, 0]] - items[index[:, 1]], in memory."""
        rows = self.rows(index.ravel()).reshape(*index.shape, -1)
        return rows[:, 0] - rows[:, 1]

    def sizes(self, rows):
        """Largest size of every feature in some rows, in float64."""
        return largest(self.rows(rows))

    def extent(self, features, index):
        """How far some features differ within a pair, and their sizes, at most."""
        apart, size = np.empty((2, len(features)))
        at_once = max(1, COLUMNS_BYTES // (self.shape[0] * self.dtype.itemsize))
        for start in range(0, len(features), at_once):
            some = features[start : start + at_once]
            columns = map_rows(
                _columns, self._items, some, width=len(some), dtype=self.dtype
            )
            for k, column in enumerate(columns.T, start):
                first, second = column[index.T].astype(np.float64)
                apart[k] = np.abs(first - second).max()
                size[k] = max(np.abs(first).max(), np.abs(second).max())
        return apart, size

    def rows(self, rows):
        """Give some rows, in memory."""
        found = take_rows(self._items, rows)
        if self._check:
            refuse_infinite(found, rows)
        return found.astype(self.dtype)


def refuse_infinite(block, rows):
    """Raise where a number of a block is none; ``rows`` are its rows' positions."""
    is_half = block.dtype == np.float16
    if float16.is_finite(block) if is_half else np.isfinite(block).all():
        return
    row, feature = np.argwhere(~np.isfinite(block))[0]
    raise ValueError(
        f"Input X contains NaN or infinity: {block[row, feature]} at item {rows[row]}, "
        f"feature {feature}."
    )


def _rewards(block, start, coef, checks):
    if checks:
        refuse_infinite(block, range(start, start + len(block)))
    coef, exponent = lifted(coef)
    return times_power(item_rewards(block, coef), exponent)


def _gradient(block, start, values, checks):
    if checks:
        refuse_infinite(block, range(start, start + len(block)))
    return gradient_of(block, values).astype(np.float64).ravel()


def _columns(block, start, features):
    return block[:, features].astype(compute_dtype(block))
