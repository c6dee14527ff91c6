"""Scores of margins against the labels of pairs."""

import numpy as np

from skreward.data.gate import check_weight
from skreward.data.targets import check_numbers, check_preferences
from skreward.objectives import LINKS
from skreward.utils.typing import ArrayLike, Link


def order_consistency_score(
    y_true: ArrayLike | None,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Share of pairs whose margin has the sign of the preference.

    .. math:: \frac{\sum_k w_k\,[y_k 1(m_k > 0) + (1 - y_k) 1(m_k < 0)
              + \tfrac12 1(m_k = 0)]}{\sum_k w_k}

    A tie in the prediction counts one half. A soft label counts as the probability
    of agreeing with a label drawn from it, so a given tie (0.5) always counts one
    half. The score of ``y`` and the score of ``1 - y`` sum to 1.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,), or None
        1 = first preferred, 0 = second; or +1 / -1; or P(first preferred) in
        [0, 1]; None = the first is always the chosen one.

    y_pred : array-like of shape (n_pairs,)
        Margins: reward of the first minus reward of the second, in any unit.

    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of the pairs.

    Returns
    -------
    score : float
        In [0, 1]; 0.5 is a coin, 1 is perfect order.

    Raises
    ------
    ValueError
        If lengths differ, a label is none, or a margin is not finite.

    References
    ----------
    "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling" (ICLR
    2025), definition of order consistency.

    Examples
    --------
    >>> from skreward.metrics import order_consistency_score
    >>> order_consistency_score([1, 1, 0, 0], [2.0, -1.0, -3.0, 0.0])
    0.625
    """
    margin, target, weight = _check_margins(y_true, y_pred, sample_weight)
    return float(np.average(_agreement(target, margin), weights=weight))


def pair_agreement(y_true, y_pred):
    """Give what every pair adds to the order consistency: 1 right, 0 wrong, 0.5 tie."""
    margin, target, _ = _check_margins(y_true, y_pred, None)
    return _agreement(target, margin)


def preference_log_loss(
    y_true: ArrayLike | None,
    y_pred: ArrayLike,
    *,
    link: Link = "logistic",
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Mean negative log-likelihood of the preferences under the margins.

    .. math:: \frac{\sum_k w_k\,[-y_k \log F(m_k) - (1 - y_k) \log F(-m_k)]}
              {\sum_k w_k}

    with F the logistic function (Bradley-Terry) or the normal distribution function
    (Thurstone). In nats; log 2 = 0.693 is a coin.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,), or None
        As in `order_consistency_score`.
    y_pred : array-like of shape (n_pairs,)
        Margins, in the unit of the link.
    link : {"logistic", "probit"}, default="logistic"
        F.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of the pairs.

    Returns
    -------
    loss : float

    Raises
    ------
    ValueError
        If lengths differ, a label is none, a margin is not finite, or the link is
        unknown.

    Examples
    --------
    >>> from skreward.metrics import preference_log_loss
    >>> round(preference_log_loss([1, 0], [0.0, 0.0]), 4)
    0.6931
    """
    if link not in LINKS:
        raise ValueError(f"link must be one of {sorted(LINKS)}, got {link!r}.")
    margin, target, weight = _check_margins(y_true, y_pred, sample_weight)
    return float(np.average(LINKS[link].value(margin, target), weights=weight))


def expected_calibration_error(
    y_true: ArrayLike | None,
    y_proba: ArrayLike,
    *,
    n_bins: int = 10,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Expected calibration error of preference probabilities.

    .. math:: \sum_b \frac{W_b}{W}\,|\bar y_b - \bar p_b|

    over ``n_bins`` bins of equal width, on the symmetrised data: every pair counts
    as (p, y) and as (1 - p, 1 - y), so which item comes first does not matter.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,), or None
        As in `order_consistency_score`.
    y_proba : array-like of shape (n_pairs,)
        Predicted P(first preferred), in [0, 1].
    n_bins : int, default=10
        Bins of [0, 1]. More bins see more, and are noisier.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of the pairs.

    Returns
    -------
    error : float
        In [0, 1]; 0 is calibrated.

    Raises
    ------
    ValueError
        If lengths differ, a label is none, a probability is outside [0, 1], or
        ``n_bins`` is not a positive int.

    Examples
    --------
    >>> from skreward.metrics import expected_calibration_error
    >>> round(expected_calibration_error([1, 1, 1, 0], [0.8, 0.8, 0.8, 0.8]), 3)
    0.05
    """
    if not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"n_bins must be an int of at least 1, got {n_bins!r}.")
    proba = check_probabilities(y_proba)
    target = check_preferences(y_true, len(proba), "y_true")
    weight = check_weight(sample_weight, len(proba), "pair")
    # Both orders of a pair fall into mirrored bins with the same gap, so one half
    # of [0, 1] tells all; the middle bin of an odd number mirrors itself: gap 0.
    confidence = np.abs(proba - 0.5)
    agreement = (target - 0.5) * np.sign(proba - 0.5)
    bins = np.floor(confidence * n_bins + (0.5 if n_bins % 2 else 0.0)).astype(int)
    bins = np.minimum(bins, n_bins // 2 if n_bins % 2 else n_bins // 2 - 1)
    gap = np.abs(np.bincount(bins, weight * (agreement - confidence)))
    if n_bins % 2:
        gap[0] = 0.0
    return float(gap.sum() / weight.sum())


def _agreement(target, margin):
    return 0.5 + (target - 0.5) * np.sign(margin)


def check_probabilities(y_proba):
    """Give probabilities as finite float64 in [0, 1], or raise."""
    proba = check_numbers(y_proba, "y_proba")
    if ((proba < 0) | (proba > 1)).any():
        raise ValueError(
            "y_proba must hold probabilities in [0, 1], got values from "
            f"{proba.min():g} to {proba.max():g}; margins are no probabilities."
        )
    return proba


def _check_margins(y_true, y_pred, sample_weight):
    margin = check_numbers(y_pred, "y_pred")
    target = check_preferences(y_true, len(margin), "y_true")
    weight = check_weight(sample_weight, len(margin), "pair")
    return margin, target, weight
