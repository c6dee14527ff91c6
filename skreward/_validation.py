"""The one gate: any X, y, sample_weight -> items, pairs, targets, weights."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import validate_data

from skreward import _half
from skreward._compat import check_sample_weight
from skreward._text import is_text_pairs, read_texts
from skreward._text_items import TextPairs
from skreward.pairs import EmbeddingPairs

FLOAT_DTYPES = (np.float64, np.float32, np.float16)
# Up to here a copy of most items is worth the passes over the rest that it saves.
COPIED_BYTES = 1 << 28


@dataclass(frozen=True)
class Split:
    """X taken apart: what is embedded, and what is compared.

    ``index`` is None where a sample is an item. ``is_dense`` tells that the pairs
    came as an array, so that what is made of them is an array again.
    """

    items: Any
    index: np.ndarray | None
    prompt_ids: np.ndarray | None
    is_dense: bool


@dataclass(frozen=True)
class Comparisons:
    """What every solver sees.

    Attributes
    ----------
    items : {array, csr} of shape (n_items, n_features)
    index : array of intp, shape (n_pairs, 2)
    target : array of float64, shape (n_pairs,)
        P(first preferred), in [0, 1].
    weight : array of float64, shape (n_pairs,)
        Positive.
    item_weight : array of float64, shape (n_items,)
        What an item counts for in the mean reward; 0 where it occurs in no pair.
    prompt_ids : array of shape (n_items,), or None
    """

    items: Any
    index: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    item_weight: np.ndarray
    prompt_ids: np.ndarray | None


def is_pairs(X) -> bool:
    """Whether a sample of X is a comparison rather than an item."""
    if isinstance(X, EmbeddingPairs) or is_text_pairs(X):
        return True
    return (X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim) == 3


def take_apart(X) -> Split:
    """Find the items and pairs in X, without a look at the numbers."""
    if isinstance(X, EmbeddingPairs):
        pairs = _drop_unused(X)
        return Split(pairs.embeddings, pairs.index, pairs.prompt_ids, False)
    texts = read_texts(X)
    if isinstance(texts, TextPairs):
        return Split(texts.items, texts.pairs, texts.items.prompt_ids, False)
    if texts is not None:
        return Split(texts, None, None, False)
    dense = dense_pairs(X)
    if dense is None:
        return Split(X, None, None, False)
    pairs = EmbeddingPairs.from_dense(dense)
    return Split(pairs.embeddings, pairs.index, None, True)


def dense_pairs(X):
    """Give X as an array of pairs, or None where a sample is an item."""
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    if len(X.shape) < 3:
        return None
    if len(X.shape) > 3 or X.shape[1] != 2:
        raise ValueError(
            "X must be items (n_items, n_features), dense pairs (n_pairs, 2, "
            f"n_features) or an EmbeddingPairs, got shape {tuple(X.shape)}. "
            "For the rewards of candidates of any leading shape use predict_reward."
        )
    return np.asarray(X)


def check_items(estimator, items, *, reset, **check_params):
    """Validate the item view; sets or compares ``n_features_in_``."""
    is_half = isinstance(items, np.ndarray) and items.dtype == np.float16
    items = validate_data(
        estimator,
        items,
        reset=reset,
        accept_sparse="csr",
        dtype=FLOAT_DTYPES,
        ensure_all_finite=not is_half,
        **check_params,
    )
    if is_half and not (get_config()["assume_finite"] or _half.is_finite(items)):
        assert_all_finite(
            items, estimator_name=type(estimator).__name__, input_name="X"
        )
    return items


def check_comparisons(
    estimator, X, y, sample_weight, *, reset=True, max_pairs=None, random_state=None
) -> Comparisons:
    """Turn what a user gives to ``fit`` into comparisons, or say what is wrong."""
    split = take_apart(X)
    if split.index is None:
        return _from_ratings(
            estimator, split.items, y, sample_weight, reset, max_pairs, random_state
        )
    n_pairs = len(split.index)
    if n_pairs == 0:
        raise ValueError("X holds 0 pairs; at least one is needed.")
    items = check_items(estimator, split.items, reset=reset)
    target = check_preferences(y, n_pairs)
    weight = _check_weight(sample_weight, n_pairs, "pair")
    index, target, weight = _drop_weightless(split.index, target, weight)
    occurs = np.zeros(items.shape[0])
    occurs[index.ravel()] = 1.0
    return Comparisons(items, index, target, weight, occurs, split.prompt_ids)


def check_preferences(y, n_pairs, name="y"):
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


def check_numbers(values, name):
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
    return values


def rated_pairs(ratings, max_pairs, random_state):
    """Pair every item with every item rated below it: better one first.

    Returns at most ``max_pairs`` pairs, drawn without replacement beyond.
    """
    order = np.argsort(ratings, kind="stable")
    ranked = ratings[order]
    n_below = np.searchsorted(ranked, ranked, side="left")
    last = np.cumsum(n_below)
    n_pairs = int(last[-1])
    if max_pairs is None or n_pairs <= max_pairs:
        number = np.arange(n_pairs)
    else:
        number = sample_without_replacement(
            n_pairs, max_pairs, random_state=check_random_state(random_state)
        )
        number.sort()
    better = np.searchsorted(last, number, side="right")
    worse = number - (last[better] - n_below[better])
    return np.column_stack([order[better], order[worse]])


def _from_ratings(estimator, X, y, sample_weight, reset, max_pairs, random_state):
    items = check_items(estimator, X, reset=reset, ensure_min_samples=2)
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y "
            "is None: items (2-D X) are learned from a rating each. For pairs, X is "
            "(n_pairs, 2, n_features) or an EmbeddingPairs."
        )
    ratings = check_numbers(y, "y")
    n_items = items.shape[0]
    if len(ratings) != n_items:
        raise ValueError(f"y has {len(ratings)} ratings for {n_items} items.")
    weight = _check_weight(sample_weight, n_items, "item")
    kept = np.flatnonzero(weight)
    index = kept[rated_pairs(ratings[kept], max_pairs, random_state)]
    if len(index) == 0:
        raise ValueError(
            "y rates every item the same, which leaves no pair to learn from."
        )
    return Comparisons(
        items,
        index,
        np.ones(len(index)),
        weight[index[:, 0]] * weight[index[:, 1]],
        weight,
        None,
    )


def _check_weight(sample_weight, n, per):
    """Turn sample weights into finite float64 >= 0 that are not all zero."""
    if sample_weight is None:
        return np.ones(n)
    weight = check_sample_weight(
        sample_weight,
        np.empty((n, 0)),
        dtype=np.float64,
        ensure_non_negative=True,
    )
    if not weight.any():
        raise ValueError(f"sample_weight is zero for every {per}.")
    # Only proportions matter; far from 1 their products would leave the floats.
    return weight / weight.max() if not 1e-100 < weight.max() < 1e100 else weight


def _drop_weightless(index, target, weight):
    kept = weight > 0
    if kept.all():
        return index, target, weight
    return index[kept], target[kept], weight[kept]


def _drop_unused(pairs):
    """Copy the items that occur if they are few, else share them all.

    A fold of a cross-validation uses most items: working around the rest costs less
    than a copy of the embeddings in every worker.
    """
    occurs = np.zeros(pairs.n_items, dtype=bool)
    occurs[pairs.index.ravel()] = True
    share = occurs.mean()
    n_bytes = share * pairs.n_items * pairs.n_features * pairs.dtype.itemsize
    is_worth_it = share < (3 / 4 if n_bytes < COPIED_BYTES else 1 / 8)
    return pairs.compact() if is_worth_it else pairs


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
