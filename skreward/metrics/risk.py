"""What a reward is worth where it may abstain."""

import numpy as np
from sklearn.utils import Bunch

from skreward.data.gate import check_weight
from skreward.metrics.pairs import pair_agreement
from skreward.utils.checks import check_rewards
from skreward.utils.typing import ArrayLike

__all__ = ["risk_coverage_curve"]


def risk_coverage_curve(
    y_true: ArrayLike | None,
    y_pred: ArrayLike,
    *,
    confidence: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Bunch:
    r"""Share of pairs ordered wrongly among those that a threshold keeps.

    With the pairs in falling order of confidence c, and w their weights,

    .. math:: \text{coverage}_k = \frac{\sum_{c_i \ge c_k} w_i}{\sum_i w_i}, \quad
       \text{risk}_k = 1 - \text{order consistency on } \{i : c_i \ge c_k\}

    Where a reward may leave a pair to a person, the curve says how many of its errors
    go with how many pairs.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,), or None
        Preferences: 1 / 0, +1 / -1, or in [0, 1]; None = the first is preferred.
    y_pred : array-like of shape (n_pairs,)
        Margins.
    confidence : array-like of shape (n_pairs,), default=None
        What decides which pairs are kept, the largest first; None is ``|y_pred|``.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of the pairs.

    Returns
    -------
    curve : Bunch
        ``coverage``, ``risk`` and ``threshold``, one a distinct confidence, coverage
        rising to 1; ``area``, the mean risk over all coverages: the risk of a random
        threshold's pairs. Smaller is better; a confidence that says nothing has the
        area of the whole risk.

    Raises
    ------
    ValueError
        If an argument is malformed, or of another length.

    References
    ----------
    Y. Geifman, R. El-Yaniv, "Selective Classification for Deep Neural Networks",
    NeurIPS 2017.

    Examples
    --------
    >>> from skreward.metrics import risk_coverage_curve
    >>> curve = risk_coverage_curve([1, 1, 1, 1], [3.0, -1.0, 2.0, 0.5])
    >>> curve.coverage.tolist(), curve.risk.round(2).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.33, 0.25])
    """
    wrong = 1.0 - pair_agreement(y_true, y_pred)
    n_pairs = len(wrong)
    if confidence is None:
        confidence = np.abs(np.asarray(y_pred, dtype=np.float64))
    trust = check_rewards(confidence, n_items=n_pairs, name="confidence")
    weight = check_weight(sample_weight, n_pairs, "pair")
    order = np.argsort(-trust, kind="stable")
    trust, weight = trust[order], weight[order]
    kept, lost = np.cumsum(weight), np.cumsum(weight * wrong[order])
    # Pairs of one confidence are kept or left together; those of no weight are none.
    ends = np.flatnonzero(np.append(np.diff(trust) != 0, True) & (kept > 0))
    kept, lost = kept[ends], lost[ends]
    coverage, risk = kept / kept[-1], lost / kept
    return Bunch(
        coverage=coverage,
        risk=risk,
        threshold=trust[ends],
        area=float(np.diff(coverage, prepend=0.0) @ risk),
    )
