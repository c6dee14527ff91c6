"""Bradley-Terry regression: a reward learned from the likelihood of preferences."""

import re
import warnings
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skreward.data.gate import check_comparisons, is_pairs
from skreward.data.groups import chosen_first, sharing_groups, validation_split
from skreward.data.targets import check_numbers
from skreward.models.base import BaseRewardModel, mean_reward
from skreward.networks.forward import ACTIVATIONS, forward
from skreward.objectives import OBJECTIVES
from skreward.solvers.items import ItemMatrix, item_rewards
from skreward.solvers.linear import LinearProblem
from skreward.utils.arrays import compute_dtype, too_large
from skreward.utils.compat import Interval, StrOptions, fit_context

__all__ = ["BradleyTerryRegressor"]

MIN_VALIDATION_PAIRS = 5
FITTED = (
    "coef_",
    "coefs_",
    "intercepts_",
    "offset_",
    "loss_",
    "loss_curve_",
    "validation_loss_curve_",
    "best_iter_",
    "n_iter_",
    "input_shift_",
    "input_scale_",
    "optimizer_state_",
    "device_",
)


class BradleyTerryRegressor(BaseRewardModel):
    r"""Reward r(x) that makes observed preferences likely, linear or a network.

    .. math:: \min_r \; \frac{1}{\sum_k w_k} \sum_k w_k \left[
              -y_k \log F(m_k) - (1 - y_k) \log F(-m_k) \right]
              + \frac{\alpha}{2} \lVert W \rVert^2,
              \qquad m_k = r(x_{k1}) - r(x_{k2})

    where pair k compares items :math:`x_{k1}` and :math:`x_{k2}`, :math:`y_k` is 1
    when the first is preferred, and F is the logistic function (Bradley-Terry) or
    the normal distribution function (Thurstone). The reward has no intercept: only
    differences are identified, and `predict` centres it on the training items.

    The linear reward is convex and fitted by L-BFGS to its optimum, in time that
    grows with the items, hardly with the pairs. The network is trained by Adam on
    mini-batches, and stops early on pairs that share no prompt with the training
    pairs.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Width of each hidden layer. ``()`` is the linear reward; ``(1024, 512)`` is
        the network of [1]_. On frozen sentence embeddings the linear reward is
        usually as good, and much faster.

    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden layers.

    link : {"logistic", "probit"}, default="logistic"
        F: Bradley-Terry or Thurstone. They order alike; the unit of the reward is
        log-odds for the logistic link, standard deviations for the probit.

    alpha : float, default=5e-4
        Strength of the penalty on the *mean* loss, so it need not change with the
        number of pairs; ``C = 1 / (alpha * n_pairs)`` is the same for scikit-learn's
        ``LogisticRegression``. W are the weights of the linear reward, or those of
        all layers, without intercepts, on items scaled to unit variance. With 0,
        separable pairs have no finite optimum.

    solver : {"auto", "lbfgs", "adam"}, default="auto"
        "lbfgs" (linear reward only) or "adam" on mini-batches; "auto" takes "lbfgs"
        for the linear reward and "adam" for a network.

    batch_size : int or "auto", default="auto"
        Pairs a step of "adam". "auto" is a sixteenth of the training pairs, at
        least 128 and at most 2048.

    learning_rate_init : float, default=1e-3
        Step size of "adam".

    max_iter : int, default=200
        Iterations of "lbfgs", epochs of "adam".

    tol : float, default=1e-4
        "lbfgs" stops when the preconditioned gradient has fallen to this share of
        its first norm; "adam" when its loss has improved by less than this for
        ``n_iter_no_change`` epochs.

    early_stopping : bool, default=True
        For "adam", hold out ``validation_fraction`` of the pairs, stop when the loss
        on them no longer improves, and restore the best weights. Prompts are kept
        apart where `EmbeddingPairs` knows them, else connected components of shared
        items, or single items where one component holds nearly all pairs.

    validation_fraction : float, default=0.1
        Share held out by ``early_stopping``. Costs training pairs, and when prompts
        are compared with each other also the pairs between the two parts.

    n_iter_no_change : int, default=3
        Patience of "adam", in epochs.

    dropout : float, default=0.0
        Probability of dropping a hidden unit in a training step. On noisy
        preferences 0.5 with ``learning_rate_init=3e-4`` can be worth its epochs.

    max_pairs : int or None, default=100_000
        When X is items with ratings, learn from at most this many of their ordered
        pairs, sampled with ``random_state``. None takes all, n (n - 1) / 2.

    device : str, default="auto"
        "cpu", "cuda" or "cuda:N". "auto" is CUDA for "adam" where there is one, and
        the CPU for "lbfgs".

    precision : {"auto", "full", "bfloat16"}, default="auto"
        Of the network's products in training: "full" is X's own (float32 for
        float16); "bfloat16" products are two to three times as fast where the device
        has units for them, and the network orders as well. "auto" takes them there,
        except for float64.
        Weights, losses and steps are X's own in any case, and so are predictions.

    random_state : int, RandomState instance or None, default=None
        Fixes the weights at the start, the validation split, the batches, and the
        pairs sampled from ratings.

    warm_start : bool, default=False
        Start `fit` from the weights of the previous one.

    verbose : int, default=0
        Above 0, print the loss of every epoch of "adam".

    Attributes
    ----------
    coef_ : array of shape (n_features,)
        Weights of the linear reward. Only without hidden layers.

    coefs_ : list of arrays of shape (n_in, n_out)
        Weights of every layer. Only with hidden layers.

    intercepts_ : list of arrays of shape (n_out,)
        Intercepts of the hidden layers. Only with hidden layers.

    offset_ : float
        Mean reward of the training items before centring: r(x) is the layers'
        output minus this.

    loss_ : float
        Final value of the objective for "lbfgs", training loss of the last epoch
        for "adam".

    loss_curve_ : list of float
        Training loss of every epoch. Only with "adam".

    validation_loss_curve_ : list of float
        Validation loss of every epoch. Only with "adam"; empty without early
        stopping.

    best_iter_ : int
        Epoch whose weights were kept. Only with "adam".

    input_shift_, input_scale_ : arrays of shape (n_features,)
        By which "adam" centred and scaled the items. `coef_` and `coefs_` act on the
        items as they are. Only with "adam".

    optimizer_state_ : dict
        Where the next `partial_fit` goes on. Only after `partial_fit`.

    device_ : str
        Where the weights were trained; where it is still there, a network predicts
        there. Only with "adam".

    n_iter_ : int
        Iterations or epochs run.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame of items.

    See Also
    --------
    PairwiseClassifierReward : A reward from any binary classifier.
    skreward.model_selection.PromptDisjointKFold : Cross-validation without leaks.

    Notes
    -----
    float64 trains in float64 and float32 in float32; float16 is storage and computes
    in float32. Fitted attributes are numpy: a model fitted on CUDA loads and
    predicts without.

    References
    ----------
    .. [1] "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling:
       Foundations, Theory, and Alternatives" (ICLR 2025).
    .. [2] R. A. Bradley and M. E. Terry, "Rank Analysis of Incomplete Block Designs"
       (Biometrika, 1952).

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

    _parameter_constraints = {  # noqa: RUF012
        "hidden_layer_sizes": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "link": [StrOptions(set(OBJECTIVES))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"auto", "lbfgs", "adam"})],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_pairs": [Interval(Integral, 1, None, closed="left"), None],
        "device": [str],
        "precision": [StrOptions({"auto", "full", "bfloat16"})],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(),
        activation="relu",
        link="logistic",
        alpha=5e-4,
        solver="auto",
        batch_size="auto",
        learning_rate_init=1e-3,
        max_iter=200,
        tol=1e-4,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=3,
        dropout=0.0,
        max_pairs=100_000,
        device="auto",
        precision="auto",
        random_state=None,
        warm_start=False,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.link = link
        self.alpha = alpha
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.max_pairs = max_pairs
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
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

        Returns
        -------
        self : BradleyTerryRegressor
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight or a parameter is not as above; if a network
            diverges.
        MemoryError
            If the device is too small.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` came before ``tol``.
        """
        solver = self._check_parameters()
        rng = check_random_state(self.random_state)
        is_warm = self.warm_start and hasattr(self, "offset_")
        comparisons = self._check_data(X, y, sample_weight, rng, reset=not is_warm)
        if solver == "lbfgs":
            solution = self._linear_problem(comparisons).solve(
                self.alpha,
                max_iter=self.max_iter,
                tol=self.tol,
                coef_init=self.coef_ if is_warm and hasattr(self, "coef_") else None,
            )
            self._set_linear(solution, comparisons)
        else:
            kept, held = self._split(comparisons, rng)
            job = self._job(comparisons, kept, held, rng, self.max_iter, is_warm)
            (state,) = self._train([job])
            if not state.converged:
                warnings.warn(
                    f"Adam stopped after max_iter={self.max_iter} epochs while the "
                    "loss still improved. Increase max_iter or learning_rate_init.",
                    ConvergenceWarning,
                    stacklevel=3,
                )
            self._set_trained(state, comparisons)
        return self

    def fit_path(self, X, y=None, sample_weight=None, *, alphas):
        """Fit the linear reward for many penalties, for little more than one.

        What does not depend on the penalty is done once, and every fit starts where
        the one with the next larger penalty ended, with the curvature it found.

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

        Returns
        -------
        models : list of BradleyTerryRegressor
            A fitted model for every ``alpha``, in the order given: what `fit` of a
            clone with that ``alpha`` would give, up to ``tol``. This model itself is
            not changed.

        Raises
        ------
        ValueError
            As `fit`; also where the solver is not "lbfgs".

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
        if self._check_parameters() != "lbfgs":
            raise ValueError(
                'fit_path needs solver="lbfgs" and the linear reward, got '
                f"solver={self.solver!r} and hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r}."
            )
        alphas = check_numbers(alphas, "alphas")
        if len(alphas) == 0 or alphas.min() < 0:
            raise ValueError(f"alphas must hold penalties >= 0, got {alphas.tolist()}.")
        models = [clone(self).set_params(alpha=float(alpha)) for alpha in alphas]
        rng = check_random_state(self.random_state)
        comparisons = models[0]._check_data(X, y, sample_weight, rng, reset=True)
        problem = self._linear_problem(comparisons)
        coef = None
        for k in np.argsort(-alphas, kind="stable"):
            solution = problem.solve(
                models[k].alpha,
                max_iter=self.max_iter,
                tol=self.tol,
                coef_init=coef,
            )
            coef = solution.coef
            models[k]._set_linear(solution, comparisons)
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(models[0], name):
                    setattr(models[k], name, getattr(models[0], name))
        return models

    def _fit_many(self, models, X, y, weights):
        """Fit networks like this one, each with its own weights, all at once.

        ``models`` are unfitted, and differ from this one in ``random_state`` alone.
        Each comes out as its own ``fit(X, y, weight)`` would leave it. Gives their
        rewards of the items.
        """
        jobs = []
        for model, weight in zip(models, weights, strict=True):
            rng = check_random_state(model.random_state)
            comparisons = model._check_data(X, y, weight, rng, reset=True)
            kept, held = model._split(comparisons, rng)
            jobs.append(model._job(comparisons, kept, held, rng, model.max_iter, False))
        states = self._train(jobs)
        n_running = sum(not state.converged for state in states)
        if n_running:
            warnings.warn(
                f"Adam stopped after max_iter={self.max_iter} epochs while the loss of "
                f"{n_running} of {len(models)} members still improved. Increase "
                "max_iter or learning_rate_init.",
                ConvergenceWarning,
                stacklevel=5,
            )
        return [
            model._set_trained(state, job.comparisons)
            for model, job, state in zip(models, jobs, states, strict=True)
        ]

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Take one epoch of "adam" over more pairs, from where the last one ended.

        Every pair given is trained on; nothing is held out. The scaling of the
        items is that of the first call.

        Parameters
        ----------
        X : EmbeddingPairs or array-like
            As in `fit`.
        y : array-like, default=None
            As in `fit`.
        sample_weight : array-like, default=None
            As in `fit`.

        Returns
        -------
        self : BradleyTerryRegressor
            Updated.

        Raises
        ------
        ValueError
            As `fit`; also where ``solver="lbfgs"``.
        """
        self._check_parameters()
        if self.solver == "lbfgs":
            raise ValueError('partial_fit takes steps of solver="adam", got "lbfgs".')
        rng = check_random_state(self.random_state)
        goes_on = hasattr(self, "offset_")
        comparisons = self._check_data(X, y, sample_weight, rng, reset=not goes_on)
        kept = np.ones(len(comparisons.index), dtype=bool)
        (state,) = self._train([self._job(comparisons, kept, ~kept, rng, 1, goes_on)])
        self._set_trained(state, comparisons)
        self.optimizer_state_ = {"n_steps": state.n_steps, "moments": state.moments}
        return self

    def predict_preference_proba(self, X):
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
        return OBJECTIVES[self.link].probability(self.predict(X))

    def _reward(self, items):
        return self._raw_reward(items) - compute_dtype(items).type(self.offset_)

    def _raw_reward(self, items):
        if hasattr(self, "coef_"):
            return item_rewards(items, self.coef_)
        layers = self.coefs_, self.intercepts_, self.activation
        if self.device_ != "cpu":
            from skreward.networks import inference

            return inference.forward(items, *layers, self.device_)
        return forward(items, *layers)

    def _check_parameters(self):
        """Check what parameter constraints cannot say; gives the solver."""
        sizes = self.hidden_layer_sizes
        if not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
            raise ValueError(
                f"hidden_layer_sizes must hold positive ints, got {sizes!r}."
            )
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(
                'device must be "auto", "cpu", "cuda" or "cuda:N", got '
                f"{self.device!r}."
            )
        if self.solver == "lbfgs" and sizes:
            raise ValueError(
                'solver="lbfgs" fits the linear reward, hidden_layer_sizes=(); for '
                f'hidden_layer_sizes={sizes!r} use solver="adam".'
            )
        if self.solver == "auto":
            return "adam" if sizes else "lbfgs"
        return self.solver

    def _check_data(self, X, y, sample_weight, rng, *, reset):
        return check_comparisons(
            self,
            X,
            y,
            sample_weight,
            reset=reset,
            max_pairs=self.max_pairs,
            random_state=rng,
        )

    def _linear_problem(self, comparisons):
        items = self._item_matrix(comparisons.items)
        return LinearProblem(items, comparisons, OBJECTIVES[self.link])

    def _item_matrix(self, items):
        if self.device in ("auto", "cpu"):
            return ItemMatrix(items)
        if sp.issparse(items):
            raise ValueError(
                f'device={self.device!r} with solver="lbfgs" needs dense embeddings, '
                'got a sparse matrix. Use device="cpu".'
            )
        from skreward.solvers.device_items import DeviceItemMatrix
        from skreward.utils.device import resolve

        return DeviceItemMatrix(items, resolve(self.device))

    def _split(self, comparisons, rng):
        """Give masks of training and validation pairs."""
        n_pairs = len(comparisons.index)
        every = np.ones(n_pairs, dtype=bool)
        if not self.early_stopping:
            return every, ~every
        kept, held = validation_split(
            comparisons.index, comparisons.prompt_ids, self.validation_fraction, rng
        )
        if held.sum() < MIN_VALIDATION_PAIRS or not kept.any():
            warnings.warn(
                f"early_stopping found {held.sum()} of {n_pairs} pairs to hold out "
                f"that share nothing with the rest, and needs {MIN_VALIDATION_PAIRS}: "
                "the training loss decides when to stop. Raise validation_fraction "
                "or set early_stopping=False.",
                UserWarning,
                stacklevel=4,
            )
            return every, ~every
        return kept, held

    def _job(self, comparisons, kept, held, rng, max_iter, goes_on):
        """Put together what a training run needs."""
        from skreward.networks import training

        n_kept = int(kept.sum())
        recipe = training.Recipe(
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            activation=self.activation,
            link=self.link,
            alpha=self.alpha,
            batch_size=(
                min(max(n_kept // 16, 128), 2048)
                if self.batch_size == "auto"
                else self.batch_size
            ),
            learning_rate=self.learning_rate_init,
            max_iter=max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            dropout=self.dropout,
            bfloat16=self._uses_bfloat16(comparisons.items),
            verbose=self.verbose,
        )
        state = training.start(comparisons, kept, recipe, rng)
        if goes_on:
            self._resume(state)
        groups = sharing_groups(
            chosen_first(comparisons.index, comparisons.target), comparisons.prompt_ids
        )
        return training.Job(comparisons, kept, held, groups, recipe, state, rng)

    def _uses_bfloat16(self, items):
        from skreward.utils.device import is_fast_at_bfloat16, resolve

        is_double = compute_dtype(items) == np.float64
        if self.precision == "auto":
            return not is_double and is_fast_at_bfloat16(resolve(self.device))
        if self.precision == "bfloat16" and is_double:
            raise ValueError(
                'precision="bfloat16" is for float32 and float16, and X is float64, '
                'which trains in float64. Convert X, or use precision="auto".'
            )
        return self.precision == "bfloat16"

    def _train(self, jobs):
        from skreward.networks.training import train
        from skreward.utils.device import resolve

        return train(jobs, resolve(self.device))

    def _resume(self, state):
        """Put the fitted weights, and what belongs to them, into a new state."""
        if hasattr(self, "coef_"):
            coefs, intercepts = [self.coef_[:, np.newaxis]], []
        else:
            coefs, intercepts = self.coefs_, self.intercepts_
        fitted, wanted = ([c.shape for c in layers] for layers in (coefs, state.coefs))
        if fitted != wanted:
            raise ValueError(
                f"The fitted layers have shapes {fitted}, and hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} asks for {wanted}. Fit anew with "
                "warm_start=False."
            )
        dtype = state.coefs[0].dtype
        state.coefs = [c.astype(dtype) for c in coefs]
        state.intercepts = [b.astype(dtype) for b in intercepts]
        if hasattr(self, "input_shift_"):
            state.shift = self.input_shift_.astype(dtype)
            state.scale = self.input_scale_.astype(dtype)
        if hasattr(self, "optimizer_state_"):
            state.n_steps = self.optimizer_state_["n_steps"]
            state.moments = [
                (average.astype(dtype), square.astype(dtype))
                for average, square in self.optimizer_state_["moments"]
            ]

    def _set_linear(self, solution, comparisons):
        if not solution.converged:
            warnings.warn(
                f"L-BFGS stopped after {solution.n_iter} iterations with its gradient "
                f"at {solution.reduction:.1e} of the first (tol={self.tol:g}). "
                "Increase max_iter or alpha, or scale the items with "
                "ItemwiseTransformer(StandardScaler()).",
                ConvergenceWarning,
                stacklevel=4,
            )
        self._forget()
        self.coef_ = solution.coef.astype(compute_dtype(comparisons.items))
        self.loss_ = solution.loss
        self.n_iter_ = solution.n_iter
        self._centre(comparisons, solution.rewards)

    def _set_trained(self, state, comparisons):
        self._forget()
        if self.hidden_layer_sizes:
            self.coefs_, self.intercepts_ = state.coefs, state.intercepts
        else:
            self.coef_ = state.coefs[0].ravel()
        self.device_ = state.device
        self.input_shift_, self.input_scale_ = state.shift, state.scale
        self.loss_ = state.loss_curve[-1]
        self.loss_curve_ = state.loss_curve
        self.validation_loss_curve_ = state.validation_curve
        self.best_iter_ = state.best_iter
        self.n_iter_ = len(state.loss_curve)
        reward = self._raw_reward(comparisons.items)
        self._centre(comparisons, reward)
        return reward - reward.dtype.type(self.offset_)

    def _forget(self):
        """Drop what an earlier fit, maybe of another form, has left."""
        for name in FITTED:
            self.__dict__.pop(name, None)

    def _centre(self, comparisons, reward):
        """Set ``offset_``, given the rewards of the items without it."""
        self.offset_ = mean_reward(reward, comparisons.item_weight)
        if not np.isfinite(self.offset_):
            raise too_large(comparisons.items.dtype)
