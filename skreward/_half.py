"""float16: storage, read fast.

NumPy converts and checks float16 a number at a time; integers of the same bits go
through its vector units. Conventions: a number is (-1)^s 2^(e - 15) (1 + f / 2^10), its
bits s e f; float32 has the same in 8 and 23 bits, with a bias of 127.
"""

import numpy as np

INFINITE = np.uint16(0x7C00)  # all bits of e: infinity or NaN
NO_SIGN = np.uint16(0x7FFF)
SIGN_AND_REST = np.int32(-0x70002000)  # bits s, and e f where they are in float32
REBIAS = np.float32(2.0 ** (127 - 15))
CHECKED_AT_ONCE = 1 << 18


def to_float32(values, out=None):
    """Convert finite float16 to float32, exactly.

    ``out``, a C-contiguous float32 array of the shape, saves the allocation.
    """
    if out is None:
        out = np.empty(values.shape, dtype=np.float32)
    bits = out.view(np.int32)
    np.left_shift(values.view(np.int16), 13, out=bits, dtype=np.int32)
    np.bitwise_and(bits, SIGN_AND_REST, out=bits)
    return np.multiply(out, REBIAS, out=out)


def is_finite(values):
    """Whether no number of a float16 matrix is infinite or NaN."""
    step = max(1, CHECKED_AT_ONCE // max(1, values.shape[1]))
    scratch = np.empty((min(step, values.shape[0]), values.shape[1]), dtype=np.uint16)
    for start in range(0, values.shape[0], step):
        part = values[start : start + step].view(np.uint16)
        size = np.bitwise_and(part, NO_SIGN, out=scratch[: len(part)])
        if size.max(initial=0) >= INFINITE:
            return False
    return True
