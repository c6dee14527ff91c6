"""The best of the candidates of every prompt."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np


def best_of_n(
    model: Any,
    prompts: Sequence[Any],
    candidates: Sequence[Sequence[Any]],
    n: int = 1,
    return_scores: bool = False,
) -> Any:
    r"""Choose the responses with the largest rewards, prompt by prompt.

    .. math:: \operatorname*{arg\,max}_{y \in \text{candidates}_k} r(x_k, y)

    All candidates of all prompts are embedded in one call, every distinct one once.
    Of equal rewards the first candidate wins.

    Parameters
    ----------
    model : estimator
        A fitted Pipeline from texts to rewards.
    prompts : sequence of length n_prompts
        Strings, or lists of chat messages.
    candidates : sequence of length n_prompts, of sequences
        The responses to every prompt, as many as there are: strings, or lists of chat
        messages.
    n : int, default=1
        How many to choose for every prompt.
    return_scores : bool, default=False
        Also give the rewards of all candidates.

    Returns
    -------
    best : list of length n_prompts
        With ``n=1`` the best response to every prompt; else lists of n, the best
        first.
    scores : list of arrays
        Only with ``return_scores``: the rewards of the candidates, in their order.

    Raises
    ------
    ValueError
        If lengths differ, or a prompt has fewer than n candidates; it names the row.

    See Also
    --------
    skreward.metrics.best_of_n_curve : What choosing gains, where ratings are known.

    Examples
    --------
    >>> from skreward import best_of_n
    >>> best_of_n(model, ["2 + 2?"], [["5", "4", "four"]])  # doctest: +SKIP
    ['4']
    """
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, got {n!r}.")
    for name, given in (("prompts", prompts), ("candidates", candidates)):
        if isinstance(given, str):
            raise ValueError(f"{name} is one string; wanted a list of them.")
    if len(prompts) != len(candidates):
        raise ValueError(
            f"{len(prompts)} prompts have {len(candidates)} lists of candidates."
        )
    for row, responses in enumerate(candidates):
        if isinstance(responses, str):
            raise ValueError(f"candidates, row {row}: one string; wanted a list.")
        if len(responses) < n:
            raise ValueError(
                f"candidates, row {row}: {len(responses)} responses, and n={n} are "
                "to be chosen."
            )
    if len(prompts) == 0:
        return ([], []) if return_scores else []
    rewards = model.predict(
        [
            {"prompt": prompt, "response": response}
            for prompt, responses in zip(prompts, candidates, strict=True)
            for response in responses
        ]
    )
    ends = np.cumsum([len(responses) for responses in candidates])
    scores = np.split(rewards, ends[:-1])
    best = [
        [responses[k] for k in np.argsort(-score, kind="stable")[:n]]
        for responses, score in zip(candidates, scores, strict=True)
    ]
    chosen = [row[0] for row in best] if n == 1 else best
    return (chosen, scores) if return_scores else chosen
