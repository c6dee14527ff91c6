"""Scorers of pairs and of rated items."""

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from skreward.data.gate import (
    PAIRS_CARRY_PROMPTS,
    check_weight,
    is_pairs,
    require_labels_of,
)
from skreward.data.leaks import known_prompts, warn_of_known_prompts
from skreward.data.pairs import EmbeddingPairs
from skreward.data.targets import check_numbers, check_preferences
from skreward.metrics.pairs import (
    check_probabilities,
    expected_calibration_error,
    order_consistency_score,
)
from skreward.text.tables import text_prompt_ids
from skreward.utils.checks import check_prompts
from skreward.utils.through import predict_preference_proba

METADATA = ("sample_weight", "prompt_ids")


class PreferenceScorer:
    """Scorer ``(estimator, X, y=None, sample_weight=None, prompt_ids=None)``.

    Takes ``y=None`` where the first of a pair is always the chosen one. A scorer of
    order needs ``predict`` alone. A scorer of probabilities asks the estimator for
    them, inside a Pipeline or a search too, and refuses one that has none: only the
    estimator knows which link its margins have, or that they have no link.
    """

    def __init__(self, name, requests=None):
        self.name = name
        self.requests = dict.fromkeys(METADATA) if requests is None else requests

    def __call__(self, estimator, X, y=None, sample_weight=None, prompt_ids=None):
        """Score what the estimator predicts for X; rated items have ``prompt_ids``."""
        of_proba = OF_PROBA.get(self.name)
        if is_pairs(X):
            if prompt_ids is not None:
                raise ValueError(PAIRS_CARRY_PROMPTS)
            require_labels_of(X, y)
            _warn_of_leak(estimator, X)
            if of_proba is not None:
                proba = predict_preference_proba(estimator, X)
                return of_proba(y, proba, sample_weight=sample_weight)
            score = order_consistency_score
        elif of_proba is None:
            return _rated_order_consistency(
                y,
                estimator.predict(X),
                sample_weight=sample_weight,
                prompt_ids=prompt_ids,
            )
        else:
            raise ValueError(f"{self.name} scores pairs, and X holds items.")
        return score(y, estimator.predict(X), sample_weight=sample_weight)

    def set_score_request(self, **requests):
        """Give a copy of this scorer that asks metadata routing for more, or less.

        Parameters
        ----------
        **requests : bool, str or None
            Of ``sample_weight`` and ``prompt_ids``, as in scikit-learn.

        Returns
        -------
        scorer : PreferenceScorer
            A new one: this one is shared by all who import it.
        """
        unknown = set(requests) - set(METADATA)
        if unknown:
            raise TypeError(
                f"{self.name} takes {' and '.join(METADATA)}, not {min(unknown)}."
            )
        return PreferenceScorer(self.name, self.requests | requests)

    def get_metadata_routing(self):
        """What is asked of metadata routing."""
        request = MetadataRequest(owner=self)
        for name, alias in self.requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def __repr__(self):
        return self.name


def _warn_of_leak(estimator, X):
    known = known_prompts(estimator)
    if known is None:
        return
    is_container = isinstance(X, EmbeddingPairs)
    prompt_ids = X.pair_prompt_ids if is_container else text_prompt_ids(X)
    if prompt_ids is not None:
        warn_of_known_prompts(known, prompt_ids)


def _rated_order_consistency(y_true, y_pred, *, sample_weight=None, prompt_ids=None):
    """Order consistency over all pairs of items of a prompt with unequal ratings.

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
    prompt = np.zeros(len(rewards), dtype=np.intp)
    if prompt_ids is not None:
        prompt = check_prompts(prompt_ids, len(rewards))[1]
    rating = np.unique(ratings, return_inverse=True)[1]
    rank = np.unique(rewards, return_inverse=True)[1]
    n_bits = int(rank.max()).bit_length()
    # Items of two prompts differ above the bits that are looked at.
    rank = (prompt << n_bits) + rank
    by_rating = _number(prompt, rating)
    same_prompt, same_rating, same_rank, same_both = (
        np.square(np.bincount(group, weight)).sum()
        for group in (prompt, by_rating, _number(rank), _number(rank, rating))
    )
    total = (same_prompt - same_rating) / 2
    if len(np.unique(by_rating)) == len(np.unique(prompt)) or total <= 0:
        where = "" if prompt_ids is None else " of a prompt"
        raise ValueError(
            f"y rates every item{where} the same, which leaves no pair to score."
        )
    tied = (same_rank - same_both) / 2
    return float((_concordant(rating, rank, weight, n_bits) + tied / 2) / total)


def _number(first, second=None):
    """Number distinct values, or pairs of them."""
    both = first if second is None else first * (int(second.max()) + 1) + second
    return np.unique(both, return_inverse=True)[1]


def _concordant(rating, rank, weight, n_bits):
    """Weight of pairs, alike above ``n_bits``, that both rating and rank order."""
    order = np.argsort(rating, kind="stable")
    rating, rank, weight = rating[order], rank[order], weight[order]
    position = np.arange(len(rank))
    concordant = 0.0
    for bit in reversed(range(n_bits)):
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
