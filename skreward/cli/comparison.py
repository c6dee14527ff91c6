"""What the command line measures: prompt-disjoint folds, null baselines, spread."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from skreward.metrics import (
    expected_calibration_error,
    neg_preference_log_loss_scorer,
    order_consistency_score,
    order_consistency_scorer,
)
from skreward.model_selection import PromptDisjointKFold
from skreward.models.bradley_terry import BradleyTerryRegressor
from skreward.models.bradley_terry_mlp import BradleyTerryMLPRegressor
from skreward.models.classifier import PairwiseClassifierReward
from skreward.models.itemwise import ItemwiseTransformer

INNER_FOLDS = 3
# Below this many numbers, threads of the BLAS wait for each other longer than they
# work: on a busy machine a linear fit of 3,400 items takes 30 times as long.
SMALL = 20_000_000


class Result(NamedTuple):
    """A figure over folds (or over prompts), and how calibrated the margins are."""

    name: str
    order_consistency: float
    spread: float
    calibration_error: float | None


def candidates(seed, inner_folds=INNER_FOLDS) -> dict[str, Any]:
    """Give the rewards that `fit` compares, strengths chosen in inner folds."""
    cv = PromptDisjointKFold(inner_folds, random_state=seed)
    linear = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return {
        "linear": GridSearchCV(
            linear,
            {"bradleyterryregressor__alpha": [0.03, 0.1, 0.3, 1.0, 3.0]},
            scoring=neg_preference_log_loss_scorer,
            cv=cv,
        ),
        "network": make_pipeline(
            ItemwiseTransformer(StandardScaler()),
            BradleyTerryMLPRegressor((64,), alpha=0.01, random_state=seed),
        ),
        "classifier": GridSearchCV(
            PairwiseClassifierReward(classifier),
            {"estimator__logisticregression__C": [1e-5, 1e-4, 1e-3, 1e-2]},
            scoring=order_consistency_scorer,
            cv=cv,
        ),
    }


def compare(rewards, pairs, y, longer, *, n_folds, seed, progress) -> list[Result]:
    """Cross-validate rewards and null baselines on the same prompt-disjoint folds.

    Parameters
    ----------
    rewards : dict of estimators by name
    pairs : EmbeddingPairs
    y : array or None
    longer : array of shape (n_pairs,)
        Length of the first response minus that of the second.
    n_folds, seed : int
    progress : callable
        Called after every fit.

    Returns
    -------
    results : list of Result
        Mean and standard deviation over folds; the baselines last.
    """
    cv = PromptDisjointKFold(n_folds, random_state=seed)
    folds = list(cv.split(pairs, y))
    results = []
    for name, reward in rewards.items():
        scores: list[float] = []
        errors: list[float | None] = []
        for train, test in folds:
            model = clone(reward).fit(pairs[train], _take(y, train))
            scores.append(
                order_consistency_score(_take(y, test), model.predict(pairs[test]))
            )
            errors.append(calibration_error(model, pairs[test], _take(y, test)))
            progress()
        known = [error for error in errors if error is not None]
        error = float(np.mean(known)) if known else None
        results.append(_over_folds(name, scores, error))
    coin = check_random_state(seed).uniform(-1, 1, size=len(pairs))
    for name, margin in (("longer response", longer), ("coin", coin)):
        scores = [
            order_consistency_score(_take(y, test), margin[test]) for _, test in folds
        ]
        results.append(_over_folds(name, scores, None))
    return results


def score_pairs(name, model, pairs, y, margin) -> Result:
    """Order consistency of margins; the spread is its standard error over prompts."""
    agreement = _agreement(y, margin)
    error = None if model is None else calibration_error(model, pairs, y)
    spread = clustered_error(agreement, pairs.pair_prompt_ids[:, 0])
    return Result(name, float(agreement.mean()), spread, error)


def clustered_error(values, groups) -> float:
    """Standard error of a mean whose values hang together within groups."""
    group = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(group, values - values.mean())
    n = len(sums)
    if n < 2:
        return float("nan")
    return float(np.sqrt(n / (n - 1) * np.square(sums).sum()) / len(values))


def threads_for(n_numbers):
    """Limit threads inside numpy, scipy and torch to one for small problems."""
    return threadpool_limits(1 if n_numbers < SMALL else None)


def calibration_error(model, pairs, y) -> float | None:
    """Expected calibration error, where margins are log-odds of a preference."""
    final = final_reward(model)
    if not isinstance(final, BradleyTerryRegressor | BradleyTerryMLPRegressor):
        return None
    margin = model.predict(pairs)
    return expected_calibration_error(y, 1.0 / (1.0 + np.exp(-margin)))


def final_reward(model):
    """Find the reward model inside a search or a pipeline."""
    model = getattr(model, "best_estimator_", model)
    return model[-1] if hasattr(model, "steps") else model


def _agreement(y, margin):
    target = np.ones(len(margin)) if y is None else np.asarray(y, dtype=float)
    first = (np.sign(margin) + 1) / 2
    return target * first + (1 - target) * (1 - first)


def _over_folds(name, scores, error):
    return Result(name, float(np.mean(scores)), float(np.std(scores)), error)


def _take(y, positions):
    return None if y is None else y[positions]
