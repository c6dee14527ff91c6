"""Responses of a prompt, the best first."""

import numpy as np


def ranked(rewards, prompt_ids) -> list[np.ndarray]:
    """Give the rows of every prompt, the best first, prompts as they appear."""
    _, first, group = np.unique(prompt_ids, return_index=True, return_inverse=True)
    order = np.argsort(-rewards, kind="stable")
    order = order[np.argsort(first[group[order]], kind="stable")]
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return np.split(order, ends)


def ranks_within(rewards, prompt_ids) -> list[int]:
    """Give every row its rank within its prompt, 1 the best, the first of ties."""
    ranks = np.empty(len(rewards), dtype=int)
    for group in ranked(rewards, prompt_ids):
        ranks[group] = np.arange(1, len(group) + 1)
    return ranks.tolist()
