r"""A fitted pipeline as a few layers: what every export is made of.

Conventions: rows x of shape (n, n_in) go through layers in order, in float64,

    Affine      x @ weight + bias        weight (n_in, n_out), bias (n_out,)
    Normalise   x / ||x||_2              a row of zeros stays
    Activation  relu, tanh or logistic

and end as rewards of shape (n, 1). Affine layers that follow each other are one.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted

from skreward.models.bradley_terry import BradleyTerryRegressor
from skreward.models.bradley_terry_cv import BradleyTerryRegressorCV
from skreward.models.bradley_terry_mlp import BradleyTerryMLPRegressor
from skreward.models.calibrated import CalibratedReward
from skreward.models.classifier import PairwiseClassifierReward
from skreward.models.controlled import ControlledReward
from skreward.models.ensemble import RewardEnsemble
from skreward.models.itemwise import ItemwiseTransformer
from skreward.models.mlp_classifier import RewardMLPClassifier
from skreward.text.transformer import LLMEmbeddingTransformer
from skreward.utils.through import inwards

ACTIVATIONS: dict[str, Callable] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "logistic": expit,
}
LINEAR_CLASSIFIERS = (
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
# A feature that a scaler divides by less than this share of its largest divisor is
# noise: what it adds to a reward rests on bits that other hardware rounds otherwise.
DEAD = 10 * float(np.finfo(np.float32).eps)
HINT = (
    "Foldable are StandardScaler, RobustScaler, MaxAbsScaler, MinMaxScaler("
    "clip=False), PCA, TruncatedSVD, Normalizer('l2'), pipelines of them, and on top "
    "linear rewards, networks, rewards of linear classifiers and of "
    "RewardMLPClassifier, mean ensembles of linear rewards, and temperatures."
)


@dataclass(frozen=True)
class Affine:
    """Multiply by ``weight``, (n_in, n_out), and add ``bias``, (n_out,)."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Apply to rows."""
        return rows @ self.weight + self.bias

    def then(self, other: "Affine") -> "Affine":
        """Give the one layer that does this and then the other."""
        return Affine(self.weight @ other.weight, self.bias @ other.weight + other.bias)


@dataclass(frozen=True)
class Normalise:
    """Scale every row to Euclidean length 1; a row of zeros stays."""

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Apply to rows."""
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(length > 0, length, 1.0)


@dataclass(frozen=True)
class Activation:
    """Apply a function to every number."""

    name: str

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Apply to rows."""
        return ACTIVATIONS[self.name](rows)


Layer = Affine | Normalise | Activation


