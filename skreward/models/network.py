"""What estimators trained on mini-batches share: parameters, jobs, fitted layers."""

import warnings
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning

from skreward.data.gate import check_items, require_labels_of, take_apart
from skreward.data.groups import chosen_first, sharing_groups, validation_split
from skreward.data.pairs import EmbeddingPairs
from skreward.networks.forward import ACTIVATIONS, forward
from skreward.networks.jobs import Job, Settings, start
from skreward.objectives import OBJECTIVES
from skreward.utils.checks import check_device
from skreward.utils.compat import Interval, StrOptions
from skreward.utils.lazy import refuse_lazy

MIN_VALIDATION_PAIRS = 5
CONSTRAINTS = {
    "hidden_layer_sizes": [tuple, list],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "precision": [StrOptions({"auto", "full", "bfloat16"})],
    "device": [str],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
}


class NetworkMixin(Settings):
    """An estimator with the parameters of `CONSTRAINTS`, trained by Adam."""

    def _objective(self, comparisons, goes_on=False):
        return OBJECTIVES["logistic"]

    def _check_network(self):
        """Check what parameter constraints cannot say."""
        sizes = self.hidden_layer_sizes
        if not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
            raise ValueError(
                f"hidden_layer_sizes must hold positive ints, got {sizes!r}."
            )
        check_device(self.device)

    def _job(self, comparisons, rng, *, goes_on, holds_out):
        """Put together what a training run needs."""
        kept, held = self._split(comparisons, rng, holds_out)
        objective = self._objective(comparisons, goes_on)
        network = start(self, objective, comparisons, kept, rng)
        if goes_on:
            self._resume(network)
        groups = np.arange(len(kept))
        if comparisons.index.shape[1] == 2:
            groups = sharing_groups(
                chosen_first(comparisons.index, comparisons.target),
                comparisons.prompt_ids,
            )
        return Job(self, objective, comparisons, kept, held, groups, network, rng)

    def _split(self, comparisons, rng, holds_out):
        """Give masks of training and validation pairs."""
        n_pairs, n_sides = comparisons.index.shape
        every = np.ones(n_pairs, dtype=bool)
        if not holds_out:
            return every, ~every
        kept, held = validation_split(
            comparisons.index, comparisons.prompt_ids, self.validation_fraction, rng
        )
        if held.sum() < MIN_VALIDATION_PAIRS or not kept.any():
            warnings.warn(
                f"early_stopping found {held.sum()} of {n_pairs} "
                f"{'pairs' if n_sides == 2 else 'items'} to hold out "
                f"that share nothing with the rest, and needs {MIN_VALIDATION_PAIRS}: "
                "the training loss decides when to stop. Raise validation_fraction "
                "or set early_stopping=False.",
                UserWarning,
                stacklevel=5,
            )
            return every, ~every
        return kept, held

    def _train(self, jobs, max_iter=None, stacklevel=4):
        """Run the jobs, which may be those of other estimators like this one.

        ``max_iter`` epochs are all that is wanted; without it, training that has not
        ended after the estimator's own warns.
        """
        from skreward.networks.training import train

        networks = train(jobs, max_iter)
        if max_iter is not None:
            return networks
        n_running = sum(not network.converged for network in networks)
        if n_running:
            whose = f" of {n_running} of {len(jobs)} members" if len(jobs) > 1 else ""
            warnings.warn(
                f"Adam stopped after max_iter={self.max_iter} epochs while the "
                f"loss{whose} still improved. Increase max_iter or "
                "learning_rate_init.",
                ConvergenceWarning,
                stacklevel=stacklevel,
            )
        return networks

    def _resume(self, network):
        """Put the fitted weights, and what belongs to them, into a new network."""
        fitted, wanted = (
            [c.shape for c in layers] for layers in (self.coefs_, network.coefs)
        )
        if fitted != wanted:
            raise ValueError(
                f"The fitted layers have shapes {fitted}, and hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} asks for {wanted}. Fit anew with "
                "warm_start=False."
            )
        dtype = network.coefs[0].dtype
        network.shift = self.input_shift_.astype(dtype)
        network.scale = self.input_scale_.astype(dtype)
        network.set_folded(self.coefs_, self.intercepts_)
        if hasattr(self, "optimizer_state_"):
            network.n_steps = self.optimizer_state_["n_steps"]
            network.moments = [
                (average.astype(dtype), square.astype(dtype))
                for average, square in self.optimizer_state_["moments"]
            ]

    def _set_network(self, network):
        # What Adam remembers belongs to the weights of one call of partial_fit.
        vars(self).pop("optimizer_state_", None)
        self.coefs_, self.intercepts_ = network.folded()
        self.device_ = network.device
        self.input_shift_, self.input_scale_ = network.shift, network.scale
        self.loss_ = network.loss_curve[-1]
        self.loss_curve_ = network.loss_curve
        self.validation_loss_curve_ = network.validation_curve
        self.best_iter_ = network.best_iter
        self.n_iter_ = len(network.loss_curve)

    def _forward(self, items):
        """Output of the last layer, (n_items,), where the network was trained."""
        layers = self.coefs_, self.intercepts_, self.activation
        if self.device_ != "cpu":
            from skreward.networks import inference

            return inference.forward(items, *layers, self.device_)
        return forward(items, *layers)


