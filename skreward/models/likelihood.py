"""What rewards fitted by the likelihood of preferences share."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skreward.data.comparisons import Comparisons
from skreward.data.gate import check_comparisons, is_pairs
from skreward.data.pairs import PairsOrItems
from skreward.models.base import BaseRewardModel, mean_reward
from skreward.objectives import OBJECTIVES
from skreward.utils.arrays import out_of_range


class LikelihoodReward(BaseRewardModel):
    """A reward whose margin gives a probability, F(margin), with F of ``link``.

    A subclass has the parameters ``link`` and ``max_pairs``.
    """

    def predict_preference_proba(self, X: PairsOrItems) -> np.ndarray:
        """P(first preferred) of every pair: F(r(first) - r(second)).

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
        check_is_fitted(self)
        if not is_pairs(X):
            raise ValueError(
                "predict_preference_proba needs pairs, (n_pairs, 2, n_features) or an "
                f"EmbeddingPairs, got shape {np.shape(X)}."
            )
        return OBJECTIVES[self.link].distribution(self.predict(X))

    def _check_data(
        self, X, y, sample_weight, rng, *, reset, prompt_ids=None
    ) -> Comparisons:
        return check_comparisons(
            self,
            X,
            y,
            sample_weight,
            prompt_ids=prompt_ids,
            reset=reset,
            max_pairs=self.max_pairs,
            random_state=rng,
        )

    def _centre(self, comparisons, reward):
        """Set ``offset_``, given the rewards of the items without it."""
        self.offset_ = mean_reward(reward, comparisons.item_weight)
        if not np.isfinite(self.offset_):
            raise out_of_range(comparisons.items.dtype)
