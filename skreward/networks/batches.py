"""Batches of pairs, or of single items, and the items that each batch needs.

A reward is computed once for every distinct item of a batch, so a batch costs as many
forward passes as it has items, not two a pair. To make that few, pairs of one group,
such as a prompt, stay together in *clumps*: what Ouyang et al. ("Training language
models to follow instructions with human feedback", 2022) do with all comparisons of a
prompt.
"""

from typing import NamedTuple

import numpy as np

# Batches of fewer clumps would be too alike inside, and too different from each other.
CLUMPS_A_BATCH = 8
# Entries of the table that finds an item's first place, for some batches at once.
TABLE_SIZE = 1 << 20


class Epoch(NamedTuple):
    """All pairs in batches of ``batch_size``, the last one smaller.

    What is said of pairs holds of single items too, which have one side.

    Attributes
    ----------
    order : array of shape (n_pairs,)
        The pairs, batch after batch.
    place : array of shape (n_pairs, n_sides)
        Where the items of these pairs are among the items of their batch.
    items : array of shape (sum of the batches' distinct items,)
        The distinct items of every batch, in the order in which its pairs name them.
    starts : array of shape (n_batches + 1,)
        Where the items of each batch begin, and end.
    batch_size : int
    """

    order: np.ndarray
    place: np.ndarray
    items: np.ndarray
    starts: np.ndarray
    batch_size: int

    def __len__(self):
        return len(self.starts) - 1

    def pairs(self, batch):
        """Positions in ``order`` of a batch."""
        return slice(batch * self.batch_size, (batch + 1) * self.batch_size)

    def items_of(self, batch):
        """The distinct items of a batch."""
        return self.items[self.starts[batch] : self.starts[batch + 1]]


def shuffle(groups, batch_size, rng):
    """Put pairs in random order, clump by clump.

    ``groups`` numbers the group of every pair from 0. A clump is a random part of one
    group, of about an eighth of a batch or less; clumps come in random order.
    """
    order = rng.permutation(len(groups))
    order = order[_sorting(groups[order])]
    sizes = np.bincount(groups)
    largest = max(1, batch_size // CLUMPS_A_BATCH)
    n_clumps = np.maximum(1, np.rint(sizes / largest).astype(int))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = np.repeat(np.cumsum(n_clumps) - n_clumps, sizes)
    clump = first + rank * np.repeat(n_clumps, sizes) // np.repeat(sizes, sizes)
    number = rng.permutation(n_clumps.sum())
    return order[_sorting(number[clump])]


def _sorting(numbers):
    """Give the stable order of numbers from 0."""
    # Integers of 16 bits or less are sorted by their digits, eight times as fast.
    narrow = np.min_scalar_type(numbers.max(initial=0))
    return np.argsort(numbers.astype(narrow), kind="stable")


def cut_into_batches(index, order, batch_size):
    """Find the distinct items of every batch; gives an `Epoch`."""
    n_items, n_sides = int(index.max()) + 1, index.shape[1]
    named = index[order].ravel()
    n_batches = -(-len(order) // batch_size)
    n_at_once = min(n_batches, max(1, TABLE_SIZE // n_items))
    first_named = np.empty(n_at_once * n_items, dtype=np.intp)
    place = np.empty(len(named), dtype=np.intp)
    items, sizes = [], []
    step = n_sides * batch_size * n_at_once
    for start in range(0, len(named), step):
        part = named[start : start + step]
        position = np.arange(len(part))
        batch = position // (n_sides * batch_size)
        keys = batch * n_items + part
        first_named.fill(len(part))
        np.minimum.at(first_named, keys, position)
        first = first_named[keys]
        # By first appearance, so that numbering the items otherwise changes no sum.
        is_first = first == position
        distinct = np.bincount(batch[is_first])
        before = np.cumsum(distinct) - distinct
        rank = np.cumsum(is_first) - 1
        place[start : start + step] = rank[first] - before[batch]
        items.append(part[is_first])
        sizes.append(distinct)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    sides = place.reshape(-1, n_sides)
    return Epoch(order, sides, np.concatenate(items), starts, batch_size)
