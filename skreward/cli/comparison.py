"""What the command line measures: prompt-disjoint folds, null baselines, spread."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from skreward.cli.features import EMBEDDING, STATISTICS, scaled
from skreward.metrics import (
    expected_calibration_error,
    order_consistency_score,
    order_consistency_scorer,
)
from skreward.metrics.pairs import pair_agreement
from skreward.model_selection import PromptDisjointKFold
from skreward.models.bradley_terry import BradleyTerryRegressor
from skreward.models.bradley_terry_cv import BradleyTerryRegressorCV
from skreward.models.bradley_terry_mlp import BradleyTerryMLPRegressor
from skreward.models.classifier import PairwiseClassifierReward
from skreward.utils.through import last_step

INNER_FOLDS = 3
MIDDLE_ALPHA = 1e-2
WEIGHED_ALPHAS = tuple(np.logspace(-4, 1, 11).tolist())
BOTH = (EMBEDDING, STATISTICS)
# A fold of fewer pairs has no order consistency to speak of: it is one of few values.
FEWEST_IN_FOLD = 10
# Below this many numbers, threads of the BLAS wait for each other longer than they
# work: on a busy machine a linear fit of 3,400 items takes 30 times as long.
SMALL = 20_000_000


class Result(NamedTuple):
    """A figure over folds (or over prompts), and how calibrated probabilities are.

    ``spread`` is None where there is too little to say, ``calibration_error`` where
    a reward gives no probabilities.
    """

    name: str
    order_consistency: float
    spread: float | None
    calibration_error: float | None = None


def candidates(
    seed, n_embedding, inner_folds=INNER_FOLDS, device="auto"
) -> dict[str, Any]:
    """Give the rewards that `fit` compares, strengths chosen in inner folds.

    The first ``n_embedding`` columns of the items are the embedding, the others
    statistics; None tells that all are the embedding's. With fewer than two inner
    folds there is nothing to choose by: the strengths are the middle ones.
    """
    # An embedding alone is not weighed down, and takes a penalty that is stronger.
    strengths = (1e-4, 1e-3, 1e-2) if n_embedding else (1e-5, 1e-4, 1e-3, 1e-2)
    # The classifier takes weights itself, which soft labels need.
    classifier = make_pipeline(
        scaled(n_embedding),
        PairwiseClassifierReward(LogisticRegression(C=1e-3, max_iter=1000)),
    )
    network = make_pipeline(
        scaled(n_embedding),
        BradleyTerryMLPRegressor((64,), alpha=0.01, device=device, random_state=seed),
    )
    linear = linear_reward(seed, n_embedding, BOTH, inner_folds, device)
    if inner_folds < 2:
        return {"linear": linear, "network": network, "classifier": classifier}
    cv = PromptDisjointKFold(inner_folds, random_state=seed)
    return {
        "linear": linear,
        "network": network,
        "classifier": GridSearchCV(
            classifier,
            {"pairwiseclassifierreward__estimator__C": list(strengths)},
            scoring=order_consistency_scorer,
            cv=cv,
            error_score="raise",
        ),
    }


def linear_reward(seed, n_embedding, of=BOTH, inner_folds=INNER_FOLDS, device="auto"):
    """Give the linear reward on parts of the features, its penalty chosen in folds."""
    if inner_folds < 2:
        reward = BradleyTerryRegressor(alpha=MIDDLE_ALPHA, device=device)
    else:
        # Columns that are weighed down want weaker penalties than their scale tells.
        reward = BradleyTerryRegressorCV(
            alphas=9 if n_embedding is None else WEIGHED_ALPHAS,
            cv=inner_folds,
            device=device,
            random_state=seed,
        )
    return make_pipeline(scaled(n_embedding, of), reward)


def parts(seed, n_embedding, inner_folds=INNER_FOLDS, device="auto") -> dict[str, Any]:
    """Give the linear reward on each part of the features: what each is good for."""
    return {
        f"linear, {part} alone": linear_reward(
            seed, n_embedding, (part,), inner_folds, device
        )
        for part in (EMBEDDING, STATISTICS)
    }


def inner_folds(folds, prompts) -> int:
    """Give how many folds every training part has prompts for."""
    return min(INNER_FOLDS, *(len(np.unique(prompts[train])) for train, _ in folds))


def compare(rewards, pairs, y, longer, *, folds, seed, progress) -> list[Result]:
    """Cross-validate rewards and null baselines on the same folds.

    Parameters
    ----------
    rewards : dict of estimators by name
    pairs : EmbeddingPairs
    y : array or None
    longer : array of shape (n_pairs,)
        Length of the first response minus that of the second.
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

    def measure(model, X, y=None):
        progress()
        figures = {"order_consistency": order_consistency_scorer(model, X, y)}
        error = calibration_error(model, X, y)
        return figures if error is None else figures | {"calibration_error": error}

    says = min(len(test) for _, test in folds) >= FEWEST_IN_FOLD
    results = []
    for name, reward in rewards.items():
        figures = cross_validate(
            reward, pairs, y, cv=folds, scoring=measure, error_score="raise"
        )
        error = figures.get("test_calibration_error")
        results.append(
            _over_folds(name, figures["test_order_consistency"], says, error)
        )
    coin = check_random_state(seed).uniform(-1, 1, size=len(pairs))
    for name, margin in (("longer response", longer), ("coin", coin)):
        shares = [
            order_consistency_score(None if y is None else y[test], margin[test])
            for _, test in folds
        ]
        results.append(_over_folds(name, shares, says))
    return results


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


def threads_for(n_numbers):
    """Limit threads inside numpy, scipy and torch to one for small problems."""
    return threadpool_limits(1 if n_numbers < SMALL else None)


def calibration_error(model, pairs, y) -> float | None:
    """Expected calibration error of a reward; None where it gives no probabilities."""
    try:
        reward, pairs = last_step(model, pairs, "predict_preference_proba")
    except TypeError:
        return None
    return expected_calibration_error(y, reward.predict_preference_proba(pairs))


def _over_folds(name, shares, says, errors=None):
    return Result(
        name,
        float(np.mean(shares)),
        float(np.std(shares)) if says else None,
        None if errors is None else float(np.mean(errors)),
    )
