"""A fitted linear reward as a causal language model with a head of one number."""

import json
import warnings
from os import PathLike
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from skreward.export.comparison import (
    ExportError,
    check_layers,
    compare,
    record,
    rows_of,
    texts_of,
)
from skreward.export.folders import drafted, free_folder
from skreward.export.layers import Affine, FoldedReward, after_encoder, fold
from skreward.export.rendering import (
    cost_of_float32,
    in_float32,
    load_encoder,
    rendered,
    warn_of_float32,
    whole,
)
from skreward.text.encoders import StateEncoder
from skreward.text.loading import quiet_loading
from skreward.text.transformer import LLMEmbeddingTransformer

TOLERANCE = 1e-4
ABOUT = "skreward.json"
BATCHES = 1, 16


def to_sequence_classifier(
    model: Any,
    folder: str | PathLike[str],
    dtype: str = "float32",
    X: Any = None,
) -> dict[str, Any]:
    r"""Write a linear reward of a causal language model as a sequence classifier.

    .. math:: \text{logit}(t) = h_{\text{last}}(t)^\top w = r(t) - \text{shift}

    for a text t whose last token has the last hidden state h. The folder is loaded by
    ``AutoModelForSequenceClassification``: the whole language model, and a head of
    one label with the weights that `fold` gives. The head has no bias, so the shift
    stays outside; it changes no difference between rewards.

    Parameters
    ----------
    model : estimator
        A fitted Pipeline (or search) of an `LLMEmbeddingTransformer` with
        ``pooling="last"``, ``layer=-1``, and a linear reward, as in `fold`.
    folder : str or path-like
        Where to; must not exist, or be empty.
    dtype : {"float32", "bfloat16", "float16"}, default="float32"
        Of the weights in the folder. Fewer bits move rewards; how far is measured
        and told.
    X : texts as the model takes, default=None
        Texts to compare on, such as some of the training data. None compares on the
        rows that the model has kept of its training, and on texts made for it.

    Returns
    -------
    about : dict
        What ``skreward.json`` in the folder holds: ``shift``, the largest difference,
        versions, and the encoder's name, digest and template.

    Raises
    ------
    ValueError
        If the model is no linear reward of the last token of the last layer, if its
        architecture has no such class, or if texts end with the token that pads.
    ExportError
        If logits and shift are not the model's rewards, within 1e-4 of the largest,
        alone and in batches.
    FileExistsError
        If something is in the folder.

    Warns
    -----
    UserWarning
        Where TRL, which joins prompt and completion without anything between them and
        writes no token that begins a text, would give the model other texts than it
        was fitted on; and where ``dtype`` or the encoder's dtype moves rewards.

    Examples
    --------
    >>> from skreward.export import to_sequence_classifier
    >>> about = to_sequence_classifier(model, "reward")  # doctest: +SKIP
    """
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ValueError(
            f"dtype must be 'float32', 'bfloat16' or 'float16', got {dtype!r}."
        )
    folded = fold(model)
    encoder, head = _parts(folded)
    folder = free_folder(folder)
    loaded = load_encoder(encoder, "float32")
    _check_encoder(loaded)
    texts = texts_of(X)
    texts = whole(encoder, loaded, texts)
    strings = rendered(encoder, loaded, texts)
    tokenizer = _tokenizer(loaded, strings)
    check_layers(model, folded, rows_of(model))
    wanted = after_encoder(model).predict(in_float32(encoder).transform(texts))
    shift = float(head.bias[0])
    with drafted(folder) as draft, quiet_loading():
        _made(loaded, head, tokenizer).save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        compared = _compared(draft, "float32", strings, wanted - shift, TOLERANCE)
        about = record(folded, compared, ("transformers", "torch"))
        about |= {"shift": shift, "dtype": dtype}
        if dtype != "float32":
            low = AutoModelForSequenceClassification.from_pretrained(
                draft, dtype=getattr(torch, dtype), local_files_only=True
            )
            low.save_pretrained(draft)
            about["cost_of_dtype"] = _compared(
                draft, dtype, strings, wanted - shift, np.inf
            )
        about["cost_of_float32"] = cost_of_float32(encoder, folded, texts)
        (draft / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    _warn(encoder, loaded, texts, strings, about)
    return about


def _parts(folded: FoldedReward) -> tuple[LLMEmbeddingTransformer, Affine]:
    """Give the encoder and the one affine layer of a linear reward on texts."""
    if folded.encoder is None:
        raise ValueError(
            "the model takes embeddings, and a sequence classifier takes texts: fit a "
            "pipeline that begins with LLMEmbeddingTransformer, or use to_onnx."
        )
    if folded.encoder.normalize:
        raise ValueError(
            "normalize=True of the encoder has no place in a sequence classifier, "
            "whose head reads hidden states as they are."
        )
    if len(folded.layers) != 1 or not isinstance(folded.layers[0], Affine):
        raise ValueError(
            "the model folds into more than one affine layer, and a sequence "
            "classifier has a linear head alone: it would load the others as random "
            "ones. Use to_sentence_transformer or to_onnx."
        )
    return folded.encoder, folded.layers[0]


def _check_encoder(loaded) -> None:
    if not isinstance(loaded, StateEncoder):
        raise ValueError(
            "the encoder is a sentence encoder with a pooling of its own; a sequence "
            "classifier reads the last token of a causal language model. Use "
            "to_sentence_transformer."
        )
    plan = loaded.plan
    if plan.pooling != "last" or plan.layer != -1:
        raise ValueError(
            f"the encoder has pooling={plan.pooling!r} and layer={plan.layer}; a "
            "sequence classifier reads the last token (pooling='last') of the last "
            "layer (layer=-1)."
        )
    kind = loaded.model.config.model_type
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise ValueError(f"transformers has no sequence classifier of {kind} models.")


def _tokenizer(loaded, strings):
    """Give the tokenizer with a token that pads, and that ends no text."""
    tokenizer = AutoTokenizer.from_pretrained(
        loaded.tokenizer.inner.name_or_path, local_files_only=True
    )
    ids = [tokenizer(text)["input_ids"] for text in strings]
    if not all(ids):
        raise ValueError(
            f"X, text {ids.index([])}: the tokenizer makes no token of it, and a "
            "sequence classifier reads the last one. Give other texts to compare on."
        )
    ends = {row[-1] for row in ids}
    if tokenizer.pad_token_id is None:
        spare = (tokenizer.unk_token, tokenizer.eos_token, tokenizer.bos_token)
        named = [token for token in spare if token is not None]
        free = [t for t in named if tokenizer.convert_tokens_to_ids(t) not in ends]
        if not free:
            raise ValueError(
                "the tokenizer has no token that pads: give it one, and save it with "
                "the language model."
            )
        tokenizer.pad_token = free[0]
    if tokenizer.pad_token_id in ends:
        raise ValueError(
            f"texts end with {tokenizer.pad_token!r}, the token that pads: a sequence "
            "classifier would read the token before it. Give the tokenizer another "
            "pad_token, and save it with the language model."
        )
    return tokenizer


def _made(loaded, head: Affine, tokenizer):
    """Give the classifier with the encoder's weights and the head."""
    config = type(loaded.model.config).from_dict(loaded.model.config.to_dict())
    config.num_labels = 1
    config.problem_type = "regression"  # else a pipeline applies a sigmoid
    config.id2label, config.label2id = {0: "reward"}, {"reward": 0}
    config.get_text_config().pad_token_id = config.pad_token_id = tokenizer.pad_token_id
    made = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    body = getattr(made, made.base_model_prefix)
    missing = body.load_state_dict(loaded.model.state_dict(), strict=False)
    if missing.missing_keys or missing.unexpected_keys:
        raise ExportError(f"the encoder's weights do not fit {type(made).__name__}.")
    made.score.weight.data = torch.tensor(head.weight.T.astype(np.float32))
    return made.eval()


@torch.inference_mode()
def _compared(folder, dtype, strings, wanted, tolerance) -> dict[str, float]:
    """Compare logits with rewards less the shift: alone, and in padded batches."""
    made = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    worst: dict[str, float] = {}
    for side in sorted({"right", tokenizer.padding_side}):
        for size in BATCHES:
            given = []
            for start in range(0, len(strings), size):
                batch = tokenizer(
                    strings[start : start + size],
                    padding=True,
                    padding_side=side,
                    truncation=True,
                    return_tensors="pt",
                )
                given.append(made(**batch).logits[:, 0].float().numpy())
            what = f"the classifier, padded on the {side} in batches of {size},"
            found = compare(
                wanted, np.concatenate(given), tolerance=tolerance, what=what
            )
            if found["largest_difference"] >= worst.get("largest_difference", 0.0):
                worst = found
    return worst


def _warn(encoder, loaded, texts, strings, about) -> None:
    """Say where other libraries would give the model other texts or numbers."""
    if about["cost_of_float32"] is not None:
        warn_of_float32(encoder, about["cost_of_float32"])
    if "cost_of_dtype" in about:
        cost = about["cost_of_dtype"]
        warnings.warn(
            f"weights in {about['dtype']} move rewards by up to "
            f"{cost['largest_difference']:.2g}, at rewards up to "
            f"{cost['largest_reward']:.2g}.",
            UserWarning,
            stacklevel=3,
        )
    is_chat = not all(isinstance(text, str) for text in texts.responses)
    if is_chat:
        return
    if encoder.template != "{prompt}{response}":
        warnings.warn(
            "TRL joins prompt and completion without anything between them, and the "
            f"model was fitted with template={encoder.template!r}: its rewards there "
            "are others. Fit with template='{prompt}{response}' for use in TRL.",
            UserWarning,
            stacklevel=3,
        )
    tokenizer = loaded.tokenizer.inner
    bare = tokenizer(strings[0], add_special_tokens=False)["input_ids"]
    if tokenizer(strings[0])["input_ids"] != bare:
        warnings.warn(
            "the tokenizer adds special tokens to every text, and TRL's reward models "
            "are called without: rewards there are others. Call the reward from TRL by "
            "skreward.integrations.TRLReward instead.",
            UserWarning,
            stacklevel=3,
        )
