"""What linear rewards share: rewards of items, and how far coefficients are known."""

import warnings
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn import config_context
from sklearn.utils.validation import check_is_fitted

from skreward.data.gate import check_items, take_apart
from skreward.data.groups import resampling_groups
from skreward.data.pairs import PairsOrItems
from skreward.models.likelihood import LikelihoodReward
from skreward.objectives import LINKS
from skreward.solvers.covariance import MAX_FEATURES, coef_covariance
from skreward.solvers.items import item_rewards, keeps_infinity
from skreward.utils.arrays import compute_dtype, rows_as
from skreward.utils.checks import check_real
from skreward.utils.lazy import refuse_lazy
from skreward.utils.typing import ArrayLike

BLOCK_ROWS = 4096
# Share of a difference beyond which it leaves what training pairs tell about.
UNIDENTIFIED = 1e-5


class LinearReward(LikelihoodReward):
    """A reward x @ coef_ - offset_, fitted by the likelihood of preferences.

    A subclass has the parameter ``covariance``, and calls `_set_covariance` when it
    is fitted.
    """

    def predict(self, X: PairsOrItems, return_std: bool = False) -> Any:
        """Reward of every item, or margin of every pair, and its standard error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features), or \
                array-like of shape (n_pairs, 2, n_features), or EmbeddingPairs
            Items or pairs.

        return_std : bool, default=False
            Also give standard errors, and with them debiased rewards and margins: the
            penalised ones are better guesses, but too small, and an interval around
            them would miss the truth. Needs ``covariance``.

        Returns
        -------
        y : array of shape (n_items,) or (n_pairs,)
            For items the reward, centred on the training items; for pairs the margin
            r(first) - r(second). In the unit of the link: for a logistic link the
            margin is the log-odds of the first being preferred.

        std : array of shape (n_items,) or (n_pairs,)
            Only with ``return_std``. ``y - 1.96 * std`` to ``y + 1.96 * std`` covers
            the margin in 95 of 100 samples of prompts and labels. Infinite where
            items differ in a direction in which no training pair does.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is neither items nor pairs, or its width is not that of `fit`; if
            ``return_std`` meets a model without ``covariance``.
        """
        if not return_std:
            return super().predict(X)
        self._check_covariance("return_std")
        split = take_apart(X)
        refuse_lazy(split.items, "return_std=True")
        items = check_items(self, split.items, reset=False)
        n = items.shape[0] if split.index is None else len(split.index)
        mean, std = np.empty((2, n), dtype=compute_dtype(items))
        for start in range(0, n, BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            if split.index is None:
                z = rows_as(items[block], np.float64) - self.item_mean_
            else:
                first, second = split.index[block].T
                z = rows_as(items[first], np.float64)
                z = z - rows_as(items[second], np.float64)
            mean[block] = z @ self.debiased_coef_
            variance = np.einsum("ij,ij->i", z @ self.coef_covariance_, z)
            outside = np.linalg.norm(z @ self.unidentified_, axis=1)
            is_outside = outside > UNIDENTIFIED * np.linalg.norm(z, axis=1)
            std[block] = np.sqrt(np.where(is_outside, np.inf, np.maximum(variance, 0)))
        return mean, std

    def coef_intervals(
        self,
        feature_names: ArrayLike | None = None,
        *,
        confidence_level: float = 0.95,
        as_frame: bool = False,
    ) -> Any:
        """What the reward pays for every feature, with confidence intervals.

        Parameters
        ----------
        feature_names : array-like of str, default=None
            Names of the features, such as a transformer's ``get_feature_names_out()``.
            None takes ``feature_names_in_``, or else x0, x1, ...

        confidence_level : float, default=0.95
            Share of samples in which an interval covers its coefficient.

        as_frame : bool, default=False
            Give a pandas data frame.

        Returns
        -------
        table : dict of arrays of shape (n_features,), or pandas.DataFrame
            Columns "feature", "coef" (debiased, so not quite ``coef_``), "std",
            "lower" and "upper". Reward a unit of the feature; features of one scale,
            such as a ``StandardScaler`` makes, can be compared. A feature in which no
            training pair differs has an infinite interval.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the model has no ``covariance``, or there are not as many names as
            features.
        """
        self._check_covariance("coef_intervals")
        level = check_real(confidence_level, "confidence_level", low=0, high=1)
        reach = ndtri((1 + level) / 2)
        coef = self.debiased_coef_
        variance = np.maximum(self.coef_covariance_.diagonal(), 0)
        unknown = np.linalg.norm(self.unidentified_, axis=1) > UNIDENTIFIED
        std = np.sqrt(np.where(unknown, np.inf, variance))
        table = {
            "feature": self._feature_names(feature_names),
            "coef": coef,
            "std": std,
            "lower": coef - reach * std,
            "upper": coef + reach * std,
        }
        if not as_frame:
            return table
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("as_frame=True needs pandas: pip install pandas.") from (
                error
            )
        return pd.DataFrame(table)

    def _reward_of(self, items):
        """Rewards of items as they are given, which are validated.

        What is not finite leaves its row's reward so. To look at the rewards instead
        of at all numbers takes a third of the time or less.
        """
        if not keeps_infinity(items):
            return super()._reward_of(items)
        with config_context(assume_finite=True), np.errstate(all="ignore"):
            rewards = super()._reward_of(items)
        return rewards if np.isfinite(rewards).all() else super()._reward_of(items)

    def _reward(self, items):
        return item_rewards(items, self.coef_) - compute_dtype(items).type(self.offset_)

    def _check_covariance(self, what):
        check_is_fitted(self)
        if not hasattr(self, "coef_covariance_"):
            raise ValueError(
                f"{what} needs the covariance of the coefficients, which fit computes "
                'with covariance="cluster" or "laplace"; this model was fitted with '
                "None."
            )

    def _feature_names(self, names):
        n_features = len(self.coef_)
        if names is None:
            names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{k}" for k in range(n_features)]
        names = np.asarray(names, dtype=object)
        if names.shape != (n_features,):
            raise ValueError(
                f"feature_names must hold {n_features} names, one a feature, got "
                f"shape {names.shape}."
            )
        return names

    def _check_ties(self, X):
        super()._check_ties(X)
        if self.covariance is None:
            return
        for name, known in (("ties", ["half"]), ("link", LINKS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(
                    f"covariance={self.covariance!r} is that of {name}="
                    f"{' or '.join(map(repr, known))}, got {name}={value!r}, whose "
                    "parameter is uncertain too. Set covariance=None."
                )

    def _check_groups(self, comparisons):
        """Groups of dependent pairs, or None; refuses what has no covariance."""
        if self.covariance is None:
            return None
        refuse_lazy(comparisons.items, f"covariance={self.covariance!r}")
        n_features = comparisons.items.shape[1]
        if n_features > MAX_FEATURES:
            raise ValueError(
                f"covariance={self.covariance!r} of {n_features} features is too "
                f"large: at most {MAX_FEATURES}."
            )
        if self.covariance == "laplace":
            return None
        groups = resampling_groups(comparisons.index, comparisons.prompt_ids)
        if groups.max() == 0:
            raise ValueError(
                'covariance="cluster" needs pairs of at least two prompts, or without '
                "prompts two groups of pairs that share no item, got one. "
                'covariance="laplace" takes pairs for independent.'
            )
        return groups

    def _set_covariance(self, comparisons):
        """Compute what standard errors need, or drop what an earlier fit has left."""
        for name in ("debiased_coef_", "coef_covariance_", "unidentified_"):
            self.__dict__.pop(name, None)
        self.__dict__.pop("item_mean_", None)
        if self.covariance is None:
            return
        groups = self._check_groups(comparisons)
        found = coef_covariance(
            comparisons, LINKS[self.link], self.coef_.astype(np.float64), groups
        )
        self.debiased_coef_, self.coef_covariance_, self.unidentified_ = found
        share = comparisons.item_weight / comparisons.item_weight.sum()
        self.item_mean_ = _weighted_rows(comparisons.items, share)
        n_pairs, n_features = len(comparisons.index), len(self.coef_)
        if n_pairs <= n_features:
            warnings.warn(
                f"{n_pairs} pairs cannot tell {n_features} coefficients apart: most "
                "standard errors are infinite. Reduce the features, as with "
                "ItemwiseTransformer(PCA(...)).",
                UserWarning,
                stacklevel=4,
            )


def _weighted_rows(items, weight):
    """Sum weight_i items_i in float64."""
    total = np.zeros(items.shape[1])
    for start in range(0, items.shape[0], BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        total += weight[block] @ rows_as(items[block], np.float64)
    return total
