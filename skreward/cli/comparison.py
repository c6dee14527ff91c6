"""What the command line measures: prompt-disjoint folds, null baselines, spread."""

from itertools import chain
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from skreward.metrics import (
    expected_calibration_error,
    order_consistency_score,
    order_consistency_scorer,
)
from skreward.metrics.pairs import pair_agreement
from skreward.models.bradley_terry_mlp import BradleyTerryMLPRegressor
from skreward.models.calibrated import CalibratedReward
from skreward.models.network import NetworkMixin, fit_together
from skreward.utils.through import last_step

# A fold of fewer pairs has no order consistency to speak of: it is one of few values.
FEWEST_IN_FOLD = 10
# Below this many numbers, threads of the BLAS wait for each other longer than they
# work: on a busy machine a linear fit of 3,400 items takes 30 times as long.
SMALL = 20_000_000
# What the items of folds that are fitted together may take.
FOLDS_BYTES = 1 << 28

# What a probability of 0 or 1 is taken for in a logarithm.
TINY = 1e-12


class Result(NamedTuple):
    """A figure over folds (or over prompts), and how calibrated probabilities are.

    ``spread`` is None where there is too little to say, ``calibration_error`` where
    a reward gives no probabilities.
    """

    name: str
    order_consistency: float
    spread: float | None
    calibration_error: float | None = None


class Calibration(NamedTuple):
    """How probabilities of pairs held out are off, means over folds.

    None where the reward gives none before it is calibrated.
    """

    error: float | None
    log_loss: float | None


