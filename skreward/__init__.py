"""Reward models for language-model alignment as ordinary scikit-learn estimators."""

from skreward._version import __version__
from skreward.pairs import EmbeddingPairs

__all__ = ["EmbeddingPairs", "__version__"]
