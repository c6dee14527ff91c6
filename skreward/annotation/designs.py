"""Which items to compare: pairing designs over the responses of prompts."""

from typing import Literal

import numpy as np
from sklearn.utils import check_random_state

from skreward.utils.checks import check_count, check_prompts, check_rewards
from skreward.utils.typing import Array, ArrayLike, Design, RandomState

DESIGNS = ("random", "similar", "diverse")


def sample_pairs(
    prompt_ids: ArrayLike,
    n_pairs: int,
    *,
    design: Design = "random",
    cross_prompt: bool = False,
    rewards: ArrayLike | None = None,
    random_state: RandomState = None,
) -> Array:
    """Choose which items to compare.

    The design picks each prompt's candidates: all its responses, the two in the
    middle, or the best and the worst. Pairs are then drawn among the candidates
    of one prompt, or (``cross_prompt=True``) of two different prompts. No item
    meets itself, and no two pairs hold the same two items while distinct pairs
    are left: asked for more, every pair is used equally often, to one.

    Parameters
    ----------
    prompt_ids : array-like of shape (n_items,)
        The prompt that each item responds to, in any order.
    n_pairs : int
        How many pairs to draw.
    design : {"random", "similar", "diverse"}, default="random"
        "random": any two responses. "similar": the two middle ranks by
        ``rewards``; the labels are hard to give, so noisy. "diverse": the best
        and the worst by ``rewards``; easy to label. The last two need the true
        rewards: they diagnose what a design does, and give one distinct pair a
        prompt. Ties in rank are broken at random.
    cross_prompt : bool, default=False
        False: both items respond to the same prompt, and prompts are used as
        evenly as their numbers of pairs allow. True: to different prompts, every
        pair of candidates being equally likely.
    rewards : array-like of shape (n_items,), default=None
        True reward of every item. Unused by "random".
    random_state : int, RandomState instance or None, default=None
        Seed of every draw: the pairs, their order, and the order within a pair.

    Returns
    -------
    index : ndarray of shape (n_pairs, 2)
        Rows of the items compared.

    Raises
    ------
    ValueError
        If an argument is malformed, if the design needs rewards that are not
        given, or if there are no two items to compare.

    References
    ----------
    H. Sun, Y. Shen, J.-F. Ton, "Rethinking Bradley-Terry Models in
    Preference-Based Reward Modeling", ICLR 2025: the experiments on how
    annotated pairs are chosen, and on cross-prompt comparisons.

    Examples
    --------
    >>> from skreward.annotation import sample_pairs
    >>> prompt_ids = ["a", "a", "a", "b", "b", "b"]
    >>> index = sample_pairs(prompt_ids, 6, random_state=0)
    >>> sorted(map(sorted, index.tolist()))
    [[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5]]
    >>> rewards = [0.1, 2.0, 1.0, -1.0, 0.0, 3.0]
    >>> index = sample_pairs(
    ...     prompt_ids, 2, design="diverse", rewards=rewards, random_state=0
    ... )
    >>> sorted(map(sorted, index.tolist()))
    [[0, 1], [3, 5]]
    """
    prompt = check_prompts(prompt_ids)[1]
    n_pairs = check_count(n_pairs, "n_pairs")
    if design not in DESIGNS:
        raise ValueError(f"design must be one of {DESIGNS}, got {design!r}.")
    if rewards is not None:
        rewards = check_rewards(rewards, n_items=len(prompt))
    elif design != "random":
        raise ValueError(f"design={design!r} ranks responses: it needs rewards.")
    rng = check_random_state(random_state)
    items, sizes = _candidates(prompt, design, rewards, rng)
    starts = np.cumsum(sizes) - sizes
    of_prompt = np.repeat(starts, sizes)
    if cross_prompt:
        # A candidate pairs with all candidates of the prompts before its own.
        base, partners = np.zeros_like(of_prompt), of_prompt
        capacity = np.array([partners.sum()])
    else:
        base, partners = of_prompt, np.arange(len(items)) - of_prompt
        capacity = sizes * (sizes - 1) // 2
    if not capacity.any():
        raise ValueError(
            "prompt_ids must hold "
            + ("two prompts" if cross_prompt else "a prompt with two items")
            + f" to compare, got {len(prompt)} items of {len(sizes)} prompts."
        )
    return items[draw_pairs(base, partners, capacity, n_pairs, rng)]


