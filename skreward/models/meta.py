"""What models that fit other models share: what they pass on, what they learn from."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from skreward.data.gate import is_pairs
from skreward.data.targets import check_numbers, check_preferences, rated_pairs
from skreward.model_selection import take

# Log-odds of the usual margin that say next to nothing, and next to everything.
SMALLEST_LOG_ODDS, LARGEST_LOG_ODDS = 1e-3, 30.0
# Pairs of rated items a fold.
MAX_PAIRS = 100_000


def fit_parameters(meta, estimator, params, **own):
    """What the ``fit`` of the wrapped estimator gets besides X and y, by name.

    With metadata routing what it asks for; else everything. ``own`` are those that the
    wrapper itself knows; where given, they are for a Pipeline's last step.
    """
    own = given(**own)
    if get_config()["enable_metadata_routing"]:
        return dict(process_routing(meta, "fit", **params, **own).estimator.fit)
    is_pipeline = isinstance(estimator, Pipeline)
    prefix = f"{estimator.steps[-1][0]}__" if is_pipeline else ""
    return {**params, **{prefix + name: value for name, value in own.items()}}


def given(**params):
    """Leave out the parameters that are None."""
    return {name: value for name, value in params.items() if value is not None}


def take_parameters(params, positions, n_samples):
    """Pick samples of every parameter that has one value a sample."""
    return {
        name: take(value, positions) if _length(value) == n_samples else value
        for name, value in params.items()
    }


def check_target(meta, X, y, n):
    """Labels of pairs as P(first preferred), or ratings of items."""
    if is_pairs(X):
        return check_preferences(y, n)
    if y is None:
        raise ValueError(
            f"{type(meta).__name__} requires y to be passed, but the target y is None: "
            "items are learned from a rating each."
        )
    ratings = check_numbers(y, "y")
    if len(ratings) != n:
        raise ValueError(f"y has {len(ratings)} ratings for {n} items.")
    return ratings


def margins_of(prediction, target, weight, is_paired, prompts=None):
    """Margins, labels and weights of pairs; of rated items all, within ``prompts``."""
    if not is_paired:
        index = rated_pairs(target, MAX_PAIRS, random_state=0, groups=prompts)
        better, worse = index.T
        prediction = prediction[better] - prediction[worse]
        target, weight = np.ones(len(index)), weight[better] * weight[worse]
    seen = weight > 0
    return prediction[seen], target[seen], weight[seen]


def best_factor(margin, target, weight):
    """Minimise sum_k w_k loss(y_k, s m_k), the logistic loss, over s: convex.

    Gives the factor, and whether it is the minimum: where margins order pairs like a
    coin or without an error there is none, and s is one beyond which probabilities
    would hardly change.
    """
    unit = np.sqrt(np.average(np.square(margin), weights=weight))
    if not unit > 0:
        return SMALLEST_LOG_ODDS, False
    margin = margin / unit

    pull = weight * margin
    labelled = pull @ target

    def slope(factor):
        return pull @ expit(factor * margin) - labelled

    low, high = SMALLEST_LOG_ODDS, LARGEST_LOG_ODDS
    if slope(low) >= 0:
        return float(low / unit), False
    if slope(high) <= 0:
        return float(high / unit), False
    return float(brentq(slope, low, high, xtol=1e-12, rtol=1e-12) / unit), True


def _length(value):
    """Length of an array, a list or a table; None for anything else."""
    if isinstance(value, str) or not (
        hasattr(value, "__len__") or hasattr(value, "shape")
    ):
        return None
    return value.shape[0] if getattr(value, "shape", ()) else len(value)
