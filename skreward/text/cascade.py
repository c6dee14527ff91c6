"""Attention in two parts: to a prefix, for all texts that begin with it, and within.

The texts of a pass stand in one row, those of one prefix beside each other. Their
queries attend to the prefix at once, and each text's to the text itself; shares of the
two are known from the sums of exponentials. No keys are copied, no masks are made and
nothing is padded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch
with wanted_by("LLMEmbeddingTransformer", "transformers"):
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.cache_utils import DynamicLayer

ATTENTION = "skreward_cascade"
# What models hand to attention beside its scale without changing what it gives:
# windows are seen from the mask. Anything else (soft caps, sinks, biases) would.
HARMLESS = {
    "cache_position",
    "dropout",
    "output_attentions",
    "output_hidden_states",
    "position_ids",
    "sliding_window",
    "use_cache",
}


class Unsuited(Exception):
    """A model wants more of attention than is computed here."""


class Run(NamedTuple):
    """Texts beside each other that have one prefix.

    Parameters
    ----------
    keys_values : list of tuple
        Of the prefix, for each layer, of shape (n_heads, n_tokens, width) each.
    texts : list of slice
        Where the texts' own tokens stand.
    """

    keys_values: list[tuple[torch.Tensor, torch.Tensor]]
    texts: list[slice]


class OwnLayer(DynamicLayer):
    """Hands on the keys and values of a pass and keeps none.

    Parameters
    ----------
    n_before, n_whole : int
        Tokens of the longest prefix, and of the longest text, prefix included.
    """

    def __init__(self, n_before: int, n_whole: int):
        super().__init__()
        self.n_before, self.n_whole = n_before, n_whole

    def get_seq_length(self, *args) -> int:
        """Count the tokens before those of a pass."""
        return self.n_before

    def get_mask_sizes(self, *args) -> tuple[int, int]:
        """Let masks be asked for the longest text."""
        return self.n_whole, 0

    def update(self, key_states, value_states, *args, **kwargs):
        """Give keys and values as they are."""
        return key_states, value_states


@contextmanager
def cascaded(model: Any) -> Iterator[None]:
    """Let a model attend by `Run`, handed to it as ``runs``, for the time being."""
    config = model.config.get_text_config()
    usual = config._attn_implementation
    if model.device.type != "cpu" or usual != "sdpa":
        raise Unsuited
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = usual


def _attention(
    module, query, key, value, attention_mask, *, runs, scaling=None, **options
):
    wanted = {name for name, option in options.items() if option is not None}
    if attention_mask is not None or not wanted <= HARMLESS:
        raise Unsuited
    query, key, value = query[0], key[0], value[0]
    out = query.new_empty(query.shape[1], query.shape[0], value.shape[2])
    # (n_tokens, n_heads, width) as `_attend` has it
    grouped = out.unflatten(1, (len(key), -1)).permute(1, 2, 0, 3)
    for run in runs:
        start, end = run.texts[0].start, run.texts[-1].stop
        keys, values = run.keys_values[module.layer_idx]
        to_prefix, sum_of_prefix = _attend(query[:, start:end], keys, values, scaling)
        for text in run.texts:
            to_own, sum_of_own = _attend(
                query[:, text], key[:, text], value[:, text], scaling, is_causal=True
            )
            here = slice(text.start - start, text.stop - start)
            share = (sum_of_prefix[:, :, here] - sum_of_own).sigmoid()
            torch.lerp(
                to_own,
                to_prefix[:, :, here],
                share[..., None].to(out.dtype),
                out=grouped[:, :, text],
            )
    return out[None], None


def _attend(query, key, value, scaling, is_causal=False):
    """Attend by heads (n_heads, n_tokens, width), of which several may share a key.

    Gives (n_key_heads, n_heads / n_key_heads, n_tokens, width), and the logarithms of
    the sums of exponentials.
    """
    query = query.unflatten(0, (len(key), -1))
    key, value = (x[:, None].expand(-1, query.shape[1], -1, -1) for x in (key, value))
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, is_causal=is_causal, scale=scaling
    )


def _mask(*, kv_length, mask_function, **options):
    """Make none, where the last token sees the first and not the other way round."""
    first, last = torch.tensor(0), torch.tensor(kv_length - 1)
    if not mask_function(first, first, last, first) or (
        kv_length > 1 and mask_function(first, first, first, last)
    ):
        raise Unsuited


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, _mask)