def pairs_from_ratings(
    ratings: ArrayLike,
    prompt_ids: ArrayLike | None = None,
    *,
    max_pairs: int | None = None,
    ties: Literal["drop", "half"] = "drop",
    random_state: RandomState = None,
) -> tuple[Array, Array]:
    """Turn a rating per item into pairs with labels.

    Two items of a prompt make a pair whose label says which is rated higher:
    ``y = 1[ratings[first] > ratings[second]]``. Only the order of the ratings
    counts.

    Parameters
    ----------
    ratings : array-like of shape (n_items,)
        A number per item: stars, votes, the reward of a golden model.
    prompt_ids : array-like of shape (n_items,), default=None
        Items are compared within their prompt; None compares any two items.
    max_pairs : int, default=None
        Upper limit to the number of pairs. Below it all are returned; above it
        they are drawn without replacement, spread evenly over the prompts.
    ties : {"drop", "half"}, default="drop"
        What to do with two items of one rating: leave the pair out, or give it
        the label 0.5.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the pairs, of the order within a pair, and of the
        draw where ``max_pairs`` limits it.

    Returns
    -------
    index : ndarray of shape (n_pairs, 2)
        Rows of the items compared; distinct pairs, in random order.
    y : ndarray of shape (n_pairs,)
        Labels in {0, 1}, integers; with ``ties="half"`` floats in {0, 0.5, 1}.

    Raises
    ------
    ValueError
        If an argument is malformed, or if no two items can be compared.

    Examples
    --------
    >>> from skreward.annotation import pairs_from_ratings
    >>> index, y = pairs_from_ratings([5, 1, 1, 4], ["a", "a", "a", "b"],
    ...                               random_state=0)
    >>> sorted(zip(index.tolist(), y.tolist()))
    [([1, 0], 0), ([2, 0], 0)]
    """
    ratings = check_rewards(ratings, name="ratings")
    if prompt_ids is None:
        prompt = np.zeros(len(ratings), dtype=np.intp)
    else:
        prompt = check_prompts(prompt_ids, len(ratings))[1]
    if max_pairs is not None:
        max_pairs = check_count(max_pairs, "max_pairs")
    if ties not in ("drop", "half"):
        raise ValueError(f"ties must be 'drop' or 'half', got {ties!r}.")
    rng = check_random_state(random_state)
    items = np.lexsort((ratings, prompt))
    sizes = np.bincount(prompt)
    base = np.repeat(np.cumsum(sizes) - sizes, sizes)
    if ties == "half":
        partners = np.arange(len(items)) - base
    else:
        # Within its prompt an item pairs with those rated strictly lower.
        sorted_ratings = ratings[items]
        new_block = np.ones(len(items), dtype=bool)
        new_block[1:] = (np.diff(sorted_ratings) != 0) | (np.diff(base) != 0)
        block_start = np.flatnonzero(new_block)[np.cumsum(new_block) - 1]
        partners = block_start - base
    capacity = np.add.reduceat(partners, np.cumsum(sizes) - sizes)
    total = int(capacity.sum())
    if total == 0:
        raise ValueError(
            "ratings must differ between two items of a prompt: no pair can be made."
        )
    n_pairs = total if max_pairs is None else min(total, max_pairs)
    index = items[draw_pairs(base, partners, capacity, n_pairs, rng)]
    first, second = ratings[index[:, 0]], ratings[index[:, 1]]
    if ties == "drop":
        return index, (first > second).astype(np.int64)
    return index, 0.5 * (1.0 + np.sign(first - second))


