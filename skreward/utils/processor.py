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
    """Whether the CPU is faster in bfloat16 than in float32; None where none can tell.

    Instructions of AVX-512 do not make it so by themselves: on Intel's processors they
    pass through one port of two, and products took 1.6 to 1.8 times as long.
    """
    try:
        said = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    told: dict[str, str] = {}
    for line in said.splitlines():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value)
    if "flags" not in told:
        return None
    flags = told["flags"].split()
    is_amd = told.get("vendor_id", "").strip() == "AuthenticAMD"
    return "amx_bf16" in flags or (is_amd and "avx512_bf16" in flags)
