"""What this machine computes with, as far as it can be told without torch."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

# What CUDA cannot do without, and ROCm, which torch calls CUDA too.
DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
ROCM = "/dev/kfd"


@cache
def may_have_cuda() -> bool:
    """Whether torch could find a CUDA device: False is certain, True is not."""
    if sys.platform == "darwin":
        return False
    if sys.platform not in DRIVERS or os.path.exists(ROCM):
        return True
    try:
        ctypes.CDLL(DRIVERS[sys.platform])
    except OSError:
        return False
    return True


@cache
def is_fast_at_bfloat16() -> bool | None:
    """Whether the CPU has units for products in bfloat16; None where none can tell."""
    try:
        said = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    for line in said.splitlines():
        if line.startswith("flags"):
            flags = line.split()
            return "amx_bf16" in flags or "avx512_bf16" in flags
    return None
