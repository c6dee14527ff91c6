"""A reward from any binary classifier: which responses tend to win."""

import warnings
from dataclasses import replace
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import has_fit_parameter

from skreward.data.gate import check_comparisons
from skreward.data.pairs import PairsOrItems
from skreward.models.base import BaseRewardModel, mean_reward, sample_of
from skreward.solvers.dask_items import DaskItemMatrix
from skreward.solvers.logistic import fit_logistic
from skreward.utils.compat import HasMethods, Interval, fit_context
from skreward.utils.lazy import is_lazy
from skreward.utils.typing import ArrayLike, RandomState

__all__ = ["PairwiseClassifierReward"]

# Parameters of a LogisticRegression on items in a Dask array.
FREE_WHERE_LAZY = ("C", "fit_intercept", "max_iter", "tol")


class PairwiseClassifierReward(BaseRewardModel):
    r"""Reward r(x) = logit P(x wins), from any binary classifier.

    Every pair says "won" of its preferred item and "lost" of the other; a classifier
    learns to tell them apart one item at a time, and its logit is the reward,

    .. math:: r(x) = \log \frac{P(\text{win} \mid x)}{P(\text{loss} \mid x)},

    centred on the training items. It need not know the opponent: a reward has to
    keep the right order, and an item's chance to win grows with its quality as long
    as items meet opponents of the same law [1]_. With pairs from the same prompt it
    learns an advantage within the prompt.

    Parameters
    ----------
    estimator : classifier, default=None
        A binary classifier with ``decision_function`` or ``predict_proba``:
        scikit-learn's, LightGBM's, XGBoost's, CatBoost's, or a pipeline that ends
        in one. None is ``LogisticRegression(C=0.1)``. A classifier whose ``fit`` takes
        ``sample_weight`` sees every distinct item once or twice, weighted by its
        wins and its losses; any other sees one row a win and one a loss. One whose
        ``fit`` takes ``groups`` is given the prompts, where they are known; a
        pipeline passes none on. `RewardMLPClassifier` sees every item once, with its
        share of wins, and prompts or else items are kept apart.

    max_pairs : int or None, default=100_000
        When X is items with ratings, learn from at most this many of their ordered
        pairs, sampled with ``random_state``. None takes all, n (n - 1) / 2.

    random_state : int, RandomState instance or None, default=None
        Fixes the pairs sampled from ratings; the classifier has its own.

    Attributes
    ----------
    estimator_ : classifier
        Fitted, with ``classes_`` 0 (lost) and 1 (won).

    offset_ : float
        Mean logit of the training items, which `predict` subtracts.

    sample_ : array of shape (n_kept, n_features)
        At most 16 of the training items, on which an export compares itself with the
        model.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame of items.

    See Also
    --------
    BradleyTerryRegressor : A reward from the likelihood of the preferences.
    BradleyTerryMLPRegressor : A network from that likelihood.

    Notes
    -----
    A margin here is a difference of logits, no log-odds of the preference, so there
    is no ``predict_preference_proba``.

    References
    ----------
    .. [1] "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling:
       Foundations, Theory, and Alternatives" (ICLR 2025).

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from skreward import PairwiseClassifierReward
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> model = PairwiseClassifierReward(HistGradientBoostingClassifier(max_iter=20))
    >>> model = model.fit(data.pairs, data.y)
    >>> bool(model.score(data.pairs, data.y) > 0.7)
    True
    """

    _fits_lazy = True
    _parameter_constraints = {  # noqa: RUF012
        "estimator": [HasMethods(["fit"]), None],
        "max_pairs": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        max_pairs: int | None = 100_000,
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.max_pairs = max_pairs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: PairsOrItems,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
    ) -> Self:
        """Learn from preferences which items win.

        Parameters
        ----------
        X : EmbeddingPairs, or array-like of shape (n_pairs, 2, n_features), or \
                {array-like, sparse matrix} of shape (n_items, n_features)
            Pairs; or items, learned from a rating each.

        y : array-like of shape (n_pairs,) or (n_items,), default=None
            For pairs: 1 = first preferred, 0 = second; or +1 / -1; or P(first
            preferred) in [0, 1], 0.5 being a tie; None = the first is always the
            chosen one. For items: ratings, of which only the order counts.

        sample_weight : array-like of shape (n_pairs,) or (n_items,), default=None
            Weights; integers count as repetitions.

        prompt_ids : array-like of shape (n_items,), default=None
            The prompt that each rated item answers: ratings are compared within
            their prompt alone, and prompts stay whole in internal splits. None
            compares any two items, and warns: a rating of one prompt rarely means
            what it means for another. Pairs carry theirs (`EmbeddingPairs`).

        Returns
        -------
        self : PairwiseClassifierReward
            Fitted.

        Raises
        ------
        ValueError
            If X, y or sample_weight is not as above; if soft labels or fractional
            weights meet a classifier that takes no ``sample_weight``.
        TypeError
            If ``estimator`` cannot classify.

        Warns
        -----
        UserWarning
            If items are rated and ``prompt_ids`` is None.
        """
        classifier = self._new_classifier()
        comparisons = self._check_data(X, y, sample_weight, prompt_ids)
        _fit_classifier(classifier, comparisons)
        self._set(classifier, comparisons)
        return self

    @available_if(lambda self: hasattr(self.estimator, "_fit_wins"))
    def _fit_many(self, models, X, y, weights, prompt_ids=None):
        """Fit models like this one, all at once; see `fit_together`.

        ``X``, ``y`` and ``weights`` hold one each for every model. Gives the models'
        rewards of the items.
        """
        classifiers = [model._new_classifier() for model in models]
        observed = [
            model._check_data(*data, prompt_ids, keeps_items=True)
            for model, *data in zip(models, X, y, weights, strict=True)
        ]
        classifiers[0]._fit_wins(classifiers, [wins_of(c) for c in observed])
        return [
            model._set(classifier, comparisons)
            for model, classifier, comparisons in zip(
                models, classifiers, observed, strict=True
            )
        ]

    def _check_data(self, X, y, sample_weight, prompt_ids=None, *, keeps_items=False):
        return check_comparisons(
            self,
            X,
            y,
            sample_weight,
            prompt_ids=prompt_ids,
            max_pairs=self.max_pairs,
            random_state=check_random_state(self.random_state),
            keeps_items=keeps_items,
        )

    def _set(self, classifier, comparisons):
        """Set the fitted attributes; gives the rewards of the items."""
        self.estimator_ = classifier
        self.sample_ = sample_of(comparisons.items)
        self.offset_ = 0.0
        reward = self._rewards(comparisons.items)
        self.offset_ = mean_reward(reward, comparisons.item_weight)
        return reward - self.offset_

    def _reward(self, items):
        return logit(self.estimator_, items) - self.offset_

    def _new_classifier(self):
        if self.estimator is None:
            # Imported where it is needed: it brings solvers and losses along.
            from sklearn.linear_model import LogisticRegression

            return LogisticRegression(C=0.1)
        gives_logit = any(
            hasattr(self.estimator, name)
            for name in ("decision_function", "predict_proba")
        )
        kind = get_tags(self.estimator).estimator_type
        if kind != "classifier" or not gives_logit:
            raise TypeError(
                "estimator must be a binary classifier with decision_function or "
                f"predict_proba, got {self.estimator!r}."
            )
        return clone(self.estimator)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse
        return tags


