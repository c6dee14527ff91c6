"""Single pairs: mistakes and doubts, and what is odd about the data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skreward.data.groups import encode
from skreward.metrics.pairs import pair_agreement
from skreward.report.evidence import Evidence, Judged
from skreward.text.items import plain
from skreward.text.transformer import LLMEmbeddingTransformer

N_SHOWN = 10


@dataclass(frozen=True)
class Example:
    """One pair, the preferred response first.

    Attributes
    ----------
    pair : int
        Its position in the data, from 0.
    label : float
        How far the first one shown is preferred, at least one half.
    margin : float
        Its reward less that of the other.
    probability : float or None
        What the model gives that it is preferred.
    other_margin : float or None
        The margin of the model that is compared.
    prompt, preferred, rejected : str or None
        Texts, where they are known.
    items : tuple of int
        Rows of the two.
    """

    pair: int
    label: float
    margin: float
    probability: float | None
    other_margin: float | None
    prompt: str | None
    preferred: str | None
    rejected: str | None
    items: tuple[int, int]


@dataclass(frozen=True)
class Facts:
    """Counts of the data. None is what cannot be known of them."""

    n_pairs: int
    n_items: int
    n_prompts: int | None
    n_pairs_across_prompts: int | None
    n_rated: int | None
    n_weightless: int
    n_ties: int
    n_soft: int
    n_repeated: int
    n_contradictions: int
    n_equal_texts: int
    n_empty: int | None
    n_texts_cut: int | None
    n_pairs_cut: int | None
    n_equal_rewards: int
    n_prompts_trained_on: int
    length_quartiles: tuple[float, float, float] | None


def mistakes(evidence: Evidence, judged: Judged, other=None) -> tuple[Example, ...]:
    """Give the pairs that the model is surest of and has the wrong way round."""
    wrong = (pair_agreement(evidence.target, judged.margin) < 0.5) & _counts(evidence)
    return _examples(
        np.flatnonzero(wrong), -np.abs(judged.margin), evidence, judged, other
    )


def doubtful(evidence: Evidence, judged: Judged, other=None) -> tuple[Example, ...]:
    """Give the pairs of different responses that the model is least sure of."""
    may = _counts(evidence) & ~evidence.is_equal
    return _examples(
        np.flatnonzero(may), np.abs(judged.margin), evidence, judged, other
    )


def disagreements(evidence: Evidence, judged: Judged, other) -> tuple[Example, ...]:
    """Give the pairs that two models order differently, the furthest apart first."""
    turned = (judged.margin * other.margin < 0) & _counts(evidence)
    scales = [np.sqrt(np.mean(m.margin**2)) or 1.0 for m in (judged, other)]
    gap = np.abs(judged.margin / scales[0] - other.margin / scales[1])
    return _examples(np.flatnonzero(turned), -gap, evidence, judged, other)


def facts(evidence: Evidence, judged: Judged, encoder: Any, n_trained: int) -> Facts:
    """Count what is odd about the data."""
    index, target = evidence.index, evidence.target
    prompts = evidence.pair_prompts
    cut = _mask_of_cut(evidence, encoder)
    low, high = np.sort(index, axis=1).T
    same = encode(low * (int(index.max()) + 1) + high)
    for_low = np.where(index[:, 0] == low, target, 1 - target)
    turned = [np.bincount(same, side) > 0 for side in (for_low > 0.5, for_low < 0.5)]
    is_tie = target == 0.5
    is_soft = ~is_tie & (target > 0) & (target < 1)
    occurring = np.unique(index)
    quartiles = None
    if evidence.lengths is not None:
        found = np.quantile(evidence.lengths[occurring], [0.25, 0.5, 0.75])
        quartiles = (float(found[0]), float(found[1]), float(found[2]))
    n_prompts = n_across = None
    if prompts is not None:
        n_prompts = len(np.unique(prompts))
        n_across = int((prompts[:, 0] != prompts[:, 1]).sum())
    empty = _is_empty(evidence)
    return Facts(
        n_pairs=len(evidence),
        n_items=len(occurring),
        n_prompts=n_prompts,
        n_pairs_across_prompts=n_across,
        n_rated=None if evidence.ratings is None else len(evidence.ratings),
        n_weightless=int((evidence.weight == 0).sum()),
        n_ties=int(is_tie.sum()),
        n_soft=int(is_soft.sum()),
        n_repeated=len(index) - len(np.unique(same)),
        n_contradictions=int((turned[0] & turned[1]).sum()),
        n_equal_texts=int(evidence.is_equal.sum()),
        n_empty=None if empty is None else int(empty[occurring].sum()),
        n_texts_cut=None if cut is None else int(cut[occurring].sum()),
        n_pairs_cut=None if cut is None else int(cut[index].any(axis=1).sum()),
        n_equal_rewards=int((judged.margin == 0).sum()),
        n_prompts_trained_on=n_trained,
        length_quartiles=quartiles,
    )


def _counts(evidence):
    return evidence.weight > 0


def _is_empty(evidence):
    if evidence.texts is not None:
        texts = evidence.texts.responses
        return np.array([not plain(text).strip() for text in texts])
    return None if evidence.lengths is None else evidence.lengths == 0


def _mask_of_cut(evidence, encoder):
    if evidence.texts is None or not isinstance(encoder, LLMEmbeddingTransformer):
        return None
    return encoder._which_are_cut(evidence.texts)


def _examples(rows, order, evidence, judged, other):
    rows = rows[np.argsort(order[rows], kind="stable")[:N_SHOWN]]
    return tuple(_example(int(k), evidence, judged, other) for k in rows)


def _example(k, evidence, judged, other):
    is_turned = evidence.target[k] < 0.5
    sign = -1.0 if is_turned else 1.0
    first, second = evidence.index[k][::-1] if is_turned else evidence.index[k]
    proba = None if judged.proba is None else float(judged.proba[k])
    prompt = preferred = rejected = None
    if evidence.texts is not None:
        a, b = evidence.texts[[first, second]].items
        prompt = None if a.prompt is None else plain(a.prompt)
        if prompt is not None and plain(b.prompt) != prompt:
            prompt = f"{prompt}\n\n(of the other response:)\n\n{plain(b.prompt)}"
        preferred, rejected = plain(a.response), plain(b.response)
    return Example(
        k,
        float(max(evidence.target[k], 1 - evidence.target[k])),
        sign * float(judged.margin[k]),
        proba if proba is None or not is_turned else 1 - proba,
        None if other is None else sign * float(other.margin[k]),
        prompt,
        preferred,
        rejected,
        (int(first), int(second)),
    )
