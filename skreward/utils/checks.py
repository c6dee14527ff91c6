"""Checks of plain arguments: what was given, what is wanted, before any work."""

import re
from numbers import Integral, Real
from typing import Any

import numpy as np

from skreward.utils.typing import Array, ArrayLike


def check_rewards(
    rewards: ArrayLike, *, n_items: int | None = None, name: str = "rewards"
) -> Array:
    """Give rewards as a finite float64 array of shape (n_items,), or raise."""
    rewards = np.asarray(rewards)
    if rewards.ndim != 1 or (n_items is not None and len(rewards) != n_items):
        wanted = "n_items" if n_items is None else n_items
        raise ValueError(f"{name} must have shape ({wanted},), got {rewards.shape}.")
    if rewards.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers, got dtype {rewards.dtype}.")
    if len(rewards) == 0:
        raise ValueError(f"{name} is empty.")
    rewards = rewards.astype(np.float64)
    if not np.isfinite(rewards).all():
        k = int(np.argmin(np.isfinite(rewards)))
        raise ValueError(f"{name} must be finite, got {rewards[k]} at item {k}.")
    return rewards


def check_index(index: ArrayLike, n_items: int) -> Array:
    """Give pair indices as an integer array of shape (n_pairs, 2), or raise."""
    index = np.asarray(index)
    if index.ndim != 2 or index.shape[1] != 2:
        raise ValueError(f"index must have shape (n_pairs, 2), got {index.shape}.")
    if index.dtype.kind not in "iu":
        raise ValueError(f"index must hold integers, got dtype {index.dtype}.")
    outside = ((index < 0) | (index >= n_items)).any(axis=1)
    if outside.any():
        k = int(outside.argmax())
        raise ValueError(
            f"index is out of range at pair {k}: it compares items "
            f"{index[k].tolist()}, and there are {n_items} items."
        )
    return index


def check_real(
    value: Any,
    name: str,
    *,
    low: float,
    high: float = np.inf,
    include_low: bool = True,
) -> float:
    """Give a real number in [low, high] (or (low, high]) as a float, or raise."""
    if not isinstance(value, Real) or isinstance(value, bool) or value != value:
        raise ValueError(f"{name} must be a number, got {value!r}.")
    number = float(value)
    if number > high or number < low or (number == low and not include_low):
        bracket = "[" if include_low else "("
        raise ValueError(f"{name} must lie in {bracket}{low}, {high}], got {value!r}.")
    return number


def check_prompts(
    prompt_ids: ArrayLike, n_items: int | None = None, *, name: str = "prompt_ids"
) -> tuple[Array, Array]:
    """Give the distinct prompts, and each item's prompt as a number from 0 on."""
    prompt_ids = np.asarray(prompt_ids)
    wanted = prompt_ids.size if n_items is None else n_items
    if prompt_ids.shape != (wanted,):
        raise ValueError(
            f"{name} must hold one id per item, shape ({wanted},), got "
            f"{prompt_ids.shape}."
        )
    if wanted == 0:
        raise ValueError(f"{name} is empty.")
    refuse_missing(prompt_ids, name, "item")
    return np.unique(prompt_ids, return_inverse=True)


def refuse_missing(ids: Array, name: str, per: str) -> None:
    """Raise where an id is None or NaN, which equals no other."""
    if ids.dtype.kind == "O":
        missing = np.array([value is None or value != value for value in ids], bool)
    else:
        missing = ids != ids
    if missing.any():
        raise ValueError(f"{name} has a missing value at {per} {missing.argmax()}.")


def check_count(value: Any, name: str) -> int:
    """Give a positive integer, or raise."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
    return int(value)


def check_device(device):
    """Refuse what no device is called; whether it is there is another question."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(
            f'device must be "auto", "cpu", "cuda" or "cuda:N", got {device!r}.'
        )
