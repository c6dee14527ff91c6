"""Estimates over pairs that hang together: their errors, clustered by prompt."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from skreward.data.groups import encode


@dataclass(frozen=True)
class Estimate:
    """A figure over pairs, and its confidence interval.

    Attributes
    ----------
    value : float
        The figure.
    lower, upper : float or None
        Ends of the interval; None where pairs of one prompt show no spread.
    n_pairs, n_groups : int
        Pairs that count, and the prompts that they belong to.
    """

    value: float
    lower: float | None
    upper: float | None
    n_pairs: int
    n_groups: int


class Clusters:
    r"""Pairs that depend on each other where they share a prompt.

    The variance of a sum of terms :math:`e_k` is estimated by

    .. math:: \frac{G}{G - 1} \sum_{k, l \text{ share a prompt}} e_k e_l

    with G the number of prompts: the cluster-robust variance where both sides of a
    pair answer one prompt, the dyadic one [1]_ where they answer two, which is taken to
    be no smaller than that of independent pairs. Intervals use Student's t with G - 1
    degrees of freedom.

    Parameters
    ----------
    groups : array of int, shape (n_pairs, 2)
        The prompts of both sides.
    weight : array of shape (n_pairs,)
        Weights of the pairs.
    level : float
        Confidence level.

    References
    ----------
    .. [1] P. M. Aronow, C. Samii and V. A. Assenova, "Cluster-Robust Variance
       Estimation for Dyadic Data", Political Analysis 23, 2015.
    """

    def __init__(self, groups, weight, level=0.95):
        self.groups, self.weight, self.level = groups, weight, level

    def take(self, mask) -> "Clusters":
        """Give the clusters of some of the pairs."""
        return Clusters(self.groups[mask], self.weight[mask], self.level)

    def mean(self, values) -> Estimate:
        """Weighted mean of one value a pair."""
        value, error = self._mean(values)
        reach = self._reach() * error
        return self._estimate(value, value - reach, value + reach)

    def share(self, values) -> Estimate:
        """Weighted mean of values in [0, 1], with an interval that stays there.

        Wilson's, for as many independent pairs as the clustered variance is worth.
        """
        value, error = self._mean(values)
        spread = value * (1 - value)
        if spread > 0 and np.ptp(values[self.weight > 0]) == 0:
            # Nothing but ties is one half without a doubt; all right is not 1.
            return self._estimate(value, value, value)
        # Where all are right, as many as there are prompts.
        worth = spread / error**2 if error > 0 and spread > 0 else self.n_groups
        n = min(self._n_independent(), worth)
        squared = self._reach() ** 2
        middle = (n * value + squared / 2) / (n + squared)
        half = np.sqrt(squared * (n * spread + squared / 4)) / (n + squared)
        return self._estimate(value, max(middle - half, 0.0), min(middle + half, 1.0))

    def correlation(self, first, second) -> Estimate | None:
        """Correlation of two differences, which turn round with their pair.

        Their means are zero by that symmetry, and so nothing is subtracted. None
        where one of them is always zero.
        """
        w, n = self.weight, len(first)
        square, other = w @ first**2, w @ second**2
        if n == 0 or square <= 0 or other <= 0:
            return None
        first, second = first / np.sqrt(square), second / np.sqrt(other)
        value = float(np.clip(w @ (first * second), -1, 1))
        terms = w * (first * second - value / 2 * (first**2 + second**2))
        room = 1 - value**2
        if room < 1e-12:
            return self._estimate(value, value, value)
        reach = self._reach() * self._error(terms) / room
        middle = np.arctanh(value)
        return self._estimate(value, np.tanh(middle - reach), np.tanh(middle + reach))

    @property
    def n_groups(self) -> int:
        """Number of prompts that occur in a pair that counts."""
        return len(np.unique(self.groups[self.weight > 0]))

    def _mean(self, values):
        total = self.weight.sum()
        value = float(self.weight @ values / total)
        return value, self._error(self.weight * (values - value) / total)

    def _error(self, terms) -> float:
        n_groups = self.n_groups
        if n_groups < 2:
            return np.nan
        first, second = encode(self.groups).T
        crosses, n = first != second, int(max(first.max(), second.max())) + 1
        sums = np.bincount(first, terms, n)
        sums += np.bincount(second[crosses], terms[crosses], n)
        factor = n_groups / (n_groups - 1)
        variance = factor * float(sums @ sums)
        if crosses.any():
            low, high = np.sort([first[crosses], second[crosses]], axis=0)
            shared = np.bincount(encode(low * n + high), terms[crosses])
            # Sums of what is counted twice can leave less than nothing.
            variance -= factor * float(shared @ shared)
            variance = max(variance, float(terms @ terms))
        return float(np.sqrt(variance))

    def _n_independent(self) -> float:
        return float(self.weight.sum() ** 2 / (self.weight @ self.weight))

    def _reach(self) -> float:
        return float(student.ppf((1 + self.level) / 2, max(self.n_groups - 1, 1)))

    def _estimate(self, value, lower, upper) -> Estimate:
        n_pairs, n_groups = int((self.weight > 0).sum()), self.n_groups
        if n_groups < 2 or not (np.isfinite(lower) and np.isfinite(upper)):
            return Estimate(float(value), None, None, n_pairs, n_groups)
        return Estimate(float(value), float(lower), float(upper), n_pairs, n_groups)
