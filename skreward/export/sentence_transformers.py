"""A fitted reward as a SentenceTransformer: the encoder, and its layers behind."""

import copy
import json
import tempfile
from importlib.metadata import version
from os import PathLike
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)

from skreward.export.comparison import check_layers, compare, record, rows_of, texts_of
from skreward.export.folders import drafted, free_folder
from skreward.export.layers import Activation, Affine, Layer, after_encoder, fold
from skreward.export.rendering import (
    cost_of_float32,
    how_to_render,
    in_float32,
    load_encoder,
    rendered,
    warn_of_float32,
    whole,
)
from skreward.text.encoders import SentenceEncoder
from skreward.text.loading import quiet_loading

TOLERANCE = 1e-5
SIDES = {
    "left": "its beginning",
    "middle": "out of its middle",
    "right": "its end too",
}
ABOUT = "skreward.json"
FUNCTIONS = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "logistic": torch.nn.Sigmoid,
}
README = """---
library_name: sentence-transformers
tags: [reward-model, skreward]
---

# A reward model, written by skreward {version}

```python
from sentence_transformers import SentenceTransformer

reward = SentenceTransformer(FOLDER).encode([{example!r}])[:, 0]
```

Larger is better. Only differences between rewards mean something.

**How a text must be written.** {how} A text that is written otherwise gets another
reward. Of a longer one than {length} tokens the end is cut off here; the model that
this was written from cuts {side}.

The encoder is `{model}` in float32{cost}. On {n} texts the rewards are those of the
fitted model within {difference:.2g}, at rewards up to {largest:.2g}; `skreward.json`
says more.
"""


def to_sentence_transformer(
    model: Any, folder: str | PathLike[str], X: Any = None
) -> dict[str, Any]:
    r"""Write a fitted text pipeline as a folder that sentence-transformers loads.

    .. math:: \texttt{SentenceTransformer(folder).encode(rendered)[:, 0]}
              = \texttt{model.predict(X)}

    The folder holds the encoder in float32, and behind it what `fold` gives, as
    ``Dense`` and ``Normalize`` modules; no code. It is loaded again and compared with
    the model before it appears. ``render`` writes texts as it takes them.

    Parameters
    ----------
    model : estimator
        A fitted Pipeline (or search) from texts to rewards, as in `fold`.
    folder : str or path-like
        Where to; must not exist, or be empty.
    X : texts as the model takes, default=None
        Texts to compare on, such as some of the training data. None compares on the
        rows that the model has kept of its training, and on texts made for it.

    Returns
    -------
    about : dict
        What ``skreward.json`` in the folder holds: the largest difference, versions,
        and the encoder's name, digest and template.

    Raises
    ------
    ValueError
        If the model cannot be folded, takes no texts, or reads another layer of its
        encoder than the last.
    ExportError
        If the folder's rewards are not the model's, within 1e-5 of the largest.
    FileExistsError
        If something is in the folder.

    Warns
    -----
    UserWarning
        If the encoder was fitted in bfloat16 or float16: the folder computes in
        float32, and the warning says how far rewards move. Fitted with
        ``LLMEmbeddingTransformer(dtype="float32")`` they do not.

    Notes
    -----
    There is no form for ``CrossEncoder``, which writes a separator between prompt and
    response that the model has not seen.

    Examples
    --------
    >>> from skreward.export import to_sentence_transformer
    >>> about = to_sentence_transformer(model, "reward")  # doctest: +SKIP
    """
    folded = fold(model)
    encoder = folded.encoder
    if encoder is None:
        raise ValueError(
            "the model takes embeddings, and a SentenceTransformer takes texts: fit a "
            "pipeline that begins with LLMEmbeddingTransformer, or use to_onnx."
        )
    folder = free_folder(folder)
    texts = texts_of(X)
    check_layers(model, folded, rows_of(model))
    loaded = load_encoder(encoder, "float32")
    texts = whole(encoder, loaded, texts)
    strings = rendered(encoder, loaded, texts)
    wanted = after_encoder(model).predict(in_float32(encoder).transform(texts))
    cost = cost_of_float32(encoder, folded, texts)
    with drafted(folder) as draft:
        with quiet_loading():
            _made(loaded, folded.layers).save(str(draft), create_model_card=False)
            again = SentenceTransformer(str(draft), device="cpu", local_files_only=True)
        given = again.encode(strings, show_progress_bar=False)[:, 0]
        compared = compare(wanted, given, tolerance=TOLERANCE, what="the folder")
        about = record(folded, compared, ("sentence-transformers", "torch"))
        about["cost_of_float32"] = cost
        (draft / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        (draft / "README.md").write_text(_readme(model, again, strings[0], about))
    if cost is not None:
        warn_of_float32(encoder, cost)
    return about


def _made(loaded, layers: tuple[Layer, ...]) -> SentenceTransformer:
    """Put layers behind an encoder, whose own modules are copied."""
    modules = _encoder_modules(loaded)
    if loaded.plan.normalize:
        modules.append(Normalize())
    for layer in layers:
        if isinstance(layer, Affine):
            modules.append(_dense(layer))
        elif isinstance(layer, Activation):
            modules[-1].activation_function = FUNCTIONS[layer.name]()
        else:
            modules.append(Normalize())
    made = SentenceTransformer(modules=modules, device="cpu")
    made.max_seq_length = loaded.max_length
    return made


def _dense(layer: Affine) -> Dense:
    n_in, n_out = layer.weight.shape
    return Dense(
        n_in,
        n_out,
        activation_function=torch.nn.Identity(),
        init_weight=torch.tensor(layer.weight.T.astype(np.float32)),
        init_bias=torch.tensor(layer.bias.astype(np.float32)),
    )


def _encoder_modules(loaded) -> list:
    """Give modules of an encoder that make one row of a text."""
    if isinstance(loaded, SentenceEncoder):
        return list(copy.deepcopy(loaded.model).float())
    if loaded.plan.layer != -1:
        raise ValueError(
            f"layer={loaded.plan.layer} of the encoder cannot be written: a "
            "SentenceTransformer reads the last layer alone."
        )
    tokenizer = copy.deepcopy(loaded.tokenizer.inner)
    # Texts come rendered: a template would be applied to them once more.
    tokenizer.chat_template = None
    with tempfile.TemporaryDirectory() as folder, quiet_loading():
        loaded.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        body = Transformer(folder)
    size = loaded.model.config.get_text_config().hidden_size
    mode = {"last": "lasttoken", "mean": "mean"}[loaded.plan.pooling]
    return [body, Pooling(size, pooling_mode=mode)]


def _readme(model, again, example, about):
    compared, encoder = about["compared"], about["encoder"]
    cost = ""
    if about["cost_of_float32"] is not None:
        moved = about["cost_of_float32"]
        cost = (
            f"; it was fitted in {encoder['dtype']}, from which rewards move by up to "
            f"{moved['largest_difference']:.2g} at a spread of {moved['spread']:.2g}"
        )
    return README.format(
        version=version("skreward"),
        example=example,
        how=how_to_render(encoder["template"]),
        length=again.max_seq_length,
        side=SIDES[encoder["truncation_side"]],
        model=encoder["model"] or "a model given in memory",
        cost=cost,
        n=compared["n_compared"],
        difference=compared["largest_difference"],
        largest=compared["largest_reward"],
    )
