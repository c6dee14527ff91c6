"""A reward without what covariates such as length explain of it."""

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from skreward.data.gate import check_comparisons, take_apart
from skreward.data.pairs import EmbeddingPairs
from skreward.metrics import order_consistency_score
from skreward.models.base import BaseRewardModel, mean_reward, sample_of
from skreward.models.covariates import Within, check_covariates, covariates_of_items
from skreward.models.meta import given
from skreward.solvers.items import item_rewards
from skreward.utils.arrays import compute_dtype
from skreward.utils.compat import StrOptions, fit_context
from skreward.utils.typing import Array, ArrayLike

__all__ = ["ControlledReward"]


class ControlledReward(BaseRewardModel):
    r"""Any reward of items without what covariates explain of it within prompts.

    .. math:: r(x) = \hat r(x) - \gamma^\top \hat c(x)

    .. math:: \mathrm{cov}_{\text{within}}(r(x_i), c_i) = 0

    for "orthogonal", with :math:`\hat r` the wrapped reward, :math:`c_i` the covariates
    of training item i, :math:`\hat c` their ridge regression on the items within
    prompts, and :math:`\gamma` what makes the covariance zero; for a linear reward this
    is the least change of the items that leaves no linear trace of the covariates
    [1]_. For "nuisance",

    .. math:: r(x) = \hat r(x, \bar c)

    where :math:`\hat r` is fitted on items and covariates side by side, and the
    covariates are held at their mean. New items need no covariates in either case.

    People and judges prefer longer answers, and a reward learns to; a policy that is
    optimised against it then learns to be long. What is taken out is gone, also where
    length is merit: order consistency with the labels falls, and ``report_`` says by
    how much.

    Parameters
    ----------
    estimator : reward model
        A reward model of this package, or a Pipeline that ends in one.

    control : {"orthogonal", "nuisance"}, default="orthogonal"
        "orthogonal" leaves no correlation with the covariates. "nuisance" asks what the
        preference would be at equal covariates, as regressions of length-controlled win
        rates do [2]_: what items tell about the covariates stays, and so does part of
        the correlation.

    Attributes
    ----------
    estimator_ : reward model
        Fitted, a Pipeline where one was given. For "nuisance" it sees the covariates,
        scaled, as further features.

    direction_ : array of shape (n_features,)
        What is taken out: r(x) is the wrapped reward minus ``x @ direction_``. Only for
        "orthogonal".

    report_ : dict
        On the training items and pairs, with and without the control:
        "correlation" and "controlled_correlation", arrays of shape (n_covariates,), of
        the reward with each covariate within prompts; "order_consistency" and
        "controlled_order_consistency" with the labels. For "nuisance" the reward
        without control is that with the covariates as they are.

    offset_ : float
        Mean of the controlled reward over the training items, which `predict`
        subtracts.

    n_features_in_ : int
        Width of the items, behind a Pipeline's other steps.

    See Also
    --------
    CalibratedReward : Gives a controlled reward its preference probabilities.

    Notes
    -----
    Prompts are those of the pairs; without any, connected components of shared items.
    Rated items without ``prompt_ids`` count as answers to one prompt. Margins are no
    log-odds any more, so there is no ``predict_preference_proba``.

    References
    ----------
    .. [1] N. Belrose et al., "LEACE: Perfect linear concept erasure in closed form"
       (NeurIPS 2023).
    .. [2] Y. Dubois, B. Galambosi, P. Liang and T. B. Hashimoto, "Length-Controlled
       AlpacaEval: A Simple Way to Debias Automatic Evaluators" (COLM 2024).

    Examples
    --------
    >>> import numpy as np
    >>> from skreward import BradleyTerryRegressor, ControlledReward
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> length = data.pairs.embeddings[:, 0]
    >>> model = ControlledReward(BradleyTerryRegressor())
    >>> model = model.fit(data.pairs, data.y, covariates=length)
    >>> bool(abs(model.report_["controlled_correlation"][0]) < 1e-6)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [BaseRewardModel, Pipeline],
        "control": [StrOptions({"orthogonal", "nuisance"})],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        control: Literal["orthogonal", "nuisance"] = "orthogonal",
    ) -> None:
        self.estimator = estimator
        self.control = control

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        covariates: ArrayLike | None = None,
        prompt_ids: ArrayLike | None = None,
    ) -> Self:
        """Fit the reward, and take out of it what the covariates explain.

        Parameters
        ----------
        X : EmbeddingPairs, array-like of shape (n_pairs, 2, n_features), \
                {array-like, sparse matrix} of shape (n_items, n_features), or texts
            Pairs, or items with a rating each; whatever ``estimator`` takes.

        y : array-like of shape (n_pairs,) or (n_items,), default=None
            Preferences or ratings, as in `BradleyTerryRegressor.fit`.

        sample_weight : array-like of shape (n_pairs,) or (n_items,), default=None
            Weights.

        covariates : array-like, default=None
            Of every item, ``(n_items,)`` or ``(n_items, n_covariates)``, the items
            being those of ``X.embeddings`` where X is `EmbeddingPairs`; or of both
            sides of every pair, ``(n_pairs, 2, n_covariates)``, and for dense pairs and
            texts also ``(n_pairs, 2)``. None is the log of one plus the characters of
            the response, where X is texts.

        prompt_ids : array-like of shape (n_items,), default=None
            For rated items, the prompt that each responds to.

        Returns
        -------
        self : ControlledReward
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight or covariates is not as above, or as ``estimator``
            wants it; if a covariate does not vary within prompts.
        TypeError
            If a Pipeline does not end in a reward model of this package.
        """
        self._last_step(self.estimator)
        X, y, sample_weight = indexable(X, y, sample_weight)
        covariates = check_covariates(X, covariates)
        model = clone(self.estimator)
        X = _fit_transform(model, X, y)
        own = {"sample_weight": sample_weight, "prompt_ids": prompt_ids}
        comparisons = self._comparisons(X, y, own)
        within = Within(comparisons, covariates_of_items(X, covariates))
        if self.control == "nuisance":
            X = _widen(X, within.scaled)
        self._last_step(model).fit(X, y, **given(**own))
        self.estimator_ = model
        self._control(comparisons, within)
        return self

    def _comparisons(self, X, y, own):
        max_pairs = getattr(self._last_step(self.estimator), "max_pairs", None)
        return check_comparisons(self, X, y, **own, max_pairs=max_pairs, random_state=0)

    def predict(self, X: Any) -> Array:
        """Reward of every item, or margin of every pair, without the covariates.

        Parameters
        ----------
        X : as in `fit`
            Items or pairs; their covariates are not needed.

        Returns
        -------
        y : array of shape (n_items,) or (n_pairs,)
            For items the reward, centred on the training items; for pairs the margin
            r(first) - r(second). In the unit of the wrapped reward.
        """
        check_is_fitted(self)
        return super().predict(self._items_of(X))

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
        return super().predict_reward(self._items_of(X))

    def _control(self, comparisons, within):
        """Set what is taken out, and say what that costs."""
        self.__dict__.pop("direction_", None)
        items = comparisons.items
        reward = self._last_step(self.estimator_)
        if self.control == "nuisance":
            plain_reward = reward._reward(_append(items, within.scaled))
            controlled = self._without_offset(items)
        else:
            plain_reward = reward._reward(items)
            self.direction_ = within.direction(plain_reward)
            controlled = self._without_offset(items)
        self.sample_ = sample_of(items)
        self.offset_ = mean_reward(controlled, comparisons.item_weight)
        self.report_ = {
            "correlation": within.correlation(plain_reward),
            "controlled_correlation": within.correlation(controlled),
            "order_consistency": _consistency(comparisons, plain_reward),
            "controlled_order_consistency": _consistency(comparisons, controlled),
        }

    def _reward(self, items):
        return self._without_offset(items) - compute_dtype(items).type(self.offset_)

    def _without_offset(self, items):
        reward = self._last_step(self.estimator_)
        if self.control == "nuisance":
            n_covariates = reward.n_features_in_ - items.shape[1]
            return reward._reward(_append(items, np.zeros((1, n_covariates))))
        return reward._reward(items) - item_rewards(items, self.direction_)

    def _items_of(self, X):
        is_pipeline = isinstance(self.estimator_, Pipeline)
        if is_pipeline and len(self.estimator_) > 1:
            return self.estimator_[:-1].transform(X)
        return X

    def _last_step(self, estimator):
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if not isinstance(last, BaseRewardModel):
            raise TypeError(
                "estimator must be a reward model of skreward, or a Pipeline that ends "
                f"in one, got {last!r}."
            )
        return last

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse = inner.sparse
        tags.input_tags.string = inner.string
        return tags


def _fit_transform(model, X, y):
    """Fit the steps before the reward; gives what the reward sees."""
    steps = model.steps[:-1] if isinstance(model, Pipeline) else []
    for _, step in steps:
        if hasattr(step, "fit_transform"):
            X = step.fit_transform(X, y)
        elif step is not None and step != "passthrough":
            X = step.fit(X, y).transform(X)
    return X


def _widen(X, scaled):
    """X with scaled covariates of its items as further features."""
    split = take_apart(X)
    items = _append(split.items, scaled)
    if split.index is None:
        return items
    return EmbeddingPairs._view(items, split.index, split.prompt_ids)


def _append(items, columns):
    """Items with further columns, in their compute dtype; one row serves all."""
    if not sp.issparse(items):
        items = np.asarray(items)
    dtype = compute_dtype(items)
    columns = np.broadcast_to(columns, (items.shape[0], columns.shape[1]))
    if sp.issparse(items):
        return sp.hstack([items, sp.csr_array(columns.astype(dtype))], format="csr")
    return np.column_stack([items.astype(dtype), columns.astype(dtype)])


def _consistency(comparisons, reward):
    first, second = comparisons.index.T
    return order_consistency_score(
        comparisons.target,
        reward[first].astype(np.float64) - reward[second],
        sample_weight=comparisons.weight,
    )
