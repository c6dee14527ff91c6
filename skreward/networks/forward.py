"""The reward network's forward pass and start, in numpy.

    h_0 = x,  h_l = activation(h_{l-1} @ coefs[l-1] + intercepts[l-1]),
    r(x) = h_L @ coefs[L]

The last layer has no intercept: only differences of rewards are identified.
"""

from itertools import pairwise

import numpy as np
from scipy.special import expit

from skreward.utils import float16
from skreward.utils.arrays import compute_dtype

BLOCK_BYTES = 1 << 22
ACTIVATIONS = {
    "relu": lambda h: np.maximum(h, 0, out=h),
    "tanh": lambda h: np.tanh(h, out=h),
    "logistic": lambda h: expit(h, out=h),
    "identity": lambda h: h,
}


def forward(items, coefs, intercepts, activation):
    """Rewards of the items, shape (n_items,), block by block."""
    dtype = compute_dtype(items)
    coefs = [coef.astype(dtype, copy=False) for coef in coefs]
    intercepts = [intercept.astype(dtype, copy=False) for intercept in intercepts]
    widest = max(coef.shape[0] for coef in coefs)
    step = max(1, BLOCK_BYTES // (widest * dtype.itemsize))
    rewards = np.empty(items.shape[0], dtype=dtype)
    for start in range(0, items.shape[0], step):
        hidden = items[start : start + step]
        if hidden.dtype == np.float16:
            hidden = float16.to_float32(hidden)
        for coef, intercept in zip(coefs[:-1], intercepts, strict=True):
            hidden = hidden @ coef
            hidden += intercept
            hidden = ACTIVATIONS[activation](hidden)
        rewards[start : start + step] = (hidden @ coefs[-1]).ravel()
    return rewards


def initial_weights(layer_sizes, activation, dtype, rng):
    """Draw Glorot-uniform weights; the first reward is zero everywhere.

    With a zero last layer every first margin is 0, so the first step sees
    probabilities of one half instead of a random order.
    """
    gain = 2.0 if activation == "logistic" else 6.0
    coefs, intercepts = [], []
    for n_in, n_out in pairwise(layer_sizes):
        bound = np.sqrt(gain / (n_in + n_out))
        coefs.append(rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
        intercepts.append(np.zeros(n_out, dtype=dtype))
    coefs.append(np.zeros((layer_sizes[-1], 1), dtype=dtype))
    return coefs, intercepts
