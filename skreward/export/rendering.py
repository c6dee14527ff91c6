"""How prompt and response become the one string that an exported encoder takes."""

import warnings
from copy import copy
from typing import Any

import numpy as np

from skreward.export.comparison import texts_of
from skreward.export.layers import FoldedReward, flat_steps
from skreward.text.items import TextItems
from skreward.text.items import render as render_items
from skreward.text.source import is_loaded
from skreward.text.transformer import LLMEmbeddingTransformer


def render(model: Any, X: Any) -> list[str]:
    r"""Write texts as the strings that an exported model takes.

    Parameters
    ----------
    model : estimator
        A fitted pipeline that begins with an `LLMEmbeddingTransformer`.
    X : strings, or a table of texts
        As the model takes. Of pairs, the distinct items in the order in which they
        come.

    Returns
    -------
    texts : list of str
        Prompt and response by the model's template. A token that begins every text
        is left out where a tokenizer writes it itself.

    Raises
    ------
    ValueError
        If the model takes no texts, or X holds none.

    Examples
    --------
    >>> from skreward.export import render
    >>> render(model, [{"prompt": "2 + 2?", "response": "4"}])  # doctest: +SKIP
    ['2 + 2?\n\n4']
    """
    encoder = flat_steps(model)[0][1]
    if not isinstance(encoder, LLMEmbeddingTransformer):
        raise ValueError(
            f"the model begins with {type(encoder).__name__}, which takes no texts."
        )
    return rendered(encoder, load_encoder(encoder), texts_of(X))


def load_encoder(encoder: LLMEmbeddingTransformer, dtype: str | None = None) -> Any:
    """Give the language model of a fitted transformer, in a dtype or its own."""
    from skreward.text.loading import get_encoder

    wanted = "auto" if is_loaded(encoder.model) else dtype or encoder.dtype_
    return get_encoder(*encoder._find(wanted))


def rendered(encoder, loaded, texts: TextItems) -> list[str]:
    """Render texts for the tokenizer of a loaded encoder."""
    begin = getattr(getattr(loaded.tokenizer, "inner", None), "bos_token", None) or ""
    return [
        text.removeprefix(begin)
        for text in render_items(texts, encoder.template, loaded.render_chat)
    ]


def whole(encoder, loaded, texts: TextItems) -> TextItems:
    """Give the texts that are read whole: others are cut elsewhere at the other end."""
    strings = render_items(texts, encoder.template, loaded.render_chat)
    kept = [k for k, text in enumerate(strings) if not loaded.is_cut(text)]
    if not kept:
        raise ValueError(
            f"X: every text is longer than the {loaded.max_length} tokens that the "
            "encoder reads; give shorter ones to compare on."
        )
    return texts[np.array(kept)]


def in_float32(encoder: LLMEmbeddingTransformer) -> LLMEmbeddingTransformer:
    """Give the same transformer, computing in float32."""
    full = copy(encoder)
    full.dtype = full.dtype_ = "float32"
    return full


def cost_of_float32(encoder, folded: FoldedReward, texts) -> dict[str, float] | None:
    """Give how far rewards move where the encoder computes in float32."""
    if encoder.dtype_ == "float32":
        return None
    fitted = folded.predict(encoder.transform(texts))
    full = folded.predict(in_float32(encoder).transform(texts))
    return {
        "largest_difference": float(np.abs(fitted - full).max()),
        "spread": float(np.ptp(full)),
    }


def warn_of_float32(encoder: LLMEmbeddingTransformer, cost: dict[str, float]) -> None:
    """Warn of what an export in float32 costs a model fitted in fewer bits."""
    warnings.warn(
        f"the encoder was fitted in {encoder.dtype_}, and the export computes in "
        f"float32: rewards move by up to {cost['largest_difference']:.2g}, at a spread "
        f"of {cost['spread']:.2g}. Fit with LLMEmbeddingTransformer(dtype='float32') "
        "for an export that is equal.",
        UserWarning,
        stacklevel=3,
    )


def how_to_render(template: str) -> str:
    """Say in words how prompt and response become one string."""
    if template != "auto":
        return f"As the format string {template!r}."
    return (
        "Prompt, blank line, response; chat messages by the tokenizer's chat template "
        "(without a token that begins every text, which the tokenizer writes), or "
        "where it has none, their contents joined by blank lines; a lone text or a "
        "dialogue as it is. `skreward.export.render(model, X)` writes them."
    )
