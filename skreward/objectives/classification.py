"""What single items are: won or lost, by a margin that has an intercept."""

import numpy as np

from skreward.objectives.base import NUMPY, Objective


class Intercept(Objective):
    """A link at m + b: theta is b, which is the same for all and has no penalty.

    Parameters
    ----------
    link : Link
        F.
    """

    outcomes = ("won", "lost")

    def __init__(self, link):
        self.link = link

    def initial(self, data):
        """Start at 0, where as much is won as lost."""
        return np.zeros(1)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Compute the link's at m + b."""
        value, slope, _ = self.link.value_gradient(margin + theta, theta, data, xp)
        return value, slope, (data.weight * slope).sum(-1)[..., None]

    def curvature(self, margin, theta, data):
        """Give the link's at m + b, and their weighted sum."""
        curvature, _ = self.link.curvature(margin + theta, theta, data)
        return curvature, (data.weight * curvature).sum(-1)[..., None]

    def probability(self, margin, theta):
        """F(m + b) and F(-m - b)."""
        return self.link.probability(margin + theta)
