"""Reward models for language-model alignment as ordinary scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

from skreward._version import __version__

if TYPE_CHECKING:
    from skreward import (
        annotation,
        datasets,
        export,
        integrations,
        metrics,
        model_selection,
        plotting,
        report,
    )
    from skreward.data.pairs import EmbeddingPairs
    from skreward.models.bradley_terry import BradleyTerryRegressor
    from skreward.models.bradley_terry_cv import BradleyTerryRegressorCV
    from skreward.models.bradley_terry_mlp import BradleyTerryMLPRegressor
    from skreward.models.calibrated import CalibratedReward
    from skreward.models.choosing import best_of_n
    from skreward.models.classifier import PairwiseClassifierReward
    from skreward.models.controlled import ControlledReward
    from skreward.models.ensemble import RewardEnsemble
    from skreward.models.itemwise import ItemwiseTransformer
    from skreward.models.mlp_classifier import RewardMLPClassifier
    from skreward.persistence import load, save
    from skreward.text.endpoint import EndpointEmbeddingTransformer
    from skreward.text.statistics import TextStatisticsTransformer
    from skreward.text.transformer import LLMEmbeddingTransformer
    from skreward.utils.through import predict_preference_proba, predict_reward

__all__ = [
    "BradleyTerryMLPRegressor",
    "BradleyTerryRegressor",
    "BradleyTerryRegressorCV",
    "CalibratedReward",
    "ControlledReward",
    "EmbeddingPairs",
    "EndpointEmbeddingTransformer",
    "ItemwiseTransformer",
    "LLMEmbeddingTransformer",
    "PairwiseClassifierReward",
    "RewardEnsemble",
    "RewardMLPClassifier",
    "TextStatisticsTransformer",
    "__version__",
    "annotation",
    "best_of_n",
    "datasets",
    "export",
    "integrations",
    "load",
    "metrics",
    "model_selection",
    "plotting",
    "predict_preference_proba",
    "predict_reward",
    "report",
    "save",
]

# Imported when first asked for: scikit-learn takes a second to come, which the
# command's --help, its usage errors and whoever reads a version need not wait for.
_PLACES = {
    "BradleyTerryMLPRegressor": "models.bradley_terry_mlp",
    "BradleyTerryRegressor": "models.bradley_terry",
    "BradleyTerryRegressorCV": "models.bradley_terry_cv",
    "CalibratedReward": "models.calibrated",
    "ControlledReward": "models.controlled",
    "EmbeddingPairs": "data.pairs",
    "EndpointEmbeddingTransformer": "text.endpoint",
    "ItemwiseTransformer": "models.itemwise",
    "LLMEmbeddingTransformer": "text.transformer",
    "PairwiseClassifierReward": "models.classifier",
    "RewardEnsemble": "models.ensemble",
    "TextStatisticsTransformer": "text.statistics",
    "RewardMLPClassifier": "models.mlp_classifier",
    "best_of_n": "models.choosing",
    "load": "persistence",
    "predict_preference_proba": "utils.through",
    "predict_reward": "utils.through",
    "save": "persistence",
}
_ROOMS = {
    "annotation",
    "datasets",
    "export",
    "integrations",
    "metrics",
    "model_selection",
    "plotting",
    "report",
}


def __getattr__(name):
    if name in _ROOMS:
        return import_module(f"skreward.{name}")
    if name in _PLACES:
        found = getattr(import_module(f"skreward.{_PLACES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
