"""Reward models for language-model alignment as ordinary scikit-learn estimators."""

from skreward import annotation, datasets, metrics, model_selection, plotting
from skreward._version import __version__
from skreward.bradley_terry import BradleyTerryRegressor
from skreward.classifier_reward import PairwiseClassifierReward
from skreward.compose import ItemwiseTransformer
from skreward.embedding import LLMEmbeddingTransformer
from skreward.ensemble import RewardEnsemble
from skreward.pairs import EmbeddingPairs
from skreward.persistence import load, save

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