def _fit_classifier(classifier, comparisons):
    """Fit a classifier on wins and losses, in the form that it takes."""
    if is_lazy(comparisons.items):
        _fit_lazily(classifier, comparisons)
        return
    if hasattr(classifier, "_fit_wins"):
        classifier._fit_wins([classifier], [wins_of(comparisons)])
        return
    takes_weights = has_fit_parameter(classifier, "sample_weight")
    if takes_weights:
        rows, won, weight = weighted_rows(comparisons)
    else:
        rows, won = repeated_rows(comparisons, type(classifier).__name__)
    more = {"sample_weight": weight} if takes_weights else {}
    if comparisons.prompt_ids is not None and has_fit_parameter(classifier, "groups"):
        more["groups"] = comparisons.prompt_ids[rows]
    classifier.fit(comparisons.items[rows], won, **more)


def _fit_lazily(classifier, comparisons):
    """Fit a LogisticRegression on items in a Dask array, to its own objective."""
    from sklearn.linear_model import LogisticRegression

    free = {name: getattr(classifier, name, None) for name in FREE_WHERE_LAZY}
    plain = LogisticRegression(**free)
    if type(classifier) is not LogisticRegression or (
        classifier.get_params() != plain.get_params()
    ):
        raise TypeError(
            "Of the classifiers LogisticRegression alone takes items in a Dask array, "
            f"with {', '.join(FREE_WHERE_LAZY)} of its parameters; got {classifier!r}."
        )
    plain._validate_params()
    # As scikit-learn does: float32 alone is not float64.
    dtype = np.float32 if comparisons.items.dtype == np.float32 else np.float64
    items = DaskItemMatrix(comparisons.items.astype(dtype))
    found = fit_logistic(items, wins_of(comparisons), **free)
    if not found.converged:
        warnings.warn(
            f"{found.stopped(classifier.tol)} Increase max_iter, or decrease C.",
            ConvergenceWarning,
            stacklevel=4,
        )
    theta = found.theta if classifier.fit_intercept else np.zeros(1)
    classifier.classes_ = np.array([0, 1])
    classifier.coef_ = found.coef.astype(dtype)[np.newaxis]
    classifier.intercept_ = theta.astype(dtype)
    classifier.n_iter_ = np.array([found.n_iter], dtype=np.int32)
    classifier.n_features_in_ = items.shape[1]


