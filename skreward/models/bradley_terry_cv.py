"""Bradley-Terry regression whose penalty is chosen by cross-validation."""

from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from sklearn import config_context
from sklearn.utils import check_random_state, indexable

from skreward.data.gate import check_items, check_weight, take_apart
from skreward.model_selection import disjoint_folds, n_samples, take
from skreward.models.bradley_terry import BradleyTerryRegressor, check_penalties
from skreward.models.linear import LinearReward
from skreward.models.meta import best_factor, check_target, given, margins_of
from skreward.objectives import OBJECTIVES
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
FOLD_TOL = 1e-2
# Pairs that tell the data's scale.
SCALE_PAIRS = 4096


class BradleyTerryRegressorCV(LinearReward):
    r"""Linear reward with a penalty chosen on prompts that it was not trained on.

    .. math:: \hat\alpha = \arg\max_\alpha \; \frac{1}{K} \sum_{j=1}^{K}
              \mathrm{score}\left(\hat w_\alpha^{(-j)}, \text{fold } j\right)

    with :math:`\hat w_\alpha^{(-j)}` the `BradleyTerryRegressor` with that alpha fitted
    without fold j. What is kept is fitted on everything with :math:`\hat\alpha`. How
    much to shrink depends on the number of pairs, on the noise of the labels and on
    the items' scale, none of which a default can know. The whole takes one to two times
    as long as five fits of one penalty: however near the last one's optimum is, each
    penalty of a fold takes a pass over the items, where a single fit takes about five.

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
        .01 if that is more.

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
        # One seed, so that every fold and the whole sample pairs alike.
        seed = int(check_random_state(self.random_state).randint(MAX_SEED))
        alphas = self._penalties(self._check(X, y, sample_weight, prompt_ids, seed))
        folds = disjoint_folds(X, y, self.cv, prompt_ids)
        metadata = given(sample_weight=sample_weight, prompt_ids=prompt_ids)
        scores = self._score_folds(X, y, metadata, alphas, folds, seed)
        alpha = _best(alphas, scores)
        self._set(self._model(seed, alpha).fit(X, y, **metadata))
        self.alpha_, self.alphas_, self.scores_ = alpha, alphas, scores
        return self

    def _check(self, X, y, sample_weight, prompt_ids, seed):
        """Give what was observed."""
        check_device(self.device)
        comparisons = self._check_data(
            X, y, sample_weight, seed, prompt_ids=prompt_ids, reset=True
        )
        self._check_groups(comparisons)
        return comparisons

    def _model(self, seed, alpha):
        """Give the model of everything, with one penalty."""
        return BradleyTerryRegressor(
            self.link,
            alpha=alpha,
            max_iter=self.max_iter,
            tol=self.tol,
            max_pairs=self.max_pairs,
            covariance=self.covariance,
            device=self.device,
            random_state=seed,
        )

    def _set(self, model):
        """Take the fitted attributes of a model over, and drop all earlier ones."""
        for name in list(_fitted(self)):
            delattr(self, name)
        for name, value in _fitted(model).items():
            setattr(self, name, value)

    def _score_folds(self, X, y, metadata, alphas, folds, seed) -> Array:
        """Scores of every fold, by every penalty."""
        model = self._model(seed, alpha=0.0)
        model.set_params(tol=max(self.tol, FOLD_TOL), covariance=None)
        with config_context(assume_finite=True):
            parts = [
                self._look_at_fold(model, X, y, metadata, alphas, *fold)
                for fold in folds
            ]
        return np.array(parts if self.scoring is not None else _likelihoods(parts))

    def _look_at_fold(self, model, X, y, metadata, alphas, train, test):
        """Fit all penalties on one part; gives scores, or margins, of the other."""

        def part(positions):
            some = {name: np.asarray(v)[positions] for name, v in metadata.items()}
            return take(X, positions), None if y is None else take(y, positions), some

        X_train, y_train, some = part(train)
        models = model.fit_path(X_train, y_train, alphas=alphas, **some)
        X_test, y_test, some = part(test)
        if self.scoring is None:
            return self._margins(models, X_test, y_test, **some)
        return [self.scoring(model, X_test, y_test, **some) for model in models]

    def _margins(self, models, X, y, sample_weight=None, prompt_ids=None):
        """Margins, labels and weights by every model; rated items in all pairs."""
        split = take_apart(X)
        items = check_items(self, split.items, reset=False)
        index, n = split.index, n_samples(X)
        target = check_target(self, X, y, n)
        weight = check_weight(sample_weight, n, "sample")
        prompts = None if prompt_ids is None else check_prompts(prompt_ids, n)[1]
        seen = []
        for model in models:
            reward = model._reward(items).astype(np.float64)
            if index is not None:
                reward = reward[index[:, 0]] - reward[index[:, 1]]
            seen.append(margins_of(reward, target, weight, index is not None, prompts))
        return seen

    def _penalties(self, comparisons) -> Array:
        """Penalties to try, in the order given."""
        if not isinstance(self.alphas, Integral):
            return check_penalties(self.alphas)
        some = np.linspace(
            0, len(comparisons.index) - 1, min(SCALE_PAIRS, len(comparisons.index))
        ).astype(int)
        first, second = (
            rows_as(comparisons.items[side], np.float64)
            for side in comparisons.index[some].T
        )
        squares = np.square(first - second).mean(axis=1)
        unit = np.average(squares, weights=comparisons.weight[some]) / 4
        # Rounded, since which pairs tell it depends on their order.
        unit = 10.0 ** np.round(np.log10(unit), 1) if unit > 0 else 1.0
        return np.geomspace(LOWEST * unit, HIGHEST * unit, self.alphas)


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
