"""Language models as functions of texts: sentence encoders and hidden states."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skreward.text.source import ModelSource
from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch

    from skreward.utils.device import is_fast_at_bfloat16, resolve

# On a CPU a pass over more tokens than this leaves its caches and allocates anew
# every time; it is then slower per token.
CPU_TOKENS = 2048
CHARACTERS_A_TOKEN = 4
KEPT_MODELS = 2

_loaded: OrderedDict[tuple, Any] = OrderedDict()
_lock = threading.RLock()


@dataclass(frozen=True)
class Plan:
    """Which hidden states are read, and in which numbers."""

    pooling: str
    layer: int
    max_length: int | None
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
    dtype,
    normalize,
    device,
    trust_remote_code,
) -> Plan:
    """Settle every "auto"; raise ValueError where options exclude each other."""
    torch_device = (
        source.loaded.device if source.loaded is not None else resolve(device)
    )
    if pooling == "auto":
        pooling = _own_pooling(source, trust_remote_code)
    if pooling == "sentence" and layer != -1:
        raise ValueError(
            f"layer={layer} needs a causal language model or pooling='last' or 'mean'; "
            f"{source.name!r} is a sentence encoder with a pooling of its own."
        )
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
        dtype,
        bool(normalize),
        str(torch_device),
        trust_remote_code,
    )


class Encoder:
    """Rows of float32 for texts; one thread at a time holds ``lock``."""

    def __init__(self, model, plan: Plan, limit: int | None):
        self.model, self.plan, self.limit = model, plan, limit
        if (
            limit is not None
            and plan.max_length is not None
            and plan.max_length > limit
        ):
            raise ValueError(
                f"max_length={plan.max_length} is more than the {limit} tokens that "
                "the model can take."
            )
        self.max_length = plan.max_length
        self.lock = _lock

    def batches(self, texts: list[str], batch_size: int) -> Iterator[list[str]]:
        """Cut texts into batches of like length, the longest first."""
        order = sorted(range(len(texts)), key=lambda k: -len(texts[k]))
        start = 0
        while start < len(order):
            n = batch_size
            if self.plan.device == "cpu":
                tokens = len(texts[order[start]]) // CHARACTERS_A_TOKEN + 1
                n = max(1, min(n, CPU_TOKENS // min(tokens, self._cut(tokens))))
            yield [texts[k] for k in order[start : start + n]]
            start += n

    def _cut(self, tokens):
        longest = self.max_length or self.limit
        return tokens if longest is None else min(tokens, longest)


class SentenceEncoder(Encoder):
    """A SentenceTransformer, with the pooling it was trained with."""

    def __init__(self, model, plan):
        limit = getattr(_config(model), "max_position_embeddings", None)
        super().__init__(model, plan, limit)
        self.max_length = plan.max_length or getattr(model, "max_seq_length", None)

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embed one batch."""
        model, was_training = self.model, self.model.training
        own_length = getattr(model, "max_seq_length", None)
        try:
            if self.plan.max_length is not None:
                model.max_seq_length = self.plan.max_length
            rows = model.encode(
                texts,
                batch_size=len(texts),
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=self.plan.normalize,
            )
        finally:
            if self.plan.max_length is not None:
                model.max_seq_length = own_length
            model.train(was_training)
        return np.asarray(rows, dtype=np.float32)

    def render_chat(self, messages) -> str | None:
        """Write messages in the model's chat format; None where it has none."""
        return _apply_template(self.model.tokenizer, messages)


class StateEncoder(Encoder):
    """Hidden states of one layer: at the last attended token, or their mean.

    Padding is ours and on the right, where causal attention never looks, so neither
    the tokenizer's padding side nor its pad token matters.
    """

    def __init__(self, model, tokenizer, plan):
        limits = [
            getattr(tokenizer, "model_max_length", None),
            getattr(model.config.get_text_config(), "max_position_embeddings", None),
        ]
        known = [n for n in limits if isinstance(n, int) and 0 < n < 1 << 24]
        super().__init__(model, plan, min(known, default=None))
        self.tokenizer = tokenizer
        self.max_length = plan.max_length or self.limit
        n_layers = model.config.get_text_config().num_hidden_layers
        if not -n_layers - 1 <= plan.layer <= n_layers:
            raise ValueError(
                f"layer={plan.layer} is not there: the model has layers 0 (its input) "
                f"to {n_layers}, or -{n_layers + 1} to -1 from the end."
            )

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> np.ndarray:
        """Embed one batch."""
        ids = [self._token_ids(text) for text in texts]
        length = torch.tensor([len(row) for row in ids])
        tokens = torch.zeros(len(ids), int(length.max()), dtype=torch.long)
        for k, row in enumerate(ids):
            tokens[k, : len(row)] = torch.tensor(row)
        attended = torch.arange(tokens.shape[1]) < length[:, None]
        device = self.model.device
        states = self._states(tokens.to(device), attended.long().to(device))
        if self.plan.pooling == "last":
            rows = states[torch.arange(len(ids)), length - 1].float()
        else:
            weight = attended[:, :, None].to(device)
            rows = (states.float() * weight).sum(1) / length[:, None].to(device)
        if self.plan.normalize:
            rows = torch.nn.functional.normalize(rows, dim=1)
        return rows.cpu().numpy()

    def render_chat(self, messages) -> str | None:
        """Write messages in the model's chat format; None where it has none."""
        return _apply_template(self.tokenizer, messages)

    def _states(self, tokens, mask):
        is_last = self.plan.layer == -1
        out = self.model(
            input_ids=tokens,
            attention_mask=mask,
            output_hidden_states=not is_last,
            **({"use_cache": False} if self.plan.pooling == "last" else {}),
        )
        return out.last_hidden_state if is_last else out.hidden_states[self.plan.layer]

    def _token_ids(self, text: str) -> list[int]:
        begin = self.tokenizer.bos_token
        # A chat template writes the beginning itself; the tokenizer would repeat it.
        is_begun = begin is not None and text.startswith(begin)
        ids = self.tokenizer(
            text,
            add_special_tokens=not is_begun,
            truncation=self.max_length is not None,
            max_length=self.max_length,
        )["input_ids"]
        return list(ids) or [self._stand_in()]

    def _stand_in(self) -> int:
        """Give the one token that stands for an empty text."""
        known = (
            self.tokenizer.bos_token_id,
            self.tokenizer.eos_token_id,
            self.tokenizer.pad_token_id,
        )
        return next((token for token in known if token is not None), 0)


