"""What a solver sees: items, and which of them were compared with what outcome."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skreward.utils.lazy import is_lazy, only_blocks

# Up to here a copy of most items is worth the passes over the rest that it saves.
COPIED_BYTES = 1 << 28


@dataclass(frozen=True)
class TakenApart:
    """X taken apart: what is embedded, and what is compared.

    ``index`` is None where a sample is an item. ``is_dense`` tells that the pairs
    came as an array, so that what is made of them is an array again. ``unlabelled``
    says why ``y`` is needed to know which of a pair is the chosen one, if it is.
    """

    items: Any
    index: np.ndarray | None = None
    prompt_ids: np.ndarray | None = None
    is_dense: bool = False
    unlabelled: str | None = None


@dataclass(frozen=True)
class Comparisons:
    """What every solver sees.

    A network also learns from single items, whose ``index`` has one column, whose
    ``target`` is the share of wins, and whose ``weight`` is their number.

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
    columns : dict of arrays of shape (n_pairs,)
        What else an objective needs of each pair, by name.
    """

    items: Any
    index: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    item_weight: np.ndarray
    prompt_ids: np.ndarray | None
    columns: dict = field(default_factory=dict)


def _drop_weightless(index, target, weight, columns=None):
    columns = columns or {}
    kept = weight > 0
    if kept.all():
        return index, target, weight, columns
    columns = {name: column[kept] for name, column in columns.items()}
    return index[kept], target[kept], weight[kept], columns


def _drop_unused(pairs):
    """Copy the items that occur if they are few, else share them all.

    A fold of a cross-validation uses most items: working around the rest costs less
    than a copy of the embeddings in every worker. Of a Dask array whole blocks are
    left out, and nothing is copied.
    """
    occurs = np.zeros(pairs.n_items, dtype=bool)
    occurs[pairs.index.ravel()] = True
    if is_lazy(pairs.embeddings):
        items, is_left = only_blocks(pairs.embeddings, occurs)
        if items is pairs.embeddings:
            return pairs
        ids = None if pairs.prompt_ids is None else pairs.prompt_ids[is_left]
        return pairs._with(items, (np.cumsum(is_left) - 1)[pairs.index], ids)
    share = occurs.mean()
    n_bytes = share * pairs.n_items * pairs.n_features * pairs.dtype.itemsize
    is_worth_it = share < (3 / 4 if n_bytes < COPIED_BYTES else 1 / 8)
    return pairs.compact() if is_worth_it else pairs
