"""Bradley-Terry regression whose penalty is chosen by cross-validation."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.utils import check_random_state, indexable

from skreward.data.comparisons import Comparisons
from skreward.data.gate import check_weight, is_pairs, take_apart
from skreward.data.pairs import EmbeddingPairs
from skreward.model_selection import disjoint_folds, n_samples, take
from skreward.models.bradley_terry import BradleyTerryRegressor, check_penalties
from skreward.models.linear import LinearReward
from skreward.models.meta import best_factor, check_target, given, margins_of
from skreward.objectives import OBJECTIVES
from skreward.solvers.linear import solve_paths
from skreward.utils.arrays import rows_as
from skreward.utils.checks import check_device, check_prompts
from skreward.utils.compat import HasMethods, Interval, StrOptions, fit_context
from skreward.utils.typing import Array, ArrayLike, Link, RandomState

__all__ = ["BradleyTerryRegressorCV"]

MAX_SEED = 2**31 - 1
# In units of the mean curvature of a coefficient: at the first hardly anything is
# shrunk, at the last nearly everything.
LOWEST, HIGHEST = 1e-1, 1e3
# Scores tell no nearer optima apart.
FOLD_TOL = 3e-3
# Pairs that tell the data's scale.
SCALE_PAIRS = 4096


class BradleyTerryRegressorCV(LinearReward):
    r"""Linear reward with a penalty chosen on prompts that it was not trained on.

    .. math:: \hat\alpha = \arg\max_\alpha \; \frac{1}{K} \sum_{j=1}^{K}
              \mathrm{score}\left(\hat w_\alpha^{(-j)}, \text{fold } j\right)

    with :math:`\hat w_\alpha^{(-j)}` the `BradleyTerryRegressor` with that alpha fitted
    without fold j. What is kept is fitted on everything with :math:`\hat\alpha`. How
    much to shrink depends on the number of pairs, on the noise of the labels and on
    the items' scale, none of which a default can know. The whole takes about as long as
    five fits of one penalty: all penalties of all folds are solved in step and read the
    items together. Their steps are measured by the curvature of all pairs, in which no
    label has a part.

    Parameters
    ----------
    link : {"logistic", "probit"}, default="logistic"
        F: Bradley-Terry or Thurstone.

    alphas : int or array-like of shape (n_alphas,), default=9
        Penalties as in `BradleyTerryRegressor`. A number is as many, at equal ratios
        from .1 to 1,000 times a quarter of the mean square difference of a feature
        within pairs, which is the logistic loss's mean curvature in a coefficient: so
        the items' scale does not matter.

    cv : int, splitter, or list of (train, test) positions, default=5
        An int is as many folds that share no prompt; where prompts are unknown, no
        connected component of shared items; where one component holds most pairs, no
        item, and a warning says how many pairs between folds are left out. For rated
        items, folds of items.

    scoring : callable, default=None
        ``scoring(model, X, y)``, higher is better, with ``sample_weight`` and
        ``prompt_ids`` where `fit` got them; such as
        ``skreward.metrics.order_consistency_scorer``. None is the mean log-likelihood
        of the labels once all margins are multiplied by the one factor that suits them
        best: it tells penalties apart with fewer pairs than the order does, and like
        the order does not mind how small a penalty makes the margins.
        `CalibratedReward` gives them their right size.

    max_iter : int, default=200
        Iterations of L-BFGS a fit.

    tol : float, default=1e-4
        As in `BradleyTerryRegressor`, for the fit of everything; fits of folds end at
        .003 if that is more.

    max_pairs : int or None, default=100_000
        When X is items with ratings, learn from at most this many of their ordered
        pairs, sampled with ``random_state``. None takes all, n (n - 1) / 2.

    covariance : {"cluster", "laplace"} or None, default=None
        As in `BradleyTerryRegressor`, at the chosen penalty.

    device : str, default="auto"
        "cpu", "cuda" or "cuda:N". "auto" is the CPU.

    random_state : int, RandomState instance or None, default=None
        Fixes the pairs sampled from ratings. The folds of an int ``cv`` are not random.

    Attributes
    ----------
    alpha_ : float
        The chosen penalty; of equal scores the largest.

    alphas_ : array of shape (n_alphas,)
        Penalties tried. Where the first or the last was chosen, a wider range may do
        better.

    scores_ : array of shape (n_folds, n_alphas)
        Scores of the folds; NaN where no two rated items of a fold differ.

    coef_, offset_, loss_, n_iter_, sample_
        As in `BradleyTerryRegressor`, fitted on everything.

    debiased_coef_, coef_covariance_, unidentified_, item_mean_
        As in `BradleyTerryRegressor`. Only with ``covariance``, which does not know
        that the penalty was chosen; being debiased they hardly depend on it.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame of items.

    See Also
    --------
    BradleyTerryRegressor : With a penalty that is given; its ``fit_path``.

    Examples
    --------
    >>> from skreward import BradleyTerryRegressorCV
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> model = BradleyTerryRegressorCV().fit(data.pairs, data.y)
    >>> model.scores_.shape
    (5, 9)
    >>> bool(model.alpha_ in model.alphas_)
    True
    """

    _fits_lazy = True
    _parameter_constraints = {  # noqa: RUF012
        "link": [StrOptions(set(OBJECTIVES))],
        "alphas": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": [
            Interval(Integral, 2, None, closed="left"),
            HasMethods(["split", "get_n_splits"]),
            list,
        ],
        "scoring": [callable, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_pairs": [Interval(Integral, 1, None, closed="left"), None],
        "covariance": [StrOptions({"cluster", "laplace"}), None],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        link: Link = "logistic",
        *,
        alphas: int | ArrayLike = 9,
        cv: Any = 5,
        scoring: Any = None,
        max_iter: int = 200,
        tol: float = 1e-4,
        max_pairs: int | None = 100_000,
        covariance: Literal["cluster", "laplace"] | None = None,
        device: str = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.link = link
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.max_iter = max_iter
        self.tol = tol
        self.max_pairs = max_pairs
        self.covariance = covariance
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
    ) -> Self:
        """Choose the penalty on folds, and fit everything with it.

        Parameters
        ----------
        X : EmbeddingPairs, or array-like of shape (n_pairs, 2, n_features), or \
                {array-like, sparse matrix} of shape (n_items, n_features)
            Pairs; or items, learned from a rating each.

        y : array-like of shape (n_pairs,) or (n_items,), default=None
            Preferences or ratings, as in `BradleyTerryRegressor.fit`.

        sample_weight : array-like of shape (n_pairs,) or (n_items,), default=None
            Weights, in fits and in scores; integers count as repetitions.

        prompt_ids : array-like of shape (n_items,), default=None
            For rated items, the prompt that each answers: they are compared within
            prompts, and folds are of prompts. Pairs carry theirs.

        Returns
        -------
        self : BradleyTerryRegressorCV
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight or a parameter is not as above; if there are fewer
            prompts than folds.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` came before ``tol``.
        """
        X, y, sample_weight = indexable(X, y, sample_weight)
        metadata = given(sample_weight=sample_weight, prompt_ids=prompt_ids)
        data = _Data(X, _shared(X), y, metadata)
        # One seed, so that every fold and the whole sample pairs alike.
        seed = int(check_random_state(self.random_state).randint(MAX_SEED))
        comparisons = self._check(data, seed)
        model = self._model(seed)
        whole, _ = model._problem(comparisons)
        alphas = self._penalties(whole, comparisons)
        scores = self._score_folds(model, whole, alphas, data, comparisons)
        alpha = _best(alphas, scores)
        solution = whole.solve(alpha, max_iter=self.max_iter, tol=self.tol)
        self._set(model.set_params(alpha=alpha), solution, comparisons)
        self.alpha_, self.alphas_, self.scores_ = alpha, alphas, scores
        return self

    def _check(self, data, seed):
        """Give what was observed."""
        check_device(self.device)
        if not isinstance(self.alphas, Integral):
            check_penalties(self.alphas)
        return self._check_data(
            data.shared,
            data.y,
            data.metadata.get("sample_weight"),
            seed,
            prompt_ids=data.metadata.get("prompt_ids"),
            reset=True,
        )

    def _model(self, seed):
        """Give the model of everything, but for its penalty."""
        return BradleyTerryRegressor(
            self.link,
            max_iter=self.max_iter,
            tol=self.tol,
            max_pairs=self.max_pairs,
            covariance=self.covariance,
            device=self.device,
            random_state=seed,
        )

    def _set(self, model, solution, comparisons):
        """Take over what a solution makes of a model, and drop all of earlier fits."""
        model._set(solution, comparisons, None)
        model._take_names(self)
        for name in list(_fitted(self)):
            delattr(self, name)
        for name, value in _fitted(model).items():
            setattr(self, name, value)

    def _fold(self, model, data, items, train, test):
        """Give what a part is learned from, and what it is scored on.

        ``items`` are all of them, validated.
        """
        n = n_samples(data.X)
        train, test = np.arange(n)[train], np.arange(n)[test]
        model = clone(model).set_params(covariance=None)
        X, y, some = data.part(data.shared, train)
        with config_context(assume_finite=True):
            seen = model._check_data(
                X, y, some.get("sample_weight"), model.random_state,
                prompt_ids=some.get("prompt_ids"), reset=True, keeps_items=True,
            )  # fmt: skip
        # An index of shared items is one of all.
        places = None if is_pairs(data.X) else train
        seen = _among(items, seen, places)
        look = self._margins if self.scoring is None else self._scored
        return _Fold(model, seen, look(data, test))

    def _score_folds(self, model, whole, alphas, data, comparisons) -> Array:
        """Scores of every fold, by every penalty."""
        cv = disjoint_folds(data.X, data.y, self.cv, data.metadata.get("prompt_ids"))
        folds = [self._fold(model, data, comparisons.items, *fold) for fold in cv]
        problems = [model._problem(fold.seen, like=whole)[0] for fold in folds]
        options = {"max_iter": self.max_iter, "tol": max(self.tol, FOLD_TOL)}
        paths = solve_paths(problems, alphas, **options)
        looks: list = [[] for _ in folds]
        for alpha, solutions in zip(alphas, paths, strict=True):
            for fold, solution, seen in zip(folds, solutions, looks, strict=True):
                fold.model.set_params(alpha=float(alpha), **options)
                fold.model._set(solution, fold.seen, None)
                seen.append(fold.look(fold.model, solution))
        return np.array(looks if self.scoring is not None else _likelihoods(looks))

    def _scored(self, data, test):
        """Give what scores a fitted model."""
        X, y, some = data.part(data.X, test)

        def look(model, solution):
            with config_context(assume_finite=True):
                return self.scoring(model, X, y, **some)

        return look

    def _margins(self, data, test):
        """Give what finds margins, labels and weights of unseen pairs by a solution.

        Of rated items, in all their pairs.
        """
        n = len(test)
        index = data.shared.index[test] if is_pairs(data.X) else None
        X, y, some = data.part(data.X, test)
        target = check_target(self, X, y, n)
        weight = check_weight(some.get("sample_weight"), n, "sample")
        prompts = some.get("prompt_ids")
        prompts = None if prompts is None else check_prompts(prompts, n)[1]

        def look(model, solution):
            if index is None:
                reward = solution.rewards[test]
            else:
                reward = np.subtract(*solution.rewards[index.T])
            return margins_of(reward, target, weight, index is not None, prompts)

        return look

    def _penalties(self, whole, comparisons) -> Array:
        """Penalties to try, in the order given."""
        if not isinstance(self.alphas, Integral):
            return check_penalties(self.alphas)
        some = np.linspace(
            0, len(comparisons.index) - 1, min(SCALE_PAIRS, len(comparisons.index))
        ).astype(int)
        z = rows_as(whole.items.differences(comparisons.index[some]), np.float64)
        squares = np.square(z, out=z).mean(axis=1)
        unit = np.average(squares, weights=comparisons.weight[some]) / 4
        # Rounded, since which pairs tell it depends on their order.
        unit = 10.0 ** np.round(np.log10(unit), 1) if unit > 0 else 1.0
        return np.geomspace(LOWEST * unit, HIGHEST * unit, self.alphas)


class _Data(NamedTuple):
    """What was given to ``fit``; ``shared`` are the samples of X over shared items."""

    X: Any
    shared: Any
    y: Any
    metadata: dict

    def part(self, samples, positions):
        """Give some samples, their labels or ratings, and what else they have."""
        some = {name: np.asarray(v)[positions] for name, v in self.metadata.items()}
        y = None if self.y is None else take(self.y, positions)
        return take(samples, positions), y, some


class _Fold(NamedTuple):
    """A part of the samples: what is learned from, and what looks at the rest.

    ``look`` gives a score, or margins, by a fitted model and its solution.
    """

    model: BradleyTerryRegressor
    seen: Comparisons
    look: Callable


def _shared(X):
    """Give pairs as a container, whose items all folds share; items as they are."""
    split = take_apart(X)
    if split.index is None:
        return X
    return EmbeddingPairs._view(
        split.items, split.index, split.prompt_ids, split.unlabelled
    )


def _among(items, seen, places):
    """Give comparisons of some items, at places among all, as those of all items."""
    index, weight = seen.index, seen.item_weight
    if places is not None:
        index = places[index]
        weight = np.bincount(places, weight, items.shape[0])
    return Comparisons(items, index, seen.target, seen.weight, weight, None)


def _likelihoods(folds):
    """Mean log-likelihood of every fold, at the factor that is best for all of them."""
    scores = np.full((len(folds), len(folds[0])), np.nan)
    for k in range(len(folds[0])):
        parts = [fold[k] for fold in folds]
        everything = map(np.concatenate, zip(*parts, strict=True))
        margin, target, weight = everything
        if len(margin) == 0:
            continue
        factor, _ = best_factor(margin, target, weight)
        for j, (margin, target, weight) in enumerate(parts):
            if len(margin):
                # log(1 + exp(m)) - y m, the logistic loss.
                loss = np.logaddexp(0, factor * margin) - target * factor * margin
                scores[j, k] = -np.average(loss, weights=weight)
    return scores


def _best(alphas, scores):
    """Penalty of the best mean score, of folds that have one."""
    scored = scores[~np.isnan(scores).all(axis=1)]
    if len(scored) == 0:
        raise ValueError("No fold has two samples that differ, to score on.")
    mean = scored.mean(axis=0)
    if not np.isfinite(mean).all():
        raise ValueError(f"scoring must give finite numbers, got {scores.tolist()}.")
    return float(alphas[mean == mean.max()].max())


def _fitted(model):
    """Fitted attributes by name."""
    return {
        name: value
        for name, value in vars(model).items()
        if name.endswith("_") and not name.startswith("_")
    }
