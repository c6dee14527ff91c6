"""Items beyond memory: Dask arrays, worked on a block of rows at a time.

Where that happens is left to the scheduler that Dask is set to. A task reads its block,
and gives little of it back; it is sent what is small, such as coefficients, and nothing
stays on a worker, so that one which dies takes nothing along. Sums are of blocks in
their order, whoever computed them: schedulers agree to the last digit.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

# Graphs carry a number an item, which Dask would warn of.
LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"
# Partial sums that one task adds up.
SUMMED_AT_ONCE = 16


def is_lazy(X: Any) -> bool:
    """Whether X is a Dask array; who has one has imported Dask."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(X, module.Array)


def refuse_lazy(X: Any, who: str) -> None:
    """Raise where a Dask array meets what wants its items in memory."""
    if is_lazy(X):
        raise TypeError(
            f"{who} needs its items in memory, and they are a Dask array of shape "
            f"{X.shape}. Compute it if it fits; docs/guide/beyond_memory lists what "
            "takes Dask arrays."
        )


def check_blocks(items: Any) -> None:
    """Refuse a Dask array whose blocks are no rows of known number."""
    if any(size != size for size in items.shape):
        raise ValueError(
            "embeddings are a Dask array whose chunk sizes are unknown, got shape "
            f"{items.shape}. Call embeddings.compute_chunk_sizes()."
        )
    if items.ndim == 2 and items.numblocks[1] != 1:
        raise ValueError(
            "embeddings are a Dask array whose features are split into "
            f"{items.numblocks[1]} chunks, {items.chunks[1]}; a chunk must hold whole "
            'rows. Call embeddings.rechunk({0: "auto", 1: -1}).'
        )


def only_blocks(items: Any, occurs: np.ndarray) -> tuple[Any, np.ndarray]:
    """Leave out blocks none of whose rows occurs; gives which rows are left."""
    sizes = items.chunks[0]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    count = np.concatenate([[0], np.cumsum(occurs)])[edges]
    is_kept = np.diff(count) > 0
    if is_kept.all() or not is_kept.any():
        return items, np.ones(len(items), dtype=bool)
    return items.blocks[np.flatnonzero(is_kept)], np.repeat(is_kept, sizes)


def take_rows(items: Any, rows: np.ndarray) -> np.ndarray:
    """Give some rows, in any order, as an array in memory."""
    distinct, places = np.unique(rows, return_inverse=True)
    return compute(items[distinct])[places]


def map_rows(function: Callable, items: Any, *args: Any, width: int, dtype: Any) -> Any:
    """Give ``function(block, start, *args)`` of all blocks, shape (n_items, width).

    ``start`` is the position of the block's first row. Arguments are sent once to every
    worker, not with every block.
    """
    from dask import delayed

    return compute(
        items.map_blocks(
            _with_start, function, *(delayed(a, traverse=False) for a in args),
            dtype=dtype, meta=np.empty((0, 0), dtype),
            chunks=(items.chunks[0], (width,)),
        )
    )  # fmt: skip


def sum_rows(
    function: Callable, items: Any, values: np.ndarray, *args: Any, width: int
) -> Any:
    """Sum ``function(block, start, its values, *args)`` over blocks, shape (width,).

    ``values`` are of shape (n_items, k).
    """
    import dask.array as da

    columns = values.shape[1]
    of_blocks = da.from_array(values, chunks=(items.chunks[0], columns), name=False)
    return compute(
        items.map_blocks(
            _summed, of_blocks, function, *args, dtype=np.float64,
            meta=np.empty((0, 0)),
            chunks=((1,) * items.numblocks[0], (width,)),
        ).sum(axis=0, split_every=SUMMED_AT_ONCE)
    )  # fmt: skip


def compute(array: Any) -> Any:
    """Compute by whatever scheduler Dask is set to."""
    import dask

    if "distributed" not in sys.modules:
        # Loaded on the way, it would lose its settings with those that end here.
        return array.compute()
    with dask.config.set({LARGE_GRAPH: "10GB"}):
        return array.compute()


def _with_start(block, function, *args, block_info=None):
    return function(block, block_info[0]["array-location"][0][0], *args)


def _summed(block, values, function, *args, block_info=None):
    start = block_info[0]["array-location"][0][0]
    return function(block, start, values, *args)[np.newaxis]
