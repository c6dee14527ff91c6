"""What both reward models share: everything that follows from a reward per item."""

from abc import ABCMeta, abstractmethod

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skreward.data.gate import (
    check_items,
    dense_pairs,
    is_pairs,
    refuse_texts,
    take_apart,
)
from skreward.data.pairs import EmbeddingPairs, PairsOrItems
from skreward.metrics import order_consistency_scorer
from skreward.utils.arrays import compute_dtype, rows_as
from skreward.utils.lazy import is_lazy, map_rows, refuse_lazy
from skreward.utils.page import PageMixin
from skreward.utils.typing import Array, ArrayLike

KEPT_ITEMS = 16


class BaseRewardModel(PageMixin, RegressorMixin, BaseEstimator, metaclass=ABCMeta):
    """A reward r of items, and what pairs make of it: r(first) - r(second).

    A subclass fits, and gives the rewards of validated items in `_reward`.
    """

    # Whether `fit` takes items in a Dask array; everything else does.
    _fits_lazy = False

    @abstractmethod
    def _reward(self, items):
        """Rewards of validated items, shape (n_items,)."""

    def _rewards(self, items):
        """Rewards of validated items, block by block where they are a Dask array."""
        if not is_lazy(items):
            return self._reward(items)
        return map_rows(
            _reward_of_block, items, self, width=1, dtype=compute_dtype(items)
        )[:, 0]

    def _reward_of(self, items):
        """Rewards of items as they are given, which are validated."""
        return self._rewards(check_items(self, items, reset=False))

    def predict(self, X: PairsOrItems) -> Array:
        """Reward of every item, or margin of every pair.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features), or \
                array-like of shape (n_pairs, 2, n_features), or EmbeddingPairs
            Items or pairs.

        Returns
        -------
        y : array of shape (n_items,) or (n_pairs,)
            For items the reward, centred on the training items; for pairs the
            margin r(first) - r(second). In the unit of the link: for a logistic
            link the margin is the log-odds of the first being preferred.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is neither items nor pairs, or its width is not that of `fit`.

        Notes
        -----
        An array ``(n, 2, n_features)`` is n pairs. Candidates are told from pairs by
        nothing but their number: for n prompts of two candidates as of any other
        number there is `predict_reward`, and `skreward.predict_reward` through a
        Pipeline or a search.
        """
        check_is_fitted(self)
        if getattr(X, "ndim", 2) == 3 and not isinstance(X, EmbeddingPairs):
            # Side by side: a pair given the other way round is rounded the same way.
            first, second = (
                self._reward_of(side.copy())
                for side in np.moveaxis(dense_pairs(X), 1, 0)
            )
            return first - second
        split = take_apart(X)
        reward = self._reward_of(split.items)
        if split.index is None:
            return reward
        return reward[split.index[:, 0]] - reward[split.index[:, 1]]

    def predict_reward(self, X: PairsOrItems) -> Array:
        """Reward of every embedding, whatever the leading shape.

        Parameters
        ----------
        X : array-like of shape (..., n_features), sparse matrix, or EmbeddingPairs
            Embeddings, such as candidates ``(n_prompts, n_responses, n_features)``.

        Returns
        -------
        rewards : array of shape X.shape[:-1]
            For `EmbeddingPairs` the rewards of both sides, ``(n_pairs, 2)``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the last axis of X is not the width of `fit`.
        """
        check_is_fitted(self)
        if isinstance(X, EmbeddingPairs):
            split = take_apart(X)
            reward = self._reward_of(split.items)
            return reward[split.index]
        refuse_texts(self, X)
        if not sp.issparse(X) and not hasattr(X, "shape"):
            X = np.asarray(X)
        shape = X.shape
        if len(shape) == 0:
            raise ValueError("X must have shape (..., n_features), got a scalar.")
        if len(shape) != 2:
            refuse_lazy(X, "An array of candidates")
            X = np.asarray(X).reshape(-1, shape[-1])
        return self._reward_of(X).reshape(shape[:-1])

    def score(
        self,
        X: PairsOrItems,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
    ) -> float:
        """Order consistency: the share of pairs that the rewards order as ``y`` does.

        Parameters
        ----------
        X : as in `fit`
            Pairs, or items with ratings.
        y : array-like, default=None
            Preferences of pairs as in `fit`, None = the first is always the chosen
            one; or ratings of items, of which every unequal pair counts.
        sample_weight : array-like, default=None
            Weights of the pairs, or of the items; a pair of items counts for the
            product of theirs.
        prompt_ids : array-like of shape (n_items,), default=None
            The prompts of rated items, which are compared within theirs alone; None
            compares any two.

        Returns
        -------
        score : float
            In [0, 1]; 0.5 is a coin. Ties in the rewards count one half.
        """
        return order_consistency_scorer(
            self, X, y, sample_weight=sample_weight, prompt_ids=prompt_ids
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags


def _reward_of_block(block, start, model):
    return model._reward_of(block)[:, np.newaxis]


def require_pairs(X, method="predict_preference_proba"):
    """Raise where X is items, which have no preference."""
    if not is_pairs(X):
        raise ValueError(
            f"{method} needs pairs, (n_pairs, 2, n_features) or an EmbeddingPairs, got "
            f"shape {np.shape(X)}."
        )


def mean_reward(reward, item_weight):
    """Mean over the training items; what `predict` subtracts."""
    # An item outside every training pair has weight zero, whatever its reward is.
    return float(np.average(reward, weights=item_weight))


def sample_of(items):
    """Copy a few training items, evenly spaced: on these an export checks itself."""
    step = -(-items.shape[0] // KEPT_ITEMS)
    return rows_as(items[::step], compute_dtype(items)).copy()
