"""Prompts of the training that come back in a test: a score that is too good."""

import warnings
from hashlib import blake2b
from typing import Any

import numpy as np

from skreward.utils.through import inwards

# Of more prompts than these the ones with the smallest hashes are kept: a sample that
# is the same in training and test, small enough to be saved with every model.
MAX_KEPT = 1 << 14


def remember_prompts(estimator, split, index, *, reset) -> None:
    """Let a model know the prompts that it learns from, as hashes.

    ``index`` holds the pairs of the split that count.
    """
    before = None if reset else getattr(estimator, "_known_prompts", None)
    vars(estimator).pop("_known_prompts", None)
    if split.prompt_ids is None:
        return
    whole = _hashes(_ids_of_pairs(split.prompt_ids, split.index))
    hashes = whole
    if len(index) < len(split.index):
        hashes = _hashes(_ids_of_pairs(split.prompt_ids, index))
    if before is not None:
        hashes = np.union1d(before["hashes"], hashes)
    estimator._known_prompts = {
        "hashes": hashes[:MAX_KEPT],
        **_print_of(whole, len(split.index)),
    }


def known_prompts(model) -> dict[str, Any] | None:
    """Give what a model knows of its prompts, through what it stands in."""
    for *_, inner in inwards(model):
        if hasattr(inner, "_known_prompts"):
            return inner._known_prompts
    wrapped = getattr(inner, "estimator_", None)
    return None if wrapped is None else known_prompts(wrapped)


def trained_on(known, prompt_ids) -> tuple[np.ndarray, np.ndarray]:
    """Tell which prompts a model was trained on, and which are new to it.

    Both are masks of ``prompt_ids``. Of a model that was trained on more prompts than
    are kept, some may be either: those are in neither mask.
    """
    distinct, of = np.unique(prompt_ids, return_inverse=True)
    if known is None:
        return np.zeros(len(of), dtype=bool), np.ones(len(of), dtype=bool)
    hashes, kept = _hash_each(distinct), known["hashes"]
    is_known = np.isin(hashes, kept)
    is_told = len(kept) < MAX_KEPT or hashes <= kept[-1]
    return is_known[of], (~is_known & is_told)[of]


def warn_of_known_prompts(known, pair_prompt_ids) -> None:
    """Warn where a test holds prompts of the training, and is not the training."""
    hashes = _hashes(pair_prompt_ids)
    kept = known["hashes"]
    if _print_of(hashes, len(pair_prompt_ids)).items() <= known.items():
        return  # the training score is what was asked for
    if np.isin(hashes, kept).any():
        # The same words each time: shown once, however many folds there are.
        warnings.warn(
            "The model was trained on prompts of the pairs it is scored on: the score "
            "is too good. Keep prompts apart: cv=PromptDisjointKFold(), or "
            "train_test_split_pairs, of skreward.model_selection.",
            UserWarning,
            stacklevel=2,
        )


def _ids_of_pairs(prompt_ids, index):
    occurs = np.zeros(len(prompt_ids), dtype=bool)
    occurs[index.ravel()] = True
    return prompt_ids[occurs]


def _print_of(hashes, n_pairs) -> dict[str, int]:
    """Tell the training set from others: as many pairs of the same prompts are it."""
    return {"n_pairs": n_pairs, "sum": int(hashes.sum(dtype=np.uint64))}


def _hashes(ids) -> np.ndarray:
    """Give the distinct hashes of ids, sorted: the same in every process."""
    ids = np.asarray(ids).ravel()
    if ids.dtype.kind not in "iub":
        ids = np.array(list(dict.fromkeys(ids.tolist())), dtype=object)
    # By sorting, which takes a third of the time of np.unique.
    found = np.sort(_hash_each(ids))
    return found[np.concatenate([[True], found[1:] != found[:-1]])]


def _hash_each(ids) -> np.ndarray:
    if ids.dtype.kind in "iub":
        mixed = ids.astype(np.int64).view(np.uint64)
        # The finalizer of splitmix64, which maps no two numbers to one.
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
    return np.array([_digest(value) for value in ids.tolist()], dtype=np.uint64)


def _digest(value) -> int:
    return int.from_bytes(
        blake2b(str(value).encode(), digest_size=8).digest(), "little"
    )
