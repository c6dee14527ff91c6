"""Simulated annotators: noisy labels, their error rate, noise calibration."""

from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import check_random_state

from skreward.data.targets import check_preferences
from skreward.objectives import LINKS
from skreward.utils.checks import check_index, check_real, check_rewards
from skreward.utils.typing import Array, ArrayLike, Link, RandomState


def annotate(
    rewards: ArrayLike,
    index: ArrayLike,
    *,
    beta: float,
    link: Link = "logistic",
    scale: Literal["std"] | float = "std",
    soft_labels: bool = False,
    tie_threshold: float = 0.0,
    random_state: RandomState = None,
) -> Array:
    """Label pairs as a noisy annotator would.

    The annotator perceives ``u = beta (r1 - r2) / scale + noise`` and prefers the
    first item where ``u > t``, the second where ``u < -t``, and calls it a tie in
    between, t being ``tie_threshold``. So ``P(first preferred) = F(beta (r1 - r2)
    / scale - t)``: with logistic noise the Bradley-Terry model (Rao-Kupper's for
    t > 0), with normal noise Thurstone's.

    Parameters
    ----------
    rewards : array-like of shape (n_items,)
        True reward of every item.
    index : array-like of int, shape (n_pairs, 2)
        The items that each pair compares.
    beta : float
        How reliable the annotator is, at least 0. ``np.inf`` always prefers the
        higher reward, 0 tosses a coin. On independent standard normal rewards
        0.5, 1, 3 and 10 err on 36.9, 27.5, 12.2 and 3.9 % of random pairs.
    link : {"logistic", "probit"}, default="logistic"
        Law of the noise: standard logistic or standard normal.
    scale : "std" or float, default="std"
        What counts as one unit of reward: the standard deviation of all
        ``rewards``, or a number above 0.
    soft_labels : bool, default=False
        Return the expected label ``P(first preferred) + P(tie) / 2`` in place of
        a drawn one.
    tie_threshold : float, default=0.0
        Half the width of the interval of u called a tie, at least 0.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise.

    Returns
    -------
    y : ndarray of shape (n_pairs,)
        1 where the first is preferred, 0 where the second is: integers. Floats
        where ties (0.5) or soft labels are asked for.

    Raises
    ------
    ValueError
        If an argument is malformed, or ``scale="std"`` and all rewards are equal.

    References
    ----------
    H. Sun, Y. Shen, J.-F. Ton, "Rethinking Bradley-Terry Models in
    Preference-Based Reward Modeling", ICLR 2025: the annotation model.
    P. V. Rao, L. L. Kupper, "Ties in Paired-Comparison Experiments", JASA 1967.

    Examples
    --------
    >>> import numpy as np
    >>> from skreward.annotation import annotate
    >>> rewards, index = [0.0, 1.0, 3.0], [[0, 1], [2, 1], [0, 2]]
    >>> annotate(rewards, index, beta=np.inf)
    array([0, 1, 0])
    >>> annotate(rewards, index, beta=1.0, scale=1.0, soft_labels=True).round(3)
    array([0.269, 0.881, 0.047])
    """
    rewards, index, utility = _utilities(rewards, index, beta, scale)
    threshold = check_real(tie_threshold, "tie_threshold", low=0.0)
    distribution = _check_link(link)
    first = distribution(utility - threshold)
    first_or_tie = distribution(utility + threshold)
    if soft_labels:
        return 0.5 * (first + first_or_tie)
    drawn = check_random_state(random_state).uniform(size=len(index))
    if threshold == 0:
        return (drawn < first).astype(np.int64)
    return 0.5 * ((drawn < first) + (drawn < first_or_tie).astype(np.float64))


def annotation_error_rate(rewards: ArrayLike, index: ArrayLike, y: ArrayLike) -> float:
    """Share of labels that contradict the order of the true rewards.

    ``mean |y - 1[r1 > r2]|`` over the pairs with ``r1 != r2``: a tie counts one
    half, a soft label its weight on the wrong side. Pairs of equal true rewards
    have no right label and are left out.

    Parameters
    ----------
    rewards : array-like of shape (n_items,)
        True reward of every item.
    index : array-like of int, shape (n_pairs, 2)
        The items that each pair compares.
    y : array-like of shape (n_pairs,) or None
        Labels: 1 or 0, or +1 or -1, or in [0, 1]; None says that the first of
        every pair is the chosen one.

    Returns
    -------
    error_rate : float
        In [0, 1].

    Raises
    ------
    ValueError
        If an argument is malformed, or if no pair has two different rewards.

    Examples
    --------
    >>> from skreward.annotation import annotation_error_rate
    >>> annotation_error_rate([0.0, 1.0, 3.0], [[0, 1], [2, 1]], [1, 1])
    0.5
    """
    rewards = check_rewards(rewards)
    index = check_index(index, len(rewards))
    y = check_preferences(y, len(index))
    difference = rewards[index[:, 0]] - rewards[index[:, 1]]
    ordered = difference != 0
    if not ordered.any():
        raise ValueError("rewards are equal within every pair: there is no order.")
    return float(np.mean(np.abs(y - (difference > 0))[ordered]))