def get_encoder(source: ModelSource, plan: Plan) -> Encoder:
    """Load a model, or take it from the few that this process keeps loaded."""
    if source.loaded is not None and plan.pooling == "sentence":
        return SentenceEncoder(source.loaded, plan)
    if source.loaded is not None:
        body = source.loaded.transformers_model
        return StateEncoder(body, source.loaded.tokenizer, plan)
    kind = "sentence" if plan.pooling == "sentence" else "states"
    key = (source.digest, kind, plan.dtype, plan.device, plan.trust_remote_code)
    with _lock:
        if key not in _loaded:
            _refuse_pickles(Path(source.folder or ""))
            with _quiet_loading():
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
    if plan.dtype == "bfloat16":
        _halve_linear_layers(model)
    return model, None


def _load_states(source, plan):
    with wanted_by("LLMEmbeddingTransformer", "transformers"):
        from transformers import AutoModel, AutoTokenizer

    options = {"trust_remote_code": plan.trust_remote_code, "local_files_only": True}
    model = AutoModel.from_pretrained(
        source.folder, dtype=getattr(torch, plan.dtype), use_safetensors=True, **options
    )
    tokenizer = AutoTokenizer.from_pretrained(source.folder, **options)
    return model.to(plan.device).eval(), tokenizer


def _halve_linear_layers(model):
    """Multiply in bfloat16, and keep sums, norms and pooling in float32.

    Nearly all the time is spent in the products; the residual stream in bfloat16
    would cost a cosine of 0.993 where this costs 0.9999.
    """

    def cast_input(module, inputs):
        return (inputs[0].to(module.weight.dtype), *inputs[1:])

    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.to(torch.bfloat16).register_forward_pre_hook(cast_input)


def _own_pooling(source, trust_remote_code) -> str:
    """Find what a model was made for: sentence, last or mean."""
    if source.loaded is not None or (Path(source.folder) / "modules.json").exists():
        return "sentence"
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    config = AutoConfig.from_pretrained(
        source.folder, trust_remote_code=trust_remote_code, local_files_only=True
    )
    kind = config.get_text_config().model_type
    is_causal = kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    is_masked = kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return "last" if is_causal and not is_masked else "mean"


def _own_dtype(source, pooling, device, trust_remote_code) -> str:
    """Pick bfloat16 for sentence encoders where it is fast, else what was saved."""
    if source.loaded is not None:
        return str(next(source.loaded.parameters()).dtype).removeprefix("torch.")
    if pooling == "sentence":
        return "bfloat16" if is_fast_at_bfloat16(device) else "float32"
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        source.folder, trust_remote_code=trust_remote_code, local_files_only=True
    )
    saved = str(config.dtype or "float32").removeprefix("torch.")
    is_slow = saved == "float16" and device.type == "cpu"
    return "float32" if is_slow or saved not in ("float16", "bfloat16") else saved


def _apply_template(tokenizer, messages):
    if not getattr(tokenizer, "chat_template", None):
        return None
    return tokenizer.apply_chat_template(messages, tokenize=False)


def _config(model):
    body = getattr(model, "transformers_model", None)
    return getattr(body, "config", None)


def _refuse_pickles(folder: Path):
    for path in folder.rglob("*_model*.bin"):
        if not any(path.parent.glob("*.safetensors")):
            raise OSError(
                f"{path} is a pickle, which may run code when it is read; weights are "
                "loaded from safetensors alone. Save the model again with "
                "safe_serialization=True."
            )


@contextmanager
def _quiet_loading():
    """Keep progress bars and the report of unused heads from the terminal."""
    from transformers.utils import logging

    was_on, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if was_on:
            logging.enable_progress_bar()
