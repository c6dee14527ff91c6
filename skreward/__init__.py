"""Reward models for language-model alignment as ordinary scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

from skreward import annotation, datasets, metrics, model_selection
from skreward._version import __version__
from skreward.data.pairs import EmbeddingPairs
from skreward.models.bradley_terry import BradleyTerryRegressor
from skreward.models.classifier import PairwiseClassifierReward
from skreward.models.ensemble import RewardEnsemble
from skreward.models.itemwise import ItemwiseTransformer
from skreward.persistence import load, save
from skreward.text.transformer import LLMEmbeddingTransformer

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
