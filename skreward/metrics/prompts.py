"""Scores of item rewards within prompts: rank correlation and exact best-of-N."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from scipy.stats import kendalltau
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRequest

from skreward.utils.checks import check_count, check_prompts, check_rewards
from skreward.utils.typing import ArrayLike

__all__ = [
    "best_of_n_curve",
    "best_of_n_score",
    "make_best_of_n_scorer",
    "prompt_rank_correlation",
    "prompt_rank_correlation_scorer",
]


def prompt_rank_correlation(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    *,
    method: Literal["spearman", "kendall"] = "spearman",
    return_details: bool = False,
) -> float | Bunch:
    """Rank correlation of predicted and true rewards, averaged over prompts.

    A prompt's correlation is undefined where its predictions, or its true
    rewards, are all equal, or where it has one response. It counts as 0 then,
    and the number of such prompts is returned: leaving them out would reward a
    collapsed model.

    Parameters
    ----------
    y_true : array-like of shape (n_items,)
        True reward of every item.
    y_pred : array-like of shape (n_items,)
        Predicted reward of every item.
    groups : array-like of shape (n_items,)
        The prompt that each item responds to.
    method : {"spearman", "kendall"}, default="spearman"
        Spearman's rho with average ranks for ties, or Kendall's tau-b.
    return_details : bool, default=False
        Return a Bunch in place of the mean alone.

    Returns
    -------
    score : float, or Bunch
        Mean over prompts, in [-1, 1]. The Bunch holds ``score``; ``stderr``, its
        standard error over prompts; ``n_nan``, how many prompts counted as 0
        for want of a correlation; ``prompts`` and ``correlation``, the distinct
        groups and the correlation of each (NaN where undefined).

    Raises
    ------
    ValueError
        If an argument is malformed, or holds NaN.

    Examples
    --------
    >>> from skreward.metrics import prompt_rank_correlation
    >>> y_true, groups = [1, 2, 3, 1, 2, 3], list("aaabbb")
    >>> prompt_rank_correlation(y_true, [10, 20, 30, 3, 2, 1], groups)
    0.0
    >>> details = prompt_rank_correlation(
    ...     y_true, [10, 20, 30, 5, 5, 5], groups, return_details=True
    ... )
    >>> details.score, details.n_nan
    (0.5, 1)
    """
    y_true, y_pred, prompts, prompt = _check_items(y_true, y_pred, groups)
    if method == "spearman":
        correlation = _spearman(y_true, y_pred, prompt)
    elif method == "kendall":
        correlation = _kendall(y_true, y_pred, prompt)
    else:
        raise ValueError(f"method must be 'spearman' or 'kendall', got {method!r}.")
    counted = np.nan_to_num(correlation, nan=0.0)
    score = float(counted.mean())
    if not return_details:
        return score
    return Bunch(
        score=score,
        stderr=float(_standard_error(counted)),
        n_nan=int(np.isnan(correlation).sum()),
        prompts=prompts,
        correlation=correlation,
    )


def best_of_n_score(
    y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike, *, n: int
) -> float:
    """Compute the expected true reward of the best of n by prediction.

    ``n`` of a prompt's N responses are drawn without replacement and the one of
    the highest predicted reward is taken. The expectation over all draws is
    exact: with the responses in ascending order of prediction, the i-th is
    taken with probability ``C(i - 1, n - 1) / C(N, n)``. Equal predictions share
    their probability evenly. The score is the mean over prompts.

    Parameters
    ----------
    y_true : array-like of shape (n_items,)
        True (golden) reward of every item.
    y_pred : array-like of shape (n_items,)
        Predicted reward of every item; only its order within a prompt counts.
    groups : array-like of shape (n_items,)
        The prompt that each item responds to.
    n : int
        Candidates drawn, at most the number of responses of every prompt. 1 is
        the mean true reward.

    Returns
    -------
    score : float
        In units of ``y_true``.

    Raises
    ------
    ValueError
        If an argument is malformed, or a prompt has fewer than n responses.

    References
    ----------
    R. Nakano et al., "WebGPT", arXiv:2112.09332, 2021: the estimator.

    Examples
    --------
    >>> from skreward.metrics import best_of_n_score
    >>> y_true, y_pred = [0.0, 1.0, 2.0], [0.1, 0.3, 0.2]
    >>> best_of_n_score(y_true, y_pred, ["a", "a", "a"], n=2)  # (1 + 2 + 1) / 3
    1.3333333333333333
    """
    y_true, y_pred, prompts, prompt = _check_items(y_true, y_pred, groups)
    (n,) = _check_n_values([n], prompts, prompt, "n")
    return float(_best_of_n(y_true, y_pred, prompt, [n])[0].mean())


def best_of_n_curve(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    *,
    n_values: Iterable[int] | None = None,
) -> Bunch:
    """Best-of-N for several N at once, with its upper limit and its error.

    See `best_of_n_score` for what one point is.

    Parameters
    ----------
    y_true, y_pred, groups : array-like of shape (n_items,)
        True rewards, predicted rewards, and prompts of the items.
    n_values : array-like of int, default=None
        The N to evaluate; None takes 1, 2, 5, 10, 20, 50, ... up to the smallest
        number of responses of a prompt.

    Returns
    -------
    curve : Bunch
        Arrays of one entry per N. ``n``; ``reward``: `best_of_n_score`;
        ``improvement``: ``reward`` over the mean reward (n = 1); ``oracle``: the
        reward if the true rewards were used to choose; ``regret``: ``oracle -
        reward``; ``kl``: ``log n - (n - 1) / n``, which bounds the Kullback-Leibler
        divergence of best-of-n from the sampled policy; ``stderr`` and
        ``improvement_stderr``: standard errors over prompts of ``reward`` and of
        ``improvement`` (NaN for one prompt). Also ``prompts`` ``(n_prompts,)`` and
        ``prompt_improvement`` ``(len(n), n_prompts)``: the terms of the mean.

    Raises
    ------
    ValueError
        If an argument is malformed, or a prompt has fewer than N responses.

    References
    ----------
    L. Gao, J. Schulman, J. Hilton, "Scaling Laws for Reward Model
    Overoptimization", arXiv:2210.10760, 2022: ``kl``. A. Beirami et al.,
    "Theoretical guarantees on the best-of-n alignment policy",
    arXiv:2401.01879, 2024: that it is an upper bound.

    Examples
    --------
    >>> import numpy as np
    >>> from skreward.metrics import best_of_n_curve
    >>> rng = np.random.default_rng(0)
    >>> y_true, groups = rng.normal(size=400), np.repeat(range(40), 10)
    >>> curve = best_of_n_curve(y_true, y_true + rng.normal(size=400), groups)
    >>> curve.n
    array([ 1,  2,  5, 10])
    >>> bool(np.all(np.diff(curve.reward) > 0))
    True
    """
    y_true, y_pred, prompts, prompt = _check_items(y_true, y_pred, groups)
    smallest = int(np.bincount(prompt).min())
    if n_values is None:
        series = (m * 10**k for k in range(len(str(smallest))) for m in (1, 2, 5))
        n_values = [n for n in series if n <= smallest]
    n_values = _check_n_values(n_values, prompts, prompt, "n_values")
    rewards = _best_of_n(y_true, y_pred, prompt, [1, *n_values])
    oracle = _best_of_n(y_true, y_true, prompt, n_values).mean(axis=1)
    improvement = rewards[1:] - rewards[0]
    reward = rewards[1:].mean(axis=1)
    n = np.array(n_values)
    return Bunch(
        n=n,
        reward=reward,
        improvement=improvement.mean(axis=1),
        oracle=oracle,
        regret=oracle - reward,
        kl=np.log(n) - (n - 1) / n,
        stderr=_standard_error(rewards[1:]),
        improvement_stderr=_standard_error(improvement),
        prompts=prompts,
        prompt_improvement=improvement,
    )


class PromptScorer:
    """Scorer of an estimator that predicts item rewards, within prompts.

    Called as ``scorer(estimator, X, y, groups=groups)`` with items ``X``, their
    true rewards ``y`` and their prompts. ``groups`` may be left out where ``X``
    is a table with a ``prompt`` column. In cross-validation it is requested
    through metadata routing, ``sklearn.set_config(enable_metadata_routing=True)``.
    """

    def __init__(self, name, metric, keywords=None, groups_request=True):
        self.name = name
        self.metric = metric
        self.keywords = keywords or {}
        self.groups_request = groups_request

    def __call__(self, estimator, X, y, *, groups=None):
        """Score the rewards that the estimator predicts for X."""
        groups = _prompts_of(X) if groups is None else groups
        return self.metric(y, estimator.predict(X), groups, **self.keywords)

    def set_score_request(self, *, groups):
        """Give a copy of this scorer that asks metadata routing for prompts, or not.

        Parameters
        ----------
        groups : bool, str or None
            As in scikit-learn.

        Returns
        -------
        scorer : PromptScorer
        """
        return PromptScorer(self.name, self.metric, self.keywords, groups)

    def get_metadata_routing(self):
        """What is asked of metadata routing: ``groups``, unless set otherwise."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="groups", alias=self.groups_request)
        return request

    def __repr__(self):
        return self.name


