"""Displays: best-of-N, score against annotation, calibration.

They follow scikit-learn: ``from_estimator`` or ``from_predictions`` computes and
draws on ``ax``, and returns the display, whose ``plot`` draws again.
"""

from skreward.plotting.annotation import AnnotationDesignDisplay
from skreward.plotting.best_of_n import BestOfNDisplay
from skreward.plotting.calibration import CalibrationDisplay

__all__ = ["AnnotationDesignDisplay", "BestOfNDisplay", "CalibrationDisplay"]
