"""Displays: best-of-N, score against annotation, calibration, coefficients.

They follow scikit-learn: ``from_estimator`` or ``from_predictions`` computes and
draws on ``ax``, and returns the display, whose ``plot`` draws again.
"""

from skreward.plotting.annotation import AnnotationDesignDisplay
from skreward.plotting.best_of_n import BestOfNDisplay
from skreward.plotting.calibration import CalibrationDisplay
from skreward.plotting.coefficients import CoefficientDisplay

__all__ = [
    "AnnotationDesignDisplay",
    "BestOfNDisplay",
    "CalibrationDisplay",
    "CoefficientDisplay",
]
