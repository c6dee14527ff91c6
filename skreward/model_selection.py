"""Splits of pairs that no prompt straddles."""

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import assert_all_finite, check_random_state, indexable

from skreward.data.gate import is_pairs, take_apart
from skreward.data.groups import components, deal, encode, hold_out
from skreward.data.pairs import EmbeddingPairs
from skreward.text.tables import (
    is_text,
    is_text_pairs,
    require_pair_columns,
    text_prompt_ids,
)
from skreward.utils.checks import check_prompts
from skreward.utils.compat import GroupsConsumerMixin
from skreward.utils.typing import ArrayLike, RandomState

__all__ = ["PromptDisjointKFold", "train_test_split_pairs"]

# A warning says how many pairs straddle above this share of them.
STRADDLING_SHARE = 0.1


class PromptDisjointKFold(GroupsConsumerMixin, BaseCrossValidator):
    """K folds of pairs; no prompt is on both sides of a split.

    Prompts are dealt to folds of like size. A pair is tested in the fold that holds
    both its prompts, trained on where neither is in the test fold, and left out of
    the splits where it straddles: with cross-prompt pairs, grouping by the first
    prompt alone would show nearly every test prompt to the model.

    Parameters
    ----------
    n_splits : int, default=5
        Folds, at least 2 and at most the number of prompts.

    shuffle : bool, default=True
        Shuffle prompts before they are dealt. False deals them in sorted order.

    random_state : int, RandomState instance or None, default=None
        Fixes the shuffle. Used only with ``shuffle=True``.

    Notes
    -----
    Prompt ids come from ``groups`` if given, ``(n_pairs,)`` or ``(n_pairs, 2)`` for
    pairs of two prompts; else from ``X.prompt_ids`` of an `EmbeddingPairs`.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from skreward import BradleyTerryRegressor
    >>> from skreward.datasets import make_preferences
    >>> from skreward.model_selection import PromptDisjointKFold
    >>> data = make_preferences(n_pairs=1000, random_state=0)
    >>> cv = PromptDisjointKFold(5, random_state=0)
    >>> scores = cross_val_score(BradleyTerryRegressor(), data.pairs, data.y, cv=cv)
    >>> scores.shape
    (5,)
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = True,
        random_state: RandomState = None,
    ) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate positions of training and test pairs.

        Parameters
        ----------
        X : EmbeddingPairs or array-like of length n_pairs
            Pairs.
        y : array-like, default=None
            Ignored but for its length.
        groups : array-like of shape (n_pairs,) or (n_pairs, 2), default=None
            Prompt ids of every pair, or of both its sides.

        Yields
        ------
        train, test : arrays of int
            Positions of pairs.

        Raises
        ------
        ValueError
            If no prompt ids are known, or there are fewer prompts than folds.
        """
        self._check_parameters()
        X, y = indexable(X, y)
        prompts = encode(pair_prompt_ids(X, groups))
        n_prompts = int(prompts.max()) + 1
        if n_prompts < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the {n_prompts} prompts."
            )
        rng = check_random_state(self.random_state) if self.shuffle else None
        fold = deal(prompts, self.n_splits, rng)
        warn_of_straddling(fold[:, 0] != fold[:, 1])
        yield from _parts(fold, self.n_splits)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def _check_parameters(self):
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise ValueError(
                f"n_splits must be an int of at least 2, got {self.n_splits!r}."
            )
        if not isinstance(self.shuffle, bool | np.bool_):
            raise ValueError(f"shuffle must be a bool, got {self.shuffle!r}.")
        if not self.shuffle and self.random_state is not None:
            raise ValueError(
                f"random_state={self.random_state!r} does nothing with shuffle=False."
            )


def train_test_split_pairs(
    X: Any,
    *arrays: Any,
    test_size: float = 0.25,
    groups: ArrayLike | None = None,
    random_state: RandomState = None,
) -> list[Any]:
    """Split pairs into training and test pairs that share no prompt.

    Parameters
    ----------
    X : EmbeddingPairs or array-like of length n_pairs
        Pairs.
    *arrays : array-likes of length n_pairs, or None
        Labels, weights and the like, split alongside; None gives None twice.
    test_size : float, default=0.25
        Share of the prompts' sides to hold out, in (0, 1).
    groups : array-like of shape (n_pairs,) or (n_pairs, 2), default=None
        Prompt ids as in `PromptDisjointKFold`; by default those of X.
    random_state : int, RandomState instance or None, default=None
        Fixes which prompts are held out.

    Returns
    -------
    splits : list
        ``[X_train, X_test, y_train, y_test, ...]``. Pairs with a prompt on either
        side are in neither; above 10 % of them a warning says so.

    Raises
    ------
    ValueError
        If no prompt ids are known, lengths differ, ``test_size`` is out of range, or
        either part would be empty.

    Examples
    --------
    >>> from skreward.datasets import make_preferences
    >>> from skreward.model_selection import train_test_split_pairs
    >>> data = make_preferences(n_pairs=1000, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split_pairs(
    ...     data.pairs, data.y, test_size=0.2, random_state=0)
    >>> len(X_train) == len(y_train), len(X_test) == len(y_test)
    (True, True)
    """
    if not isinstance(test_size, float) or not 0 < test_size < 1:
        raise ValueError(f"test_size must be a float in (0, 1), got {test_size!r}.")
    X, *arrays = indexable(X, *arrays)
    prompts = encode(pair_prompt_ids(X, groups))
    is_train, is_test = hold_out(prompts, test_size, check_random_state(random_state))
    if not (is_train.any() and is_test.any()):
        raise ValueError(
            f"test_size={test_size:g} of {int(prompts.max()) + 1} prompts leaves "
            f"{is_train.sum()} training and {is_test.sum()} test pairs."
        )
    warn_of_straddling(~(is_train | is_test))
    parts = np.flatnonzero(is_train), np.flatnonzero(is_test)
    return [
        None if array is None else take(array, part)
        for array in (X, *arrays)
        for part in parts
    ]


