"""The reward network's forward pass and start, in numpy.

    h_0 = x,  h_l = activation(h_{l-1} @ coefs[l-1] + intercepts[l-1]),
    r(x) = h_L @ coefs[L]

The last layer of a reward has no intercept: only differences of rewards are
identified. That of a classifier has one, the last of ``intercepts``.
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
    """Outputs for the items, shape (n_items,), block by block."""
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
        for coef, intercept in zip(coefs[:-1], intercepts, strict=False):
            hidden = hidden @ coef
            hidden += intercept
            hidden = ACTIVATIONS[activation](hidden)
        rewards[start : start + step] = (hidden @ coefs[-1]).ravel()
    return with_intercept(rewards, coefs, intercepts)


def with_intercept(outputs, coefs, intercepts):
    """Add the intercept of the last layer in place, where it has one."""
    if len(intercepts) == len(coefs):
        outputs += intercepts[-1].astype(outputs.dtype)
    return outputs


def initial_weights(layer_sizes, activation, dtype, rng):
    """Draw Glorot-uniform weights; the first output is zero everywhere.

    With a zero last layer every first margin is 0, so the first step sees
    probabilities of one half instead of a random order. The intercepts, all zero, are
    those of the hidden layers.
    """
    gain = 2.0 if activation == "logistic" else 6.0
    coefs, intercepts = [], []
    for n_in, n_out in pairwise(layer_sizes):
        bound = np.sqrt(gain / (n_in + n_out))
        coefs.append(rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
        intercepts.append(np.zeros(n_out, dtype=dtype))
    coefs.append(np.zeros((layer_sizes[-1], 1), dtype=dtype))
    return coefs, intercepts