def calibrate_beta(
    rewards: ArrayLike,
    index: ArrayLike,
    error_rate: float,
    *,
    link: Link = "logistic",
    scale: Literal["std"] | float = "std",
) -> float:
    """Find the ``beta`` at which `annotate` errs at a wanted rate.

    Solves ``mean F(-beta |r1 - r2| / scale) = error_rate`` over the pairs with
    ``r1 != r2``; the rate falls from 0.5 at ``beta = 0`` to 0 at infinity. The
    labels drawn then err at this rate up to their own chance.

    Parameters
    ----------
    rewards : array-like of shape (n_items,)
        True reward of every item.
    index : array-like of int, shape (n_pairs, 2)
        The items that each pair compares.
    error_rate : float
        Wanted expected error rate, in [0, 0.5].
    link : {"logistic", "probit"}, default="logistic"
        As in `annotate`.
    scale : "std" or float, default="std"
        As in `annotate`.

    Returns
    -------
    beta : float
        ``np.inf`` for an error rate of 0, 0 for 0.5.

    Raises
    ------
    ValueError
        If an argument is malformed, or if no pair has two different rewards.

    Examples
    --------
    >>> import numpy as np
    >>> from skreward.annotation import annotate, calibrate_beta, sample_pairs
    >>> rewards = np.random.default_rng(0).normal(size=4000)
    >>> index = sample_pairs(np.repeat(range(400), 10), 4000, random_state=0)
    >>> beta = calibrate_beta(rewards, index, 0.2)
    >>> annotate(rewards, index, beta=beta, soft_labels=True).shape
    (4000,)
    """
    distribution = _check_link(link)
    error_rate = check_real(error_rate, "error_rate", low=0.0, high=0.5)
    rewards, index, utility = _utilities(rewards, index, 1.0, scale)
    gaps = np.abs(utility[utility != 0])
    if len(gaps) == 0:
        raise ValueError("rewards are equal within every pair: no beta errs.")
    if error_rate == 0:
        return np.inf

    def excess(log_beta):
        return np.mean(distribution(-np.exp(log_beta) * gaps)) - error_rate

    if error_rate == 0.5:
        return 0.0
    low, high = -np.log(gaps.max()), -np.log(gaps.min())
    while excess(low) < 0:
        low -= 1.0
    while excess(high) > 0:
        high += 1.0
    return float(np.exp(brentq(excess, low, high, xtol=1e-13, rtol=1e-13)))


def expected_annotation_quality(
    variance: ArrayLike, beta: ArrayLike = 1.0, *, link: Link = "logistic"
) -> float | Array:
    r"""Chance that a label is right, for normally distributed reward differences.

    ``Q = E F(beta |d|)`` with ``d ~ N(0, variance)``. For two independent
    responses of one prompt, each ``N(mu, sigma^2)``, the variance of the
    difference is ``2 sigma^2``; for responses of two prompts it is ``sigma_1^2 +
    sigma_2^2`` plus the variance of ``mu_1 - mu_2``. Only ``beta^2 variance``
    counts.

    Parameters
    ----------
    variance : array-like
        Variance of the difference of the two rewards, at least 0.
    beta : array-like, default=1.0
        As in `annotate`, with rewards in their own units (``scale=1``).
    link : {"logistic", "probit"}, default="logistic"
        As in `annotate`. Probit has the closed form ``1/2 + atan(beta sqrt(
        variance)) / pi``; logistic is integrated, to about 1e-14.

    Returns
    -------
    quality : float or ndarray
        In [0.5, 1], of the broadcast shape of ``variance`` and ``beta``.

    Raises
    ------
    ValueError
        If an argument is negative or not a number.

    Examples
    --------
    >>> from skreward.annotation import expected_annotation_quality
    >>> expected_annotation_quality([1, 2, 4, 10]).round(4)
    array([0.6749, 0.7252, 0.778 , 0.8428])
    """
    _check_link(link)
    variance = _check_nonnegative(variance, "variance")
    beta = _check_nonnegative(beta, "beta")
    # A product of 0 and infinity: rewards without difference are a coin's toss.
    with np.errstate(invalid="ignore"):
        reliability = np.nan_to_num(beta * np.sqrt(variance), nan=0.0, posinf=np.inf)
    if link == "probit":
        return 0.5 + np.arctan(reliability) / np.pi
    # The error is 2 int_0^inf phi(z) expit(-s z) dz. Beyond z = 9, and beyond
    # s z = 40, the integrand is below rounding.
    node, weight = np.polynomial.legendre.leggauss(200)
    s = np.minimum(reliability, 1e300)[..., np.newaxis]
    upper = np.minimum(9.0, 40.0 / np.maximum(s, 1.0))
    z = 0.5 * upper * (node + 1.0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    error = (upper * density * expit(-s * z)) @ weight
    return 1.0 - error


def _utilities(
    rewards: ArrayLike, index: ArrayLike, beta: float, scale: Literal["std"] | float
) -> tuple[Array, Array, Array]:
    """Check what all annotators take; give beta (r1 - r2) / scale too."""
    rewards = check_rewards(rewards)
    index = check_index(index, len(rewards))
    beta = check_real(beta, "beta", low=0.0)
    if isinstance(scale, str):
        if scale != "std":
            raise ValueError(f"scale must be 'std' or a number, got {scale!r}.")
        unit = float(np.std(rewards))
        if unit == 0:
            raise ValueError(
                "rewards are all equal, so scale='std' is 0: give scale as a number."
            )
    else:
        unit = check_real(scale, "scale", low=0.0, include_low=False)
    difference = rewards[index[:, 0]] - rewards[index[:, 1]]
    if np.isinf(beta / unit):
        utility = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    else:
        utility = beta / unit * difference
    return rewards, index, utility


def _check_link(link):
    if link not in LINKS:
        raise ValueError(f"link must be one of {tuple(LINKS)}, got {link!r}.")
    return LINKS[link].distribution


def _check_nonnegative(values: ArrayLike, name: str) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if not (values >= 0).all():
        raise ValueError(f"{name} must be numbers of at least 0.")
    return values