def disjoint_folds(X, y, cv, prompt_ids=None):
    """Positions of training and test samples that share nothing, as a list.

    A splitter or a list of splits is taken as it is. A number is that many folds of
    prompts; where X knows none, of the connected components of shared items; where
    one component holds most of the pairs, of items, leaving out the pairs between
    folds; and where samples are items, of their
    ``prompt_ids`` or else of these. Dealt in order: nothing is random.
    """
    if not isinstance(cv, int | np.integer):
        return list(check_cv(cv).split(X, y))
    if not is_pairs(X):
        n_items = n_samples(X)
        if n_items < cv:
            raise ValueError(f"cv={cv} folds of n_samples={n_items} items.")
        if prompt_ids is None:
            fold = np.arange(n_items) % cv
        else:
            prompts, codes = check_prompts(prompt_ids, n_items)
            if len(prompts) < cv:
                raise ValueError(f"cv={cv} is more than the {len(prompts)} prompts.")
            fold = deal(codes, cv)
        return list(_parts(fold[:, np.newaxis], cv))
    # A container needs no look at its items.
    pairs = X if isinstance(X, EmbeddingPairs) else take_apart(X)
    index, prompt_ids = pairs.index, pairs.prompt_ids
    if n_samples(index) == 0:
        raise ValueError("X holds 0 pairs; at least one is needed.")
    if not isinstance(pairs, EmbeddingPairs) and isinstance(pairs.items, np.ndarray):
        # Items that are no numbers would all be one, and hang together.
        assert_all_finite(pairs.items, input_name="X")
    # Not numbered by appearance: the order of the pairs decides nothing.
    groups = encode(components(index) if prompt_ids is None else prompt_ids[index])
    sizes = np.bincount(groups[:, 0])
    if prompt_ids is not None and len(sizes) < cv:
        raise ValueError(f"cv={cv} is more than the {len(sizes)} prompts.")
    if prompt_ids is None and (len(sizes) < cv or 2 * sizes.max() > len(groups)):
        groups = encode(index)
    fold = deal(groups, cv)
    straddles = fold[:, 0] != fold[:, 1]
    if prompt_ids is not None:
        warn_of_straddling(straddles)
    elif straddles.any():
        warnings.warn(
            "X knows no prompts, and most of its pairs hang together by shared items: "
            f"the {cv} folds are of items, and the {int(straddles.sum())} of "
            f"{len(fold)} pairs between them are left out. Give prompt ids, as in "
            "EmbeddingPairs(embeddings, index, prompt_ids).",
            UserWarning,
            stacklevel=4,
        )
    return list(_parts(fold, cv))


def _parts(fold, n_splits):
    """Training and test positions, given the fold of each side of every sample."""
    for k in range(n_splits):
        is_test = fold == k
        train = np.flatnonzero(~is_test.any(axis=1))
        test = np.flatnonzero(is_test.all(axis=1))
        if len(train) == 0 or len(test) == 0:
            raise ValueError(
                f"Fold {k} has {len(train)} training and {len(test)} test pairs: "
                "too many pairs straddle folds. Lower the number of folds."
            )
        yield train, test


def pair_prompt_ids(X, groups=None):
    """Prompt ids of both sides of every pair, (n_pairs, 2)."""
    n_pairs = n_samples(X)
    if n_pairs == 0:
        raise ValueError("X holds 0 pairs; there is nothing to split.")
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape == (n_pairs,):
            return np.column_stack([groups, groups])
        if groups.shape == (n_pairs, 2):
            return groups
        raise ValueError(
            f"groups must have shape ({n_pairs},) or ({n_pairs}, 2) for {n_pairs} "
            f"pairs, got {groups.shape}."
        )
    if isinstance(X, EmbeddingPairs) and X.prompt_ids is not None:
        return X.pair_prompt_ids
    if is_text_pairs(X):
        return text_prompt_ids(X)
    if is_text(X):
        require_pair_columns(X)
    raise ValueError(
        "Prompt ids are needed to keep prompts apart: give groups, one id a pair or "
        "one a side, an EmbeddingPairs with prompt_ids, or a table of text pairs."
    )


def warn_of_straddling(straddles):
    """Warn when more than a tenth of the pairs are left out of splits."""
    share = float(np.mean(straddles))
    if share > STRADDLING_SHARE:
        warnings.warn(
            f"{int(straddles.sum())} of {len(straddles)} pairs ({share:.0%}) compare "
            "prompts of different parts, and are left out of splits between them.",
            UserWarning,
            stacklevel=3,
        )


def n_samples(X):
    """Count the samples of a table, an array, a container or a list."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def take(array, positions):
    """Pick samples of a table, an array, a container or a list."""
    if hasattr(array, "iloc"):
        return array.iloc[positions]
    if hasattr(array, "shape"):
        return array[positions]
    return [array[position] for position in positions]
