"""Bradley-Terry regression: a linear reward from the likelihood of preferences."""

import warnings
from numbers import Integral, Real
from typing import Literal

import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skreward.data.pairs import PairsOrItems
from skreward.data.targets import check_numbers
from skreward.models.annotated import (
    annotators_objective,
    check_annotators,
    renumber,
    set_annotators,
)
from skreward.models.linear import LinearReward
from skreward.objectives import OBJECTIVES, TIES
from skreward.solvers.dask_items import DaskItemMatrix
from skreward.solvers.items import ItemMatrix
from skreward.solvers.linear import LinearProblem, solve_paths
from skreward.utils.arrays import compute_dtype
from skreward.utils.checks import check_device
from skreward.utils.compat import Interval, StrOptions, fit_context
from skreward.utils.lazy import is_lazy, refuse_lazy
from skreward.utils.typing import (
    AnnotatorEffects,
    Array,
    ArrayLike,
    Link,
    RandomState,
    TiesLaw,
)

__all__ = ["BradleyTerryRegressor"]


class BradleyTerryRegressor(LinearReward):
    r"""Linear reward r(x) = x @ w that makes observed preferences likely.

    .. math:: \min_w \; \frac{1}{\sum_k w_k} \sum_k w_k \left[
              -y_k \log F(m_k) - (1 - y_k) \log F(-m_k) \right]
              + \frac{\alpha}{2} \lVert w \rVert^2

    where :math:`m_k = r(x_{k1}) - r(x_{k2})` is the margin of pair k, of items
    :math:`x_{k1}` and :math:`x_{k2}`, :math:`y_k` is 1 when the first is preferred, and
    F is the logistic function (Bradley-Terry) or the normal distribution function
    (Thurstone). The reward has no intercept: only
    differences are identified, and `predict` centres it on the training items.

    The problem is convex and solved by L-BFGS to its optimum, in time that grows with
    the items, hardly with the pairs.

    Parameters
    ----------
    link : {"logistic", "probit"}, default="logistic"
        F: Bradley-Terry or Thurstone. They order alike; the unit of the reward is
        log-odds for the logistic link, standard deviations for the probit.

    ties : {"half", "davidson", "rao-kupper"}, default="half"
        What a label of 1/2 is. "half" counts it as half a preference each way, which
        draws margins together: only the order is right where there are many. The others
        are models of three outcomes, with ``tie_parameter_`` fitted beside the
        reward; they give margins of the right size and P(tie), and order as "half"
        does. "davidson" says that ties are likely where rewards are near each other in
        proportion, "rao-kupper" that a lead below a threshold is not seen; without
        ties both are Bradley-Terry. They need pairs, ``link="logistic"``, and labels of
        1, 0 and 1/2 alone.

    alpha : float, default=5e-4
        Strength of the penalty on the *mean* loss, so it need not change with the
        number of pairs; ``C = 1 / (alpha * n_pairs)`` is the same for scikit-learn's
        ``LogisticRegression``. It acts on the weights of the items as they are given,
        so items of another scale want another. With 0, separable pairs have no finite
        optimum.

    max_iter : int, default=200
        Iterations of L-BFGS.

    tol : float, default=1e-4
        Stop when the preconditioned gradient has fallen to this share of its first
        norm.

    max_pairs : int or None, default=100_000
        When X is items with ratings, learn from at most this many of their ordered
        pairs, sampled with ``random_state``. None takes all, n (n - 1) / 2.

    covariance : {"cluster", "laplace"} or None, default=None
        Also compute the covariance of the coefficients, for ``predict(X,
        return_std=True)`` and `coef_intervals`. "cluster" lets pairs depend on each
        other that share a prompt, or where prompts are unknown a connected component
        of shared items, or an item where one component holds most pairs: responses
        have more to them than their embeddings, prompts their own taste, and labels
        may be repeated [3]_. "laplace" believes the likelihood and takes pairs for
        independent, which is often too sure. Takes a pass over the pairs that grows
        with the square of the features. Only with ``ties="half"``.

    annotator_effects : {"reliability", "position", "both"} or None, default=None
        What annotators differ in, P(first) = :math:`F(\beta_a m_k + b_a)` for pair k by
        annotator a, fitted beside the reward; `fit` needs ``annotators``.
        "reliability" fits :math:`\beta_a`, of mean 1: who answers at random has 0, who
        means the opposite less. Pays where some annotators are far worse than others,
        and costs next to nothing where they are alike. "position" fits :math:`b_a`,
        what the first response is ahead by for being first. That hurts where better
        responses, or longer ones that are better on average, tend to come first: it
        takes away what the order told. Of judged pairs with the longer response first
        in four of five, .695 ordered right became .693 (± .001; 30 annotators of 20,000
        pairs). Use it where the order was random. "both" fits both. Normal priors, with
        standard deviations of 1/2 around 1 and of 1 around 0, hold annotators of few
        pairs near the others.
        Only for pairs, with ``ties="half"`` and ``covariance=None``.

    device : str, default="auto"
        "cpu", "cuda" or "cuda:N". "auto" is the CPU, which a GPU outruns on large
        items alone.

    random_state : int, RandomState instance or None, default=None
        Fixes the pairs sampled from ratings.

    warm_start : bool, default=False
        Start `fit` from the weights of the previous one.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
        Weights.

    tie_parameter_ : float
        nu of "davidson", P(tie) = nu / (1 + nu) between equals, or theta of
        "rao-kupper", P(tie) = (theta - 1) / (theta + 1) between equals. Only where
        ``ties`` is not "half"; 0 and 1 where no pair was a tie.

    theta_ : array of float64, shape (1,)
        The same without a bound: log nu, or log log theta. Only where ``ties`` is not
        "half".

    annotators_ : array of shape (n_annotators,)
        Ids, in the order of the attributes below. Only with ``annotator_effects``, as
        are these.

    annotator_reliability_, annotator_reliability_std_ : arrays, shape (n_annotators,)
        :math:`\beta_a`, and standard errors. From the inverse curvature of likelihood
        and priors in all parameters of annotators, the mean of 1 kept, with ``coef_``
        taken as known. Intervals of 95 % covered 92 to 98 % of twenty annotators where
        they were alike or went from .2 to 1.8, and 38, 61 and 75 % (3,000, 9,000 and
        30,000 pairs) where four knew and sixteen tossed coins: there the prior pulls
        the few down, and the others up with them (``benchmarks.annotators``).

    annotator_position_bias_, annotator_position_bias_std_ : arrays, (n_annotators,)
        :math:`b_a`, in the unit of the margin, and standard errors alike.

    offset_ : float
        Mean reward of the training items before centring: r(x) is ``x @ coef_``
        minus this.

    loss_ : float
        Final value of the objective.

    n_iter_ : int
        Iterations run.

    debiased_coef_ : array of float64, shape (n_features,)
        One Newton step from ``coef_`` towards no penalty: about right on average,
        where ``coef_`` is too small. Only with ``covariance``.

    coef_covariance_ : array of float64, shape (n_features, n_features)
        Of ``debiased_coef_``. Only with ``covariance``.

    unidentified_ : array of float64, shape (n_features, n_directions)
        Directions in which no training pair differs. Only with ``covariance``.

    item_mean_ : array of float64, shape (n_features,)
        Mean of the training items. Only with ``covariance``.

    sample_ : array of shape (n_kept, n_features)
        At most 16 of the training items, on which an export compares itself with the
        model.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame of items.

    See Also
    --------
    BradleyTerryMLPRegressor : The same likelihood, for a network.
    PairwiseClassifierReward : A reward from any binary classifier.
    skreward.model_selection.PromptDisjointKFold : Cross-validation without leaks.

    Notes
    -----
    float64 is fitted in float64 and float32 in float32; float16 is storage and
    computes in float32. Fitted attributes are numpy: a model fitted on CUDA loads and
    predicts without.

    A feature whose differences within pairs are at most
    :math:`8 \varepsilon \max(|x_j|, M)` is rounding, and has the coefficient 0:
    :math:`\varepsilon` is that of the dtype computed in (1.2e-7 for float32 and
    float16, 2.2e-16 for float64), :math:`|x_j|` the feature's own largest size and M
    the median over features of their largest difference. Encoders have such
    features, left over from training: three of the 384 of all-MiniLM-L6-v2. A
    ``StandardScaler`` in front blows them up to unit variance, where nothing tells
    them from information, and the reward rests on bits that other hardware computes
    differently; drop them first, by ``VarianceThreshold``, or do without a scaler:
    the fit does not depend on one but for the penalty.

    References
    ----------
    .. [1] "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling:
       Foundations, Theory, and Alternatives" (ICLR 2025).
    .. [2] R. A. Bradley and M. E. Terry, "Rank Analysis of Incomplete Block Designs"
       (Biometrika, 1952).
    .. [3] A. C. Cameron and D. L. Miller, "A Practitioner's Guide to Cluster-Robust
       Inference" (Journal of Human Resources, 2015).

    Examples
    --------
    >>> from skreward import BradleyTerryRegressor
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> model = BradleyTerryRegressor().fit(data.pairs, data.y)
    >>> model.predict(data.pairs).shape
    (2000,)
    >>> model.predict_reward(data.embeddings).shape == data.rewards.shape
    True
    >>> bool(model.score(data.pairs, data.y) > 0.75)
    True
    """

    _fits_lazy = True
    _parameter_constraints = {  # noqa: RUF012
        "link": [StrOptions(set(OBJECTIVES))],
        "ties": [StrOptions({"half", *TIES})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_pairs": [Interval(Integral, 1, None, closed="left"), None],
        "covariance": [StrOptions({"cluster", "laplace"}), None],
        "annotator_effects": [StrOptions({"reliability", "position", "both"}), None],
        "device": [str],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        link: Link = "logistic",
        *,
        ties: TiesLaw = "half",
        alpha: float = 5e-4,
        max_iter: int = 200,
        tol: float = 1e-4,
        max_pairs: int | None = 100_000,
        covariance: Literal["cluster", "laplace"] | None = None,
        annotator_effects: AnnotatorEffects | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        warm_start: bool = False,
    ) -> None:
        self.link = link
        self.ties = ties
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.max_pairs = max_pairs
        self.covariance = covariance
        self.annotator_effects = annotator_effects
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: PairsOrItems,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
        annotators: ArrayLike | None = None,
    ) -> "BradleyTerryRegressor":
        """Learn a reward from preferences.

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
            their prompt alone. None compares any two items, and warns: a rating of
            one prompt rarely means what it means for another. Pairs carry theirs
            (`EmbeddingPairs`).

        annotators : array-like of shape (n_pairs,), default=None
            Who labelled each pair, as ids of any hashable kind, such as a table's
            column "annotator" or what `skreward.datasets.read_preferences` gives. Goes
            with ``annotator_effects``; `predict` is for nobody in particular.

        Returns
        -------
        self : BradleyTerryRegressor
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight or a parameter is not as above; if one of
            ``annotators`` and ``annotator_effects`` is given without the other.
        TypeError
            If an annotator's id cannot be hashed.
        MemoryError
            If the device is too small.

        Warns
        -----
        UserWarning
            If items are rated and ``prompt_ids`` is None.
        ConvergenceWarning
            If ``max_iter`` came before ``tol``.
        """
        start = getattr(self, "coef_", None) if self.warm_start else None
        comparisons, ids = self._check(
            X, y, sample_weight, prompt_ids, annotators, reset=start is None
        )
        problem, ids = self._problem(comparisons, ids)
        solution = problem.solve(
            self.alpha, max_iter=self.max_iter, tol=self.tol, coef_init=start
        )
        self._set(solution, comparisons, ids)
        return self

    def fit_path(
        self,
        X: PairsOrItems,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        alphas: ArrayLike,
        prompt_ids: ArrayLike | None = None,
        annotators: ArrayLike | None = None,
    ) -> "list[BradleyTerryRegressor]":
        """Fit the linear reward for many penalties, for less than one by one.

        What does not depend on the penalty is done once, and all fits read the items
        together: they go in step.

        Parameters
        ----------
        X : EmbeddingPairs or array-like
            As in `fit`.
        y : array-like, default=None
            As in `fit`.
        sample_weight : array-like, default=None
            As in `fit`.
        alphas : array-like of shape (n_alphas,)
            Penalties, in any order.
        prompt_ids : array-like of shape (n_items,), default=None
            As in `fit`.
        annotators : array-like of shape (n_pairs,), default=None
            As in `fit`.

        Returns
        -------
        models : list of BradleyTerryRegressor
            A fitted model for every ``alpha``, in the order given: what `fit` of a
            clone with that ``alpha`` would give, up to ``tol``. This model itself is
            not changed.

        Raises
        ------
        ValueError
            As `fit`; if ``alphas`` is empty or holds a negative one.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` came before ``tol``.

        Examples
        --------
        >>> import numpy as np
        >>> from skreward import BradleyTerryRegressor
        >>> from skreward.datasets import make_preferences
        >>> from skreward.model_selection import train_test_split_pairs
        >>> data = make_preferences(n_pairs=2000, random_state=0)
        >>> train, test, y_train, y_test = train_test_split_pairs(
        ...     data.pairs, data.y, random_state=0
        ... )
        >>> models = BradleyTerryRegressor().fit_path(
        ...     train, y_train, alphas=np.logspace(-5, 0, 6)
        ... )
        >>> best = max(models, key=lambda model: model.score(test, y_test))
        >>> bool(best.alpha < 1)
        True
        """
        self._validate_params()
        penalties = check_penalties(alphas)
        models = [clone(self).set_params(alpha=float(alpha)) for alpha in penalties]
        comparisons, ids = models[0]._check(
            X, y, sample_weight, prompt_ids, annotators, reset=True
        )
        problem, ids = self._problem(comparisons, ids)
        solutions = solve_paths(
            [problem], penalties, max_iter=self.max_iter, tol=self.tol
        )
        for model, (solution,) in zip(models, solutions, strict=True):
            model._set(solution, comparisons, ids)
            model._take_names(models[0])
        return models

    def _take_names(self, other):
        """Know what another model knows of what it was fitted to."""
        for name in ("n_features_in_", "feature_names_in_", "_known_prompts"):
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))

    def _check(self, X, y, sample_weight, prompt_ids, annotators, *, reset):
        """Give what was observed, and the annotators' ids where they have effects."""
        check_device(self.device)
        ids, columns = check_annotators(self, X, annotators)
        comparisons = self._check_data(
            X,
            y,
            sample_weight,
            check_random_state(self.random_state),
            columns=columns,
            prompt_ids=prompt_ids,
            reset=reset,
        )
        return comparisons, ids

    def _problem(self, comparisons, ids=None, like=None):
        """Give what is to be solved, and the annotators of pairs that count.

        ``like`` is the problem of more comparisons of the same items.
        """
        if like is None:
            self._check_groups(comparisons)
            items = self._item_matrix(comparisons.items)
        else:
            items = like.items
        objective = self._objective(comparisons)
        if ids is not None:
            ids = renumber(ids, comparisons)
            objective = annotators_objective(self, ids, comparisons)
        return LinearProblem(items, comparisons, objective, like), ids

    def _item_matrix(self, items):
        if self.device in ("auto", "cpu"):
            return DaskItemMatrix(items) if is_lazy(items) else ItemMatrix(items)
        refuse_lazy(items, f"device={self.device!r}")
        if sp.issparse(items):
            raise ValueError(
                f"device={self.device!r} needs dense embeddings, got a sparse matrix. "
                'Use device="cpu".'
            )
        from skreward.solvers.device_items import DeviceItemMatrix
        from skreward.utils.device import resolve

        return DeviceItemMatrix(items, resolve(self.device))

    def _set(self, solution, comparisons, ids):
        if not solution.converged:
            warnings.warn(
                f"{solution.stopped(self.tol)} Increase max_iter or alpha, or scale "
                "the items with ItemwiseTransformer(StandardScaler()).",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.coef_ = solution.coef.astype(compute_dtype(comparisons.items))
        self.loss_ = solution.loss
        self.n_iter_ = solution.n_iter
        self._set_theta(solution.theta if ids is None else ())
        set_annotators(self, ids, solution, comparisons)
        self._centre(comparisons, solution.rewards)
        self._set_covariance(comparisons)


def check_penalties(alphas: ArrayLike) -> Array:
    """Give penalties as finite float64 >= 0, or raise."""
    penalties = check_numbers(alphas, "alphas")
    if penalties.min() < 0:
        raise ValueError(f"alphas must hold penalties >= 0, got {penalties.tolist()}.")
    return penalties
