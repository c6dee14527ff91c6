"""Models from their files to memory, where the few last used ones stay."""

from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import Any

from skreward.text.encoders import LOCK, Encoder, SentenceEncoder, StateEncoder
from skreward.text.folders import alone, check_folder
from skreward.text.packed import allow_packing
from skreward.text.plan import Plan
from skreward.text.source import ModelSource
from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch
with wanted_by("LLMEmbeddingTransformer", "transformers"):
    import transformers

KEPT_MODELS = 2

_loaded: OrderedDict[tuple, Any] = OrderedDict()


def get_encoder(source: ModelSource, plan: Plan) -> Encoder:
    """Load a model, or take it from the few that this process keeps loaded."""
    if source.loaded is not None and plan.pooling == "sentence":
        return SentenceEncoder(source.loaded, plan)
    if source.loaded is not None:
        body = source.loaded.transformers_model
        return StateEncoder(body, source.loaded.tokenizer, plan)
    kind = "sentence" if plan.pooling == "sentence" else "states"
    key = (source.digest, kind, plan.dtype, plan.device, plan.trust_remote_code)
    with LOCK:
        if key not in _loaded:
            # Once more: a file that no digest covers may have been put there since.
            check_folder(source, plan.trust_remote_code)
            with quiet_loading():
                load = _load_sentence if kind == "sentence" else _load_states
                _loaded[key] = load(source, plan)
            while len(_loaded) > KEPT_MODELS:
                _loaded.popitem(last=False)
        _loaded.move_to_end(key)
        model, tokenizer = _loaded[key]
    if kind == "sentence":
        return SentenceEncoder(model, plan)
    return StateEncoder(model, tokenizer, plan)


def _load_sentence(source, plan):
    with wanted_by("LLMEmbeddingTransformer", "sentence-transformers"):
        from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        source.folder,
        device=plan.device,
        trust_remote_code=plan.trust_remote_code,
        local_files_only=True,
        model_kwargs={"use_safetensors": True},
    ).eval()
    if plan.dtype == "float16":
        return model.half(), None
    model = model.float()
    if plan.dtype == "bfloat16" and not _halve_linear_layers(model):
        raise ValueError(
            f"dtype='bfloat16' cannot act: {source.name!r} multiplies nothing."
        )
    if plan.device == "cpu":
        allow_packing(model)
    return model, None


def _load_states(source, plan):
    with alone(source) as options:
        options["trust_remote_code"] = plan.trust_remote_code
        tokenizer = transformers.AutoTokenizer.from_pretrained(**options)
        if source.gguf is None:
            options["use_safetensors"] = True
        elif hasattr(transformers, "GgufConfig"):
            # Else newer versions leave the weights packed, and unpack as they go.
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)
        dtype = getattr(torch, plan.dtype)
        model = transformers.AutoModel.from_pretrained(dtype=dtype, **options)
    return model.to(plan.device).eval(), tokenizer


def _halve_linear_layers(model) -> int:
    """Multiply in bfloat16, and keep sums, norms and pooling in float32.

    Nearly all the time is spent in the products; the residual stream in bfloat16
    would cost a cosine of 0.993 where this costs 0.9999. torch's own attention takes
    the products as they are; one that a model writes out (MPNet, DeBERTa) mixes them
    with float32, and gets them back as that. Gives how many layers were halved.
    """
    body = getattr(model, "transformers_model", None)
    attention = getattr(getattr(body, "config", None), "_attn_implementation", None)

    def cast_input(module, inputs):
        return (inputs[0].to(module.weight.dtype), *inputs[1:])

    def cast_output(module, inputs, output):
        return output.float()

    layers = [m for m in model.modules() if type(m) is torch.nn.Linear]
    for module in layers:
        module.to(torch.bfloat16).register_forward_pre_hook(cast_input)
        if attention != "sdpa":
            module.register_forward_hook(cast_output)
    return len(layers)


@contextmanager
def quiet_loading():
    """Keep progress bars and the report of unused heads from the terminal."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    was_on, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    bar = gguf.tqdm
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    gguf.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        gguf.tqdm = bar
        logging.set_verbosity(verbosity)
        if was_on:
            logging.enable_progress_bar()
