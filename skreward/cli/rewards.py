"""The rewards that `fit` compares, and how strongly each is penalised."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import click
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skreward.cli.features import EMBEDDING, STATISTICS, scaled
from skreward.metrics import order_consistency_scorer
from skreward.model_selection import PromptDisjointKFold
from skreward.models.bradley_terry import BradleyTerryRegressor
from skreward.models.bradley_terry_cv import BradleyTerryRegressorCV
from skreward.models.bradley_terry_mlp import BradleyTerryMLPRegressor
from skreward.models.classifier import PairwiseClassifierReward
from skreward.models.ensemble import RewardEnsemble

INNER_FOLDS = 3
MIDDLE_ALPHA = 1e-2
WEIGHED_ALPHAS = tuple(np.logspace(-4, 1, 11).tolist())
BOTH = (EMBEDDING, STATISTICS)
NETWORK = (64,)
LOGISTIC = "LogisticRegression"


@dataclass(frozen=True)
class Recipe:
    """How rewards are made.

    The first ``n_embedding`` columns of the items are the embedding, the others
    statistics; None tells that all are the embedding's, 0 that none is. With fewer
    than two inner folds there is nothing to choose strengths by: they are the middle
    ones. ``alpha=None`` chooses the linear reward's in inner folds. ``scalers`` are
    those by which rewards see parts of the features.
    """

    seed: int
    n_embedding: int | None
    inner_folds: int = INNER_FOLDS
    device: str = "auto"
    alpha: float | None = None
    hidden: tuple[int, ...] = NETWORK
    classifier: str = LOGISTIC
    ensemble: int | None = None
    scalers: dict[tuple[str, ...], Any] = field(default_factory=dict, init=False)

    def candidates(self) -> dict[str, Any]:
        """Give the rewards that `fit` compares, by name."""
        network = BradleyTerryMLPRegressor(
            self.hidden,
            alpha=MIDDLE_ALPHA if self.alpha is None else self.alpha,
            device=self.device,
            random_state=self.seed,
        )
        return {
            "linear": self.linear(),
            "network": self._on(BOTH, network),
            "classifier": self._classifier(),
        }

    def linear(self, of=BOTH):
        """Give the linear reward on parts of the features."""
        alpha = self.alpha
        if alpha is None and self.inner_folds < 2:
            alpha = MIDDLE_ALPHA
        if alpha is not None:
            return self._on(of, BradleyTerryRegressor(alpha=alpha, device=self.device))
        # Columns that are weighed down want weaker penalties than their scale tells.
        reward = BradleyTerryRegressorCV(
            alphas=9 if self.n_embedding is None else WEIGHED_ALPHAS,
            cv=self.inner_folds,
            device=self.device,
            random_state=self.seed,
        )
        return self._on(of, reward)

    def parts(self) -> dict[str, Any]:
        """Give the linear reward on each part of the features: what each is good for.

        Empty where there is one part.
        """
        if not self.n_embedding:
            return {}
        return {f"linear, {part} alone": self.linear((part,)) for part in BOTH}

    def _classifier(self):
        """Give the classifier reward, a logistic regression's strength chosen."""
        made = find_classifier(self.classifier, self.seed)
        reward = self._gathered(PairwiseClassifierReward(made))
        if self.classifier == LOGISTIC and self.inner_folds >= 2:
            # An embedding alone is not weighed down, and takes a stronger penalty.
            weak = () if self.n_embedding is not None else (1e-5,)
            name = next(n for n in reward.get_params() if n.endswith("estimator__C"))
            reward = GridSearchCV(
                reward,
                {name: [*weak, 1e-4, 1e-3, 1e-2]},
                scoring=order_consistency_scorer,
                cv=PromptDisjointKFold(self.inner_folds, random_state=self.seed),
                error_score="raise",
            )
        return make_pipeline(self._scaler(BOTH), reward)

    def _on(self, parts, reward):
        """Put a reward, or an ensemble of it, behind the scaler of its features."""
        return make_pipeline(self._scaler(parts), self._gathered(reward))

    def _gathered(self, reward):
        if self.ensemble is None:
            return reward
        return RewardEnsemble(reward, self.ensemble, random_state=self.seed)

    def _scaler(self, parts):
        """Give the scaler of some parts, one for all rewards: it is fitted once."""
        if parts not in self.scalers:
            self.scalers[parts] = scaled(self.n_embedding, parts)
        return self.scalers[parts]


def find_classifier(name: str, seed: int):
    """Make a classifier by the name of its class."""
    if name == LOGISTIC:
        # It takes weights itself, which soft labels need.
        return LogisticRegression(C=1e-3, max_iter=1000)
    from sklearn.utils import all_estimators

    from skreward.models.mlp_classifier import RewardMLPClassifier

    known = dict(all_estimators(type_filter="classifier"))
    known[RewardMLPClassifier.__name__] = RewardMLPClassifier
    if name not in known:
        near = get_close_matches(name, known, 3)
        hint = f" (did you mean {', '.join(near)}?)" if near else ""
        raise click.UsageError(
            f"--classifier: {name!r} is no classifier of scikit-learn{hint}"
        )
    try:
        classifier = known[name]()
    except TypeError:
        raise click.UsageError(
            f"--classifier: {name} is made of another estimator"
        ) from None
    seeds = [key for key in classifier.get_params() if key == "random_state"]
    return classifier.set_params(**dict.fromkeys(seeds, seed))


def inner_folds(folds, prompts) -> int:
    """Give how many folds every training part has prompts for."""
    return min(INNER_FOLDS, *(len(np.unique(prompts[train])) for train, _ in folds))