def compare(rewards, pairs, y, longer, *, folds, seed, progress) -> list[Result]:
    """Cross-validate rewards and null baselines on the same folds.

    Rewards that stand behind one scaler share what it makes of a fold.

    Parameters
    ----------
    rewards : dict of Pipeline by name
        Of a scaler and a reward each.
    pairs : EmbeddingPairs
    y : array or None
    longer : array of shape (n_pairs,), or None
        Length of the first response minus that of the second; None is not known.
    folds : list of (train, test)
        Positions of pairs.
    seed : int
        Of the coin.
    progress : callable
        Called after every fit.

    Returns
    -------
    results : list of Result
        Mean and standard deviation over folds; the baselines last.
    """
    labels = [[None if y is None else y[part] for part in fold] for fold in folds]
    figures: dict[str, list] = {name: [] for name in rewards}
    n_at_once = max(1, FOLDS_BYTES // max(1, pairs.embeddings.nbytes))
    for scaler in {id(model[0]): model[0] for model in rewards.values()}.values():
        behind = {name: m[-1] for name, m in rewards.items() if m[0] is scaler}
        for first in range(0, len(folds), n_at_once):
            some = slice(first, first + n_at_once)
            train, test = _scaled(scaler, pairs, folds[some])
            y_train, y_test = zip(*labels[some], strict=True)
            for name, reward in behind.items():
                models = _fitted(reward, train, y_train)
                for model, X, own in zip(models, test, y_test, strict=True):
                    share = order_consistency_scorer(model, X, own)
                    figures[name].append((share, calibration_error(model, X, own)))
                    progress()
    says = min(len(test) for _, test in folds) >= FEWEST_IN_FOLD
    results = []
    for name, found in figures.items():
        shares, errors = zip(*found, strict=True)
        results.append(_over_folds(name, shares, says, errors))
    coin = check_random_state(seed).uniform(-1, 1, size=len(pairs))
    baselines = {"coin": coin}
    if longer is not None:
        baselines = {"longer response": longer} | baselines
    for name, margin in baselines.items():
        agreed = [
            order_consistency_score(own, margin[test])
            for (_, own), (_, test) in zip(labels, folds, strict=True)
        ]
        results.append(_over_folds(name, agreed, says))
    return results


def _scaled(scaler, pairs, folds):
    """Give the pairs of every fold's parts, scaled by those that are trained on."""
    train, test = [], []
    for kept, held in folds:
        own = clone(scaler)
        train.append(own.fit_transform(pairs[kept]))
        test.append(own.transform(pairs[held]))
    return train, test


def _fitted(reward, X, y):
    """Fit a reward to several folds: networks in one computation."""
    models = [clone(reward) for _ in X]
    if isinstance(reward, BradleyTerryMLPRegressor):
        return fit_together(models, X, y)
    return (model.fit(*fold) for model, *fold in zip(models, X, y, strict=True))


def score_pairs(name, model, pairs, y, margin) -> Result:
    """Order consistency of margins; the spread is its standard error over prompts."""
    agreement = pair_agreement(y, margin)
    error = None if model is None else calibration_error(model, pairs, y)
    spread = clustered_error(agreement, pairs.pair_prompt_ids[:, 0])
    return Result(name, float(agreement.mean()), spread, error)


def clustered_error(values, groups) -> float | None:
    """Standard error of a mean whose values hang together within groups.

    None for one group, which shows no spread.
    """
    group = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(group, values - values.mean())
    n = len(sums)
    if n < 2:
        return None
    return float(np.sqrt(n / (n - 1) * np.square(sums).sum()) / len(values))


def standard_error(result, n_pairs, n_means=1) -> float:
    """Give the error of an order consistency, or of a mean of several.

    It is no smaller than that of as many independent pairs.
    """
    return max((result.spread or 0.0) / n_means**0.5, 0.5 / n_pairs**0.5)


def threads_for(n_numbers, rewards):
    """Limit threads inside numpy, scipy and torch to one for small problems.

    Of a library that is there: where a reward is a network torch is loaded first.
    """
    parts = chain.from_iterable(reward.get_params().values() for reward in rewards)
    if any(isinstance(part, NetworkMixin) for part in parts):
        import skreward.networks.training  # noqa: F401
    return threadpool_limits(1 if n_numbers < SMALL else None)


def calibrated(reward, pairs, y, *, folds, cv, progress):
    """Calibrate within the training part of every fold, and measure on the other.

    Parameters
    ----------
    reward : estimator
    pairs : EmbeddingPairs
    y : array or None
    folds : list of (train, test)
        Positions of pairs.
    cv : splitter
        Deals the pairs of a training part.
    progress : callable
        Called after every fit.

    Returns
    -------
    before, after : Calibration
    """
    figures = []
    for train, test in folds:
        some, rest = (None if y is None else y[part] for part in (train, test))
        model = CalibratedReward(clone(reward), cv=cv).fit(pairs[train], some)
        progress()
        figures.append(
            [
                _proba_figures(fitted, pairs[test], rest)
                for fitted in (model.estimator_, model)
            ]
        )
    return [_mean(side) for side in zip(*figures, strict=True)]


def _proba_figures(model, pairs, y):
    proba = proba_of(model, pairs)
    if proba is None:
        return None
    target = np.ones(len(pairs)) if y is None else y
    held = np.clip(proba.astype(float), TINY, 1 - TINY)
    loss = -(target * np.log(held) + (1 - target) * np.log(1 - held))
    return expected_calibration_error(y, proba), float(loss.mean())


def _mean(figures):
    if None in figures:
        return Calibration(None, None)
    return Calibration(*np.mean(figures, axis=0).tolist())


def gives_proba(model) -> bool:
    """Whether a fitted reward gives probabilities, through what it stands in."""
    while model is not None and not hasattr(model, "predict_preference_proba"):
        if hasattr(model, "steps"):
            model = model[-1]
        else:
            model = getattr(model, "best_estimator_", None)
    return model is not None


def proba_of(model, pairs) -> np.ndarray | None:
    """P(first preferred) of every pair; None where a reward gives none."""
    try:
        reward, pairs = last_step(model, pairs, "predict_preference_proba")
    except TypeError:
        return None
    return np.asarray(reward.predict_preference_proba(pairs))


def calibration_error(model, pairs, y) -> float | None:
    """Expected calibration error of a reward; None where it gives no probabilities."""
    proba = proba_of(model, pairs)
    return None if proba is None else expected_calibration_error(y, proba)


def _over_folds(name, shares, says, errors=(None,)):
    return Result(
        name,
        float(np.mean(shares)),
        float(np.std(shares)) if says else None,
        None if None in errors else float(np.mean(errors)),
    )
