"""Thurstone: the probit link."""

import numpy as np
from scipy.special import ndtr

from skreward.objectives.base import NUMPY, Link


class Thurstone(Link):
    """Probit link: F(m) = Phi(m), the standard normal distribution function."""

    def distribution(self, margin):
        """F(m) = Phi(m)."""
        return ndtr(margin)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Also compute -t h(m) + (1 - t) h(-m) with h = phi / Phi."""
        first, second = data.target, 1 - data.target
        # 0 * log Phi is dropped rather than computed: it may be -inf there.
        value = xp.where(first > 0, -first * xp.log_ndtr(margin), 0.0)
        value += xp.where(second > 0, -second * xp.log_ndtr(-margin), 0.0)
        slope = second * _hazard(-margin, xp) - first * _hazard(margin, xp)
        return value, slope, theta

    def curvature(self, margin, theta, data):
        """Compute t h(m)(h(m) + m) + (1 - t) h(-m)(h(-m) - m)."""
        first, second = data.target, 1 - data.target
        return first * _hazard_slope(margin) + second * _hazard_slope(-margin), theta


def _hazard(margin, xp=NUMPY):
    """Normal density over distribution function, phi(m) / Phi(m)."""
    return (2 / np.pi) ** 0.5 / xp.erfcx(-margin / 2**0.5)


def _hazard_slope(margin):
    """-h'(m) = h(m) (h(m) + m), in (0, 1); clipped where rounding leaves it."""
    hazard = _hazard(margin)
    return np.clip(hazard * (hazard + margin), 0.0, 1.0)
