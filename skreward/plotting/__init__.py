"""Displays of what a reward does, on matplotlib axes.

They follow scikit-learn: ``from_estimator`` or ``from_predictions`` computes and
draws on ``ax``, and returns the display, whose ``plot`` draws again.
"""

from skreward.plotting.annotation import AnnotationDesignDisplay
from skreward.plotting.best_of_n import BestOfNDisplay
from skreward.plotting.calibration import CalibrationDisplay
from skreward.plotting.coefficients import CoefficientDisplay
from skreward.plotting.risk import RiskCoverageDisplay

__all__ = [
    "AnnotationDesignDisplay",
    "BestOfNDisplay",
    "CalibrationDisplay",
    "CoefficientDisplay",
    "RiskCoverageDisplay",
]
