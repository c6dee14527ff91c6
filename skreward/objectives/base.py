"""Losses of the margin m = r(first) - r(second), one value a pair.

Conventions: ``margin`` and ``target`` have shape (n_pairs,); ``target`` is the
probability in [0, 1] that the first is preferred. Value, gradient and hessian are
with respect to the margin, elementwise, finite for every finite margin.
"""

from abc import ABC, abstractmethod

import numpy as np


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


def _xlogf(x, log_f):
    return np.multiply(x, log_f, out=np.zeros_like(log_f), where=x != 0)
