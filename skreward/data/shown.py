"""What a notebook shows of a container of pairs."""

from html import escape
from typing import Any

import numpy as np
import scipy.sparse as sp


def html_of(pairs: Any) -> str:
    """Give a table of what `EmbeddingPairs` hold: counts, degrees, memory."""
    rows = {
        "Pairs": f"{len(pairs):,}",
        "Items": f"{pairs.n_items:,}",
        "Features": f"{pairs.n_features:,}",
        "Pairs an item is in": _degrees(pairs),
        "Prompts": _prompts(pairs),
        "Embeddings": f"{type(pairs.embeddings).__name__} of {pairs.dtype}, "
        f"{_size(_n_bytes(pairs.embeddings))}",
        "Index": _size(pairs.index.nbytes),
        "As dense pairs": _size(int(np.prod(pairs.shape)) * pairs.dtype.itemsize),
    }
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return (
        f"<table><caption>{escape(type(pairs).__name__)}</caption>"
        f"<tbody>{cells}</tbody></table>"
    )


def _degrees(pairs):
    count = np.bincount(pairs.index.ravel(), minlength=pairs.n_items)
    used = count[count > 0]
    if len(used) == 0:
        return "no item is in a pair"
    told = f"{used.min():,} to {used.max():,}, median {np.median(used):g}"
    idle = len(count) - len(used)
    return f"{told}; {_count(idle, 'item')} in none" if idle else told


def _prompts(pairs):
    ids = pairs.pair_prompt_ids
    if ids is None:
        return "not known"
    across = int((ids[:, 0] != ids[:, 1]).sum())
    told = f"{len(np.unique(pairs.prompt_ids)):,}"
    return f"{told}; {_count(across, 'pair')} of two prompts" if across else told


def _count(n, noun):
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _n_bytes(embeddings):
    if sp.issparse(embeddings):
        parts = embeddings.data, embeddings.indices, embeddings.indptr
        return sum(part.nbytes for part in parts)
    return embeddings.nbytes


def _size(n_bytes):
    """Give a size in the unit that leaves one to three digits before the point."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes} bytes" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
