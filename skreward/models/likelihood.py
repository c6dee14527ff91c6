"""What rewards fitted by the likelihood of preferences share."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skreward.data.comparisons import Comparisons
from skreward.data.gate import check_comparisons, is_pairs
from skreward.data.pairs import PairsOrItems
from skreward.models.base import (
    BaseRewardModel,
    mean_reward,
    require_pairs,
    sample_of,
)
from skreward.objectives import NO_THETA, OBJECTIVES, TIES
from skreward.utils.arrays import out_of_range
from skreward.utils.typing import TiesLaw


def _has_law_of_ties(model):
    if model.ties == "half":
        raise AttributeError(
            'predict_tie_proba needs ties="davidson" or "rao-kupper", got ties="half".'
        )
    return True


class LikelihoodReward(BaseRewardModel):
    """A reward whose margin gives a probability, F(margin), with F of ``link``.

    A subclass has the parameters ``link``, ``max_pairs``, and ``ties`` where its pairs
    may tie; it fits `_objective`, and calls `_set_theta` with the theta it found.
    """

    ties: TiesLaw = "half"

    def predict_preference_proba(self, X: PairsOrItems) -> np.ndarray:
        """Expected label of every pair: P(first preferred), and half of P(tie).

        Without a law of ties that is F(r(first) - r(second)). With one it is still
        what labels of 1, 1/2 and 0 are on average, so that scores of probabilities and
        calibration curves compare like with like; P(first) itself is this less half of
        `predict_tie_proba`.

        Parameters
        ----------
        X : EmbeddingPairs, or array-like of shape (n_pairs, 2, n_features)
            Pairs.

        Returns
        -------
        proba : array of shape (n_pairs,)
            In [0, 1].

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is items, which have no preference.
        """
        margin = self._margin(X, "predict_preference_proba")
        proba = self._law().preference(margin, self._theta())
        return proba.astype(margin.dtype)

    @available_if(_has_law_of_ties)
    def predict_tie_proba(self, X: PairsOrItems) -> np.ndarray:
        """P(tie) of every pair, where ``ties`` is a law of them.

        Parameters
        ----------
        X : EmbeddingPairs, or array-like of shape (n_pairs, 2, n_features)
            Pairs.

        Returns
        -------
        proba : array of shape (n_pairs,)
            In [0, 1].

        Raises
        ------
        NotFittedError
            Before `fit`.
        AttributeError
            If ``ties="half"``.
        ValueError
            If X is items.
        """
        margin = self._margin(X, "predict_tie_proba")
        law = self._law()
        proba = law.probability(margin, self._theta())
        return proba[:, law.outcomes.index("tie")].astype(margin.dtype)

    def _margin(self, X, method):
        check_is_fitted(self)
        require_pairs(X, method)
        return self.predict(X)

    def _check_data(
        self,
        X,
        y,
        sample_weight,
        rng,
        *,
        reset,
        columns=None,
        prompt_ids=None,
        keeps_items=False,
    ) -> Comparisons:
        self._check_ties(X)
        return check_comparisons(
            self,
            X,
            y,
            sample_weight,
            columns=columns,
            prompt_ids=prompt_ids,
            reset=reset,
            max_pairs=self.max_pairs,
            random_state=rng,
            keeps_items=keeps_items,
        )

    def _check_ties(self, X):
        """Refuse what a law of ties does not go with."""
        if self.ties == "half":
            return
        if self.link != "logistic":
            raise ValueError(
                f'ties={self.ties!r} is a law for link="logistic", got link='
                f'{self.link!r}. Use ties="half".'
            )
        if not is_pairs(X):
            raise ValueError(
                f"ties={self.ties!r} needs pairs, some of them labelled 1/2, and X is "
                'items: equal ratings make no pair. Use ties="half".'
            )

    def _law(self):
        """Give the likelihood that the parameters ask for."""
        return OBJECTIVES[self.link] if self.ties == "half" else TIES[self.ties]

    def _theta(self):
        """Give the likelihood's own parameters as fitted."""
        return getattr(self, "theta_", NO_THETA)

    def _objective(self, comparisons, goes_on=False):
        """Give the likelihood of these labels; refuses those that it does not take."""
        law = self._law()
        if self.ties == "half":
            return law
        target = comparisons.target
        is_tie = target == 0.5
        is_soft = ~(is_tie | (target == 0) | (target == 1))
        if is_soft.any():
            raise ValueError(
                f"ties={self.ties!r} takes labels of 1, 0 and 1/2 (a tie), and y holds "
                f'the probability {target[is_soft.argmax()]:g}. Use ties="half".'
            )
        if goes_on and self._knows_theta():
            return law
        if is_tie.all():
            raise ValueError("y says that every pair is a tie: there is no order.")
        # Without ties the parameter has no finite theta, and nothing else changes.
        return law if is_tie.any() else OBJECTIVES["logistic"]

    def _knows_theta(self):
        """Whether an earlier fit has left parameters to go on from."""
        return len(self._theta()) > 0 and bool(np.isfinite(self._theta()).all())

    def _set_theta(self, theta):
        """Set the likelihood's own parameters, or drop what an earlier fit has left."""
        for name in ("theta_", "tie_parameter_"):
            self.__dict__.pop(name, None)
        if self.ties != "half":
            law = TIES[self.ties]
            theta = theta if len(theta) else law.theta(law.none)
            self.tie_parameter_ = law.parameter(theta)
        if len(theta):
            self.theta_ = np.asarray(theta, dtype=np.float64)

    def _centre(self, comparisons, reward):
        """Set ``offset_``, given the rewards of the items without it."""
        self.sample_ = sample_of(comparisons.items)
        self.offset_ = mean_reward(reward, comparisons.item_weight)
        if not np.isfinite(self.offset_):
            raise out_of_range(comparisons.items.dtype)
