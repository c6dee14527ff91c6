"""Covariates of items, such as their length, and what they explain within prompts."""

import numpy as np
import scipy.sparse as sp

from skreward.data.gate import is_pairs, take_apart
from skreward.data.groups import components, encode
from skreward.data.pairs import EmbeddingPairs
from skreward.solvers.covariance import MAX_FEATURES
from skreward.text.items import TextPairs
from skreward.text.tables import read_texts
from skreward.utils.arrays import rows_as
from skreward.utils.typing import Array

BLOCK_ROWS = 4096
# Of the mean variance of a feature: enough for collinear ones.
RIDGE = 1e-3
# Of a covariate's size: what varies less within prompts does not vary.
CONSTANT = 1e-10


class Within:
    """Covariates of the training items, and their regression on these, in prompts.

    Parameters
    ----------
    comparisons : Comparisons
    covariates : array of float64, shape (n_items, n_covariates)
    """

    def __init__(self, comparisons, covariates):
        self._items = comparisons.items
        self._weight = comparisons.item_weight
        self._groups = _item_groups(comparisons)
        seen = self._weight > 0
        self._centred = self._less_mean(covariates)
        spread = np.sqrt(np.average(self._centred**2, axis=0, weights=self._weight))
        constant = spread <= CONSTANT * np.abs(covariates[seen]).max(axis=0)
        if constant.any():
            raise ValueError(
                f"covariate {int(constant.argmax())} is the same in all items of a "
                "prompt: there is nothing to control for."
            )
        mean = np.average(covariates, axis=0, weights=self._weight)
        self.scaled = (covariates - mean) / spread

    def direction(self, reward):
        """Weights of the items whose reward has this reward's covariance with c."""
        d = self._items.shape[1]
        if d > MAX_FEATURES:
            raise ValueError(
                f'control="orthogonal" takes at most {MAX_FEATURES} features, got {d}.'
            )
        means = self._means_of_items()
        square, cross = np.zeros((d, d)), np.zeros((d, self._centred.shape[1]))
        for start in range(0, self._items.shape[0], BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            rows = rows_as(self._items[block], np.float64) - means[self._groups[block]]
            weighted = rows.T * self._weight[block]
            square += weighted @ rows
            cross += weighted @ self._centred[block]
        ridge = RIDGE * (square.trace() / d or 1.0)
        coef = np.linalg.solve(square + ridge * np.eye(d), cross)
        wanted = self._centred.T @ (self._weight * self._less_mean(reward))
        return coef @ np.linalg.lstsq(cross.T @ coef, wanted, rcond=None)[0]

    def correlation(self, reward):
        """Correlation of a reward with every covariate within prompts."""
        reward = self._less_mean(reward)
        products = self._centred.T @ (self._weight * reward)
        sizes = self._weight @ self._centred**2 * (self._weight @ reward**2)
        return products / np.sqrt(np.where(sizes > 0, sizes, np.inf))

    def _less_mean(self, values):
        """Subtract from every item's values the mean of its prompt's."""
        values = np.asarray(values, dtype=np.float64)
        columns = values.reshape(len(values), -1)
        total = np.bincount(self._groups, self._weight)
        means = (
            np.stack(
                [np.bincount(self._groups, self._weight * v) for v in columns.T], axis=1
            )
            / np.where(total > 0, total, 1.0)[:, np.newaxis]
        )
        return (columns - means[self._groups]).reshape(values.shape)

    def _means_of_items(self):
        n_items = self._items.shape[0]
        total = np.bincount(self._groups, self._weight)
        share = self._weight / np.where(total > 0, total, 1.0)[self._groups]
        average = sp.csc_array(
            (share, (self._groups, np.arange(n_items))), shape=(len(total), n_items)
        )
        means = np.zeros((len(total), self._items.shape[1]))
        for start in range(0, n_items, BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            means += average[:, block] @ rows_as(self._items[block], np.float64)
        return means


def check_covariates(X, covariates) -> Array:
    """Covariates of items, (n_items, k), or of both sides of pairs, (n_pairs, 2, k)."""
    if covariates is None:
        return _log_length(X)
    values = np.asarray(covariates)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"covariates must be numbers, got dtype {values.dtype}.")
    values = values.astype(np.float64)
    is_container = isinstance(X, EmbeddingPairs)
    if not is_pairs(X):
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        wanted = f"({n},) or ({n}, n_covariates)"
        fits = values.ndim in (1, 2) and len(values) == n
    elif is_container and values.ndim != 3:
        wanted = f"({X.n_items},), ({X.n_items}, n_covariates) or ({len(X)}, 2, "
        wanted += "n_covariates)"
        fits = values.ndim in (1, 2) and len(values) == X.n_items
    else:
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        wanted = f"({n}, 2) or ({n}, 2, n_covariates)"
        fits = values.ndim in (2, 3) and values.shape[:2] == (n, 2)
    if not fits or 0 in values.shape:
        raise ValueError(f"covariates must have shape {wanted}, got {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("covariates must be finite.")
    if is_container and values.ndim != 3:
        return values.reshape(len(values), -1)[X.index]
    n_sides = 2 if is_pairs(X) else 1
    return values[..., np.newaxis] if values.ndim == n_sides else values


def _log_length(X):
    """Log of one plus the characters of every response, where X is texts."""
    texts = read_texts(X)
    if texts is None:
        raise ValueError(
            "covariates are needed: only texts have a default, the log of their "
            "length. Give one row an item of X."
        )
    items = texts.items if isinstance(texts, TextPairs) else texts
    length = np.log1p(items.lengths)[:, np.newaxis]
    return length[texts.pairs] if isinstance(texts, TextPairs) else length


def covariates_of_items(X, covariates):
    """Covariates of the items that X is taken apart into; means, where sides differ."""
    split = take_apart(X)
    if split.index is None:
        return covariates
    n_items = split.items.shape[0]
    place = split.index.ravel()
    count = np.maximum(np.bincount(place, minlength=n_items), 1)
    columns = covariates.reshape(len(place), -1).T
    sums = [np.bincount(place, column, n_items) for column in columns]
    return np.stack(sums, axis=1) / count[:, np.newaxis]


def _item_groups(comparisons):
    """Prompt of every item, else component, else one for all, numbered from 0."""
    if comparisons.prompt_ids is not None:
        return encode(comparisons.prompt_ids)
    groups = np.zeros(comparisons.items.shape[0], dtype=np.intp)
    groups[comparisons.index] = components(comparisons.index)
    return groups
