"""Bradley-Terry: the logistic link."""

from scipy.special import expit

from skreward.objectives.base import NUMPY, Link


class BradleyTerry(Link):
    """Logistic link: F(m) = 1 / (1 + exp(-m))."""

    def distribution(self, margin):
        """F(m) = sigma(m)."""
        return expit(margin)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Compute log(1 + exp(-m)) + (1 - t) m and sigma(m) - t by one exponential."""
        decay = xp.exp(-xp.abs(margin))
        # In this order a certain label leaves no rounding of a large margin.
        value = -data.target * margin
        value += xp.relu(margin)
        value += xp.log1p(decay)
        # 1 or the exponential, by products: choosing takes NumPy five times as long.
        slope = (margin >= 0) * (1 - decay)
        slope += decay
        slope /= 1 + decay
        slope -= data.target
        return value, slope, theta

    def curvature(self, margin, theta, data):
        """Compute sigma(m) sigma(-m)."""
        return expit(margin) * expit(-margin), theta
