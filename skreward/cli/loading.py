"""A model file, loaded for this machine and checked against what is expected."""

from contextlib import suppress
from typing import Any

from sklearn.pipeline import Pipeline

from skreward import persistence
from skreward.cli.arrays import ROWS
from skreward.cli.features import embedding_of, set_everywhere
from skreward.text.endpoint import EndpointEmbeddingTransformer
from skreward.utils.progress import progress


def load_model(
    path,
    *,
    model=None,
    template=None,
    cache_dir=None,
    device=None,
    batch_size=None,
    trust=(),
    takes_rows=False,
    **limits,
) -> Pipeline:
    """Load a pipeline that `fit` saved; refuse another embedding model or template.

    ``takes_rows`` lets one through that takes rows of numbers, and no texts.
    """
    with progress(None, f"loading {path}"):
        fitted = persistence.load(path, trust, **limits)
    embed: Any = NotImplemented
    if isinstance(fitted, Pipeline):
        with suppress(TypeError):
            embed = embedding_of(fitted[0])
    if takes_rows and isinstance(fitted, Pipeline) and fitted[0] == ROWS:
        if device is not None:
            set_everywhere(fitted, device=device)
        return fitted
    if embed is NotImplemented:
        raise ValueError(f"{path}: holds no pipeline from texts to rewards")
    set_everywhere(fitted, show_progress="lines")
    if device is not None:
        if device not in ("auto", "cpu"):
            from skreward.utils.device import resolve

            resolve(device)
        set_everywhere(fitted, device=device)
    named = {
        "--model": model,
        "--template": template,
        "--cache-dir": cache_dir,
        "--batch-size": batch_size,
    }
    if embed is None:
        for name, value in named.items():
            if value is not None:
                raise ValueError(
                    f"{path}: was fitted on statistics of the text, without an "
                    f"embedding for {name}"
                )
        return fitted
    _set_embedding(
        embed, path, **{n[2:].replace("-", "_"): v for n, v in named.items()}
    )
    if device is not None and isinstance(embed, EndpointEmbeddingTransformer):
        raise ValueError(
            f"{path}: --device cannot act: its texts are embedded by {embed.url}"
        )
    return fitted


def _set_embedding(embed, path, *, model, template, cache_dir, batch_size):
    if template is not None and template != embed.template:
        raise ValueError(
            f"{path}: was fitted with template {embed.template!r}, not {template!r}"
        )
    if isinstance(embed, EndpointEmbeddingTransformer):
        if model not in (None, embed.model_name):
            raise ValueError(
                f"{path}: was fitted with model {embed.model_name!r}, not {model!r}"
            )
    elif model is not None:
        # The same weights may lie elsewhere here; transform compares the digest.
        embed.set_params(model=model, revision=None)
    embed.cache_dir = None if cache_dir is None else str(cache_dir)
    if batch_size is not None:
        embed.batch_size = batch_size


def check_there(path):
    """Refuse a model that cannot be opened, before data are read for it."""
    with path.open("rb"):
        pass
