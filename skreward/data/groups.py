"""Keeping apart what belongs together: groups of pairs, dealt to parts.

A pair has a group on either side: its items' prompts, or the connected components
of shared items. Groups are dealt to parts; a pair belongs to a part when both its
groups do, and straddles when they differ.
"""

import heapq

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# A part may overshoot its wanted size by this factor to take a whole group.
OVERSHOOT = 1.5


def encode(labels):
    """Number distinct labels from 0."""
    labels = np.asarray(labels)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def components(index):
    """Number the connected components of the graph whose edges are the pairs.

    Single items, with one side, hang together with none.
    """
    codes = encode(index)
    if index.shape[1] == 1:
        return codes
    n = int(codes.max()) + 1
    edges = coo_array((np.ones(len(codes)), (codes[:, 0], codes[:, 1])), shape=(n, n))
    return connected_components(edges, directed=False)[1][codes]


def resampling_groups(index, prompt_ids):
    """Number what a bootstrap draws, for both sides of every pair, from 0.

    Prompts where they are known; else connected components of shared items; where
    one component holds most of the pairs, items. Numbered in the order of the pairs,
    so that the order of the items changes no draw.
    """
    if prompt_ids is not None:
        groups = encode(prompt_ids[index])
    else:
        groups = encode(components(index))
        if 2 * np.bincount(groups[:, 0]).max() > len(groups) > 1:
            groups = encode(index)
    return _by_appearance(groups)


def chosen_first(index, target):
    """Turn pairs round where the second is preferred, so that labels turn no pair."""
    return np.where((target >= 0.5)[:, np.newaxis], index, index[:, ::-1])


def sharing_groups(index, prompt_ids):
    """Number what makes pairs share items, by the first of each pair, from 0.

    Prompts where they are known, else connected components of shared items.
    """
    labels = components(index) if prompt_ids is None else prompt_ids[index]
    return _by_appearance(encode(labels[:, 0]))


def _by_appearance(codes):
    """Number codes in the order in which they appear."""
    first = np.unique(codes, return_index=True)[1]
    return np.argsort(np.argsort(first))[codes]


def bootstrap_weights(groups, rng):
    """Draw groups with replacement, as many as there are; gives weights of samples.

    ``groups`` holds the groups of every sample, (n_samples, n_sides). A sample counts
    as often as its group was drawn; one of two groups for the product of theirs.
    """
    n_groups = int(groups.max()) + 1
    drawn = np.bincount(rng.randint(n_groups, size=n_groups), minlength=n_groups)
    weight = drawn[groups[:, 0]]
    if groups.shape[1] == 1:
        return weight
    straddles = groups[:, 0] != groups[:, 1]
    return np.where(straddles, weight * drawn[groups[:, 1]], weight)


def deal(groups, n_parts, rng=None):
    """Deal groups to parts of like size, in pairs; gives the part of each side.

    Large groups go first, each to the smallest part so far; ``rng`` shuffles groups
    of equal size, None keeps their order.
    """
    sizes = np.bincount(groups.ravel())
    order = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    parts = [(0, part) for part in range(n_parts)]
    part_of = np.empty(len(sizes), dtype=np.intp)
    for group in order:
        size, part = heapq.heappop(parts)
        part_of[group] = part
        heapq.heappush(parts, (size + int(sizes[group]), part))
    return part_of[groups]


def hold_out(groups, fraction, rng):
    """Hold out groups with about a fraction of all sides of pairs.

    Returns
    -------
    kept, held : boolean arrays of shape (n_pairs,)
        The pairs of which no side is held out, and those of which both are. Groups
        too large for the fraction are never held out, so ``held`` may be empty.
    """
    sizes = np.bincount(groups.ravel())
    wanted = fraction * sizes.sum()
    is_held = np.zeros(len(sizes), dtype=bool)
    n_held = 0
    for group in rng.permutation(len(sizes)):
        if n_held >= wanted:
            break
        if n_held + sizes[group] <= OVERSHOOT * wanted:
            is_held[group] = True
            n_held += sizes[group]
    sides = is_held[groups]
    return ~sides.any(axis=1), sides.all(axis=1)


def validation_split(index, prompt_ids, fraction, rng):
    """Hold out validation pairs that share no prompt, or else no item, with the rest.

    Prompts where they are known; else connected components of shared items; where
    one component is too large to be held out, items, leaving out the pairs between
    held and kept ones.
    """
    if prompt_ids is not None:
        return hold_out(encode(prompt_ids[index]), fraction, rng)
    kept, held = hold_out(components(index), fraction, rng)
    if held.any():
        return kept, held
    return hold_out(encode(index), fraction, rng)
