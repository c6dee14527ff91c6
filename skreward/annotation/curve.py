"""How well a reward model does as labels get noisier, or more."""

from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import Bunch, check_random_state

from skreward.annotation.annotators import (
    annotate,
    annotation_error_rate,
    calibrate_beta,
)
from skreward.annotation.designs import sample_pairs
from skreward.data.pairs import EmbeddingPairs
from skreward.metrics import order_consistency_score
from skreward.utils.checks import check_count, check_prompts, check_rewards
from skreward.utils.typing import ArrayLike, Design, Items, Link, RandomState

PARAMETERS = ("beta", "error_rate", "n_pairs")


def annotation_curve(
    estimator: Any,
    X: Items,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    param_name: Literal["beta", "error_rate", "n_pairs"] = "beta",
    param_range: ArrayLike = (0.5, 1.0, 3.0, 10.0),
    n_pairs: int = 1000,
    beta: float = 3.0,
    design: Design = "random",
    cross_prompt: bool = False,
    link: Link = "logistic",
    n_repeats: int = 5,
    test_size: float | int = 0.25,
    n_test_pairs: int = 2000,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> Bunch:
    """Score a reward model against the noise, or the number, of its labels.

    Each repeat holds out a part of the prompts. For each value, pairs of the other
    prompts are drawn and labelled by a simulated annotator, a clone of the
    estimator is fitted on them, and its order consistency with the true rewards is
    taken on same-prompt pairs of the prompts held out. Within a repeat, all values
    are scored on the same test pairs.

    Parameters
    ----------
    estimator : estimator
        Reward model, or pipeline, that fits `EmbeddingPairs`.
    X : {array, sparse matrix} of shape (n_items, n_features)
        Embeddings of the responses.
    y : array-like of shape (n_items,)
        True reward of every response.
    groups : array-like of shape (n_items,)
        The prompt that each item responds to.
    param_name : {"beta", "error_rate", "n_pairs"}, default="beta"
        What is varied: the annotator's reliability, its expected error rate (for
        which beta is calibrated on the pairs drawn), or the number of pairs.
    param_range : array-like, default=(0.5, 1.0, 3.0, 10.0)
        The values.
    n_pairs : int, default=1000
        Pairs to train on, unless varied.
    beta : float, default=3.0
        Reliability of the annotator, unless varied.
    design : {"random", "similar", "diverse"}, default="random"
        As in `skreward.annotation.sample_pairs`, for the training pairs.
    cross_prompt : bool, default=False
        As in `skreward.annotation.sample_pairs`, for the training pairs.
    link : {"logistic", "probit"}, default="logistic"
        Law of the annotator's noise.
    n_repeats : int, default=5
        Random splits of the prompts, each with its own pairs and labels.
    test_size : float or int, default=0.25
        Share, or number, of the prompts held out.
    n_test_pairs : int, default=2000
        Test pairs at most: no pair is scored twice.
    n_jobs : int, default=None
        Fits run in parallel, as everywhere in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Seed of splits, pairs and labels. The estimator keeps its own.

    Returns
    -------
    curve : Bunch
        ``param_name``; ``param_range`` ``(n_values,)``; ``scores`` and
        ``error_rates`` (realised, on the training pairs), ``(n_values,
        n_repeats)``.

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    >>> from skreward import BradleyTerryRegressor
    >>> from skreward.annotation import annotation_curve
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(random_state=0)
    >>> curve = annotation_curve(
    ...     BradleyTerryRegressor(), data.embeddings, data.rewards, data.prompt_ids,
    ...     param_range=[0.3, 10.0], random_state=0,
    ... )
    >>> low, high = curve.scores.mean(axis=1)
    >>> bool(0.5 < low < high < 1.0)
    True
    """
    if param_name not in PARAMETERS:
        raise ValueError(f"param_name must be one of {PARAMETERS}, got {param_name!r}.")
    values = np.asarray(param_range)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"param_range must be a list of values, got {param_range!r}.")
    rewards = check_rewards(y, name="y")
    prompt = check_prompts(groups, len(rewards), name="groups")[1]
    n_repeats = check_count(n_repeats, "n_repeats")
    n_test_pairs = check_count(n_test_pairs, "n_test_pairs")
    rng = check_random_state(random_state)
    tasks = []
    splitter = GroupShuffleSplit(n_repeats, test_size=test_size, random_state=rng)
    for train, test in splitter.split(rewards, groups=prompt):
        test_pairs = _test_pairs(rewards, prompt, test, n_test_pairs, rng)
        for value in values.tolist():
            setting = {"n_pairs": n_pairs, "beta": beta, param_name: value}
            index = train[
                sample_pairs(
                    prompt[train],
                    setting["n_pairs"],
                    design=design,
                    cross_prompt=cross_prompt,
                    rewards=rewards[train],
                    random_state=rng,
                )
            ]
            labels, error_rate = _annotate(rewards, index, setting, link, rng)
            tasks.append((index, labels, test_pairs, error_rate))
    scores = Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_score)(estimator, X, prompt, rewards, *task[:3])
        for task in tasks
    )
    shape = (n_repeats, len(values))
    return Bunch(
        param_name=param_name,
        param_range=values,
        scores=np.reshape(scores, shape).T,
        error_rates=np.reshape([task[3] for task in tasks], shape).T,
    )


def _test_pairs(rewards, prompt, test, n_test_pairs, rng):
    """Draw pairs of the prompts held out that have an order, none twice."""
    index = test[sample_pairs(prompt[test], n_test_pairs, random_state=rng)]
    _, first = np.unique(np.sort(index, axis=1), axis=0, return_index=True)
    index = index[np.sort(first)]
    index = index[rewards[index[:, 0]] != rewards[index[:, 1]]]
    if len(index) == 0:
        raise ValueError("y is equal within every prompt held out: nothing to score.")
    return index


def _annotate(rewards, index, setting, link, rng):
    beta = setting["beta"]
    if "error_rate" in setting:
        beta = calibrate_beta(rewards, index, setting["error_rate"], link=link)
    labels = annotate(rewards, index, beta=beta, link=link, random_state=rng)
    return labels, annotation_error_rate(rewards, index, labels)


def _fit_and_score(estimator, X, prompt, rewards, index, labels, test_index):
    model = clone(estimator).fit(EmbeddingPairs(X, index, prompt), labels)
    margin = model.predict(EmbeddingPairs(X, test_index, prompt))
    better = rewards[test_index[:, 0]] > rewards[test_index[:, 1]]
    return order_consistency_score(better, margin)
