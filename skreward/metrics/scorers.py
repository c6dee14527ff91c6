"""Scorers of pairs and of rated items."""

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from skreward.data.gate import check_weight, is_pairs
from skreward.data.targets import check_numbers, check_preferences
from skreward.metrics.pairs import (
    check_probabilities,
    expected_calibration_error,
    order_consistency_score,
)
from skreward.utils.through import predict_preference_proba


class PreferenceScorer:
    """Scorer ``(estimator, X, y=None, sample_weight=None)``.

    Takes ``y=None`` where the first of a pair is always the chosen one. A scorer of
    order needs ``predict`` alone. A scorer of probabilities asks the estimator for
    them, inside a Pipeline or a search too, and refuses one that has none: only the
    estimator knows which link its margins have, or that they have no link.
    """

    def __init__(self, name, sample_weight_request=None):
        self.name = name
        self.sample_weight_request = sample_weight_request

    def __call__(self, estimator, X, y=None, sample_weight=None):
        """Score what the estimator predicts for X."""
        of_proba = OF_PROBA.get(self.name)
        if is_pairs(X):
            if of_proba is not None:
                proba = predict_preference_proba(estimator, X)
                return of_proba(y, proba, sample_weight=sample_weight)
            score = order_consistency_score
        elif of_proba is None:
            score = _rated_order_consistency
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
        return PreferenceScorer(self.name, sample_weight)

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
    weight = check_weight(sample_weight, len(rewards), "item")
    # Their squares are summed.
    weight = weight / weight.max()
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


def _neg_log_loss(y_true, y_proba, *, sample_weight=None):
    proba = check_probabilities(y_proba)
    # As scikit-learn's: what rounds to certainty is as certain as its dtype tells.
    eps = np.finfo(np.result_type(np.asarray(y_proba), np.float32)).eps
    proba = np.clip(proba, eps, 1 - eps)
    target = check_preferences(y_true, len(proba), "y_true")
    weight = check_weight(sample_weight, len(proba), "pair")
    value = target * np.log(proba) + (1 - target) * np.log1p(-proba)
    return float(np.average(value, weights=weight))


def _neg_calibration_error(y_true, y_proba, *, sample_weight=None):
    return -expected_calibration_error(y_true, y_proba, sample_weight=sample_weight)


# Scorers of probabilities; others score the order of margins, or of rated items.
OF_PROBA = {
    "neg_preference_log_loss_scorer": _neg_log_loss,
    "neg_expected_calibration_error_scorer": _neg_calibration_error,
}

order_consistency_scorer = PreferenceScorer("order_consistency_scorer")
neg_preference_log_loss_scorer = PreferenceScorer("neg_preference_log_loss_scorer")
neg_expected_calibration_error_scorer = PreferenceScorer(
    "neg_expected_calibration_error_scorer"
)
