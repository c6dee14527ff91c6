"""Reward ensembles: how far a reward can be trusted, from members that differ."""

from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skreward.data.gate import (
    check_comparisons,
    check_items,
    check_ratings,
    is_pairs,
    take_apart,
)
from skreward.data.groups import bootstrap_weights, chosen_first, resampling_groups
from skreward.data.pairs import EmbeddingPairs, PairsOrItems
from skreward.data.targets import differ
from skreward.models.base import BaseRewardModel, mean_reward, sample_of
from skreward.models.bradley_terry import BradleyTerryRegressor
from skreward.utils.compat import HasMethods, Interval, StrOptions, fit_context
from skreward.utils.typing import ArrayLike, RandomState

__all__ = ["RewardEnsemble"]

MAX_SEED = 2**31 - 1


class RewardEnsemble(BaseRewardModel):
    r"""Reward r(x) of several members, which differ by seed and by bootstrap.

    .. math:: a_k(x) = \frac{r_k(x) - \mathrm{mean}_i \, r_k(x_i)}
                            {\sqrt{\mathrm{mean}_j \, m_{kj}^2}}

    .. math:: r(x) = \begin{cases}
                  \mathrm{mean}_k \, a_k(x) \\
                  \min_k \, a_k(x) \\
                  \mathrm{mean}_k \, a_k(x) - \lambda \, \mathrm{std}_k \, a_k(x)
              \end{cases}

    where :math:`r_k` is the reward of member k, i runs over the training items, j over
    the training pairs, :math:`m_{kj}` is the margin of pair j by member k, and
    :math:`\lambda` is ``lcb_weight``. Members agree near the training data and part
    away from it; "min" and "lcb" there give a low reward, which a policy that is
    optimised against the reward cannot exploit as easily [1]_.

    Parameters
    ----------
    estimator : reward model, default=None
        A reward model of this package, cloned for every member. None is
        ``BradleyTerryRegressor()``.

    n_estimators : int, default=10
        Members. Cost grows in proportion; the first members of a larger ensemble are
        those of a smaller one with the same ``random_state``.

    aggregation : {"mean", "min", "lcb"}, default="mean"
        How rewards of the members become one: their mean, the worst case, or the mean
        less ``lcb_weight`` times their standard deviation.

    lcb_weight : float, default=1.0
        How much "lcb" gives up for agreement; 0 is "mean".

    bootstrap : bool, default=True
        Draw the prompts of every member's training pairs with replacement. A pair
        counts as often as its prompt was drawn, a pair of two prompts for the product
        of both; nothing is copied. Without prompts, connected components of shared
        items are drawn, or single items where one component holds most of the pairs,
        and for rated items the items. False leaves members that differ by seed alone:
        all the same for a model without randomness, such as the linear one.

    n_jobs : int, default=None
        Threads that fit members; ``None`` means 1. Networks need none: all members
        are trained in one batched computation. No result depends on it.

    random_state : int, RandomState instance or None, default=None
        Fixes the members' seeds and what their bootstraps draw. It replaces the
        ``random_state`` of ``estimator``, and of whatever is inside.

    Attributes
    ----------
    estimators_ : list of reward models
        The fitted members. Each predicts alone, in its own unit.

    member_shift_ : array of shape (n_estimators,)
        Mean reward of the training items, by each member.

    member_scale_ : array of shape (n_estimators,)
        Root mean square of the margins of the training pairs, by each member.

    offset_ : float
        Mean aggregated reward of the training items, which `predict` subtracts.

    sample_ : array of shape (n_kept, n_features)
        At most 16 of the training items, on which an export compares itself with the
        model.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame of items.

    See Also
    --------
    BradleyTerryRegressor : The default member.
    PairwiseClassifierReward : A member from any binary classifier.

    Notes
    -----
    A reward is free up to its shift, and members shrink theirs differently, so both
    are aligned before members are compared. The scale is that of margins within the
    training pairs: the standard deviation over items would hold differences between
    prompts, of which pairs of the same prompt say nothing. For the same reason the
    spread of an *item* holds what members make of its prompt; the spread of a *pair*
    from one prompt does not. Aligned, the unit of the reward is the root mean square
    margin of the training pairs: no log-odds, so there is no
    ``predict_preference_proba``.

    Standard deviations over members have ``ddof=0``: they describe these members, and
    are 0 for a single one. In [1]_ the penalty is the members' variance; here it is
    their standard deviation, in the unit of the reward.

    References
    ----------
    .. [1] T. Coste, U. Anwar, R. Kirk and D. Krueger, "Reward Model Ensembles Help
       Mitigate Overoptimization" (ICLR 2024).

    Examples
    --------
    >>> from skreward import RewardEnsemble
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> model = RewardEnsemble(aggregation="lcb", random_state=0)
    >>> margin, std = model.fit(data.pairs, data.y).predict(data.pairs, return_std=True)
    >>> margin.shape, std.shape
    ((2000,), (2000,))
    >>> bool(model.score(data.pairs, data.y) > 0.75)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [HasMethods(["fit"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "aggregation": [StrOptions({"mean", "min", "lcb"})],
        "lcb_weight": [Interval(Real, 0, None, closed="left")],
        "bootstrap": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        *,
        aggregation: Literal["mean", "min", "lcb"] = "mean",
        lcb_weight: float = 1.0,
        bootstrap: bool = True,
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.aggregation = aggregation
        self.lcb_weight = lcb_weight
        self.bootstrap = bootstrap
        self.n_jobs = n_jobs
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
        """Fit the members, and align their rewards.

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
            Weights, which the bootstrap multiplies.

        prompt_ids : array-like of shape (n_items,), default=None
            The prompt that each rated item answers, as in
            `BradleyTerryRegressor.fit`; the bootstrap draws prompts. Pairs carry
            theirs (`EmbeddingPairs`).

        Returns
        -------
        self : RewardEnsemble
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight or a parameter is not as above, or as ``estimator``
            wants it.
        TypeError
            If ``estimator`` is no reward model of this package.
        """
        template = self._template()
        sample = self._check_sample(X, y, sample_weight, prompt_ids)
        rng = check_random_state(self.random_state)
        members, weights = [], []
        for _ in range(self.n_estimators):
            members.append(_seeded(template, rng))
            weights.append(sample.draw(rng) if self.bootstrap else sample.weight)
        with config_context(assume_finite=True):
            rewards = self._fit_members(template, members, sample, weights)
        self.estimators_ = members
        self._set(sample, rewards)
        return self

    def _set(self, sample, rewards):
        """Set how the members' rewards of the training items are aligned."""
        self.sample_ = sample_of(sample.items)
        self.member_shift_ = np.average(rewards, axis=1, weights=sample.item_weight)
        self.member_scale_ = sample.margin_scale(rewards)
        aggregated = self._aggregate(self._align(rewards))
        self.offset_ = mean_reward(aggregated, sample.item_weight)

    def predict(self, X: PairsOrItems, return_std: bool = False) -> Any:
        """Reward of every item, or margin of every pair, and the members' spread.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features), or \
                array-like of shape (n_pairs, 2, n_features), or EmbeddingPairs
            Items or pairs.

        return_std : bool, default=False
            Also give how far the members are apart.

        Returns
        -------
        y : array of shape (n_items,) or (n_pairs,)
            For items the aggregated reward, centred on the training items; for pairs
            the margin r(first) - r(second) of aggregated rewards. In units of the
            root mean square margin of the training pairs.

        std : array of shape (n_items,) or (n_pairs,)
            Only with ``return_std``. Standard deviation over the members of their
            aligned rewards, for pairs of their aligned margins.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is neither items nor pairs, or its width is not that of `fit`.
        """
        if not return_std:
            return super().predict(X)
        check_is_fitted(self)
        split = take_apart(X)
        aligned = self._aligned(check_items(self, split.items, reset=False))
        reward = self._centred(aligned)
        if split.index is None:
            return reward, aligned.std(axis=0)
        first, second = split.index.T
        spread = (aligned[:, first] - aligned[:, second]).std(axis=0)
        return reward[first] - reward[second], spread

    def _reward(self, items):
        return self._centred(self._aligned(items))

    def _aligned(self, items):
        with config_context(assume_finite=True):
            rewards = [member._reward(items) for member in self.estimators_]
        return self._align(np.stack(rewards))

    def _align(self, rewards):
        """Rewards of every member, (n_estimators, n_items), in one shift and scale."""
        shift = self.member_shift_[:, np.newaxis].astype(rewards.dtype)
        return (rewards - shift) / self.member_scale_[:, np.newaxis].astype(
            rewards.dtype
        )

    def _aggregate(self, aligned):
        if self.aggregation == "min":
            return aligned.min(axis=0)
        reward = aligned.mean(axis=0)
        if self.aggregation == "lcb":
            reward -= self.lcb_weight * aligned.std(axis=0)
        return reward

    def _centred(self, aligned):
        return self._aggregate(aligned) - aligned.dtype.type(self.offset_)

    def _template(self):
        """Give an unfitted member, or say why there can be none."""
        if self.estimator is None:
            return BradleyTerryRegressor()
        is_reward = isinstance(self.estimator, BaseRewardModel)
        if not is_reward or not has_fit_parameter(self.estimator, "sample_weight"):
            raise TypeError(
                "estimator must be a reward model of skreward, such as "
                f"BradleyTerryRegressor(), got {self.estimator!r}. Transformers go "
                "before the ensemble: make_pipeline(ItemwiseTransformer(...), "
                "RewardEnsemble(...))."
            )
        return clone(self.estimator)

    def _check_sample(self, X, y, sample_weight, prompt_ids=None):
        """Validate once what every member is fitted on."""
        if is_pairs(X):
            return PairSample(
                check_comparisons(self, X, y, sample_weight, prompt_ids=prompt_ids)
            )
        # Each member draws pairs of rated items itself.
        items = take_apart(X).items
        return RatedSample(check_ratings(self, items, y, sample_weight, prompt_ids))

    def _fit_members(self, template, members, sample, weights):
        """Fit the members; gives their rewards of the items."""
        if hasattr(template, "_fit_many"):
            X, y = [sample.X] * len(members), [sample.y] * len(members)
            found = template._fit_many(members, X, y, weights, **sample.params)
            return np.stack(found)
        # Threads share the items, and what a thread computes is what a loop would.
        Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(member.fit)(
                sample.X, sample.y, sample_weight=weight, **sample.params
            )
            for member, weight in zip(members, weights, strict=True)
        )
        return np.stack([member._reward(sample.items) for member in members])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse
        return tags


