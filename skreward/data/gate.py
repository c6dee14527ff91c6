"""The one gate: any X, y, sample_weight -> items, pairs, targets, weights."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from skreward.data.comparisons import (
    Comparisons,
    TakenApart,
    _drop_unused,
    _drop_weightless,
)
from skreward.data.leaks import remember_prompts
from skreward.data.pairs import EmbeddingPairs
from skreward.data.targets import (
    check_numbers,
    check_preferences,
    differ,
    rated_pairs,
)
from skreward.text.items import TextPairs
from skreward.text.tables import (
    is_text,
    is_text_pairs,
    read_texts,
    why_unlabelled,
)
from skreward.utils import float16
from skreward.utils.checks import check_prompts
from skreward.utils.compat import check_sample_weight
from skreward.utils.lazy import is_lazy, refuse_lazy

PAIRS_CARRY_PROMPTS = (
    "prompt_ids go with rated items, and X holds pairs, which carry theirs: "
    "EmbeddingPairs(embeddings, index, prompt_ids)."
)
FLOAT_DTYPES = (np.float64, np.float32, np.float16)


def is_pairs(X) -> bool:
    """Whether a sample of X is a comparison rather than an item."""
    if isinstance(X, EmbeddingPairs) or is_text_pairs(X):
        return True
    return len(X.shape if hasattr(X, "shape") else np.asarray(X).shape) == 3


def take_apart(X, *, keeps_items=False) -> TakenApart:
    """Find the items and pairs in X, without a look at the numbers."""
    if isinstance(X, EmbeddingPairs):
        pairs = X if keeps_items else _drop_unused(X)
        return TakenApart(
            pairs.embeddings, pairs.index, pairs.prompt_ids, False, pairs._unlabelled
        )
    texts = read_texts(X)
    if isinstance(texts, TextPairs):
        ids = texts.items.prompt_ids
        return TakenApart(texts.items, texts.pairs, ids, False, texts.unlabelled)
    if texts is not None:
        return TakenApart(texts)
    _refuse_embeddings_and_index(X)
    dense = dense_pairs(X)
    if dense is None:
        return TakenApart(X)
    pairs = EmbeddingPairs.from_dense(dense)
    return TakenApart(pairs.embeddings, pairs.index, None, True)


def _refuse_embeddings_and_index(X):
    """Raise where X is embeddings and pairs of them, side by side."""
    if not isinstance(X, tuple) or len(X) != 2:
        return
    shapes = [np.shape(part) if hasattr(part, "shape") else None for part in X]
    if None in shapes or shapes[0] == shapes[1]:
        return
    raise ValueError(
        f"X is a tuple of arrays of shapes {shapes[0]} and {shapes[1]}. For items and "
        "the pairs of them that were compared give EmbeddingPairs(embeddings, index)."
    )


def refuse_texts(estimator, items):
    """Raise where a model that wants numbers is given texts."""
    if is_text(items):
        name = type(estimator).__name__
        raise ValueError(
            f"X holds texts, and {name} wants their embeddings: "
            f"make_pipeline(LLMEmbeddingTransformer(), {name}())."
        )


def require_labels_of(X, y):
    """Raise where pairs do not tell which is the chosen one, and y is None."""
    if isinstance(X, EmbeddingPairs):
        require_labels(y, X._unlabelled)
    elif is_text_pairs(X):
        require_labels(y, why_unlabelled(X))


def require_labels(y, unlabelled):
    """Raise where the first of a pair need not be the chosen one, and y is None."""
    if y is None and unlabelled is not None:
        raise ValueError(unlabelled)


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
    refuse_lazy(X, "An array of pairs")
    return np.asarray(X)


def check_items(estimator, items, *, reset, **check_params):
    """Validate the item view; sets or compares ``n_features_in_``."""
    refuse_texts(estimator, items)
    if is_lazy(items):
        return _check_lazy(estimator, items, reset)
    if sp.issparse(items) and items.dtype == np.float16:
        items = items.astype(np.float32)  # SciPy has no products of float16
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
    if is_half and not (get_config()["assume_finite"] or float16.is_finite(items)):
        assert_all_finite(
            items, estimator_name=type(estimator).__name__, input_name="X"
        )
    return items


def _check_lazy(estimator, items, reset):
    """Validate all but the numbers: products look at these, block by block."""
    items = EmbeddingPairs(items, np.empty((0, 2), dtype=np.intp)).embeddings
    if 0 in items.shape:
        raise ValueError(f"X must hold items with features, got shape {items.shape}.")
    validate_data(estimator, items, reset=reset, skip_check_array=True)
    return items if items.dtype in FLOAT_DTYPES else items.astype(np.float64)


def check_comparisons(
    estimator,
    X,
    y,
    sample_weight,
    *,
    columns=None,
    prompt_ids=None,
    reset=True,
    max_pairs=None,
    random_state=None,
    keeps_items=False,
) -> Comparisons:
    """Turn what a user gives to ``fit`` into comparisons, or say what is wrong.

    ``columns`` are what an objective needs of each pair, by name. ``keeps_items`` asks
    for all items, whether they occur or not, so that several fits share them.
    """
    split = take_apart(X, keeps_items=keeps_items)
    if not getattr(estimator, "_fits_lazy", False):
        refuse_lazy(split.items, f"{type(estimator).__name__}.fit")
    columns = {name: np.asarray(column) for name, column in (columns or {}).items()}
    if split.index is None:
        if columns:
            raise ValueError(
                f"{' and '.join(columns)} are known of pairs, and X is items."
            )
        rated = check_ratings(
            estimator, split.items, y, sample_weight, prompt_ids, reset=reset
        )
        return _from_ratings(rated, max_pairs, random_state)
    if prompt_ids is not None:
        raise ValueError(PAIRS_CARRY_PROMPTS)
    n_pairs = len(split.index)
    if n_pairs == 0:
        raise ValueError("X holds 0 pairs; at least one is needed.")
    items = check_items(estimator, split.items, reset=reset)
    require_labels(y, split.unlabelled)
    target = check_preferences(y, n_pairs)
    weight = check_weight(sample_weight, n_pairs, "pair")
    weight = _without_equal(split.index, weight)
    for name, column in columns.items():
        if column.shape != (n_pairs,):
            raise ValueError(
                f"{name} must hold one value a pair, shape ({n_pairs},), got shape "
                f"{column.shape}."
            )
    index, target, weight, columns = _drop_weightless(
        split.index, target, weight, columns
    )
    remember_prompts(estimator, split, index, reset=reset)
    occurs = np.zeros(items.shape[0])
    occurs[index.ravel()] = 1.0
    return Comparisons(items, index, target, weight, occurs, split.prompt_ids, columns)


def _without_equal(index, weight):
    """Weigh pairs of a text with itself as nothing: they say nothing of a reward."""
    is_equal = index[:, 0] == index[:, 1]
    if not is_equal.any():
        return weight
    if not weight[~is_equal].any():
        raise ValueError("every pair of X compares a text with itself.")
    warnings.warn(
        f"{int(is_equal.sum())} of {len(index)} pairs compare a text with itself, and "
        "are left out.",
        UserWarning,
        stacklevel=4,
    )
    return np.where(is_equal, 0.0, weight)


class Rated(NamedTuple):
    """Validated items with a rating each."""

    items: Any
    ratings: np.ndarray
    weight: np.ndarray
    prompt_ids: np.ndarray | None


def check_ratings(
    estimator, X, y, sample_weight, prompt_ids=None, *, reset=True
) -> Rated:
    """Validate rated items, of which some can be told apart."""
    items = check_items(estimator, X, reset=reset, ensure_min_samples=2)
    n_items = items.shape[0]
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y "
            "is None: items (2-D X) are learned from a rating each. For pairs, X is "
            "(n_pairs, 2, n_features) or an EmbeddingPairs."
        )
    ratings = check_numbers(y, "y")
    if len(ratings) != n_items:
        raise ValueError(f"y has {len(ratings)} ratings for {n_items} items.")
    weight = check_weight(sample_weight, n_items, "item")
    where = ""
    if prompt_ids is None:
        warnings.warn(
            "Ratings are compared across prompts, which are not known: give fit the "
            "prompt_ids of the items (all the same where they answer one prompt).",
            UserWarning,
            stacklevel=2,
        )
    else:
        prompt_ids, where = check_prompts(prompt_ids, n_items)[1], " of a prompt"
    if not differ(ratings[weight > 0], _kept(prompt_ids, weight > 0)):
        raise ValueError(
            f"y rates every item{where} the same, which leaves no pair to learn from."
        )
    return Rated(items, ratings, weight, prompt_ids)


def _from_ratings(rated, max_pairs, random_state):
    items, ratings, weight, prompt_ids = rated
    kept = np.flatnonzero(weight)
    groups = _kept(prompt_ids, kept)
    index = kept[rated_pairs(ratings[kept], max_pairs, random_state, groups)]
    first, second = weight[index.T]
    product = first * second
    if product.max() < np.finfo(np.float64).tiny:
        product = first / first.max() * (second / second.max())
    index, target, product, _ = _drop_weightless(index, np.ones(len(index)), product)
    return Comparisons(items, index, target, product, weight, prompt_ids)


def _kept(prompt_ids, kept):
    return None if prompt_ids is None else prompt_ids[kept]


def check_weight(sample_weight, n, per):
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
