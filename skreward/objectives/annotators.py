r"""Annotators who differ in how reliable they are, and in how the order sways them.

P(first) = F(beta_a m + b_a) for annotator a, F a link. The mean of beta over annotators
is 1, exactly: beta = 1 + P theta, where the columns of P are orthonormal and sum to 0,
so that theta has one parameter less than there are annotators, and
|beta - 1| = |theta|. Were the mean free, a penalty of the reward's weights could be
escaped by small weights and large beta; a parametrisation with a redundant direction
would leave the solver one along which the likelihood is flat, one with exponents would
rule out those who mean the opposite, beta < 0.

beta and b have normal priors around 1 and 0, worth a few pairs an annotator: they hold
those with few labels near the others.
"""

from typing import ClassVar

import numpy as np

from skreward.objectives.base import NO_THETA, NUMPY, Objective

# Standard deviations of the priors: of reliabilities, in units of their mean, and of
# position biases, in units of the margin.
RELIABILITY_SPREAD = 0.5
POSITION_SPREAD = 1.0


class Annotators(Objective):
    """A link, and what its margins are to each annotator.

    Parameters
    ----------
    link : Link
        F.
    effects : {"reliability", "position", "both"}
    n_annotators : int
        Of whom the column has the numbers, from 0 on; at least two for reliabilities.
    n_pairs : float
        What the pairs count for, all together: the priors' share is one over it.
    """

    needs: ClassVar[tuple[str, ...]] = ("annotators",)

    def __init__(self, link, effects, n_annotators, n_pairs):
        self.link, self.n_annotators, self.n_pairs = link, n_annotators, n_pairs
        has_reliability = effects in ("reliability", "both")
        has_position = effects in ("position", "both")
        self._n_reliability = n_annotators - 1 if has_reliability else 0
        self._n_position = n_annotators if has_position else 0
        self._ridge = np.repeat(
            [1 / (n_pairs * RELIABILITY_SPREAD**2), 1 / (n_pairs * POSITION_SPREAD**2)],
            [self._n_reliability, self._n_position],
        )

    def initial(self, data):
        """Start where all annotators are alike."""
        return np.zeros(self._n_reliability + self._n_position)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        """Compute the link's at beta_a m + b_a, and the priors' (ridge / 2) theta^2."""
        beta, shift = self._of_pairs(theta, data, xp)
        value, slope, _ = self.link.value_gradient(
            beta * margin + shift, NO_THETA, data, xp
        )
        ridge = xp.like(self._ridge, theta)
        pull = data.weight * slope
        parts = []
        if self._n_reliability:
            parts.append(_transposed(self._sums(pull * margin, data, xp), xp))
        if self._n_position:
            parts.append(self._sums(pull, data, xp))
        of_theta = xp.concatenate(parts)
        of_theta = of_theta + data.weight.sum(-1)[..., None] * ridge * theta
        prior = (ridge * theta * theta).sum(-1)[..., None] / 2
        return value + prior, beta * slope, of_theta

    def curvature(self, margin, theta, data):
        """Give second derivatives, for theta the diagonal.

        Margins below 1, as all are where a search starts, count as 1 for reliabilities:
        at 0 the likelihood says nothing of them, and steps would know no measure.
        """
        beta, shift = self._of_pairs(theta, data, NUMPY)
        of_link, _ = self.link.curvature(beta * margin + shift, NO_THETA, data)
        weighted = data.weight * of_link
        parts = []
        if self._n_reliability:
            of_beta = self._sums(weighted * np.maximum(margin**2, 1), data, NUMPY)
            parts.append(_diagonal(of_beta))
        if self._n_position:
            parts.append(self._sums(weighted, data, NUMPY))
        return beta**2 * of_link, np.concatenate(
            parts
        ) + data.weight.sum() * self._ridge

    def probability(self, margin, theta):
        """F(m) and F(-m): of an annotator of mean reliability whom no order sways."""
        return self.link.probability(margin)

    def reliability(self, theta):
        """Give beta, of shape (n_annotators,)."""
        if not self._n_reliability:
            return np.ones(self.n_annotators)
        return self._reliability(theta, NUMPY)

    def position_bias(self, theta):
        """Give b, of shape (n_annotators,)."""
        if not self._n_position:
            return np.zeros(self.n_annotators)
        return theta[self._n_reliability :]

    def standard_errors(self, margin, theta, data):
        """Give those of beta and b, both (n_annotators,), for margins that are known.

        From the inverse of the curvature of likelihood and priors in both, on the plane
        where the mean of beta is 1. ``data.weight`` sums to 1.
        """
        beta, shift = self._of_pairs(theta, data, NUMPY)
        of_link, _ = self.link.curvature(beta * margin + shift, NO_THETA, data)
        weighted = self.n_pairs * data.weight * of_link
        of_beta = self._sums(weighted * margin**2, data, NUMPY) + RELIABILITY_SPREAD**-2
        of_both = self._sums(weighted * margin, data, NUMPY)
        of_bias = self._sums(weighted, data, NUMPY) + POSITION_SPREAD**-2
        if not self._n_reliability:
            return np.zeros(self.n_annotators), of_bias**-0.5
        if not self._n_position:
            of_both = np.zeros(self.n_annotators)
        determinant = of_beta * of_bias - of_both**2
        # Of beta, of beta and b, of b: the inverse of every annotator's own 2 x 2.
        beta, both, bias = np.array([of_bias, -of_both, of_beta]) / determinant
        total = beta.sum()
        beta, bias = beta * (1 - beta / total), bias - both**2 / total
        if not self._n_position:
            bias = np.zeros(self.n_annotators)
        return np.sqrt(np.maximum(beta, 0)), np.sqrt(bias)

    def _of_pairs(self, theta, data, xp):
        """Give beta and b of every pair's annotator."""
        who = data.columns["annotators"]
        beta, shift = 1.0, 0.0
        if self._n_reliability:
            beta = xp.take(self._reliability(theta, xp), who)
        if self._n_position:
            shift = xp.take(theta[..., self._n_reliability :], who)
        return beta, shift

    def _reliability(self, theta, xp):
        """1 + P theta."""
        theta = theta[..., : self._n_reliability]
        total, root = theta.sum(-1)[..., None], self.n_annotators**0.5
        rest = theta - total / (self.n_annotators + root)
        return 1 + xp.concatenate([-total / root, rest])

    def _sums(self, values, data, xp):
        """Sum over every annotator's pairs."""
        return xp.sums(values, data.columns["annotators"], self.n_annotators)


def _transposed(gradient, xp):
    """Give P' gradient."""
    n = gradient.shape[-1]
    first, rest = gradient[..., :1], gradient[..., 1:]
    return rest - first / n**0.5 - rest.sum(-1)[..., None] / (n + n**0.5)


def _diagonal(curvature):
    """Give the diagonal of P' diag(curvature) P."""
    n = len(curvature)
    share = 1 / (n + n**0.5)
    first, rest = curvature[0], curvature[1:]
    return rest * (1 - 2 * share) + share**2 * rest.sum() + first / n
