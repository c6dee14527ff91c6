r"""Covariance of linear coefficients, from the comparisons they were fitted to.

Conventions: with weights p_k that sum to 1, differences z_k and margins m_k = z_k @ w,

    H = sum_k p_k F''_k z_k z_k'           curvature of the mean loss, no penalty
    s_k = p_k F'_k z_k                     score of a pair
    w_d = w - H^-1 sum_k s_k               one Newton step off the penalty
    laplace:  H^-1 / (number of pairs)
    cluster:  G / (G - 1)  H^-1 M H^-1,    M = sum_{k, l share a group} s_k s_l'

with F' and F'' the derivatives of a pair's loss by its margin, G the number of groups.
A pair has a group on either side. Sums of groups count two pairs twice where they share
both groups, and these are taken off once, as P. M. Aronow, C. Samii and V. A. Assenova
do for dyads ("Cluster-Robust Variance Estimation for Dyadic Data", 2015).
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from skreward.objectives.base import NO_THETA, Observed
from skreward.solvers.items import item_rewards
from skreward.utils.arrays import rows_as

BLOCK_ROWS = 4096
# The covariance of more would not fit into memory.
MAX_FEATURES = 16_384
# Of the curvature with a unit diagonal, a feature: what is smaller is rounding.
SMALLEST_EIGENVALUE = 10 * np.finfo(np.float64).eps


class CoefCovariance(NamedTuple):
    """What `coef_covariance` gives."""

    coef: np.ndarray
    """Debiased."""
    covariance: np.ndarray
    unidentified: np.ndarray
    """Orthonormal directions in which no pair differs, (n_features, n_directions)."""


def coef_covariance(comparisons, objective, coef, groups) -> CoefCovariance:
    """Debias coefficients, and give their covariance.

    Parameters
    ----------
    comparisons : Comparisons
    objective : Objective
        Without parameters of its own.
    coef : array of shape (n_features,)
    groups : array of int, shape (n_pairs, 2), or None
        What makes pairs depend on each other, numbered from 0, for either side. None
        says that they do not: "laplace".
    """
    items, index = comparisons.items, comparisons.index
    share = comparisons.weight / comparisons.weight.sum()
    rewards = item_rewards(items, coef).astype(np.float64)
    margin = rewards[index[:, 0]] - rewards[index[:, 1]]
    seen = Observed(comparisons.target, share, comparisons.columns)
    slope = share * objective.value_gradient(margin, NO_THETA, seen)[1]
    curve = share * objective.curvature(margin, NO_THETA, seen)[0]
    inverse, unidentified = _inverse(_curvature(items, index, curve))
    if groups is None:
        covariance = inverse / comparisons.weight.sum()
    else:
        scores = _sums(items, index, slope, groups)
        n_groups = len(scores)
        meat = scores.T @ scores - _counted_twice(items, index, slope, groups)
        covariance = inverse @ meat @ inverse * (n_groups / (n_groups - 1))
    gradient = _sums(items, index, slope, np.zeros_like(index))[0]
    return CoefCovariance(coef - inverse @ gradient, covariance, unidentified)


def _differences(items, index):
    first, second = (rows_as(items[side], np.float64) for side in index.T)
    return first - second


def _curvature(items, index, curve):
    """H, a block of pairs at a time."""
    total = np.zeros((items.shape[1], items.shape[1]))
    for start in range(0, len(index), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        z = _differences(items, index[block])
        total += z.T @ (z * curve[block, np.newaxis])
    return total


def _sums(items, index, slope, groups):
    """Sum the scores of every group's pairs, (n_groups, n_features)."""
    first, second = index.T
    straddles = groups[:, 0] != groups[:, 1]
    rows, columns, values = [], [], []
    for group, counts in ((groups[:, 0], slope), (groups[:, 1], slope * straddles)):
        rows += [group, group]
        columns += [first, second]
        values += [counts, -counts]
    scatter = sp.csc_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(int(groups.max()) + 1, items.shape[0]),
    )
    total = np.zeros((scatter.shape[0], items.shape[1]))
    for start in range(0, items.shape[0], BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        total += scatter[:, block] @ rows_as(items[block], np.float64)
    return total


def _counted_twice(items, index, slope, groups):
    """Sum s_k s_l' over pairs k and l that share two groups."""
    total = np.zeros((items.shape[1], items.shape[1]))
    straddling = np.flatnonzero(groups[:, 0] != groups[:, 1])
    if len(straddling) == 0:
        return total
    low, high = np.sort(groups[straddling], axis=1).T
    dyad = np.unique(low * (groups.max() + 1) + high, return_inverse=True)[1]
    order = np.argsort(dyad, kind="stable")
    straddling, dyad = straddling[order], dyad[order]
    # Blocks of whole dyads.
    edges = np.unique(np.searchsorted(dyad, dyad[::BLOCK_ROWS]))
    for start, stop in zip(edges, [*edges[1:], len(dyad)], strict=True):
        pairs, here = straddling[start:stop], dyad[start:stop]
        scatter = sp.csr_array((slope[pairs], (here - here[0], np.arange(len(pairs)))))
        scores = scatter @ _differences(items, index[pairs])
        total += scores.T @ scores
    return total


def _inverse(curvature):
    """Invert where pairs differ; gives the directions in which none does too.

    In units in which the diagonal is one, so that no feature's scale decides.
    """
    diagonal = curvature.diagonal()
    unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(curvature / unit / unit[:, np.newaxis])
    is_seen = values > SMALLEST_EIGENVALUE * len(values)
    seen = vectors[:, is_seen] / unit[:, np.newaxis]
    inverse = (seen / values[is_seen]) @ seen.T
    unseen = vectors[:, ~is_seen] / unit[:, np.newaxis]
    return inverse, np.linalg.qr(unseen)[0]
