"""Responses of one part of a source, as the study trains and tests on them."""

from typing import Any, NamedTuple

import numpy as np


class Items(NamedTuple):
    """Responses of one part: rows of embeddings that stay where they are.

    ``statistics`` of their texts has the same rows as ``embeddings``.
    """

    embeddings: Any
    rows: np.ndarray
    prompts: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray | None
    statistics: np.ndarray | None = None


class Parts(NamedTuple):
    """Training and test responses; no prompt is in both."""

    train: Items
    test: Items
