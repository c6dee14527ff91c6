"""Thurstone: the probit link."""

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from skreward.objectives.base import Objective


class Thurstone(Objective):
    """Probit link: F(m) = Phi(m), the standard normal distribution function."""

    def probability(self, margin):
        """P(first preferred) = Phi(m)."""
        return ndtr(margin)

    def log_probability(self, margin):
        """Log Phi(m)."""
        return log_ndtr(margin)

    def gradient(self, margin, target):
        """Compute -t h(m) + (1 - t) h(-m) with h = phi / Phi."""
        return (1 - target) * _hazard(-margin) - target * _hazard(margin)

    def hessian(self, margin, target):
        """Compute t h(m)(h(m) + m) + (1 - t) h(-m)(h(-m) - m)."""
        return target * _hazard_slope(margin) + (1 - target) * _hazard_slope(-margin)


def _hazard(margin):
    """Normal density over distribution function, phi(m) / Phi(m)."""
    with np.errstate(over="ignore"):
        return np.sqrt(2 / np.pi) / erfcx(-margin / np.sqrt(2))


def _hazard_slope(margin):
    """-h'(m) = h(m) (h(m) + m), in (0, 1); clipped where rounding leaves it."""
    hazard = _hazard(margin)
    return np.clip(hazard * (hazard + margin), 0.0, 1.0)