def make_best_of_n_scorer(n: int) -> PromptScorer:
    """Make a scorer of items out of `best_of_n_score`.

    Parameters
    ----------
    n : int
        Candidates drawn from each prompt.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, groups=groups)`` with items ``X``, their true
        rewards ``y`` and their prompts; a table with a ``prompt`` column brings
        its own. In cross-validation ``groups`` comes through metadata routing.

    Raises
    ------
    ValueError
        If n is no positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn import config_context
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GroupKFold, cross_validate
    >>> from skreward.datasets import make_preferences
    >>> from skreward.metrics import make_best_of_n_scorer
    >>> data = make_preferences(random_state=0)
    >>> with config_context(enable_metadata_routing=True):
    ...     result = cross_validate(
    ...         Ridge(), data.embeddings, data.rewards, cv=GroupKFold(5),
    ...         scoring=make_best_of_n_scorer(4), params={"groups": data.prompt_ids},
    ...     )
    >>> result["test_score"].shape
    (5,)
    """
    n = check_count(n, "n")
    return PromptScorer(f"make_best_of_n_scorer({n})", best_of_n_score, {"n": n})


prompt_rank_correlation_scorer = PromptScorer(
    "prompt_rank_correlation_scorer", prompt_rank_correlation
)


def _check_items(y_true, y_pred, groups):
    y_true = check_rewards(y_true, name="y_true")
    y_pred = check_rewards(y_pred, n_items=len(y_true), name="y_pred")
    prompts, prompt = check_prompts(groups, len(y_true), name="groups")
    return y_true, y_pred, prompts, prompt


