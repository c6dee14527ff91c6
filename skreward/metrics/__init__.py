"""Scores of reward models on pairs and within prompts, and their scorers.

For pairs, ``y_pred`` is the margin r(first) - r(second), and ``y_true`` what
`BradleyTerryRegressor.fit` takes: 1 / 0, +1 / -1, probabilities that the first is
preferred, or None where the first is always the chosen one.
"""

from skreward.metrics.pairs import (
    expected_calibration_error,
    order_consistency_score,
    preference_log_loss,
)
from skreward.metrics.prompts import (
    best_of_n_curve,
    best_of_n_score,
    make_best_of_n_scorer,
    prompt_rank_correlation,
    prompt_rank_correlation_scorer,
)
from skreward.metrics.rewardbench import (
    best_of_k_score,
    rewardbench2_score,
    rewardbench_score,
    ties_score,
)
from skreward.metrics.risk import risk_coverage_curve
from skreward.metrics.scorers import (
    neg_expected_calibration_error_scorer,
    neg_preference_log_loss_scorer,
    order_consistency_scorer,
)

__all__ = [
    "best_of_k_score",
    "best_of_n_curve",
    "best_of_n_score",
    "expected_calibration_error",
    "make_best_of_n_scorer",
    "neg_expected_calibration_error_scorer",
    "neg_preference_log_loss_scorer",
    "order_consistency_score",
    "order_consistency_scorer",
    "preference_log_loss",
    "prompt_rank_correlation",
    "prompt_rank_correlation_scorer",
    "rewardbench2_score",
    "rewardbench_score",
    "risk_coverage_curve",
    "ties_score",
]
