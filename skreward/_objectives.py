"""Losses of the margin m = r(first) - r(second), one value a pair.

Conventions: ``margin`` and ``target`` have shape (n_pairs,); ``target`` is the
probability in [0, 1] that the first is preferred. Value, gradient and hessian are
with respect to the margin, elementwise, finite for every finite margin.
"""

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import erfcx, expit, log_expit, log_ndtr, ndtr


class Objective(ABC):
    """Negative log-likelihood of preferences whose link is F: P(first) = F(m)."""

    @abstractmethod
    def probability(self, margin):
        """P(first preferred) = F(m)."""

    @abstractmethod
    def log_probability(self, margin):
        """Log F(m), without underflow."""

    @abstractmethod
    def gradient(self, margin, target):
        """Derivative of the value with respect to the margin."""

    @abstractmethod
    def hessian(self, margin, target):
        """Second derivative of the value with respect to the margin, >= 0."""

    def value(self, margin, target):
        """Compute -t log F(m) - (1 - t) log F(-m)."""
        # 0 * log F is dropped rather than computed: log F may be -inf there.
        return -_xlogf(target, self.log_probability(margin)) - _xlogf(
            1 - target, self.log_probability(-margin)
        )

    def value_gradient(self, margin, target):
        """Give the value and its derivative, for little more than one of them."""
        return self.value(margin, target), self.gradient(margin, target)


class BradleyTerry(Objective):
    """Logistic link: F(m) = 1 / (1 + exp(-m))."""

    def probability(self, margin):
        """P(first preferred) = sigma(m)."""
        return expit(margin)

    def log_probability(self, margin):
        """Log sigma(m)."""
        return log_expit(margin)

    def value(self, margin, target):
        """Compute log(1 + exp(-m)) + (1 - t) m."""
        return self.value_gradient(margin, target)[0]

    def gradient(self, margin, target):
        """Compute sigma(m) - t."""
        return expit(margin) - target

    def value_gradient(self, margin, target):
        """Give both from one exponential."""
        decay = np.exp(-np.abs(margin))
        # In this order a certain label leaves no rounding of a large margin.
        value = np.maximum(-margin, 0)
        value += (1 - target) * margin
        value += np.log1p(decay)
        gradient = np.where(margin >= 0, 1.0, decay)
        gradient /= 1 + decay
        gradient -= target
        return value, gradient

    def hessian(self, margin, target):
        """Compute sigma(m) sigma(-m)."""
        return expit(margin) * expit(-margin)


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


OBJECTIVES = {"logistic": BradleyTerry(), "probit": Thurstone()}


def _xlogf(x, log_f):
    return np.multiply(x, log_f, out=np.zeros_like(log_f), where=x != 0)


def _hazard(margin):
    """Normal density over distribution function, phi(m) / Phi(m)."""
    with np.errstate(over="ignore"):
        return np.sqrt(2 / np.pi) / erfcx(-margin / np.sqrt(2))


def _hazard_slope(margin):
    """-h'(m) = h(m) (h(m) + m), in (0, 1); clipped where rounding leaves it."""
    hazard = _hazard(margin)
    return np.clip(hazard * (hazard + margin), 0.0, 1.0)
