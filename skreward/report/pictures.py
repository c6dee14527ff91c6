"""Which pictures a card has, and what is on them."""

from typing import Any

import numpy as np

from skreward.report.charts import (
    INK,
    MODEL,
    OTHER,
    Series,
    curves,
    forest,
    reliability,
)
from skreward.report.intervals import Estimate
from skreward.report.order import Row

MOST_FEATURES = 15


def draw(card: Any) -> dict[str, str]:
    """Draw all that the card has figures for, by name, as SVG."""
    drawn = {"order": _order(card), "slices": _slices(card), "risk": _risk(card)}
    drawn["calibration"] = _calibration(card) if card.calibration.rows else ""
    drawn["best_of_n"] = "" if card.best_of_n is None else _best_of_n(card)
    drawn["pays_for"] = _pays_for(card) if card.pays_for.features else ""
    drawn["coefficients"] = _coefficients(card) if card.pays_for.coefficients else ""
    return drawn


def _series(name, estimates, color, marker="o", is_filled=True):
    """Make a series of estimates, some of which may be missing."""
    value, lower, upper = (
        [_number(getattr(e, end, None)) for e in estimates]
        for end in ("value", "lower", "upper")
    )
    return Series(name, value, lower, upper, color, marker, is_filled)


def _number(value):
    return np.nan if value is None else value


def _order(card):
    rows = [("all pairs", card.order)]
    for name in ("similar_length", "new_prompts"):
        row = getattr(card, name)
        if row is not None:
            rows.append((row.name, row))
    known = [b for b in card.baselines if b.score is not None]
    names = [name for name, _ in rows] + [b.name for b in known]
    none = [None] * len(known)
    series = [_series(card.about.name, [r.model for _, r in rows] + none, MODEL)]
    if card.other_about is not None:
        others = [r.other for _, r in rows] + none
        series.append(_series(card.other_about.name, others, OTHER, "s"))
    scores = [None] * len(rows) + [b.score for b in known]
    series.append(_series("without a model", scores, INK, "D", False))
    return forest(
        names, series, at=0.5, xlabel="order consistency", title="Order consistency"
    )


def _slices(card):
    names: list[str] = []
    rows: list[Row | None] = []
    headings = set()
    for part in card.slices:
        if part.rows:
            headings.add(len(names))
            names += [part.name, *(row.name for row in part.rows)]
            rows += [None, *part.rows]
    if not rows:
        return ""
    series = [_series(card.about.name, _column(rows, "model"), MODEL)]
    if card.other_about is not None:
        others = _column(rows, "other")
        series.append(_series(card.other_about.name, others, OTHER, "s"))
    if card.order.baseline is not None:
        longer = _column(rows, "baseline")
        bare = _series("longer response", longer, INK, "D", False)
        none = [np.nan] * len(rows)
        series.append(bare._replace(lower=none, upper=none))
    return forest(
        names,
        series,
        headings=headings,
        at=card.order.model.value,
        xlabel="order consistency (dotted: of all pairs)",
        title="Order consistency by parts of the data",
    )


def _column(rows, name):
    return [None if row is None else getattr(row, name) for row in rows]


def _calibration(card):
    shown = [(card.calibration.rows[0], MODEL, "o", True)]
    if len(card.calibration.rows) > 1:
        shown.append((card.calibration.rows[-1], MODEL, "^", False))
    if card.other_calibration is not None and card.other_calibration.rows:
        shown.append((card.other_calibration.rows[0], OTHER, "s", True))
    series, predicted = [], []
    for row, color, marker, is_filled in shown:
        name = row.name
        if color == OTHER and card.other_about is not None:
            name = f"{card.other_about.name}: {row.name}"
        observed = [
            Estimate(b.observed, b.lower, b.upper, b.n_pairs, 0) for b in row.bins
        ]
        series.append(_series(name, observed, color, marker, is_filled))
        predicted.append([b.predicted for b in row.bins])
    return reliability(series, predicted, title="Calibration")


def _risk(card):
    lines = [(card.about.name, card.risk.coverage, card.risk.risk, None, MODEL, "-")]
    if card.other_risk is not None:
        name, found = card.other_about.name, card.other_risk
        lines.append((name, found.coverage, found.risk, None, OTHER, "--"))
    return curves(
        lines,
        xlabel="share of pairs decided, the largest margins first",
        ylabel="share of those ordered wrongly",
        title="Risk against coverage",
        at=0.5,
    )


def _best_of_n(card):
    found = card.best_of_n
    lines = [(card.about.name, found.kl, found.gain, found.half_width, MODEL, "-")]
    if card.other_best_of_n is not None:
        other = card.other_best_of_n
        lines.append((card.other_about.name, other.kl, other.gain, other.half_width,
                      OTHER, "--"))  # fmt: skip
    if found.longest is not None:
        lines.append(("longest response", found.kl, found.longest, None, INK, "-."))
    lines.append(("best by the rating itself", found.kl, found.best, None, INK, ":"))
    return curves(
        lines,
        xlabel="KL divergence from a random response, at most (nats)",
        ylabel="improvement of the rating",
        title="Best of n",
        ticks=(found.kl, [str(n) for n in found.n]),
    )


def _pays_for(card):
    features = card.pays_for.features[:MOST_FEATURES]
    series = [_series(card.about.name, [f.model for f in features], MODEL)]
    if card.other_about is not None:
        others = [f.other for f in features]
        series.append(_series(card.other_about.name, others, OTHER, "s"))
    labels = [f.labels for f in features]
    series.append(_series("the labels", labels, INK, "D", False))
    return forest(
        [f.feature for f in features],
        series,
        at=0.0,
        xlabel="correlation of the difference with the margin",
        title="What the reward pays for",
    )


def _coefficients(card):
    rows = card.pays_for.coefficients
    series = Series(
        card.about.name,
        [c.value for c in rows],
        [c.lower for c in rows],
        [c.upper for c in rows],
        MODEL,
    )
    return forest(
        [c.feature for c in rows],
        [series],
        at=0.0,
        xlabel="reward a unit of the feature",
        title="Coefficients",
    )
