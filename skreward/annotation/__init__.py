"""Simulated annotation: pairing designs, noisy labels, noise calibration.

An annotator who compares two items of true rewards ``r1`` and ``r2`` prefers the
first with probability ``F(beta (r1 - r2) / scale)``, F being the logistic or the
normal distribution function. ``beta`` counts rewards in units of their standard
deviation: 0 is a coin, infinity never errs.
"""

from skreward.annotation.annotators import (
    annotate,
    annotation_error_rate,
    calibrate_beta,
    expected_annotation_quality,
)
from skreward.annotation.curve import annotation_curve
from skreward.annotation.designs import pairs_from_ratings, sample_pairs
from skreward.annotation.rankings import pairs_from_rankings

__all__ = [
    "annotate",
    "annotation_curve",
    "annotation_error_rate",
    "calibrate_beta",
    "expected_annotation_quality",
    "pairs_from_rankings",
    "pairs_from_ratings",
    "sample_pairs",
]