def _check_n_values(n_values, prompts, prompt, name):
    n_values = [check_count(n, name) for n in np.ravel(np.asarray(n_values)).tolist()]
    if not n_values:
        raise ValueError(f"{name} is empty.")
    sizes = np.bincount(prompt)
    if max(n_values) > sizes.min():
        p = int(sizes.argmin())
        raise ValueError(
            f"{name} asks for the best of {max(n_values)}, and prompt "
            f"{prompts[p : p + 1].tolist()[0]!r} has {sizes[p]} responses."
        )
    return n_values


def _prompts_of(X):
    """Give the prompt column of a table, whatever kind of table it is."""
    try:
        if isinstance(X, list):
            return np.asarray([row["prompt"] for row in X])
        return np.asarray(X["prompt"])
    except (KeyError, IndexError, TypeError, ValueError):
        pass
    raise ValueError(
        "groups is needed: the prompt of every item. Pass groups=..., or in "
        "cross-validation params={'groups': ...} with "
        "sklearn.set_config(enable_metadata_routing=True); or give X as a table "
        "with a 'prompt' column."
    )


def _blocks(values, prompt):
    """Sort items by prompt and value; number the blocks of ties from 0 on.

    Returns ``order``, and the block of each sorted item.
    """
    order = np.lexsort((values, prompt))
    starts = np.zeros(len(order), dtype=bool)
    starts[1:] = (np.diff(values[order]) != 0) | (np.diff(prompt[order]) != 0)
    return order, np.cumsum(starts)


def _rank_from_zero(sizes):
    """Count 0, 1, ... within each of consecutive runs of these sizes."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _centred_ranks(values, prompt):
    """Give average ranks within prompts, minus their mean; exact."""
    order, block = _blocks(values, prompt)
    sizes = np.bincount(prompt)
    rank = _rank_from_zero(sizes) - np.repeat(0.5 * (sizes - 1), sizes)
    ranks = np.empty(len(values))
    ranks[order] = (np.bincount(block, rank) / np.bincount(block))[block]
    return ranks


def _spearman(y_true, y_pred, prompt):
    true, predicted = _centred_ranks(y_true, prompt), _centred_ranks(y_pred, prompt)
    product = np.bincount(prompt, true * predicted)
    norm = np.bincount(prompt, true**2) * np.bincount(prompt, predicted**2)
    return np.divide(
        product, np.sqrt(norm), where=norm > 0, out=np.full(len(norm), np.nan)
    )


def _kendall(y_true, y_pred, prompt):
    order = np.argsort(prompt, kind="stable")
    ends = np.cumsum(np.bincount(prompt))[:-1]
    return np.array(
        [
            kendalltau(true, predicted).statistic if len(true) > 1 else np.nan
            for true, predicted in zip(
                np.split(y_true[order], ends),
                np.split(y_pred[order], ends),
                strict=True,
            )
        ]
    )


def _best_of_n(y_true, y_pred, prompt, n_values):
    """Give the reward of the best of n, shape (len(n_values), n_prompts)."""
    order, block = _blocks(y_pred, prompt)
    # Equal predictions share their block's mean reward.
    reward = (np.bincount(block, y_true[order]) / np.bincount(block))[block]
    sizes = np.bincount(prompt)
    distinct, kind = np.unique(sizes, return_inverse=True)
    place = np.repeat((np.cumsum(distinct) - distinct)[kind], sizes)
    place += _rank_from_zero(sizes)
    result = np.empty((len(n_values), len(sizes)))
    for row, n in zip(result, n_values, strict=True):
        weight = np.concatenate([_draw_weights(size, n) for size in distinct])
        row[:] = np.bincount(prompt[order], weight[place] * reward)
    return result


def _draw_weights(size, n):
    """Chance that each rank, from the lowest, is the highest of n out of size.

    ``C(i - 1, n - 1) / C(size, n)`` by a recursion down from ``i = size`` that
    neither overflows nor cancels.
    """
    i = np.arange(size, n, -1)
    weight = np.zeros(size)
    weight[n - 1 :] = np.cumprod(np.concatenate([[n / size], (i - n) / (i - 1)]))[::-1]
    return weight


def _standard_error(values):
    """Give the standard error of the mean over the last axis; NaN for one value."""
    n = values.shape[-1]
    if n == 1:
        return np.full(values.shape[:-1], np.nan)[()]
    return np.std(values, axis=-1, ddof=1) / np.sqrt(n)
