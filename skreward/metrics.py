"""Scores of reward models on pairs, and their scorers.

For pairs, ``y_pred`` is the margin r(first) - r(second), and ``y_true`` what
`BradleyTerryRegressor.fit` takes: 1 / 0, +1 / -1, probabilities that the first is
preferred, or None where the first is always the chosen one.
"""

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from skreward._compat import check_sample_weight
from skreward._objectives import OBJECTIVES
from skreward._prompt_metrics import (
    best_of_n_curve,
    best_of_n_score,
    make_best_of_n_scorer,
    prompt_rank_correlation,
    prompt_rank_correlation_scorer,
)
from skreward._validation import check_numbers, check_preferences, is_pairs

__all__ = [
    "best_of_n_curve",
    "best_of_n_score",
    "expected_calibration_error",
    "make_best_of_n_scorer",
    "neg_expected_calibration_error_scorer",
    "neg_preference_log_loss_scorer",
    "order_consistency_score",
    "order_consistency_scorer",
    "preference_log_loss",
    "prompt_rank_correlation",
    "prompt_rank_correlation_scorer",
]


def order_consistency_score(y_true, y_pred, *, sample_weight=None):
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
    agreement = 0.5 + (target - 0.5) * np.sign(margin)
    return float(np.average(agreement, weights=weight))


def preference_log_loss(y_true, y_pred, *, link="logistic", sample_weight=None):
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
    if link not in OBJECTIVES:
        raise ValueError(f"link must be one of {sorted(OBJECTIVES)}, got {link!r}.")
    margin, target, weight = _check_margins(y_true, y_pred, sample_weight)
    return float(np.average(OBJECTIVES[link].value(margin, target), weights=weight))


def expected_calibration_error(y_true, y_proba, *, n_bins=10, sample_weight=None):
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
    proba = check_numbers(y_proba, "y_proba")
    if ((proba < 0) | (proba > 1)).any():
        raise ValueError(
            "y_proba must hold probabilities in [0, 1], got values from "
            f"{proba.min():g} to {proba.max():g}; margins are no probabilities."
        )
    target = check_preferences(y_true, len(proba), "y_true")
    weight = check_sample_weight(sample_weight, proba, ensure_non_negative=True)
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


class PreferenceScorer:
    """Scorer ``(estimator, X, y=None, sample_weight=None)`` that needs ``predict``.

    Works on whatever predicts margins of pairs, a Pipeline too, and takes ``y=None``
    where the first of a pair is always the chosen one.
    """

    def __init__(self, name, of_pairs, of_items=None, sample_weight_request=None):
        self.name = name
        self.of_pairs = of_pairs
        self.of_items = of_items
        self.sample_weight_request = sample_weight_request

    def __call__(self, estimator, X, y=None, sample_weight=None):
        """Score the margins, or the rewards, that the estimator predicts for X."""
        if is_pairs(X):
            score = self.of_pairs
        elif self.of_items is not None:
            score = self.of_items
        else:
            raise ValueError(f"{self.name} scores pairs, and X holds items.")
        return score(y, estimator.predict(X), sample_weight=sample_weight)

    def set_score_request(self, *, sample_weight):
        """Give a copy of this scorer that asks metadata routing for weights, or not.

        Parameters
        ----------
        sample_weight : bool, str or None
            As in scikit-learn.

        Returns
        -------
        scorer : PreferenceScorer
            A new one: this one is shared by all who import it.
        """
        return PreferenceScorer(self.name, self.of_pairs, self.of_items, sample_weight)

    def get_metadata_routing(self):
        """What is asked of metadata routing."""
        request = MetadataRequest(owner=self)
        request.score.add_request(
            param="sample_weight", alias=self.sample_weight_request
        )
        return request

    def __repr__(self):
        return self.name


def _rated_order_consistency(y_true, y_pred, *, sample_weight=None):
    """Order consistency over all pairs of items with unequal ratings.

    The weight of a pair is the product of its items' weights. Exact, in
    O(n log(n)^2): pairs are counted at the highest bit in which the ranks of their
    rewards differ.
    """
    if y_true is None:
        raise ValueError("y is None: items are scored against a rating each.")
    ratings, rewards = check_numbers(y_true, "y_true"), check_numbers(y_pred, "y_pred")
    if len(ratings) != len(rewards):
        raise ValueError(f"y has {len(ratings)} ratings for {len(rewards)} items.")
    weight = check_sample_weight(sample_weight, rewards, ensure_non_negative=True)
    rating = np.unique(ratings, return_inverse=True)[1]
    rank = np.unique(rewards, return_inverse=True)[1]
    cell = np.unique(rank * (rating.max() + 1) + rating, return_inverse=True)[1]
    same_rating, same_rank, same_both = (
        np.square(np.bincount(group, weight)).sum() for group in (rating, rank, cell)
    )
    total = (weight.sum() ** 2 - same_rating) / 2
    if total <= 0:
        raise ValueError("y rates every item the same, which leaves no pair to score.")
    tied = (same_rank - same_both) / 2
    return float((_concordant(rating, rank, weight) + tied / 2) / total)


def _concordant(rating, rank, weight):
    """Weight of the pairs that both ``rating`` and ``rank`` order alike."""
    order = np.argsort(rating, kind="stable")
    rating, rank, weight = rating[order], rank[order], weight[order]
    position = np.arange(len(rank))
    concordant = 0.0
    for bit in reversed(range(int(rank.max()).bit_length())):
        block = rank >> (bit + 1)
        order = np.argsort(block, kind="stable")
        rating, rank, weight = rating[order], rank[order], weight[order]
        block = block[order]
        is_upper = (rank >> bit) & 1 == 1
        below = np.concatenate([[0.0], np.cumsum(np.where(is_upper, 0.0, weight))])
        new_block = np.diff(block, prepend=-1) != 0
        new_rating = new_block | (np.diff(rating, prepend=-1) != 0)
        first_of_block = np.maximum.accumulate(np.where(new_block, position, 0))
        first_of_rating = np.maximum.accumulate(np.where(new_rating, position, 0))
        lower = below[first_of_rating] - below[first_of_block]
        concordant += np.dot(weight[is_upper], lower[is_upper])
    return concordant


def _neg_log_loss(y_true, y_pred, *, sample_weight=None):
    return -preference_log_loss(y_true, y_pred, sample_weight=sample_weight)


def _neg_calibration_error(y_true, y_pred, *, sample_weight=None):
    proba = OBJECTIVES["logistic"].probability(np.asarray(y_pred, dtype=float))
    return -expected_calibration_error(y_true, proba, sample_weight=sample_weight)


order_consistency_scorer = PreferenceScorer(
    "order_consistency_scorer", order_consistency_score, _rated_order_consistency
)
neg_preference_log_loss_scorer = PreferenceScorer(
    "neg_preference_log_loss_scorer", _neg_log_loss
)
neg_expected_calibration_error_scorer = PreferenceScorer(
    "neg_expected_calibration_error_scorer", _neg_calibration_error
)


def _check_margins(y_true, y_pred, sample_weight):
    margin = check_numbers(y_pred, "y_pred")
    target = check_preferences(y_true, len(margin), "y_true")
    weight = check_sample_weight(sample_weight, margin, ensure_non_negative=True)
    return margin, target, weight