class PairSample:
    """Validated pairs, and what an ensemble asks of them."""

    params: dict = {}  # noqa: RUF012

    def __init__(self, comparisons):
        self.items, self.index = comparisons.items, comparisons.index
        self.X = EmbeddingPairs(self.items, self.index, comparisons.prompt_ids)
        self.y, self.weight = comparisons.target, comparisons.weight
        self.item_weight = comparisons.item_weight
        self._groups = resampling_groups(
            chosen_first(self.index, self.y), comparisons.prompt_ids
        )

    def draw(self, rng):
        """Weights of a bootstrap that leaves something to learn from."""
        while True:
            weight = self.weight * bootstrap_weights(self._groups, rng)
            if weight.any():
                return weight

    def margin_scale(self, rewards):
        """Root mean square margin of the pairs, for every row of rewards."""
        margin = rewards[:, self.index[:, 0]] - rewards[:, self.index[:, 1]]
        return _root_mean_square(margin, self.weight)


class RatedSample:
    """Validated items with ratings, drawn by prompt, or one by one."""

    def __init__(self, rated):
        self.items = self.X = rated.items
        self.y, self.weight = rated.ratings, rated.weight
        self.item_weight = self.weight
        prompts = rated.prompt_ids
        self.params = {} if prompts is None else {"prompt_ids": prompts}
        n_items = len(self.y)
        self._prompts = np.zeros(n_items, np.intp) if prompts is None else prompts
        self._groups = np.arange(n_items) if prompts is None else prompts

    def draw(self, rng):
        """Weights of a bootstrap that leaves something to learn from."""
        while True:
            weight = self.weight * bootstrap_weights(self._groups[:, np.newaxis], rng)
            if differ(self.y[weight > 0], self._prompts[weight > 0]):
                return weight

    def margin_scale(self, rewards):
        """Root mean square margin of pairs of a prompt, for every row of rewards."""
        total = np.bincount(self._prompts, self.weight)
        # A pair counts for the product of its weights: an item for its prompt's.
        weight = self.weight * total[self._prompts]
        centred = rewards.astype(np.float64)
        for row in centred:
            sums = np.bincount(self._prompts, self.weight * row)
            row -= (sums / np.where(total > 0, total, 1))[self._prompts]
        return _root_mean_square(np.sqrt(2) * centred, weight)


def _root_mean_square(values, weight):
    """By row; 1 for a row of zeros, which no scale can change."""
    largest = np.abs(values).max(axis=1, keepdims=True)
    largest[largest == 0] = 1.0
    mean_square = np.average((values / largest) ** 2, axis=1, weights=weight)
    mean_square[mean_square == 0] = 1.0
    return largest[:, 0] * np.sqrt(mean_square)


def _seeded(template, rng):
    """Clone a template, and fix every random_state in it."""
    member = clone(template)
    names = sorted(
        name
        for name in member.get_params()
        if name == "random_state" or name.endswith("__random_state")
    )
    return member.set_params(**{name: int(rng.randint(MAX_SEED)) for name in names})
