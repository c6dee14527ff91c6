"""How well a model orders pairs, beside baselines, and where: slices of the pairs."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skreward.data.groups import encode
from skreward.data.leaks import known_prompts, trained_on
from skreward.metrics.pairs import pair_agreement
from skreward.report.evidence import Evidence, Judged
from skreward.report.intervals import Estimate
from skreward.text.counts import name_languages
from skreward.text.items import plain

# Lengths whose ratio is below this are about the same.
SIMILAR = 1.1
# Norms that differ by less than this share differ by rounding.
EQUAL_NORMS = 1e-4
RATIOS = (1.1, 1.5, 2.0)
PROMPT_CHARACTERS = (100, 500, 2000)
MOST_VALUES = 10
# Of a language: a few words of a short text are easily taken for another.
MIN_SHARE = 0.01
LANGUAGE_NAMES = {
    "E": "English",
    "D": "German",
    "F": "French",
    "S": "Spanish",
    "I": "Italian",
    "P": "Portuguese",
    "N": "Dutch",
    "W": "Swedish",
    "L": "Polish",
    "T": "Turkish",
    None: "not told",
}
HUMAN_TURN = "\n\nHuman:"
NO_TEXTS = "the data hold no texts"
NO_LENGTHS = "the data hold neither texts nor lengths"


@dataclass(frozen=True)
class Row:
    """Order consistency of one reward, or of one model on some of the pairs.

    Attributes
    ----------
    name : str
        What is scored, or the pairs on which.
    model : Estimate
        Order consistency of the model.
    baseline : Estimate or None
        Of the baseline: the longer response in a slice.
    gain : Estimate or None
        Of the model less that of the baseline, on the same pairs.
    other : Estimate or None
        Of the model that is compared.
    """

    name: str
    model: Estimate
    baseline: Estimate | None = None
    gain: Estimate | None = None
    other: Estimate | None = None


@dataclass(frozen=True)
class Baseline:
    """A reward without a model; ``missing`` says why it cannot be had."""

    name: str
    score: Estimate | None
    gain: Estimate | None
    missing: str = ""


@dataclass(frozen=True)
class Slices:
    """A way to divide the pairs; ``missing`` says why it cannot be done."""

    name: str
    rows: tuple[Row, ...] = ()
    missing: str = ""


class Scores(NamedTuple):
    """What every pair adds to the order consistency, by who orders it."""

    model: np.ndarray
    longer: np.ndarray | None
    other: np.ndarray | None


def score(evidence: Evidence, judged: Judged, other: Judged | None = None) -> Scores:
    """Compare the margins of all with the labels."""

    def agreement(margin):
        return None if margin is None else pair_agreement(evidence.target, margin)

    longer = None
    if evidence.lengths is not None:
        longer = evidence.difference(evidence.lengths)
    model = pair_agreement(evidence.target, judged.margin)
    others = None if other is None else other.margin
    return Scores(model, agreement(longer), agreement(others))


def row_of(name, evidence: Evidence, scores: Scores, mask=None) -> Row:
    """Score some of the pairs; None is all."""
    if mask is None:
        mask = np.ones(len(evidence), dtype=bool)
    clusters = evidence.clusters.take(mask)
    model, longer, other = (None if s is None else s[mask] for s in scores)
    return Row(
        name,
        clusters.share(model),
        None if longer is None else clusters.share(longer),
        None if longer is None else clusters.mean(model - longer),
        None if other is None else clusters.share(other),
    )


def baselines(evidence: Evidence, scores: Scores, norms) -> tuple[Baseline, ...]:
    """Score rewards that know nothing of what a response says."""
    margins: dict[str, str | np.ndarray] = {
        "longer response": NO_LENGTHS,
        "larger norm of the embedding": "no embedding of the responses is known",
        "prompt alone": "no prompts are known",
    }
    if evidence.lengths is not None:
        margins["longer response"] = evidence.difference(evidence.lengths)
    if norms is not None:
        margins["larger norm of the embedding"] = _norm_margin(evidence, norms)
    if evidence.prompt_ids is not None:
        margins["prompt alone"] = _prompt_margin(evidence)
    made = [_baseline(n, margin, evidence, scores) for n, margin in margins.items()]
    return (*made, _baseline("coin", np.zeros(len(evidence)), evidence, scores))


def _baseline(name, margin, evidence, scores):
    if isinstance(margin, str):
        return Baseline(name, None, None, margin)
    agreement = pair_agreement(evidence.target, margin)
    clusters = evidence.clusters
    return Baseline(
        name, clusters.share(agreement), clusters.mean(scores.model - agreement)
    )


def _norm_margin(evidence, norms):
    margin = evidence.difference(norms)
    margin[np.abs(margin) <= EQUAL_NORMS * np.abs(norms).max()] = 0.0
    return margin


def _prompt_margin(evidence):
    """Share of its other pairs that a prompt's responses win, less the other's.

    Nothing where both responses answer one prompt: then a reward of the prompt ties.
    """
    prompts = encode(evidence.pair_prompts)
    weight = np.where(prompts[:, 0] == prompts[:, 1], 0.0, evidence.weight)
    n = int(prompts.max()) + 1
    won = np.stack([evidence.target, 1 - evidence.target], axis=1)
    weights = np.stack([weight, weight], axis=1)
    seen = np.bincount(prompts.ravel(), weights.ravel(), n)
    wins = np.bincount(prompts.ravel(), (weights * won).ravel(), n)
    others = seen[prompts] - weights
    wins_there = wins[prompts] - weights * won
    share = np.where(others > 1e-12, wins_there / np.maximum(others, 1e-12), 0.5)
    return np.where(weight > 0, share[:, 0] - share[:, 1], 0.0)


def similar_length(evidence: Evidence) -> np.ndarray | None:
    """Mask the pairs whose responses are about as long as each other."""
    if evidence.lengths is None:
        return None
    return _length_ratio(evidence) < SIMILAR


def new_prompts(evidence: Evidence, judged: Judged) -> tuple[int, np.ndarray]:
    """Count the prompts that a model was trained on; mask the pairs of none of them."""
    prompts = evidence.pair_prompts
    if prompts is None:
        return 0, np.ones(len(evidence), dtype=bool)
    seen, is_new = trained_on(known_prompts(judged.model), prompts.ravel())
    n_seen = len(np.unique(prompts.ravel()[seen]))
    return n_seen, np.asarray(is_new.reshape(prompts.shape).all(axis=1))


def _length_ratio(evidence):
    first, second = evidence.lengths[evidence.index.T]
    return np.maximum(first, second) / np.maximum(np.minimum(first, second), 1)


def slices(evidence: Evidence, judged: Judged, scores: Scores) -> tuple[Slices, ...]:
    """Divide the pairs in every way that the data allow, and score the parts."""
    parted = {
        "Length against the label": _by_longer(evidence),
        "Ratio of the lengths": _by_ratio(evidence),
        "Characters of the prompt": _by_prompt_length(evidence),
        "Language": _by_language(evidence),
        "Code in a response": _by_code(evidence),
        "Turns of the dialogue": _by_turns(evidence),
        "Size of the margin": _by_margin(judged.margin),
        "Agreement of the labels": _by_label_agreement(evidence),
        **{name: _by_value(value) for name, value in evidence.slices.items()},
    }
    return tuple(_slices(name, part, evidence, scores) for name, part in parted.items())


def _slices(name, parts, evidence, scores):
    if isinstance(parts, str):
        return Slices(name, missing=parts)
    counts = evidence.weight > 0
    rows = [
        row_of(label, evidence, scores, mask & counts)
        for label, mask in parts.items()
        if (mask & counts).any()
    ]
    return Slices(name, tuple(rows))


def _by_longer(evidence):
    if evidence.lengths is None:
        return NO_LENGTHS
    longer = np.sign(evidence.difference(evidence.lengths))
    longer *= np.sign(evidence.target - 0.5)
    is_tie = evidence.target == 0.5
    return {
        "the preferred is longer": (longer > 0) & ~is_tie,
        "the rejected is longer": (longer < 0) & ~is_tie,
        "both are as long": (longer == 0) & ~is_tie,
    }


def _by_ratio(evidence):
    if evidence.lengths is None:
        return NO_LENGTHS
    return _bins(_length_ratio(evidence), RATIOS, "{:g}")


def _by_prompt_length(evidence):
    prompts = _prompts(evidence)
    if prompts is None:
        return NO_TEXTS if evidence.texts is None else "the texts have no prompts"
    length = np.array([len(prompt) for prompt in prompts])
    return _bins(length[evidence.index[:, 0]], PROMPT_CHARACTERS, "{:,}")


def _bins(values, edges, form):
    """Mask values below the first edge, between edges, and from the last on."""
    shown = [form.format(edge) for edge in edges]
    labels = [f"under {shown[0]}"]
    labels += [f"{a} to {b}" for a, b in pairwise(shown)]
    labels.append(f"{shown[-1]} or more")
    place = np.searchsorted(edges, values, side="right")
    return {label: place == k for k, label in enumerate(labels)}


def _by_language(evidence):
    """Language of a prompt and one response to it: prompts alone are too short."""
    if evidence.texts is None:
        return NO_TEXTS
    texts, places = evidence.texts.items, []
    first_of: dict = {}
    for first in evidence.index[:, 0].tolist():
        prompt = plain(texts[first].prompt or "")
        # Lone texts have no prompt that they share.
        key = prompt or (first,)
        places.append(first_of.setdefault(key, first))
    read = sorted(set(places))
    written = [
        f"{plain(texts[k].prompt or '')}\n\n{plain(texts[k].response)}" for k in read
    ]
    codes = dict(zip(read, name_languages(written), strict=True))
    names = [
        LANGUAGE_NAMES.get(codes[k], f"script: {codes[k]}".lower()) for k in places
    ]
    return _by_value(names, MIN_SHARE * len(names))


def _by_code(evidence):
    if evidence.texts is None:
        return NO_TEXTS
    has_code = np.array(["```" in plain(text) for text in evidence.texts.responses])
    either = has_code[evidence.index].any(axis=1)
    if not either.any():
        return "no response has a code block"
    return {"a code block in one": either, "none": ~either}


def _by_turns(evidence):
    if evidence.texts is None:
        return NO_TEXTS
    turns = np.array(list(map(_turns, evidence.texts.prompts)))
    turns = turns[evidence.index[:, 0]]
    if turns.max() < 2:
        return "no prompt has more than one turn"
    return {
        "1": turns <= 1,
        "2": turns == 2,
        "3 or 4": (turns == 3) | (turns == 4),
        "5 or more": turns > 4,
    }


def _turns(prompt):
    """Count what people say in a prompt."""
    if isinstance(prompt, list):
        return sum(message.get("role") == "user" for message in prompt)
    return max(1, f"\n\n{prompt or ''}".count(HUMAN_TURN))


def _by_margin(margin):
    size = np.abs(margin)
    edges = np.quantile(size, [0.25, 0.5, 0.75])
    place = np.searchsorted(edges, size, side="left")
    labels = ["smallest quarter", "second quarter", "third quarter", "largest quarter"]
    return {label: place == k for k, label in enumerate(labels)}


def _by_label_agreement(evidence):
    share = label_agreement(evidence)
    if (share == 1).all():
        return "every label is 0 or 1, and no pair is labelled twice otherwise"
    return {
        "all agree": share == 1,
        "three quarters or more": (share >= 0.75) & (share < 1),
        "more than half": (share > 0.5) & (share < 0.75),
        "even": share == 0.5,
    }


def label_agreement(evidence: Evidence) -> np.ndarray:
    """Share of the labels of the same two items that say the same, for every pair."""
    low, high = np.sort(evidence.index, axis=1).T
    same = encode(low * (int(evidence.index.max()) + 1) + high)
    is_low = evidence.index[:, 0] == low
    for_low = np.where(is_low, evidence.target, 1 - evidence.target)
    total = np.bincount(same, evidence.weight)
    share = np.bincount(same, evidence.weight * for_low) / np.where(total > 0, total, 1)
    return np.maximum(share, 1 - share)[same]


def _by_value(values, min_pairs=1.0):
    """Mask the pairs of each value, the most frequent ones; the rest together."""
    names = np.array([str(value) for value in values], dtype=object)
    distinct, count = np.unique(names, return_counts=True)
    kept = distinct[np.argsort(-count, kind="stable")][:MOST_VALUES]
    kept = kept[: int((count >= min_pairs).sum())]
    parts = {name: names == name for name in kept}
    n_others = len(distinct) - len(kept)
    if n_others:
        parts[f"others ({n_others})"] = ~np.isin(names, kept)
    return parts


def _prompts(evidence):
    if evidence.texts is None or evidence.texts.lone:
        return None
    return evidence.texts["prompt"]
