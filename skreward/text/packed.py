"""Texts of several lengths in one pass without padding, where a model allows it.

The tokens of all texts stand in one row; attention alone is computed apart, for the
texts of each length. What is left out is the work on padding: a sixth of all where 64
texts of 7 to 22 words and one prompt go in two passes.
"""

import inspect
from typing import Any

from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch
    from torch.nn.functional import scaled_dot_product_attention
with wanted_by("LLMEmbeddingTransformer", "transformers"):
    from transformers import AttentionInterface, AttentionMaskInterface, BertModel
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

ATTENTION = "skreward_packed"
# These take positions as given, and hand attention what they do not know themselves.
CLASSES = (BertModel,)


def allow_packing(model: Any) -> None:
    """Give a loaded sentence encoder the attention that packed texts need.

    Padded texts, without ``runs``, go through it as through torch's own. A model that
    packing would not suit stays as it is.
    """
    body: Any = getattr(model, "transformers_model", None)
    if type(body) not in CLASSES or body.config.is_decoder:
        return
    takes = inspect.signature(body.forward).parameters.values()
    hands_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes)
    if hands_on and body.config._attn_implementation == "sdpa":
        body.set_attn_implementation(ATTENTION)


def is_packing(model: Any) -> bool:
    """Whether `allow_packing` has found a model fit for it."""
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    return getattr(config, "_attn_implementation", None) == ATTENTION


@torch.inference_mode()
def encode_packed(model: Any, strings: list[str], prompt: str = "") -> torch.Tensor:
    """Embed texts in one pass, as ``model.encode`` does in a padded one.

    Parameters
    ----------
    model : SentenceTransformer
        One for which `is_packing`.
    strings : list of str
    prompt : str, default=""
        What the model puts before each.

    Returns
    -------
    rows : Tensor of shape (n_texts, n_features_out)
    """
    if model.training:
        model.eval()
    features = model.preprocess(strings, prompt=prompt or None)
    lengths, order = features["attention_mask"].sum(1).sort(stable=True)
    features = {
        name: value[order] if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }
    is_token = features["attention_mask"].bool()
    inputs = {
        name: features[name][is_token][None]
        for name in ("input_ids", "token_type_ids")
        if name in features
    }
    positions = torch.arange(is_token.shape[1]).expand_as(is_token)
    length, n_texts = lengths.unique_consecutive(return_counts=True)
    states = model.transformers_model(
        **inputs,
        position_ids=positions[is_token][None],
        runs=list(zip(n_texts.tolist(), length.tolist(), strict=True)),
    ).last_hidden_state[0]
    padded = states.new_zeros(*is_token.shape, states.shape[1])
    padded[is_token] = states
    features["token_embeddings"] = padded
    for module in list(model)[1:]:
        features = module(features)
    rows = features["sentence_embedding"]
    return torch.empty_like(rows).index_copy_(0, order, rows)


def _attention(
    module, query, key, value, attention_mask, *, runs=None, scaling=None, **options
):
    """Attend within texts: ``runs`` are how many of which length follow each other."""
    if runs is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    n_heads, n_tokens, width = query.shape[1:]
    out = query.new_empty(1, n_tokens, n_heads, width)
    start = 0
    for n_texts, length in runs:
        end = start + n_texts * length
        # (n_heads, n_tokens, width) to (n_texts, n_heads, length, width)
        q, k, v = (
            x[0, :, start:end].unflatten(1, (n_texts, length)).transpose(0, 1)
            for x in (query, key, value)
        )
        attended = scaled_dot_product_attention(q, k, v, scale=scaling)
        out[0, start:end].view(n_texts, length, n_heads, width).copy_(
            attended.transpose(1, 2)
        )
        start = end
    return out, None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
