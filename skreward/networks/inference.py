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
    """Outputs for the items, shape (n_items,); on the CPU where the device is gone."""
    is_there = (torch.device(device).index or 0) < torch.cuda.device_count()
    if not is_there or sp.issparse(items):
        return on_cpu.forward(items, coefs, intercepts, activation)
    dtype = compute_dtype(items)
    weights, constants = (
        [torch.tensor(a.astype(dtype, copy=False), device=device) for a in arrays]
        for arrays in (coefs, intercepts)
    )
    widest = max(coef.shape[0] for coef in coefs)
    step = max(1, BLOCK_BYTES // (widest * dtype.itemsize))
    rewards = np.empty(items.shape[0], dtype=dtype)
    for start in range(0, items.shape[0], step):
        rows = np.array(items[start : start + step])
        hidden = torch.from_numpy(rows).to(device).to(weights[0].dtype)
        for weight, constant in zip(weights[:-1], constants, strict=False):
            hidden = ACTIVATIONS[activation](torch.addmm(constant, hidden, weight))
        rewards[start : start + step] = (hidden @ weights[-1]).squeeze(1).cpu().numpy()
    return on_cpu.with_intercept(rewards, coefs, intercepts)
