"""Preference probabilities for any reward, from margins of pairs not trained on."""

import warnings
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skreward.data.gate import check_weight, is_pairs
from skreward.model_selection import disjoint_folds, n_samples, take
from skreward.models.base import BaseRewardModel, require_pairs
from skreward.models.meta import (
    best_factor,
    check_target,
    fit_parameters,
    margins_of,
    take_parameters,
)
from skreward.utils.checks import check_prompts
from skreward.utils.compat import HasMethods, Interval, StrOptions, fit_context
from skreward.utils.through import predict_reward
from skreward.utils.typing import Array, ArrayLike

__all__ = ["CalibratedReward"]

# What a plateau without a single exception is worth.
LARGEST_PROBABILITY = 0.999


class CalibratedReward(BaseRewardModel):
    r"""Any reward with calibrated preference probabilities.

    .. math:: P(\text{first preferred}) = g(m), \qquad g(-m) = 1 - g(m)

    with m the margin by the wrapped reward, and g learned from margins of pairs that
    the model of their fold was not trained on,

    .. math:: g(m) = \sigma(m / T) \quad \text{(temperature)}

    .. math:: g = \arg\min_{g \text{ rising}} \sum_k w_k
              \left[ (y_k - g(m_k))^2 + (1 - y_k - g(-m_k))^2 \right]
              \quad \text{(isotonic)}

    No intercept: which of two items comes first does not matter. The reward itself is
    fitted on all pairs. A likelihood alone does not make a reward calibrated: a penalty
    leaves its margins too small, a network that trained for long has them too large,
    and a classifier's or an ensemble's margin is no log-odds at all.

    Parameters
    ----------
    estimator : reward model
        A reward model of this package, a Pipeline that ends in one, or a search over
        them: whatever learns from pairs and predicts margins. A
        ``FrozenEstimator(model)`` is calibrated as it is, on pairs that should be new
        to it.

    method : {"temperature", "isotonic"}, default="temperature"
        "temperature" finds one number, by the likelihood [1]_, and needs a few hundred
        pairs. "isotonic" finds any rising curve, which takes thousands; its
        probabilities are equal on plateaus, and stay within .001 and .999.

    cv : int, splitter, or list of (train, test) positions, default=5
        An int is as many folds that share no prompt; where prompts are unknown, no
        connected component of shared items; where one component holds most pairs, no
        item, and a warning says how many pairs between folds are left out. For rated
        items, folds of items. Cost is that of ``cv`` further fits.

    n_jobs : int, default=None
        Threads that fit the folds; ``None`` means 1. No result depends on it.

    Attributes
    ----------
    estimator_ : reward model
        Fitted on all pairs.

    temperature_ : float
        T: the reward was too sure of itself above 1, too shy below. Only for
        "temperature".

    margin_knots_, proba_knots_ : arrays of shape (n_knots,)
        g at margins >= 0, straight between them, constant beyond. Only for "isotonic".

    n_features_in_ : int
        Width of the embeddings, where the estimator knows it.

    feature_names_in_ : array of shape (n_features,)
        Only where the estimator has it.

    See Also
    --------
    skreward.plotting.CalibrationDisplay : How well it worked.
    skreward.metrics.expected_calibration_error : In one number.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern
       Neural Networks" (ICML 2017).

    Examples
    --------
    >>> from skreward import CalibratedReward, PairwiseClassifierReward
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> model = CalibratedReward(PairwiseClassifierReward()).fit(data.pairs, data.y)
    >>> proba = model.predict_preference_proba(data.pairs)
    >>> bool(abs(proba.mean() - data.y.mean()) < 0.05)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "predict"])],
        "method": [StrOptions({"temperature", "isotonic"})],
        "cv": [
            Interval(Integral, 2, None, closed="left"),
            HasMethods(["split", "get_n_splits"]),
            list,
        ],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: Literal["temperature", "isotonic"] = "temperature",
        cv: Any = 5,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Fit the reward on everything, and g on margins out of fold.

        Parameters
        ----------
        X : EmbeddingPairs, array-like of shape (n_pairs, 2, n_features), \
                {array-like, sparse matrix} of shape (n_items, n_features), or texts
            Pairs, or items with a rating each; whatever ``estimator`` takes.

        y : array-like of shape (n_pairs,) or (n_items,), default=None
            Preferences or ratings, as in `BradleyTerryRegressor.fit`.

        sample_weight : array-like of shape (n_pairs,) or (n_items,), default=None
            Weights, of the fit and of the calibration; a pair of rated items counts
            for the product of theirs. A Pipeline's last step gets them.

        prompt_ids : array-like of shape (n_items,), default=None
            For rated items, the prompt that each answers: margins and folds are within
            prompts. Pairs carry theirs.

        **fit_params : dict
            For ``estimator.fit``; what has one value a sample goes along with it.

        Returns
        -------
        self : CalibratedReward
            Fitted.

        Raises
        ------
        ValueError
            If X, y or sample_weight is not as above, or as ``estimator`` wants it; if
            there are fewer prompts than folds.

        Warns
        -----
        UserWarning
            If margins out of fold order pairs like a coin, or without an error: then
            no temperature is the best.
        """
        X, y, sample_weight = indexable(X, y, sample_weight)
        folds = disjoint_folds(X, y, self.cv, prompt_ids)
        own = {"sample_weight": sample_weight, "prompt_ids": prompt_ids}
        seen = self._check_seen(X, y, **own)
        params = fit_parameters(self, self.estimator, fit_params, **own)
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        predicted = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(_predict_fold)(self.estimator, X, y, params, train, test)
            for train, test in folds
        )
        self._calibrate(*_out_of_fold(predicted, folds, *seen))
        return self

    def _check_seen(self, X, y, sample_weight, prompt_ids):
        """Give labels, weights, whether they are of pairs, and prompts of items."""
        n, is_paired = n_samples(X), is_pairs(X)
        target = check_target(self, X, y, n)
        weight = check_weight(sample_weight, n, "pair" if is_paired else "item")
        prompts = None if prompt_ids is None else check_prompts(prompt_ids, n)[1]
        return target, weight, is_paired, prompts

    def predict(self, X: Any) -> Array:
        """Reward of every item, or margin of every pair.

        Parameters
        ----------
        X : as in `fit`
            Items or pairs.

        Returns
        -------
        y : array of shape (n_items,) or (n_pairs,)
            For "temperature" the wrapped reward over T: margins are log-odds of the
            preference. For "isotonic" the wrapped reward as it is, in its own unit: a
            curve of margins is no difference of rewards, and its plateaus would lose
            their order.
        """
        check_is_fitted(self)
        return self._scaled(self.estimator_.predict(X))

    def predict_reward(self, X: Any) -> Array:
        """Reward of every embedding, whatever the leading shape.

        Parameters
        ----------
        X : array-like of shape (..., n_features), sparse matrix, or EmbeddingPairs
            As the estimator's; for a Pipeline before its steps.

        Returns
        -------
        rewards : array of shape X.shape[:-1]
            In the unit of `predict`.
        """
        check_is_fitted(self)
        return self._scaled(predict_reward(self.estimator_, X))

    def predict_preference_proba(self, X: Any) -> Array:
        """P(first preferred) of every pair: g(r(first) - r(second)).

        Parameters
        ----------
        X : EmbeddingPairs, array-like of shape (n_pairs, 2, n_features), or text pairs
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
        require_pairs(X)
        margin = self.predict(X)
        if self.method == "temperature":
            return expit(margin)
        upper = np.interp(np.abs(margin), self.margin_knots_, self.proba_knots_)
        return np.where(margin >= 0, upper, 1 - upper).astype(margin.dtype)

    def _reward(self, items):
        return self._scaled(self.estimator_.predict(items))

    def _scaled(self, reward):
        if self.method == "isotonic":
            return reward
        return reward / reward.dtype.type(self.temperature_)

    def _calibrate(self, margin, target, weight):
        for name in ("temperature_", "margin_knots_", "proba_knots_"):
            self.__dict__.pop(name, None)
        if self.method == "temperature":
            self.temperature_ = best_temperature(margin, target, weight)
        else:
            self.margin_knots_, self.proba_knots_ = rising_curve(margin, target, weight)

    @property
    def n_features_in_(self) -> int:
        """Width of the embeddings."""
        return self._of_estimator("n_features_in_")

    @property
    def feature_names_in_(self) -> Array:
        """Names of the items' features, where the estimator has them."""
        return self._of_estimator("feature_names_in_")

    def _of_estimator(self, name):
        if not hasattr(self, "estimator_"):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        return getattr(self.estimator_, name)

    def get_metadata_routing(self) -> MetadataRouter:
        """What is asked of metadata routing, and passed on to the estimator."""
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=to_fit)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse = inner.sparse
        tags.input_tags.string = inner.string
        return tags


