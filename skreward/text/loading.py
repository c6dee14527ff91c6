"""Models from their files to memory, where the few last used ones stay."""

import json
import os
import shutil
from collections import OrderedDict
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib import import_module
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from skreward.text.encoders import (
    LOCK,
    Encoder,
    Plan,
    SentenceEncoder,
    StateEncoder,
)
from skreward.text.source import ModelSource
from skreward.text.trust import refuse_code
from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch

    from skreward.utils.device import is_fast_at_bfloat16, resolve
with wanted_by("LLMEmbeddingTransformer", "transformers"):
    import transformers

KEPT_MODELS = 2

_loaded: OrderedDict[tuple, Any] = OrderedDict()
_checked: set[tuple] = set()


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
    torch_device = (
        source.loaded.device if source.loaded is not None else resolve(device)
    )
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
        dtype = _own_dtype(source, pooling, torch_device, trust_remote_code)
    return Plan(
        pooling,
        layer,
        max_length,
        truncation_side,
        dtype,
        bool(normalize),
        str(torch_device),
        trust_remote_code,
    )


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
    return model, None


def _load_states(source, plan):
    with _alone(source) as options:
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


@contextmanager
def _alone(source):
    """Give the arguments that load a model; a GGUF file without its neighbours.

    A file that lies beside it would else be read with it, unseen by the digest.
    """
    name = "pretrained_model_name_or_path"
    if source.gguf is None:
        yield {name: source.folder, "local_files_only": True}
        return
    for package in ("gguf", "accelerate"):
        with wanted_by("A .gguf file", package):
            import_module(package)
    with TemporaryDirectory(prefix="skreward-") as folder:
        file = Path(source.folder).resolve() / source.gguf
        try:
            os.symlink(file, f"{folder}/model.gguf")
        except OSError:  # Windows gives links to administrators alone
            shutil.copyfile(file, f"{folder}/model.gguf")
        yield {name: folder, "local_files_only": True, "gguf_file": "model.gguf"}


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
    with _alone(source) as options:
        return transformers.AutoConfig.from_pretrained(
            **options, trust_remote_code=trust_remote_code
        )


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


def _own_pooling(source) -> str:
    """Take the pooling that a sentence encoder was trained with, else the mean."""
    is_sentence = source.loaded is not None or _modules(source) is not None
    return "sentence" if is_sentence else "mean"


def _own_dtype(source, pooling, device, trust_remote_code) -> str:
    """Pick bfloat16 where it is fast, unless a causal model's weights say otherwise.

    Static vectors are summed and not multiplied. A GGUF file does not say in what
    its weights were trained, and holds them in fewer bits than bfloat16 has.
    """
    if source.loaded is not None:
        return str(next(source.loaded.parameters()).dtype).removeprefix("torch.")
    fast = "bfloat16" if is_fast_at_bfloat16(device) else "float32"
    if pooling == "sentence":
        is_static = any("StaticEmbedding" in kind for kind in _modules(source) or ())
        return "float32" if is_static else fast
    if source.gguf is not None:
        return fast
    config = _config(source, trust_remote_code)
    saved = str(config.dtype or "float32").removeprefix("torch.")
    is_slow = saved == "float16" and device.type == "cpu"
    return "float32" if is_slow or saved not in ("float16", "bfloat16") else saved


def _modules(source) -> list[str] | None:
    """Name the modules of a sentence encoder; None where it is another model."""
    path = Path(source.folder) / "modules.json"
    if source.gguf is not None or not path.exists():
        return None
    return [str(module.get("type")) for module in json.loads(path.read_text("utf-8"))]


def _check_once(source: ModelSource, trust_remote_code: bool):
    """Check a folder whose files are not those of a call before."""
    key = (source.folder, source.digest, trust_remote_code)
    if key not in _checked:
        check_folder(source, trust_remote_code)
        _checked.add(key)


def check_folder(source: ModelSource, trust_remote_code: bool):
    """Refuse a model that would run code, read a pickle, or that is incomplete."""
    if source.folder is None or source.gguf is not None:
        return
    folder = Path(source.folder)
    if not any((folder / name).exists() for name in ("modules.json", "config.json")):
        files = sorted(path.name for path in folder.glob("*.gguf"))
        instead = f" Give the file itself: {folder / files[0]}." if files else ""
        raise OSError(
            f"model: {source.name!r} holds neither modules.json nor config.json, and "
            f"is no model.{instead}"
        )
    if (folder / "adapter_config.json").exists():
        raise OSError(
            f"model: {source.name!r} is an adapter of another model, which lies "
            "elsewhere and may change. Merge the two and save the result."
        )
    _refuse_pickles(folder)
    _refuse_onnx_alone(folder)
    if not trust_remote_code:
        refuse_code(folder)


def _refuse_pickles(folder: Path):
    for path in folder.rglob("*_model*.bin"):
        if not any(path.parent.glob("*.safetensors")):
            raise OSError(
                f"{path} is a pickle, which may run code when it is read; weights are "
                "loaded from safetensors alone. Save the model again with "
                "safe_serialization=True."
            )


def _refuse_onnx_alone(folder: Path):
    files = sorted(folder.rglob("*.onnx"))
    if files and not any(folder.rglob("*.safetensors")):
        raise OSError(
            f"model: {str(folder)!r} holds its weights as {files[0].name} alone, and "
            "they are loaded from safetensors or GGUF. Give the folder or the hub id "
            "of the model that was exported."
        )


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
