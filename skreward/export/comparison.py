"""What an export must show before it is written: the model's own rewards."""

from importlib.metadata import version
from typing import Any

import numpy as np

from skreward.data.pairs import EmbeddingPairs
from skreward.export.layers import FoldedReward, after_encoder, flat_steps
from skreward.text.items import TextItems, TextPairs
from skreward.text.tables import read_texts

# Compared where no rows are given: what a tokenizer may meet.
PROBES = (
    {"prompt": "How do I boil an egg?", "response": "Seven minutes in boiling water."},
    {"prompt": "2 + 2?", "response": "4"},
    {"prompt": "Write a list.", "response": "1. One\n2. Two\n\n- **three**\n"},
    {"prompt": "¿Qué tal?", "response": "Très bien, 谢谢你! 🙂"},
    {"prompt": "Code, please.", "response": "```python\nprint('hi')\n```"},
    {"prompt": "Tell me more. " * 12, "response": "There is no more to tell."},
    {"prompt": "Why?", "response": "Because it is so. " * 40},
    {"prompt": "Sorry?", "response": "I cannot help with that."},
)


class ExportError(ValueError):
    """The export does not give the model's rewards, and was not written."""


def rows_of(model: Any, X: Any = None) -> np.ndarray:
    """Give the rows that layers are compared on.

    Those of ``X``; by default the few of its training that the reward has kept, taken
    back through the steps before it.
    """
    if X is None:
        steps = [step for _, step in flat_steps(after_encoder(model))]
        while not hasattr(steps[-1], "sample_"):
            steps.pop()
        rows = np.asarray(steps.pop().sample_, dtype=np.float64)
        for step in reversed(steps):
            if hasattr(step, "inverse_transform"):
                rows = step.inverse_transform(rows)
        return rows
    rows = X.embeddings if isinstance(X, EmbeddingPairs) else np.asarray(X)
    if rows.ndim == 3:
        rows = rows.reshape(-1, rows.shape[2])
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(
            f"X must be embeddings (n_items, n_features), got shape {rows.shape}."
        )
    return rows


def texts_of(X: Any) -> TextItems:
    """Give the texts an export is compared on: those of ``X``, or probes."""
    texts = read_texts(list(PROBES) if X is None else X)
    if isinstance(texts, TextPairs):
        texts = texts.items
    if texts is None or len(texts) == 0:
        raise ValueError("X must be texts as the model takes, to compare the export.")
    return texts


def compare(
    wanted: np.ndarray, given: np.ndarray, *, tolerance: float, what: str
) -> dict[str, float]:
    """Give the largest difference and what it is measured by, or raise ExportError.

    The difference is relative to the largest size of the wanted rewards.
    """
    wanted = np.asarray(wanted, dtype=np.float64)
    scale = float(np.abs(wanted).max()) or 1.0
    difference = float(np.abs(given - wanted).max())
    if not difference <= tolerance * scale:
        raise ExportError(
            f"{what} differs from the model by {difference:.2g}, at rewards up to "
            f"{scale:.2g}; allowed is {tolerance:g} of that. Nothing was written."
        )
    return {
        "n_compared": len(wanted),
        "largest_difference": difference,
        "largest_reward": scale,
        "tolerance": tolerance,
    }


def record(
    folded: FoldedReward, compared: dict[str, float], libraries: tuple[str, ...]
) -> dict[str, Any]:
    """Give what an export says of itself, for a JSON file or metadata."""
    encoder = folded.encoder
    about: dict[str, Any] = {
        "compared": compared,
        "versions": {name: version(name) for name in ("skreward", *libraries)},
    }
    if encoder is not None:
        about["encoder"] = {
            "model": encoder.model_name_,
            "revision": encoder.revision_,
            "digest": encoder.model_digest_,
            "dtype": encoder.dtype_,
            "template": encoder.template,
            "truncation_side": encoder.truncation_side,
        }
    return about


def check_layers(model: Any, folded: FoldedReward, rows: np.ndarray) -> None:
    """Check the layers themselves against the model, on rows."""
    wanted = after_encoder(model).predict(rows)
    compare(wanted, folded.predict(rows), tolerance=1e-4, what="the folded model")
