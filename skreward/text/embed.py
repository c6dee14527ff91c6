"""Texts to rows: what the cache knows is looked up, the rest is computed once."""

import time
import warnings

import numpy as np

from skreward.text.cache import EmbeddingCache
from skreward.text.items import TextItems, render

# What a kill at any moment may cost, in seconds of computing.
FLUSH_SECONDS = 2.0
LONG_SECONDS = 2.0


def embed_items(
    items: TextItems, source, plan, *, template, batch_size, cache_dir, bar
):
    """Embed every item; every distinct text is computed at most once.

    Parameters
    ----------
    items : TextItems
    source, plan : ModelSource and Plan
        Which model, and how.
    template : str
    batch_size : int
    cache_dir : path or None
    bar : bool or "auto"
        Whether to show a progress bar; "auto" after two seconds, on a terminal.

    Returns
    -------
    rows : array of float32, shape (n_items, n_features_out)
    """

    def encoder():
        from skreward.text.encoders import get_encoder

        return get_encoder(source, plan)

    texts = render(items, template, lambda chat: encoder().render_chat(chat))
    setup = {
        "model": source.name if source.loaded is None else "",
        "revision": source.revision,
        "digest": source.digest,
        "pooling": plan.pooling,
        "layer": plan.layer,
        "template": template,
        "max_length": plan.max_length,
        "dtype": plan.dtype,
        "normalize": plan.normalize,
    }
    cache = EmbeddingCache(setup, cache_dir)
    distinct = list(dict.fromkeys(texts))
    rows = cache.get(distinct)
    if len(rows) < len(distinct):
        rows |= _compute(distinct, rows, encoder(), cache, batch_size, bar)
    return np.stack([rows[text] for text in texts])


def _compute(distinct, known, encoder, cache, batch_size, bar):
    """Compute what is missing, and hand it to the cache every few seconds."""
    with encoder.lock:
        # Another thread may have computed some of it while this one waited.
        missing = [text for text in distinct if text not in known]
        computed = cache.get(missing)
        missing = [text for text in missing if text not in computed]
        fresh: dict[str, np.ndarray] = {}
        flushed = time.monotonic()
        with _progress_bar(len(missing), bar) as progress:
            for batch in encoder.batches(missing, batch_size):
                rows = encoder.encode(batch)
                _check_finite(rows, batch)
                fresh.update(zip(batch, rows, strict=True))
                progress.update(len(batch))
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    cache.put(fresh)
                    computed |= fresh
                    fresh, flushed = {}, time.monotonic()
        cache.put(fresh)
    return computed | fresh


def _check_finite(rows, batch):
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        text = batch[int(wrong.argmax())]
        raise ValueError(
            "the model gives an embedding that is not finite for the text that begins "
            f"{text[:60]!r}; try dtype='float32'."
        )


def _progress_bar(n, bar):
    from tqdm.auto import tqdm

    if bar == "auto":
        # None: only where the output is a terminal.
        return tqdm(
            total=n, desc="embedding", unit="text", delay=LONG_SECONDS, disable=None
        )
    return tqdm(total=n, desc="embedding", unit="text", disable=not bar)


def warn_of_equal_pairs(rows, index):
    """Warn of pairs whose two texts were cut to the same tokens."""
    # A text that is compared with itself was not cut.
    index = index[index[:, 0] != index[:, 1]]
    if len(index) == 0:
        return
    gap = np.abs(rows[index[:, 0]] - rows[index[:, 1]]).max(axis=1)
    n_equal = int((gap <= 1e-5 * np.abs(rows).max()).sum())
    if n_equal:
        warnings.warn(
            f"{n_equal} of {len(index)} pairs have equal embeddings: their texts "
            "differ only beyond max_length tokens, where they are cut. A larger "
            "max_length tells them apart.",
            UserWarning,
            stacklevel=3,
        )
