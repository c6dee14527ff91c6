"""The reward network's forward pass on the device it was trained on."""

import numpy as np
import scipy.sparse as sp

from skreward.networks import forward as on_cpu
from skreward.networks.stack import ACTIVATIONS
from skreward.utils.arrays import compute_dtype
from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch

BLOCK_BYTES = 1 << 28


@torch.inference_mode()
def forward(items, coefs, intercepts, activation, device):
    """Rewards of the items, shape (n_items,); on the CPU where the device is gone."""
    is_there = (torch.device(device).index or 0) < torch.cuda.device_count()
    if not is_there or sp.issparse(items):
        return on_cpu.forward(items, coefs, intercepts, activation)
    dtype = compute_dtype(items)
    coefs = [torch.tensor(c.astype(dtype, copy=False), device=device) for c in coefs]
    intercepts = [
        torch.tensor(b.astype(dtype, copy=False), device=device) for b in intercepts
    ]
    widest = max(coef.shape[0] for coef in coefs)
    step = max(1, BLOCK_BYTES // (widest * dtype.itemsize))
    rewards = np.empty(items.shape[0], dtype=dtype)
    for start in range(0, items.shape[0], step):
        rows = np.array(items[start : start + step])
        hidden = torch.from_numpy(rows).to(device).to(coefs[0].dtype)
        for coef, intercept in zip(coefs[:-1], intercepts, strict=True):
            hidden = ACTIVATIONS[activation](torch.addmm(intercept, hidden, coef))
        rewards[start : start + step] = (hidden @ coefs[-1]).squeeze(1).cpu().numpy()
    return rewards
