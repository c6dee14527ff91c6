"""Reward models for language-model alignment as ordinary scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

from skreward import annotation, datasets, metrics, model_selection
from skreward._version import __version__
from skreward.bradley_terry import BradleyTerryRegressor
from skreward.classifier_reward import PairwiseClassifierReward
from skreward.compose import ItemwiseTransformer
from skreward.embedding import LLMEmbeddingTransformer
from skreward.ensemble import RewardEnsemble
from skreward.pairs import EmbeddingPairs
from skreward.persistence import load, save

if TYPE_CHECKING:
    from skreward import plotting

__all__ = [
    "BradleyTerryRegressor",
    "EmbeddingPairs",
    "ItemwiseTransformer",
    "LLMEmbeddingTransformer",
    "PairwiseClassifierReward",
    "RewardEnsemble",
    "__version__",
    "annotation",
    "datasets",
    "load",
    "metrics",
    "model_selection",
    "plotting",
    "save",
]


def __getattr__(name):
    # scikit-learn's displays import half of its models: only for those who plot.
    if name == "plotting":
        return import_module("skreward.plotting")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