def fit_together(models, X, y, weights=None):
    """Fit many networks at once, each on its own pairs of the same items.

    Layers are stacked and multiplied in batches, which costs less than one fit after
    the other where these are small, and each model comes out as its own ``fit`` would
    leave it, up to rounding. Parameters may differ, such as ``alpha``,
    ``learning_rate_init`` or ``random_state``, but for ``hidden_layer_sizes``,
    ``activation``, ``dropout``, ``max_iter``, ``precision`` and ``device``: the folds
    of a search over penalties are one call.

    Parameters
    ----------
    models : list of BradleyTerryMLPRegressor, or of PairwiseClassifierReward
        Unfitted, and fitted in place; the latter with `RewardMLPClassifier`.
    X : list of EmbeddingPairs
        Of one array of embeddings, which costs no copy, or of several of one width
        and dtype, such as those that a scaler makes of every fold.
    y : list of array-like
        Labels, as `fit` takes them.
    weights : list of array-like, default=None
        Weights, as `fit` takes them.

    Returns
    -------
    models : list
        Fitted.

    Raises
    ------
    TypeError
        If the models cannot be trained together.
    ValueError
        If embeddings differ in width or dtype, or not all pairs have prompts; if a
        parameter differs that is shared; as `fit`.

    Examples
    --------
    Five folds of four penalties, in one call:

    >>> from itertools import product
    >>> import numpy as np
    >>> from skreward import BradleyTerryMLPRegressor
    >>> from skreward.datasets import make_preferences
    >>> from skreward.model_selection import PromptDisjointKFold
    >>> from skreward.models.network import fit_together
    >>> data = make_preferences(n_pairs=600, random_state=0)
    >>> pairs, y = data.pairs, data.y
    >>> folds = list(PromptDisjointKFold(5, random_state=0).split(pairs, y))
    >>> alphas = [1e-4, 1e-3, 1e-2, 1e-1]
    >>> runs = list(product(alphas, folds))
    >>> models = fit_together(
    ...     [
    ...         BradleyTerryMLPRegressor((16,), alpha=alpha, random_state=0)
    ...         for alpha, _ in runs
    ...     ],
    ...     [pairs[train] for _, (train, _) in runs],
    ...     [y[train] for _, (train, _) in runs],
    ... )
    >>> scores = [
    ...     model.score(pairs[test], y[test])
    ...     for model, (_, (_, test)) in zip(models, runs)
    ... ]
    >>> np.reshape(scores, (4, 5)).mean(axis=1).shape
    (4,)
    """
    if len({type(model) for model in models}) != 1 or not hasattr(
        models[0], "_fit_many"
    ):
        names = sorted({type(model).__name__ for model in models})
        raise TypeError(f"Only networks of one class are fitted together, got {names}.")
    for pairs, labels in zip(X, y, strict=True):
        require_labels_of(pairs, labels)
    for pairs in X:
        refuse_lazy(pairs.embeddings, f"{type(models[0]).__name__}.fit")
    X = _over_one_array(X)
    index = np.concatenate([pairs.index for pairs in X])
    whole = take_apart(EmbeddingPairs(X[0].embeddings, index, X[0].prompt_ids))
    items = check_items(models[0], whole.items, reset=True)
    assert whole.index is not None
    ends = np.cumsum([len(pairs) for pairs in X])[:-1]
    X = [
        EmbeddingPairs(items, part, whole.prompt_ids)
        for part in np.split(whole.index, ends)
    ]
    with config_context(assume_finite=True):
        models[0]._fit_many(models, X, y, weights or [None] * len(models))
    return models


def _over_one_array(X):
    """Give pairs of one array: theirs, or all of theirs one below the other."""
    if all(pairs.embeddings is X[0].embeddings for pairs in X):
        return X
    kinds = sorted({f"{pairs.n_features} features of {pairs.dtype}" for pairs in X})
    if len(kinds) > 1:
        raise ValueError(
            f"X must hold embeddings of one kind, and has {' and '.join(kinds)}."
        )
    ids = [pairs.prompt_ids for pairs in X]
    n_without = sum(some is None for some in ids)
    if 0 < n_without < len(X):
        raise ValueError(
            f"X must hold pairs that have prompt_ids or pairs that have none, and "
            f"{n_without} of {len(X)} have none."
        )
    parts = [pairs.embeddings for pairs in X]
    whole = sp.vstack(parts, "csr") if sp.issparse(parts[0]) else np.concatenate(parts)
    every = None if n_without else np.concatenate(ids)
    starts = np.cumsum([0, *(pairs.n_items for pairs in X[:-1])])
    return [
        EmbeddingPairs(whole, pairs.index + start, every)
        for pairs, start in zip(X, starts, strict=True)
    ]
