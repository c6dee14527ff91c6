"""Fitted rewards as models of other libraries, equal to what was fitted."""

from typing import TYPE_CHECKING

from skreward.export.comparison import ExportError
from skreward.export.layers import Activation, Affine, FoldedReward, Normalise, fold
from skreward.export.onnx import to_onnx
from skreward.export.rendering import render

if TYPE_CHECKING:
    from skreward.export.sentence_transformers import to_sentence_transformer
    from skreward.export.transformers import to_sequence_classifier

__all__ = [
    "Activation",
    "Affine",
    "ExportError",
    "FoldedReward",
    "Normalise",
    "fold",
    "render",
    "to_onnx",
    "to_sentence_transformer",
    "to_sequence_classifier",
]


def __getattr__(name):
    # Both import torch: only for those who call them.
    if name == "to_sentence_transformer":
        from skreward.export.sentence_transformers import to_sentence_transformer

        return to_sentence_transformer
    if name == "to_sequence_classifier":
        from skreward.export.transformers import to_sequence_classifier

        return to_sequence_classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