@dataclass(frozen=True)
class FoldedReward:
    """A fitted model as layers.

    Attributes
    ----------
    encoder : LLMEmbeddingTransformer or None
        What makes rows of texts, where the model begins with it.
    layers : tuple of Affine, Normalise and Activation
        From rows to rewards, in float64.
    n_features : int
        Width of the rows.
    """

    encoder: LLMEmbeddingTransformer | None
    layers: tuple[Layer, ...]
    n_features: int

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Rewards of rows, computed in float64.

        Parameters
        ----------
        rows : array-like of shape (n_items, n_features)
            Embeddings.

        Returns
        -------
        rewards : array of shape (n_items,)
        """
        rows = np.asarray(rows, dtype=np.float64)
        for layer in self.layers:
            rows = layer(rows)
        return rows[:, 0]


def fold(model: Any) -> FoldedReward:
    r"""Write a fitted model as affine layers, normalisation and activations.

    .. math:: r(x) = (L_k \circ \dots \circ L_1)(x)

    .. math:: L(x) = x W + b, \quad x / \lVert x \rVert_2, \quad
              \text{or an activation}

    Folded in float64: scaling, projections and the reward become as few affine layers
    as there can be; a linear reward behind any number of them is a single one. A
    feature that varies by less than rounding goes into the constant.

    Parameters
    ----------
    model : estimator
        A fitted reward model, or a Pipeline (or search) that ends in one. Its first
        step may be an `LLMEmbeddingTransformer`.

    Returns
    -------
    folded : FoldedReward
        Its ``predict`` of embeddings is the model's.

    Raises
    ------
    ValueError
        Where a step is no such layer; it names the step and the reason.
    NotFittedError
        Before ``fit``.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skreward import BradleyTerryRegressor, ItemwiseTransformer
    >>> from skreward.datasets import make_preferences
    >>> from skreward.export import fold
    >>> data = make_preferences(n_pairs=500, random_state=0)
    >>> model = make_pipeline(
    ...     ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    ... ).fit(data.pairs, data.y)
    >>> folded = fold(model)
    >>> len(folded.layers)
    1
    >>> difference = folded.predict(data.embeddings) - model.predict(data.embeddings)
    >>> bool(abs(difference).max() < 1e-9)
    True
    """
    steps = flat_steps(model)
    encoder = None
    if isinstance(steps[0][1], LLMEmbeddingTransformer):
        encoder = steps.pop(0)[1]
    layers = _merged([layer for name, step in steps for layer in _layers(name, step)])
    affine = [layer for layer in layers if isinstance(layer, Affine)]
    if not affine or affine[-1].weight.shape[1] != 1:
        raise ValueError(f"{type(steps[-1][1]).__name__} gives no reward. {HINT}")
    return FoldedReward(encoder, layers, affine[0].weight.shape[0])


def flat_steps(model: Any, name: str = "model") -> list[tuple[str, Any]]:
    """List the fitted steps of a model by name, nested ones too."""
    way = list(inwards(model, name))
    before = [step for _, steps, _ in way if steps is not None for step in steps.steps]
    steps = [flat for inner, step in before for flat in flat_steps(step, inner)]
    name, _, last = way[-1]
    if last is None or isinstance(last, str):  # passes rows on as they are
        return steps
    check_is_fitted(last)
    if isinstance(last, ItemwiseTransformer):
        return [*steps, *flat_steps(last.transformer_, name)]
    if isinstance(last, CalibratedReward):
        return [*steps, *flat_steps(last.estimator_, name), ("calibration", last)]
    if isinstance(last, ControlledReward):
        return [*steps, *flat_steps(last.estimator_, name)[:-1], ("control", last)]
    return [*steps, (name, last)]


def after_encoder(model: Any) -> Any:
    """Give the part of a text pipeline that predicts from embeddings."""
    model = getattr(model, "best_estimator_", model)
    if type(model) is Pipeline and isinstance(model[0], LLMEmbeddingTransformer):
        return model[1:]
    if type(model) is Pipeline and type(model[0]) is Pipeline:
        return Pipeline([("first", after_encoder(model[0])), *model.steps[1:]])
    if isinstance(model, CalibratedReward | ControlledReward):
        inner = copy(model)
        inner.estimator_ = after_encoder(model.estimator_)
        return inner
    return model


def _layers(name: str, step: Any) -> list[Layer]:
    make = FOLDS.get(type(step))
    if make is None:
        reason = REASONS.get(type(step).__name__, "it is no affine map of the rows")
        raise _refused(name, step, reason)
    try:
        return make(step)
    except _NotFoldable as error:
        raise _refused(name, step, str(error)) from None


class _NotFoldable(Exception):
    """Why a step of a foldable type is none."""


def _refused(name, step, reason):
    return ValueError(
        f"step {name!r} ({type(step).__name__}) cannot be written as layers: {reason}. "
        f"{HINT}"
    )


def _double(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _merged(layers: list[Layer]) -> tuple[Layer, ...]:
    """Put affine layers that follow each other together."""
    merged: list[Layer] = []
    for layer in layers:
        last = merged[-1] if merged else None
        if isinstance(last, Affine) and isinstance(layer, Affine):
            merged[-1] = last.then(layer)
        else:
            merged.append(layer)
    return tuple(merged)


def _diagonal(n_features, shift=None, scale=None) -> Affine:
    """Give x -> (x - shift) / scale."""
    shift = np.zeros(n_features) if shift is None else np.asarray(shift, np.float64)
    scale = np.ones(n_features) if scale is None else np.asarray(scale, np.float64)
    return Affine(np.diag(1 / scale), -shift / scale)


def _standard(step) -> list[Layer]:
    n_features = step.n_features_in_
    scale = step.scale_
    affine = _diagonal(n_features, step.mean_ if step.with_mean else None, scale)
    if scale is None or not step.with_mean:
        return [affine]
    live = scale[step.var_ > 0]
    dead = (step.var_ > 0) & (scale < DEAD * (live.max() if live.size else 0.0))
    affine.weight[:, dead] = 0.0
    affine.bias[dead] = 0.0
    return [affine]


def _minmax(step) -> list[Layer]:
    if step.clip:
        raise _NotFoldable("clip=True cuts values off")
    return [Affine(np.diag(_double(step.scale_)), _double(step.min_))]


def _robust(step) -> list[Layer]:
    return [_diagonal(step.n_features_in_, step.center_, step.scale_)]


def _max_abs(step) -> list[Layer]:
    return [_diagonal(step.n_features_in_, None, step.scale_)]


def _pca(step) -> list[Layer]:
    weight = _double(step.components_).T
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        # scikit-learn's own floor.
        weight = weight / np.maximum(scale, np.finfo(scale.dtype).eps)
    return [Affine(weight, -_double(step.mean_) @ weight)]


def _svd(step) -> list[Layer]:
    weight = _double(step.components_).T
    return [Affine(weight, np.zeros(weight.shape[1]))]


def _normalizer(step) -> list[Layer]:
    if step.norm != "l2":
        raise _NotFoldable(f"norm={step.norm!r} is not the Euclidean length")
    return [Normalise()]


def _function(step) -> list[Layer]:
    if step.func is not None:
        raise _NotFoldable("a function of Python stays in Python")
    return []


def _linear(step) -> list[Layer]:
    weight = _double(step.coef_)[:, np.newaxis]
    return [Affine(weight, np.array([-_double(step.offset_)]))]


def _network(step) -> list[Layer]:
    layers = _perceptron(step.coefs_, step.intercepts_, step.activation)
    return [*layers, Affine(np.eye(1), np.array([-_double(step.offset_)]))]


def _perceptron(coefs, intercepts, activation) -> list[Layer]:
    layers: list[Layer] = []
    for coef, intercept in zip(coefs[:-1], intercepts, strict=False):
        layers.append(Affine(_double(coef), _double(intercept)))
        if activation != "identity":
            layers.append(Activation(activation))
    # That of a classifier has an intercept in its last layer too.
    last = _double(intercepts[-1]) if len(intercepts) == len(coefs) else np.zeros(1)
    return [*layers, Affine(_double(coefs[-1]), last)]


def _classifier(step) -> list[Layer]:
    *before, (name, last) = flat_steps(step.estimator_, "estimator")
    layers = [layer for n, s in before for layer in _layers(n, s)]
    if type(last) is RewardMLPClassifier:
        network = _perceptron(last.coefs_, last.intercepts_, last.activation)
        return [*layers, *network, Affine(np.eye(1), -_double(step.offset_).reshape(1))]
    if type(last) not in LINEAR_CLASSIFIERS:
        raise _NotFoldable(
            f"its {name} {type(last).__name__} is no linear classifier, and no network "
            "of this package"
        )
    bias = _double(last.intercept_).reshape(1) - _double(step.offset_)
    return [*layers, Affine(_double(last.coef_).reshape(1, -1).T, bias)]


def _calibrated(step) -> list[Layer]:
    if step.method != "temperature":
        raise _NotFoldable(f"method={step.method!r} maps margins, and no rewards")
    return [Affine(np.eye(1) / step.temperature_, np.zeros(1))]


def _controlled(step) -> list[Layer]:
    name, reward = flat_steps(step.estimator_)[-1]
    linear = _only(_merged(_layers(name, reward)))
    weight, bias = linear.weight, linear.bias - _double(step.offset_)
    if step.control == "nuisance":
        # What stands behind the features are covariates, which no reward sees.
        return [Affine(weight[: len(step.sample_[0])], bias)]
    return [Affine(weight - _double(step.direction_)[:, np.newaxis], bias)]


def _ensemble(step) -> list[Layer]:
    if step.aggregation != "mean":
        raise _NotFoldable(f"aggregation={step.aggregation!r} is no mean")
    members = [_only(_merged(_layers("estimator", m))) for m in step.estimators_]
    share = 1 / (len(members) * _double(step.member_scale_))
    weights = np.stack([member.weight for member in members], axis=-1)
    biases = np.stack([member.bias for member in members], axis=-1)
    biases = biases - _double(step.member_shift_)
    return [Affine(weights @ share, biases @ share - _double(step.offset_))]


def _only(layers: tuple[Layer, ...]) -> Affine:
    """Give the one affine layer that a linear reward is."""
    if len(layers) != 1 or not isinstance(layers[0], Affine):
        raise _NotFoldable("what it is made of is not linear")
    return layers[0]


FOLDS: dict[type, Callable[[Any], list[Layer]]] = {
    StandardScaler: _standard,
    RobustScaler: _robust,
    MaxAbsScaler: _max_abs,
    MinMaxScaler: _minmax,
    PCA: _pca,
    TruncatedSVD: _svd,
    Normalizer: _normalizer,
    FunctionTransformer: _function,
    BradleyTerryRegressor: _linear,
    BradleyTerryMLPRegressor: _network,
    BradleyTerryRegressorCV: _linear,
    CalibratedReward: _calibrated,
    ControlledReward: _controlled,
    PairwiseClassifierReward: _classifier,
    RewardEnsemble: _ensemble,
}
REASONS = {
    "QuantileTransformer": "it maps values by their ranks",
    "PowerTransformer": "it raises values to powers",
    "KBinsDiscretizer": "it cuts values into bins",
    "FeatureUnion": "it puts features beside the embedding, which only Python computes",
    "ColumnTransformer": "it treats columns differently",
    "TextStatisticsTransformer": "its features are counted in Python",
    "EndpointEmbeddingTransformer": "its model lies with a server; give the steps "
    "behind it",
    "LLMEmbeddingTransformer": "an encoder comes first or not at all",
}
