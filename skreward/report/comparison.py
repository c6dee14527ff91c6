"""Two models on the same pairs."""

from dataclasses import dataclass

import numpy as np

from skreward.report.evidence import Evidence, Judged
from skreward.report.intervals import Estimate
from skreward.report.order import Scores


@dataclass(frozen=True)
class Comparison:
    """How two models differ on the same pairs.

    Attributes
    ----------
    gain : Estimate
        Order consistency of the model less that of the other; paired.
    log_loss_gain : Estimate or None
        Log-loss of the other less that of the model, where both have probabilities.
    same_order : Estimate
        Share of pairs that both order the same way.
    correlation : Estimate or None
        Of their margins.
    only_model, only_other, both, neither : float
        Weighted shares of the pairs that one, both or none of the two has right;
        a tie is half right.
    """

    gain: Estimate
    log_loss_gain: Estimate | None
    same_order: Estimate
    correlation: Estimate | None
    only_model: float
    only_other: float
    both: float
    neither: float


def compare(
    evidence: Evidence, judged: Judged, other: Judged, scores: Scores
) -> Comparison:
    """Compare pair by pair."""
    clusters, weight = evidence.clusters, evidence.weight
    assert scores.other is not None
    ours, theirs = scores.model, scores.other

    def share(values):
        return float(np.average(values, weights=weight))

    log_loss = None
    if judged.proba is not None and other.proba is not None:
        log_loss = clusters.mean(
            _loss(evidence.target, other.proba) - _loss(evidence.target, judged.proba)
        )
    product = np.sign(judged.margin) * np.sign(other.margin)
    return Comparison(
        clusters.mean(ours - theirs),
        log_loss,
        clusters.share((1 + product) / 2),
        clusters.correlation(judged.margin, other.margin),
        share(ours * (1 - theirs)),
        share((1 - ours) * theirs),
        share(ours * theirs),
        share((1 - ours) * (1 - theirs)),
    )


def _loss(target, proba):
    eps = np.finfo(np.float32).eps
    proba = np.clip(proba, eps, 1 - eps)
    return -target * np.log(proba) - (1 - target) * np.log1p(-proba)
