"""Pairs of several annotators, who have effects of their own: from ids to estimates."""

from typing import Any

import numpy as np

from skreward.data.gate import is_pairs
from skreward.objectives import LINKS, Annotators, Observed
from skreward.utils.checks import refuse_missing

FITTED = (
    "annotators_",
    "annotator_reliability_",
    "annotator_reliability_std_",
    "annotator_position_bias_",
    "annotator_position_bias_std_",
)


def check_annotators(model, X, annotators) -> tuple[Any, dict]:
    """Give the distinct ids, and the column of their numbers; refuse what cannot act.

    Both are None and empty where the model has no effects of annotators.
    """
    effects = model.annotator_effects
    if effects is None:
        if annotators is not None:
            raise ValueError(
                "annotators were given, and annotator_effects=None makes nothing of "
                'them. Use annotator_effects="reliability".'
            )
        return None, {}
    if annotators is None:
        raise ValueError(
            f"annotator_effects={effects!r} needs annotators, one id a pair: "
            "fit(X, y, annotators=ids)."
        )
    if not is_pairs(X):
        raise ValueError(
            f"annotator_effects={effects!r} needs pairs, and X is items: their "
            "ratings are compared with each other. Use annotator_effects=None."
        )
    for name, wanted in (("ties", ["half"]), ("covariance", [None]), ("link", LINKS)):
        value = getattr(model, name)
        if value not in wanted:
            raise ValueError(
                f"annotator_effects={effects!r} needs {name}="
                f"{' or '.join(map(repr, wanted))}, got {name}={value!r}."
            )
    ids, number = _numbered(annotators)
    return ids, {"annotators": number}


def _numbered(annotators):
    """Give the distinct ids, and each pair's number among them."""
    if hasattr(annotators, "dtype") or hasattr(annotators, "__array__"):
        values = np.asarray(annotators)
    else:
        # An array of a list may change ids: 1 beside "a" becomes "1".
        values = np.empty(len(annotators), dtype=object)
        values[:] = list(annotators)
    if values.ndim != 1:
        raise ValueError(
            f"annotators must hold one id a pair, shape (n_pairs,), got {values.shape}."
        )
    refuse_missing(values, "annotators", "pair")
    if values.dtype.kind != "O":
        return np.unique(values, return_inverse=True)
    try:
        seen = dict.fromkeys(values)
    except TypeError as error:
        raise TypeError(f"annotators must hold hashable ids: {error}.") from error
    try:
        order = sorted(seen)
    except TypeError:
        order = list(seen)
    place = {identity: k for k, identity in enumerate(order)}
    number = np.array([place[value] for value in values], dtype=np.intp)
    ids = np.empty(len(order), dtype=object)
    ids[:] = order
    for kind in (str, int):
        if all(type(identity) is kind for identity in order):
            ids = np.array(order)
    return ids, number


def renumber(ids, comparisons):
    """Leave out ids of no pair that counts; changes the column in place."""
    used, number = np.unique(comparisons.columns["annotators"], return_inverse=True)
    comparisons.columns["annotators"] = number
    return ids[used]


def annotators_objective(model, ids, comparisons) -> Annotators:
    """Give the likelihood of labels by these annotators."""
    effects = model.annotator_effects
    if effects != "position" and len(ids) < 2:
        raise ValueError(
            f"annotator_effects={effects!r} compares annotators, and annotators holds "
            f"one alone, {ids.tolist()[0]!r}."
        )
    weight = float(comparisons.weight.sum())
    return Annotators(LINKS[model.link], effects, len(ids), weight)


def set_annotators(model, ids, solution, comparisons):
    """Set what is known of annotators, or drop what an earlier fit has left."""
    for name in FITTED:
        model.__dict__.pop(name, None)
    if ids is None:
        return
    objective = annotators_objective(model, ids, comparisons)
    weight = comparisons.weight / comparisons.weight.sum()
    seen = Observed(comparisons.target, weight, comparisons.columns)
    theta = solution.theta
    first, second = solution.rewards[comparisons.index.T]
    of_beta, of_bias = objective.standard_errors(first - second, theta, seen)
    model.annotators_ = ids
    if model.annotator_effects != "position":
        model.annotator_reliability_ = objective.reliability(theta)
        model.annotator_reliability_std_ = of_beta
    if model.annotator_effects != "reliability":
        model.annotator_position_bias_ = objective.position_bias(theta)
        model.annotator_position_bias_std_ = of_bias
