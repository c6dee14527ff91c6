r"""Ties: three outcomes of a comparison, and one parameter for how many are ties.

Labels are 1 (first preferred), 0 (second) and 1/2 (tie), and nothing between. Both
laws are Bradley-Terry's where the parameter says that there are no ties.
"""

from abc import abstractmethod

import numpy as np
from scipy.special import expit

from skreward.objectives.base import NUMPY, Objective

LOG_2 = float(np.log(2.0))


class Ties(Objective):
    """A law of ties, which order as the margins do.

    ``none`` is its parameter, as users see it, where there are no ties; ``theta`` is
    the same unbounded.
    """

    outcomes = ("first", "tie", "second")
    none: float

    @abstractmethod
    def parameter(self, theta) -> float:
        """Give the parameter that theta stands for."""

    @abstractmethod
    def theta(self, parameter) -> np.ndarray:
        """Undo `parameter`."""

    @abstractmethod
    def _of_share(self, share):
        """Give the parameter under which equals tie that often."""

    def initial(self, data):
        """Give the theta under which margins of 0 have the share of ties seen.

        Where it is none or all, half a pair less extreme: theta is finite.
        """
        share = np.average(data.target == 0.5, weights=data.weight)
        least = 0.5 / len(data.target)
        return self.theta(self._of_share(np.clip(share, least, 1 - least)))


class Davidson(Ties):
    r"""P(tie) = 2 nu / (e^{d/2} + e^{-d/2} + 2 nu), nu >= 0; theta is log nu.

    R. R. Davidson, "On Extending the Bradley-Terry Model to Accommodate Ties in Paired
    Comparison Experiments" (JASA, 1970), with nu there being 2 nu here.
    """

    none = 0.0

    def parameter(self, theta):
        """Give nu."""
        return float(np.exp(theta[0]))

    def theta(self, parameter):
        """Give log nu."""
        with np.errstate(divide="ignore"):
            return np.log([parameter])

    def _of_share(self, share):
        return share / (1 - share)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Compute log(e^{d/2} + e^{-d/2} + 2 nu) - (f - s) d / 2 - t log 2 nu.

        f, s and t are 1 where the first, the second or neither is preferred.
        """
        lead = 2 * data.target - 1
        tie = 1 - xp.abs(lead)
        level = theta[..., :1] + LOG_2
        top, rest, first, tied, second = _davidson(margin, level, xp)
        # In this order a certain label leaves no rounding of a large margin.
        value = (top - lead * margin / 2) - tie * level + xp.log1p(rest)
        slope = (first - second - lead) / 2
        return value, slope, _sum(data.weight * (tied - tie))

    def curvature(self, margin, theta, data):
        """Give the variances of half the lead, and of being a tie."""
        *_, first, tied, second = _davidson(margin, theta[0] + LOG_2, NUMPY)
        of_margin = (first + second - (first - second) ** 2) / 4
        return of_margin, _sum(data.weight * tied * (1 - tied))

    def probability(self, margin, theta):
        """P(first), P(tie) and P(second)."""
        margin = np.asarray(margin, dtype=np.float64)
        return np.stack(_davidson(margin, theta[0] + LOG_2, NUMPY)[2:], axis=-1)


def _davidson(margin, level, xp):
    """Take the largest of d / 2, -d / 2 and ``level``, log 2 nu, out of their powers.

    Gives it, the sum of the other two powers, and P(first), P(tie), P(second).
    """
    half = xp.abs(margin) / 2
    gap = level - half
    top = half + xp.relu(gap)
    other, less = xp.exp(-xp.abs(gap)), xp.exp(-half - top)
    rest = other + less
    more, tied, less = (
        power / (1 + rest)
        for power in (
            xp.where(gap > 0, other, 1.0),
            xp.where(gap > 0, 1.0, other),
            less,
        )
    )
    is_ahead = margin >= 0
    first, second = xp.where(is_ahead, more, less), xp.where(is_ahead, less, more)
    return top, rest, first, tied, second


class RaoKupper(Ties):
    r"""P(first) = sigma(d - log theta), theta >= 1, P(second) = sigma(-d - log theta).

    A lead is seen from log theta on, and is a tie up to there. Unbounded the parameter
    is log log theta. P. V. Rao and L. L. Kupper, "Ties in Paired-Comparison
    Experiments" (JASA, 1967).
    """

    none = 1.0

    def parameter(self, theta):
        """Give theta of the formula."""
        return float(np.exp(np.exp(theta[0])))

    def theta(self, parameter):
        """Give log log theta."""
        with np.errstate(divide="ignore"):
            return np.log(np.log([parameter]))

    def _of_share(self, share):
        return (1 + share) / (1 - share)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Compute (1 - s) l(e - d) + (1 - f) l(e + d) - t log(exp(2 e) - 1).

        e is log theta, l(x) = log(1 + exp(x)), and f, s and t are 1 where the first,
        the second or neither is preferred.
        """
        lead = 2 * data.target - 1
        tie = 1 - xp.abs(lead)
        not_first, not_second = xp.relu(-lead) + tie, xp.relu(lead) + tie
        edge = xp.exp(theta[..., :1])
        ahead, behind = edge - margin, edge + margin
        value = not_second * _softplus(ahead, xp) + not_first * _softplus(behind, xp)
        value -= tie * (2 * edge + xp.log(-xp.expm1(-2 * edge)))
        ahead, behind = not_second * xp.expit(ahead), not_first * xp.expit(behind)
        of_edge = edge * (ahead + behind) + tie * 2 * edge / xp.expm1(-2 * edge)
        return value, behind - ahead, _sum(data.weight * of_edge)

    def curvature(self, margin, theta, data):
        """Give second derivatives, for theta without what is 0 at the optimum."""
        lead = 2 * data.target - 1
        tie = 1 - np.abs(lead)
        edge = np.exp(theta[0])
        ahead, behind = expit(edge - margin), expit(edge + margin)
        of_margin = (np.maximum(lead, 0) + tie) * ahead * (1 - ahead)
        of_margin += (np.maximum(-lead, 0) + tie) * behind * (1 - behind)
        of_tie = np.exp(-2 * edge) * (2 * edge / np.expm1(-2 * edge)) ** 2
        return of_margin, _sum(data.weight * (edge**2 * of_margin + tie * of_tie))

    def probability(self, margin, theta):
        """P(first), P(tie) and P(second)."""
        margin = np.asarray(margin, dtype=np.float64)
        edge = np.exp(theta[0])
        first, second = expit(margin - edge), expit(-margin - edge)
        # Not 1 less both, which are rounded.
        return np.stack([first, np.expm1(2 * edge) * first * second, second], axis=-1)


def _softplus(x, xp):
    return xp.relu(x) + xp.log1p(xp.exp(-xp.abs(x)))


def _sum(values):
    """Sum over observations, for a theta of one."""
    return values.sum(-1)[..., None]