def wins_of(comparisons):
    """Give what was seen of single items: the share of wins of each, and how many."""
    wins, losses = _wins_and_losses(comparisons)
    (seen,) = np.nonzero(wins + losses)
    total = (wins + losses)[seen]
    return replace(
        comparisons,
        index=seen[:, np.newaxis],
        target=wins[seen] / total,
        weight=total,
        columns={},
    )


def weighted_rows(comparisons):
    """One row for every item that has won, and one for every item that has lost.

    Returns the items' positions, whether each row is a win, and how much of it:
    the sums over its pairs.
    """
    wins, losses = _wins_and_losses(comparisons)
    winners, losers = np.flatnonzero(wins), np.flatnonzero(losses)
    rows = np.concatenate([winners, losers])
    won = np.repeat([1, 0], [len(winners), len(losers)])
    return rows, won, np.concatenate([wins[winners], losses[losers]])


def _wins_and_losses(comparisons):
    """Sum what every item has won and lost over its pairs, shape (n_items,) each."""
    n_items = comparisons.items.shape[0]
    first, second = comparisons.index.T
    won_first = comparisons.weight * comparisons.target
    won_second = comparisons.weight - won_first
    wins = np.bincount(first, won_first, n_items)
    wins += np.bincount(second, won_second, n_items)
    losses = np.bincount(first, won_second, n_items)
    losses += np.bincount(second, won_first, n_items)
    return wins, losses


def repeated_rows(comparisons, name):
    """Two rows a pair, repeated by its weight: its winner's and its loser's."""
    if not np.isin(comparisons.target, (0, 1)).all():
        raise ValueError(
            f"{name}.fit takes no sample_weight, so y must hold hard labels; got "
            "probabilities between 0 and 1."
        )
    times = np.rint(comparisons.weight)
    if not np.array_equal(times, comparisons.weight):
        raise ValueError(
            f"{name}.fit takes no sample_weight, so weights must be whole numbers, "
            "which repeat a pair; got fractions."
        )
    pairs = np.repeat(np.arange(len(times)), times.astype(int))
    first_won = comparisons.target[pairs].astype(int)
    index = comparisons.index[pairs]
    rows = index.ravel()
    won = np.column_stack([first_won, 1 - first_won]).ravel()
    return rows, won


def logit(classifier, items):
    """Log-odds of a win, from ``decision_function`` or else ``predict_proba``.

    Probabilities of 0 are lifted to the smallest normal number of their dtype: two
    items tie only where the classifier gives both the same probabilities.
    """
    if hasattr(classifier, "decision_function"):
        return np.asarray(classifier.decision_function(items)).ravel()
    proba = np.asarray(classifier.predict_proba(items))
    log_proba = np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))
    return log_proba[:, 1] - log_proba[:, 0]
