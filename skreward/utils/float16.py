"""float16: storage, read fast.

NumPy converts and checks float16 a number at a time. NumKong, where it is installed,
converts as fast as memory gives them; elsewhere integers of the same bits go through
NumPy's vector units. Conventions: a number is (-1)^s 2^(e - 15) (1 + f / 2^10), its
bits s e f; float32 has the same in 8 and 23 bits, with a bias of 127. So bits that are
moved to where float32 has them make the number divided by 2^112: blocks hold numbers
over `_unit`, exactly, and products are the same to the last bit.

Products with a vector are taken block by block, in as many threads as NumPy's own would
take, and without them inside: NumPy's wait for each other. No sum depends on how many
there are. Products with a matrix are NumPy's, block by block, in its threads.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

numkong: Any = None
with suppress(ImportError):
    numkong = import_module("numkong")

INFINITE = 0x7C00  # all bits of e: infinity, or NaN with some of f
SIGN = 0x8000
SIGN_AND_REST = np.int32(-0x70002000)  # bits s, and e f where they are in float32
REBIAS = 2.0 ** (127 - 15)
# A block stays in the processor's cache between its conversion and its product.
BLOCK_BYTES = 1 << 20
# One thread's turn: memory is asked for once, and waiting is rare.
BLOCKS_A_CHUNK = 64


def keeps_infinity():
    """Whether products show infinity and NaN; moved bits are of finite numbers."""
    return numkong is not None


def to_float32(values):
    """Convert finite float16 to float32, exactly."""
    out = np.empty(values.shape, dtype=np.float32)
    _convert(values, out)
    if numkong is None:
        out *= np.float32(REBIAS)
    return out


def rewards(items, coef):
    """Items @ coef in float32, for finite float16 of shape (n_items, n_features)."""
    coef, unit = _lifted(coef)
    if coef.ndim == 2:
        rewards = np.empty((coef.shape[1], len(items)), dtype=np.float32)
        for part, block in _blocks(items, range(len(items))):
            rewards[:, part] = (block @ coef).T
        return rewards.T * unit
    found = np.empty(items.shape[0], dtype=np.float32)

    def of_chunk(rows):
        for part, block in _blocks(items, rows):
            np.vecdot(block, coef, out=found[part])

    _by_chunks(of_chunk, *items.shape)
    return found * unit


def gradient(items, item_gradient):
    """Items.T @ item_gradient in float32, for finite float16."""
    item_gradient, unit = _lifted(item_gradient)
    if item_gradient.ndim == 2:
        blocks = _blocks(items, range(len(items)))
        total = sum(item_gradient[part].T @ block for part, block in blocks)
        return total.T * unit

    def of_chunk(rows):
        total = np.zeros(items.shape[1], dtype=np.float32)
        for part, block in _blocks(items, rows):
            total += np.einsum("i,ij->j", item_gradient[part], block)
        return total

    found = np.zeros(items.shape[1], dtype=np.float32)
    for total in _by_chunks(of_chunk, *items.shape):
        found += total
    return found * unit


def is_finite(items):
    """Whether no number of a float16 matrix is infinite or NaN."""

    def of_chunk(rows):
        for part in _parts(rows, items.shape[1]):
            bits = items[part].view(np.uint16)
            # Unsigned, the largest is one with a sign; signed, one without.
            signed, others = bits.max(initial=0), bits.view(np.int16).max(initial=0)
            if signed >= SIGN + INFINITE or others >= INFINITE:
                return False
        return True

    return all(_by_chunks(of_chunk, *items.shape))


def _convert(values, out):
    """Write float16 values, over `_unit`, to float32 of the same shape."""
    if numkong is not None:
        # It takes no memory that begins at an odd place, as what Dask sends may.
        values = np.require(values, requirements=["ALIGNED"])
        numkong.astype(values, "float32", out=out)
        return
    bits = out.view(np.int32)
    # By steps: NumPy takes twice as long where it has to convert on the way.
    np.copyto(bits, values.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, SIGN_AND_REST, out=bits)


def _unit():
    """Give what blocks were divided by."""
    return REBIAS if numkong is None else 1.0


def _lifted(vector):
    """Give a vector that undoes the division by `_unit`, and its products' unit."""
    vector = np.asarray(vector, dtype=np.float64)
    unit = np.ldexp(0.5, np.frexp(np.abs(vector).max(axis=0, initial=0))[1])
    return (vector / unit * _unit()).astype(np.float32), unit.astype(np.float32)


def _block_rows(n_features):
    return max(1, BLOCK_BYTES // (4 * max(1, n_features)))


def _parts(rows, n_features):
    """Cut a range of rows into the slices of its blocks."""
    step = _block_rows(n_features)
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop))


def _blocks(items, rows):
    """Give the slices of a range of rows, and these rows over `_unit`."""
    n_features = items.shape[1]
    n_rows = min(_block_rows(n_features), len(rows))
    moved = np.empty((n_rows, n_features), dtype=np.float32)
    for part in _parts(rows, n_features):
        block = moved[: part.stop - part.start]
        _convert(items[part], block)
        yield part, block


def _by_chunks(of_chunk, n_rows, n_features):
    """Give what a function makes of each range of rows, in order, found in threads."""
    step = BLOCKS_A_CHUNK * _block_rows(n_features)
    chunks = [range(k, min(k + step, n_rows)) for k in range(0, n_rows, step)]
    if len(chunks) < 2:
        return [of_chunk(rows) for rows in chunks]
    pools = (p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")
    # Threads ignore, and warn of, what the caller does.
    alike = partial(np.seterr, **np.geterr())
    with ThreadPoolExecutor(max(pools, default=1), initializer=alike) as threads:
        return list(threads.map(of_chunk, chunks))
