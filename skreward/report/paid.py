"""What a reward pays for: length, and named statistics of the texts."""

import re
from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline

from skreward.report.evidence import Evidence, Judged
from skreward.report.intervals import Estimate
from skreward.text.statistics import TextStatisticsTransformer

MOST_COEFFICIENTS = 20
# Columns of an array and of an embedding, which are numbered.
UNNAMED = re.compile(r"(^|__)(x|[a-z]*embeddingtransformer)\d+$")


@dataclass(frozen=True)
class Paid:
    """How a feature of the responses goes with margins, and with labels.

    Attributes
    ----------
    feature : str
        Its name.
    model : Estimate
        Correlation of the difference of the feature with the margin.
    labels : Estimate or None
        With the label, +1 or -1: what people pay for.
    other : Estimate or None
        With the margin of the model that is compared.
    """

    feature: str
    model: Estimate
    labels: Estimate | None
    other: Estimate | None


@dataclass(frozen=True)
class Coefficient:
    """What a linear reward pays for a unit of one of its features."""

    feature: str
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class PaysFor:
    """Features by the size of their correlation; ``missing`` says what is not there."""

    length: Paid | None
    features: tuple[Paid, ...]
    coefficients: tuple[Coefficient, ...]
    missing: tuple[str, ...]


def pays_for(evidence: Evidence, judged: Judged, other: Judged | None) -> PaysFor:
    """Correlate margins with differences of what is known of the responses."""
    missing, length, found = [], None, []
    if evidence.lengths is None:
        missing.append("The data hold neither texts nor lengths of the responses.")
    else:
        values = np.log1p(evidence.lengths)
        length = _paid("log of the characters", values, evidence, judged, other)
        if length is None:
            missing.append("All responses of a pair are as long, or all margins 0.")
    if evidence.texts is None:
        missing.append("Named statistics need the texts of the responses.")
    else:
        names, columns = _statistics(evidence)
        paid = [
            _paid(n, column, evidence, judged, other)
            for n, column in zip(names, columns.T, strict=True)
        ]
        found = sorted(filter(None, paid), key=lambda p: -abs(p.model.value))
    coefficients = _coefficients(judged.model, evidence.level)
    if isinstance(coefficients, str):
        missing.append(coefficients)
        coefficients = ()
    return PaysFor(length, tuple(found), coefficients, tuple(missing))


def _statistics(evidence):
    """Compute statistics of every text that occurs in a pair; others stay zero."""
    groups = ["length", "form", "words", "stance"]
    if not evidence.texts.lone:
        groups.append("prompt")
    transformer = TextStatisticsTransformer(groups=groups)
    occurring = np.unique(evidence.index)
    names = transformer.get_feature_names_out().tolist()
    columns = np.zeros((len(evidence.texts), len(names)), dtype=np.float32)
    columns[occurring] = transformer.transform(evidence.texts[occurring])
    return [name.replace("_", " ") for name in names], columns


def _paid(name, values, evidence, judged, other):
    difference = evidence.difference(values)
    clusters = evidence.clusters
    model = clusters.correlation(difference, judged.margin)
    if model is None:
        return None
    compared = None
    if other is not None:
        compared = clusters.correlation(difference, other.margin)
    labels = clusters.correlation(difference, 2 * evidence.target - 1)
    return Paid(name, model, labels, compared)


def _coefficients(model, level):
    """Give what a linear reward with a covariance pays for its features."""
    last, before = model, None
    while not hasattr(last, "coef_intervals"):
        if isinstance(last, Pipeline):
            before = last[:-1] if len(last) > 1 else None
            last = last[-1]
        elif hasattr(last, "best_estimator_"):
            last = last.best_estimator_
        elif hasattr(last, "estimator_"):
            last = last.estimator_
        else:
            return "Coefficients are those of a linear reward, which this is not."
    if not hasattr(last, "coef_covariance_"):
        return (
            "Intervals of coefficients need a linear reward that was fitted with "
            'covariance="cluster".'
        )
    table = last.coef_intervals(_names_out(before), confidence_level=level)
    columns = (table[key] for key in ("feature", "coef", "lower", "upper", "std"))
    rows = [
        (abs(coef) / std, Coefficient(str(name), float(coef), float(low), float(high)))
        for name, coef, low, high, std in zip(*columns, strict=True)
        if np.isfinite(std) and std > 0 and not UNNAMED.search(str(name))
    ]
    if not rows:
        return "The features of the linear reward have no names of their own."
    rows.sort(key=lambda row: -row[0])
    return tuple(coefficient for _, coefficient in rows[:MOST_COEFFICIENTS])


def _names_out(steps):
    try:
        return None if steps is None else steps.get_feature_names_out()
    except (AttributeError, ValueError):
        return None
