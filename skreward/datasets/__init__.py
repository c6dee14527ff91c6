"""Preference data with a known truth, and loaders of published reward data."""

from skreward.datasets.generators import (
    gaussian_annotation_quality,
    make_gaussian_rewards,
    make_local_pairs,
    make_preferences,
)
from skreward.datasets.loaders import (
    load_embeddings,
    load_judged,
    load_released_embeddings,
)
from skreward.datasets.preferences import read_preferences
from skreward.datasets.texts import make_text_preferences, text_reward

__all__ = [
    "gaussian_annotation_quality",
    "load_embeddings",
    "load_judged",
    "load_released_embeddings",
    "make_gaussian_rewards",
    "make_local_pairs",
    "make_preferences",
    "make_text_preferences",
    "read_preferences",
    "text_reward",
]
