"""What a card is made of: pairs, labels, what is known of items, and predictions."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from skreward.annotation import pairs_from_ratings
from skreward.data.gate import (
    PAIRS_CARRY_PROMPTS,
    check_weight,
    is_pairs,
    require_labels_of,
)
from skreward.data.groups import components, resampling_groups
from skreward.data.pairs import EmbeddingPairs
from skreward.data.targets import check_numbers, check_preferences
from skreward.models.calibrated import CalibratedReward
from skreward.report.intervals import Clusters
from skreward.text.items import TextItems, TextPairs, value_key
from skreward.text.tables import read_texts
from skreward.utils.checks import check_prompts, check_rewards
from skreward.utils.through import last_step, predict_preference_proba

# Of rated items as many pairs are compared, spread over the prompts.
MAX_PAIRS = 20_000


@dataclass(frozen=True)
class Evidence:
    """Pairs of items, who is preferred, and what is known of the items.

    Attributes
    ----------
    source : TextItems, EmbeddingPairs or array
        What models are given: items, or pairs of them.
    index : array of shape (n_pairs, 2)
        The items of every pair.
    target, weight : arrays of shape (n_pairs,)
        P(first preferred) of the labels, and weights.
    prompt_ids : array of shape (n_items,) or None
        Prompts of the items.
    texts : TextItems or None
        Texts of the items.
    given_lengths : array of shape (n_items,) or None
        Characters of the responses, where there are no texts.
    ratings : array of shape (n_items,) or None
        What the pairs were made of.
    """

    source: Any
    index: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    prompt_ids: np.ndarray | None = None
    texts: TextItems | None = None
    given_lengths: np.ndarray | None = None
    ratings: np.ndarray | None = None
    slices: dict[str, np.ndarray] = field(default_factory=dict)
    level: float = 0.95

    def __len__(self):
        return len(self.index)

    @cached_property
    def clusters(self) -> Clusters:
        """What intervals are made of."""
        groups = resampling_groups(self.index, self.prompt_ids)
        return Clusters(groups, self.weight, self.level)

    @cached_property
    def grouping(self) -> str:
        """What pairs hang together by, in words."""
        if self.prompt_ids is not None:
            return "prompts"
        shared = components(self.index)[:, 0]
        if 2 * np.bincount(shared).max() > len(shared) > 1:
            return "items"
        return "groups of pairs that share items"

    @cached_property
    def lengths(self) -> np.ndarray | None:
        """Characters of every response."""
        if self.texts is None:
            return self.given_lengths
        return self.texts.lengths

    @cached_property
    def is_equal(self) -> np.ndarray:
        """Mask the pairs of an item, or of a text, with itself."""
        same = np.arange(int(self.index.max()) + 1)
        if self.texts is not None:
            # Not sorted: an array of texts is as wide as the longest.
            number: dict[str, int] = {}
            keys = (
                value_key(i.prompt) + value_key(i.response) for i in self.texts.each()
            )
            same = np.array([number.setdefault(key, len(number)) for key in keys])
        first, second = same[self.index.T]
        return first == second

    @property
    def pair_prompts(self) -> np.ndarray | None:
        """Prompts of both sides of every pair."""
        return None if self.prompt_ids is None else self.prompt_ids[self.index]

    def difference(self, values: np.ndarray) -> np.ndarray:
        """Give a value of the first item less that of the second, for every pair."""
        first, second = np.asarray(values, dtype=np.float64)[self.index.T]
        return first - second

    def over(self, rows: Any) -> Any:
        """Put the pairs over rows of the items; texts become a table."""
        if isinstance(rows, EmbeddingPairs):
            return rows
        if not isinstance(rows, TextItems):
            return EmbeddingPairs._over(rows, self.index, self.prompt_ids, None)
        first, second = (rows[side] for side in self.index.T)
        columns = zip(first.prompts, first.responses, second.responses, strict=True)
        return [{"prompt": p, "response_a": a, "response_b": b} for p, a, b in columns]


@dataclass(frozen=True)
class Judged:
    """What one model says of the pairs.

    ``before`` are probabilities before calibration, where the model is a calibrated
    one; ``reward`` is the estimator at its end; ``rewards`` are those of rated items.
    """

    name: str
    model: Any
    reward: Any
    margin: np.ndarray
    proba: np.ndarray | None
    before: np.ndarray | None
    rewards: np.ndarray | None = None
    file: dict[str, str] = field(default_factory=dict)


def read_evidence(
    X,
    y,
    *,
    prompt_ids=None,
    sample_weight=None,
    texts=None,
    lengths=None,
    slices=None,
    level=0.95,
) -> Evidence:
    """Read pairs with labels, or items with ratings, in any form; or raise."""
    if not is_pairs(X):
        if slices:
            raise ValueError("slices divide pairs, and X holds rated items.")
        return _read_rated(X, y, prompt_ids, sample_weight, texts, lengths, level)
    if prompt_ids is not None:
        raise ValueError(PAIRS_CARRY_PROMPTS)
    require_labels_of(X, y)
    read = read_texts(X)
    source: Any
    index: np.ndarray
    if isinstance(read, TextPairs):
        _refuse_beside_texts(texts, lengths)
        source, index, ids = read.items, read.pairs, read.items.prompt_ids
        texts = read.items
    else:
        source = X if isinstance(X, EmbeddingPairs) else EmbeddingPairs.from_dense(X)
        index, ids = source.index, source.prompt_ids
        texts = _texts_of_items(texts, source.n_items)
        lengths = _check_lengths(lengths, source.n_items)
    if len(index) == 0:
        raise ValueError("X holds 0 pairs; at least one is needed.")
    return Evidence(
        source,
        index,
        check_preferences(y, len(index)),
        check_weight(sample_weight, len(index), "pair"),
        ids,
        texts,
        lengths,
        slices=_check_slices(slices, len(index)),
        level=level,
    )


def _read_rated(X, y, prompt_ids, sample_weight, texts, lengths, level):
    read = read_texts(X)
    if read is None:
        n_items = X.shape[0] if hasattr(X, "shape") else len(X)
        texts = _texts_of_items(texts, n_items)
        lengths = _check_lengths(lengths, n_items)
    else:
        assert isinstance(read, TextItems)
        _refuse_beside_texts(texts, lengths)
        X, texts, n_items = read, read, len(read)
        prompt_ids = read.prompt_ids if prompt_ids is None else prompt_ids
    if y is None:
        raise ValueError("y is None: items (2-D X) are judged by a rating each.")
    ratings = check_numbers(y, "y")
    if len(ratings) != n_items:
        raise ValueError(f"y has {len(ratings)} ratings for {n_items} items.")
    weight = check_weight(sample_weight, n_items, "item")
    if prompt_ids is not None:
        prompt_ids = np.asarray(prompt_ids)
        check_prompts(prompt_ids, n_items)
    index, target = pairs_from_ratings(
        ratings, prompt_ids, max_pairs=MAX_PAIRS, random_state=0
    )
    return Evidence(
        X,
        index,
        target.astype(float),
        check_weight(weight[index].prod(axis=1), len(index), "pair"),
        prompt_ids,
        texts,
        lengths,
        ratings,
        level=level,
    )


def _refuse_beside_texts(texts, lengths):
    for name, value in (("texts", texts), ("lengths", lengths)):
        if value is not None:
            raise ValueError(f"{name} goes with embeddings, and X holds texts itself.")


def _texts_of_items(texts, n_items):
    if texts is None:
        return None
    read = read_texts(texts)
    if not isinstance(read, TextItems) or len(read) != n_items:
        got = "pairs" if isinstance(read, TextPairs) else f"{len(texts)} rows"
        raise ValueError(
            f"texts must hold a row of prompt and response for each of the {n_items} "
            f"items, got {got}."
        )
    return read


def _check_lengths(lengths, n_items):
    if lengths is None:
        return None
    lengths = check_rewards(lengths, n_items=n_items, name="lengths")
    if (lengths < 0).any():
        raise ValueError(f"lengths must be at least 0, got {lengths.min():g}.")
    return lengths


def _check_slices(slices, n_pairs):
    columns = {str(name): np.asarray(v) for name, v in (slices or {}).items()}
    for name, column in columns.items():
        if column.shape != (n_pairs,):
            raise ValueError(
                f"slices[{name!r}] must hold one value a pair, shape ({n_pairs},), got "
                f"{column.shape}."
            )
    return columns


def judge(model: Any, evidence: Evidence, name: str | None, file=None) -> Judged:
    """Ask a model for margins, and for probabilities where it has some.

    Steps before the reward run once.
    """
    try:
        reward, rows = last_step(model, evidence.source, "predict_reward")
    except TypeError:  # a reward that this package does not know
        reward, rows = model, evidence.source
    name = type(reward).__name__ if name is None else name
    pairs = evidence.over(rows)
    margin = np.asarray(reward.predict(pairs), dtype=np.float64)
    if margin.shape != (len(evidence),) or not np.isfinite(margin).all():
        raise ValueError(
            f"{name} must predict a finite margin for each of the {len(evidence)} "
            f"pairs, got shape {margin.shape}"
            + ("." if margin.shape != (len(evidence),) else " with NaN or infinity.")
        )
    proba = before = None
    if hasattr(reward, "predict_preference_proba"):
        proba = np.asarray(reward.predict_preference_proba(pairs), dtype=np.float64)
    if isinstance(reward, CalibratedReward):
        try:
            raw = predict_preference_proba(reward.estimator_, pairs)
            before = np.asarray(raw, dtype=np.float64)
        except TypeError:  # its margins are no log-odds
            before = None
    rewards = None
    if evidence.ratings is not None:
        rewards = np.asarray(reward.predict(rows), dtype=np.float64)
    return Judged(name, model, reward, margin, proba, before, rewards, file or {})


def norms_of(rows: Any) -> np.ndarray:
    """Length of every row, as a vector."""
    if sp.issparse(rows):
        return np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1), float).ravel())
    blocks = (rows[k : k + 4096] for k in range(0, len(rows), 4096))
    return np.concatenate(
        [np.linalg.norm(np.float64(block), axis=1) for block in blocks]
    )
