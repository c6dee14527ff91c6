"""Bradley-Terry: the logistic link."""

import numpy as np
from scipy.special import expit, log_expit

from skreward.objectives.base import Objective


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
