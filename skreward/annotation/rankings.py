"""Rankings of several responses, as pairs."""

from typing import Literal

import numpy as np

from skreward.annotation.designs import pairs_from_ratings
from skreward.utils.checks import check_prompts, check_rewards
from skreward.utils.typing import Array, ArrayLike, RandomState

__all__ = ["pairs_from_rankings"]


def pairs_from_rankings(
    ranks: ArrayLike,
    prompt_ids: ArrayLike,
    *,
    which: Literal["all", "extremes"] = "all",
    max_pairs: int | None = None,
    random_state: RandomState = None,
) -> tuple[Array, Array]:
    """Turn a ranking of each prompt's responses into pairs with labels.

    Two responses of a prompt make a pair whose label says which is ranked higher:
    ``y = 1[ranks[first] < ranks[second]]``. A choice of the best of K is a ranking
    too: rank 1 for the best and 2 for each of the others, which makes K - 1 pairs.

    Parameters
    ----------
    ranks : array-like of shape (n_items,)
        The rank of each response within its prompt, 1 the best. Equal ranks are ties,
        of which no pair is made; a prompt may rank as many responses as it likes.
    prompt_ids : array-like of shape (n_items,)
        The prompt of each response. One that was ranked by several people has an id
        for each ranking.
    which : {"all", "extremes"}, default="all"
        "all": every two responses of unequal rank. "extremes": the best against the
        worst alone, the pair that annotators get wrong least often.
    max_pairs : int, default=None
        Upper limit to the number of pairs, drawn evenly over the prompts.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the pairs, of the order within a pair, and of the draw.

    Returns
    -------
    index : ndarray of shape (n_pairs, 2)
        Rows of the responses compared; distinct pairs, in random order.
    y : ndarray of shape (n_pairs,)
        Labels in {0, 1}.

    Raises
    ------
    ValueError
        If an argument is malformed, or no two responses of a prompt differ in rank.

    See Also
    --------
    pairs_from_ratings : Ratings, of which the highest is the best.

    Notes
    -----
    Fitted on all pairs, Bradley-Terry orders unseen responses as well as Plackett-Luce
    fitted on the rankings (``python -m benchmarks.not_built``). Pairs of one ranking
    are not independent: standard errors need clusters of prompts.

    Examples
    --------
    >>> from skreward.annotation import pairs_from_rankings
    >>> index, y = pairs_from_rankings([2, 1, 3], ["a", "a", "a"], random_state=0)
    >>> better_first = [pair if won else pair[::-1] for pair, won in zip(index, y)]
    >>> sorted(tuple(map(int, pair)) for pair in better_first)
    [(0, 2), (1, 0), (1, 2)]
    """
    ranks = check_rewards(ranks, name="ranks")
    prompt = check_prompts(prompt_ids, len(ranks))[1]
    if which not in ("all", "extremes"):
        raise ValueError(f"which must be 'all' or 'extremes', got {which!r}.")
    best, worst = np.full((2, prompt.max() + 1), [[np.inf], [-np.inf]])
    np.minimum.at(best, prompt, ranks)
    np.maximum.at(worst, prompt, ranks)
    if not (best < worst).any():
        raise ValueError(
            "ranks must differ between two responses of a prompt: no pair can be made."
        )
    kept = np.arange(len(ranks))
    if which == "extremes":
        kept = np.flatnonzero((ranks == best[prompt]) | (ranks == worst[prompt]))
    index, y = pairs_from_ratings(
        -ranks[kept], prompt[kept], max_pairs=max_pairs, random_state=random_state
    )
    return kept[index], y