def _candidates(prompt, design, rewards, rng):
    """Give the items that the design compares, prompt by prompt, and their counts."""
    sizes = np.bincount(prompt)
    if design == "random":
        return np.argsort(prompt, kind="stable"), sizes
    items = np.lexsort((rng.uniform(size=len(prompt)), rewards, prompt))
    starts = np.cumsum(sizes) - sizes
    if design == "similar":
        low, high = starts + np.maximum(sizes // 2 - 1, 0), starts + sizes // 2
    else:
        low, high = starts, starts + sizes - 1
    kept = np.unique(np.concatenate([low, high]))
    return items[kept], np.bincount(prompt[items[kept]])


def draw_pairs(base, partners, capacity, n_pairs, rng):
    """Draw pairs of positions without replacement, in random order.

    Position j makes a pair with each of ``base[j], ..., base[j] + partners[j] - 1``;
    numbering these pairs j by j gives every pair one code. Runs of codes belong
    to groups of ``capacity`` pairs each, and groups are used evenly.
    """
    total = int(capacity.sum())
    rounds, rest = divmod(n_pairs, total)
    codes = np.concatenate(
        [
            np.tile(np.arange(total if rounds else 0), rounds),
            _draw_codes(capacity, _share_evenly(rest, capacity, rng), rng),
        ]
    )
    ends = np.cumsum(partners)
    later = np.searchsorted(ends, codes, side="right")
    earlier = base[later] + codes - (ends - partners)[later]
    index = np.column_stack([earlier, later])[rng.permutation(n_pairs)]
    swapped = rng.uniform(size=n_pairs) < 0.5
    index[swapped] = index[swapped, ::-1]
    return index


def _share_evenly(n, capacity, rng):
    """Split n over groups so that quotas below capacity differ by one at most."""
    low, high = 0, int(capacity.max())
    while low < high:  # the largest level that all groups can be filled up to
        level = (low + high + 1) // 2
        if np.minimum(capacity, level).sum() <= n:
            low = level
        else:
            high = level - 1
    quota = np.minimum(capacity, low)
    open_groups = np.flatnonzero(capacity > low)
    quota[rng.permutation(open_groups)[: n - quota.sum()]] += 1
    return quota


def _draw_codes(capacity, quota, rng):
    """Draw ``quota[g]`` distinct codes of group g, for all groups at once; sorted."""
    offsets = np.cumsum(capacity) - capacity
    dense = quota > capacity // 4
    # Where much of a group is wanted, list it whole and keep a random part.
    groups = np.repeat(np.flatnonzero(dense), capacity[dense])
    first = np.cumsum(capacity[dense]) - capacity[dense]
    local = np.arange(len(groups)) - np.repeat(first, capacity[dense])
    shuffled = np.argsort(groups + rng.uniform(size=len(groups)))
    kept = [(offsets[groups] + local)[shuffled[local < quota[groups]]]]
    # Elsewhere draw, and draw again what was drawn before.
    drawn = np.empty(0, dtype=np.int64)
    slots = np.repeat(np.flatnonzero(~dense), quota[~dense])
    while len(slots):
        codes = offsets[slots] + rng.randint(0, capacity[slots])
        codes, which = np.unique(codes, return_index=True)
        fresh = ~_contains(drawn, codes)
        drawn = np.sort(np.concatenate([drawn, codes[fresh]]), kind="stable")
        filled = np.zeros(len(slots), dtype=bool)
        filled[which[fresh]] = True
        slots = slots[~filled]
    return np.sort(np.concatenate([*kept, drawn]))


def _contains(ordered, values):
    where = np.searchsorted(ordered, values)
    inside = where < len(ordered)
    inside[inside] = ordered[where[inside]] == values[inside]
    return inside
