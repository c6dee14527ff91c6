"""Which device, and what to say when it is too small."""

from contextlib import contextmanager

import numpy as np

from skreward.utils import processor
from skreward.utils.optional import wanted_by

with wanted_by("A reward network or a CUDA device", "torch"):
    import torch


def resolve(device):
    """Turn "auto", "cpu", "cuda" or "cuda:N" into a torch.device that is there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise ValueError(
            f"device={device!r} names no device; wanted 'auto', 'cpu', 'cuda' or "
            "'cuda:N'."
        )
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= count:
            raise ValueError(
                f"device={device!r} is not there: torch sees {count} CUDA devices. "
                'Use device="auto" or device="cpu".'
            )
    return resolved


def is_fast_at_bfloat16(device) -> bool:
    """Whether products in bfloat16 are faster than those in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    known = processor.is_fast_at_bfloat16()
    if known is None and hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities().get("amx_bf16")
    return bool(known)


@contextmanager
def explained_memory_errors(device, n_bytes):
    """Turn an out-of-memory error of the device into one that says what to change."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            f"{device} ran out of memory; the embeddings alone take {n_bytes:,} bytes "
            "there. Lower batch_size or hidden_layer_sizes, give the embeddings as "
            'float16 or float32, or use device="cpu".'
        ) from error


def copied(items, device):
    """Copy an array to a device; torch takes none that run backwards."""
    return torch.tensor(np.ascontiguousarray(items), device=device)


def torch_dtype(dtype):
    """Give torch's name of a numpy dtype."""
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype
