"""Texts to rows: what the cache knows is looked up, the rest is computed once."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from skreward.text.cache import Cut, EmbeddingCache
from skreward.text.items import TextItems, render
from skreward.utils.progress import progress

# What a kill at any moment may cost, in seconds of computing.
FLUSH_SECONDS = 2.0
# A number this far below the others of its row is what is left of rounding.
NOISE = 2.0**-16


def embed_items(
    items: TextItems, source, plan, *, template, batch_size, cache_dir, bar, warn=True
) -> np.ndarray:
    """Embed every item; every distinct text is computed at most once.

    Parameters
    ----------
    items : TextItems
    source, plan : ModelSource and Plan
        Which model, and how.
    template : str
    batch_size : int
    cache_dir : path or None
    bar : bool, "auto" or "lines"
        Whether to show progress, as in `skreward.utils.progress`.
    warn : bool, default=True
        Whether to warn of texts that are cut.

    Returns
    -------
    rows : array of float32, shape (n_items, n_features_out)
    """
    texts, encoder = _rendered(items, source, plan, template)
    cache = EmbeddingCache(_setup(source, plan, template), cache_dir)
    distinct = list(dict.fromkeys(texts))
    rows = cache.get(distinct)
    if len(rows) < len(distinct):
        rows |= _compute(distinct, rows, encoder(), cache, batch_size, bar)
    if warn:
        _warn_of_cut_texts(cache, distinct, plan.truncation_side)
    return np.stack([rows[text] for text in texts])


def which_are_cut(items: TextItems, source, plan, *, template) -> np.ndarray:
    """Mask the items that were longer than what is read of them.

    They are embedded in this process before, by the same arguments.
    """
    texts, _ = _rendered(items, source, plan, template)
    cut = EmbeddingCache(_setup(source, plan, template)).cut(texts)
    return np.array([text in cut for text in texts])


def _rendered(items, source, plan, template):
    """Write items as they are embedded; also what gives the encoder, if it is asked."""

    def encoder():
        from skreward.text.loading import get_encoder

        return get_encoder(source, plan)

    return render(items, template, lambda chat: encoder().render_chat(chat)), encoder


def _setup(source, plan, template):
    """Name everything but the text that decides an embedding."""
    return {
        "model": source.name if source.loaded is None else "",
        "revision": source.revision,
        "digest": source.digest,
        "pooling": plan.pooling,
        "layer": plan.layer,
        "template": template,
        "max_length": plan.max_length,
        "truncation_side": plan.truncation_side,
        "dtype": plan.dtype,
        "normalize": plan.normalize,
    }


def _compute(distinct, known, encoder, cache, batch_size, bar):
    """Compute what is missing, and hand it to the cache every few seconds."""
    from skreward.text.encoders import LOCK

    with LOCK:
        # Another thread may have computed some of it while this one waited.
        missing = [text for text in distinct if text not in known]
        computed = cache.get(missing)
        missing = [text for text in missing if text not in computed]
        fresh: dict[str, np.ndarray] = {}
        cut: dict[str, Cut] = {}
        flushed = time.monotonic()
        with progress(len(missing), "embedding", "texts", bar) as shown:
            for batch, rows, cuts in encoded(missing, encoder, batch_size):
                fresh.update(zip(batch, rows, strict=True))
                cut.update((t, how) for t, how in zip(batch, cuts, strict=True) if how)
                shown.update(len(batch))
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    cache.put(fresh, cut)
                    computed |= fresh
                    fresh, cut, flushed = {}, {}, time.monotonic()
        cache.put(fresh, cut)
    return computed | fresh


def encoded(texts, encoder, batch_size) -> Iterator[tuple[list[str], Any, Any]]:
    """Embed texts pass by pass, in any order; give texts, rows, and how each was cut.

    Whoever iterates holds the encoders' lock.
    """
    for batch, (rows, cuts) in encoder.passes(texts, batch_size):
        _check_finite(rows, batch)
        yield batch, without_noise(rows), cuts


def without_noise(rows: np.ndarray) -> np.ndarray:
    """Set numbers to 0 that are below the rounding of the row they stand in.

    A number counts as rounding where it is under 2**-16 of the median size of its
    row: float32 products and sums leave more than that, and bfloat16 products 100
    times as much. Some models have features that are nothing else (two of 1e-33 and
    one of 1e-8 in all-MiniLM-L6-v2, beside a median of 0.03); another processor
    computes them differently, and a scaler would make them as large as the others.
    Each row is treated by itself.

    Parameters
    ----------
    rows : array of shape (n_texts, n_features_out)

    Returns
    -------
    rows : array of shape (n_texts, n_features_out)
    """
    size = np.abs(rows)
    floor = NOISE * np.median(size, axis=1, keepdims=True)
    return np.where(size < floor, rows.dtype.type(0), rows)


def _warn_of_cut_texts(cache, texts, side):
    """Warn of texts that were cut, unless all of them were warned of before."""
    cut = cache.tell_of_cut(texts)
    if not cut:
        return
    length, limit = cut[0]
    way = "another model may take more"
    if limit == 0:
        way = "a larger max_length keeps more"
    elif length < limit:
        way = f"a larger max_length, up to {limit}, keeps more; {way}"
    warnings.warn(
        f"{len(cut)} of {len(texts)} texts were cut to {length} tokens, the max_length "
        f"here (truncation_side={side!r}): {way}.",
        UserWarning,
        stacklevel=4,
    )


def _check_finite(rows, batch):
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        text = batch[int(wrong.argmax())]
        raise ValueError(
            "the model gives an embedding that is not finite for the text that begins "
            f"{text[:60]!r}; try dtype='float32'."
        )


CUT_HERE = (
    "max_length tokens. A larger max_length or another truncation_side tells them apart"
)


def warn_of_equal_pairs(rows, index, beyond=CUT_HERE):
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
            f"differ only in what is left out beyond {beyond}.",
            UserWarning,
            stacklevel=3,
        )