def best_temperature(margin, target, weight):
    """Minimise sum_k w_k loss(y_k, m_k / T) over T; warns where none is the best."""
    factor, is_best = best_factor(margin, target, weight)
    if not is_best and factor * np.abs(margin).max() < 1:
        _warn_of_temperature("order pairs no better than a coin", "about one half")
    elif not is_best:
        _warn_of_temperature("order every pair as labelled", "nearly certain")
    return 1 / factor


def rising_curve(margin, target, weight):
    """Fit the antisymmetric isotonic regression; gives its knots at margins >= 0."""
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(
        y_min=1 - LARGEST_PROBABILITY, y_max=LARGEST_PROBABILITY, out_of_bounds="clip"
    ).fit(
        np.concatenate([margin, -margin]),
        np.concatenate([target, 1 - target]),
        np.concatenate([weight, weight]),
    )
    upper = curve.X_thresholds_ > 0
    knots = np.concatenate([[0.0], curve.X_thresholds_[upper]])
    proba = np.concatenate([[0.5], np.maximum(curve.y_thresholds_[upper], 0.5)])
    return knots, proba


def _predict_fold(estimator, X, y, params, train, test):
    """Fit a clone on the training part; gives what it predicts of the other."""
    some = take_parameters(params, train, n_samples(X))
    model = clone(estimator)
    model.fit(take(X, train), None if y is None else take(y, train), **some)
    return np.asarray(model.predict(take(X, test)), dtype=np.float64)


def _out_of_fold(predicted, folds, target, weight, is_paired, prompts):
    """Margins, labels and weights of the pairs of all folds."""
    parts = [
        margins_of(
            prediction,
            target[test],
            weight[test],
            is_paired,
            None if prompts is None else prompts[test],
        )
        for prediction, (_, test) in zip(predicted, folds, strict=True)
    ]
    margin, target, weight = map(np.concatenate, zip(*parts, strict=True))
    if len(margin) == 0:
        raise ValueError("No fold has two samples that differ, to calibrate on.")
    return margin, target, weight


def _warn_of_temperature(what, proba):
    warnings.warn(
        f"Margins out of fold {what}: no temperature is the best, and probabilities "
        f"will be {proba}.",
        UserWarning,
        stacklevel=6,
    )
