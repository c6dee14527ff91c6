"""Labels of pairs, ratings of items, and the pairs that ratings make."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.random import sample_without_replacement

from skreward.utils.typing import Array, ArrayLike


def check_preferences(y: ArrayLike | None, n_pairs: int, name: str = "y") -> Array:
    """Turn labels of pairs into P(first preferred).

    1 / 0, +1 / -1, booleans, and floats in [0, 1] are labels; None says that the
    first is always the chosen one.
    """
    if y is None:
        return np.ones(n_pairs)
    y = check_numbers(y, name)
    if len(y) != n_pairs:
        raise ValueError(f"{name} has {len(y)} labels for {n_pairs} pairs.")
    signed = y.min() < 0
    wrong = (np.abs(y) != 1) if signed else (y > 1)
    if wrong.any():
        k = int(wrong.argmax())
        raise ValueError(
            f"{name} must hold 1 (first preferred) and 0, or +1 and -1, or "
            f"probabilities in [0, 1]; got {y[k]:g} at pair {k}"
            + (" beside negative labels." if signed else ".")
        )
    return (y + 1) / 2 if signed else y


def check_numbers(values: Any, name: str) -> Array:
    """Turn a 1-D array-like of numbers into finite float64."""
    values = column_or_1d(values, warn=True)
    kind = values.dtype.kind
    is_numeric = kind in "biuf" or (
        kind == "O" and all(isinstance(v, Real) for v in values)
    )
    if not is_numeric:
        raise ValueError(
            f"{name} must hold numbers, got dtype {values.dtype}. Encode a label as "
            "1 where the first is preferred and 0 where the second is."
        )
    values = values.astype(np.float64)
    assert_all_finite(values, input_name=name)
    if len(values) == 0:
        raise ValueError(f"{name} is empty.")
    return values


def differ(ratings, groups=None):
    """Whether any two ratings of one group differ."""
    if groups is None:
        groups = np.zeros(len(ratings), dtype=np.intp)
    order = np.lexsort((ratings, groups))
    ratings, groups = ratings[order], groups[order]
    return bool(((ratings[1:] != ratings[:-1]) & (groups[1:] == groups[:-1])).any())


def rated_pairs(ratings, max_pairs, random_state, groups=None):
    """Pair every item with every item of its group rated below it: better one first.

    ``groups`` are integers, a group an item; None is one group of all. Returns at
    most ``max_pairs`` pairs, drawn without replacement beyond.
    """
    if groups is None:
        groups = np.zeros(len(ratings), dtype=np.intp)
    order = np.lexsort((ratings, groups))
    starts_group = np.diff(groups[order], prepend=-1) != 0
    starts_level = starts_group | (np.diff(ratings[order], prepend=np.nan) != 0)
    position = np.arange(len(order))
    start = np.maximum.accumulate(np.where(starts_group, position, 0))
    level = np.maximum.accumulate(np.where(starts_level, position, 0))
    n_below = level - start
    last = np.cumsum(n_below)
    n_pairs = int(n_below.sum())
    if max_pairs is None or n_pairs <= max_pairs:
        number = np.arange(n_pairs)
    else:
        number = sample_without_replacement(
            n_pairs, max_pairs, random_state=check_random_state(random_state)
        )
        number.sort()
    better = np.searchsorted(last, number, side="right")
    worse = start[better] + number - (last[better] - n_below[better])
    return np.column_stack([order[better], order[worse]])
