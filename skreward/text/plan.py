"""How texts are embedded: which hidden states, of how much text, in which numbers.

Neither torch nor the model is loaded for it where the processor, the driver and the
files of a sentence encoder say enough: embeddings that a cache knows need neither.
"""

from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

from skreward.text.folders import alone, check_folder, modules_of
from skreward.text.source import ModelSource
from skreward.utils import processor
from skreward.utils.optional import wanted_by

_checked: set[tuple] = set()


@dataclass(frozen=True)
class Plan:
    """Which hidden states are read, of how much text, and in which numbers."""

    pooling: str
    layer: int
    max_length: int | None
    truncation_side: str
    dtype: str
    normalize: bool
    device: str
    trust_remote_code: bool = False


def make_plan(
    source: ModelSource,
    *,
    pooling,
    layer,
    max_length,
    truncation_side,
    dtype,
    normalize,
    device,
    trust_remote_code,
) -> Plan:
    """Settle every "auto"; raise ValueError where options exclude each other."""
    _check_once(source, trust_remote_code)
    device = _device(device) if source.loaded is None else str(source.loaded.device)
    if pooling == "auto":
        pooling = _own_pooling(source)
    if pooling == "sentence" and layer != -1:
        raise ValueError(
            f"layer={layer} needs a causal language model or pooling='last' or 'mean'; "
            f"{source.name!r} is a sentence encoder with a pooling of its own."
        )
    if not isinstance(layer, Integral):
        layer = max(1, round(layer * _depth(source, trust_remote_code)))
    if source.loaded is not None and dtype != "auto":
        raise ValueError(
            f"dtype={dtype!r} goes with a model that is loaded here; cast the "
            "SentenceTransformer yourself, or give its name."
        )
    if dtype == "auto":
        dtype = _own_dtype(source, pooling, device, trust_remote_code)
    return Plan(
        pooling,
        layer,
        max_length,
        truncation_side,
        dtype,
        bool(normalize),
        device,
        trust_remote_code,
    )


def _device(device: str) -> str:
    """Name the device that is meant."""
    if device == "cpu" or (device == "auto" and not processor.may_have_cuda()):
        return "cpu"
    with wanted_by("LLMEmbeddingTransformer", "torch"):
        from skreward.utils.device import resolve

        return str(resolve(device))


def _is_fast_at_bfloat16(device: str) -> bool:
    is_fast = processor.is_fast_at_bfloat16() if device == "cpu" else None
    if is_fast is None:
        with wanted_by("LLMEmbeddingTransformer", "torch"):
            from skreward.utils import device as of_torch

            is_fast = of_torch.is_fast_at_bfloat16(of_torch.resolve(device))
    return is_fast


def _depth(source, trust_remote_code) -> int:
    """Count the hidden layers of a model."""
    if source.loaded is not None:
        config = source.loaded.transformers_model.config
    else:
        config = _config(source, trust_remote_code)
    return config.get_text_config().num_hidden_layers


@lru_cache(maxsize=8)
def _config(source: ModelSource, trust_remote_code: bool):
    """Read a model's configuration."""
    # Of no use without the other, which is asked for first.
    with wanted_by("LLMEmbeddingTransformer", "torch"):
        import torch  # noqa: F401
    with wanted_by("LLMEmbeddingTransformer", "transformers"):
        import transformers

    with alone(source) as options:
        return transformers.AutoConfig.from_pretrained(
            **options, trust_remote_code=trust_remote_code
        )


def _own_pooling(source) -> str:
    """Take the pooling that a sentence encoder was trained with, else the mean."""
    is_sentence = source.loaded is not None or modules_of(source) is not None
    return "sentence" if is_sentence else "mean"


def _own_dtype(source, pooling, device, trust_remote_code) -> str:
    """Pick bfloat16 where it is fast, unless a causal model's weights say otherwise.

    Static vectors are summed and not multiplied. A GGUF file does not say in what
    its weights were trained, and holds them in fewer bits than bfloat16 has.
    """
    if source.loaded is not None:
        return str(next(source.loaded.parameters()).dtype).removeprefix("torch.")
    fast = "bfloat16" if _is_fast_at_bfloat16(device) else "float32"
    if pooling == "sentence":
        is_static = any("StaticEmbedding" in kind for kind in modules_of(source) or ())
        return "float32" if is_static else fast
    if source.gguf is not None:
        return fast
    config = _config(source, trust_remote_code)
    saved = str(config.dtype or "float32").removeprefix("torch.")
    is_slow = saved == "float16" and device == "cpu"
    return "float32" if is_slow or saved not in ("float16", "bfloat16") else saved


def _check_once(source: ModelSource, trust_remote_code: bool):
    """Check a folder whose files are not those of a call before."""
    key = (source.folder, source.digest, trust_remote_code)
    if key not in _checked:
        check_folder(source, trust_remote_code)
        _checked.add(key)
