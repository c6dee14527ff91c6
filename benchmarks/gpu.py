"""Time of fits on a CUDA device, beside the least time the device could take.

    python -m benchmarks.gpu

Without a CUDA device it says so and stops. The floor of a fit is its operations over
the measured rate of a large product, or its bytes over the measured rate of a large
copy, whichever is larger.
"""

import argparse
import time
import warnings
from itertools import pairwise

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks.speed import made_up
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    RewardEnsemble,
)
from skreward.data.groups import sharing_groups
from skreward.networks.batches import cut_into_batches, shuffle

HIDDEN = (1024, 512)
STUDY_SETTINGS = 12_960


def why_not():
    """Say why there is nothing to measure, or None."""
    if not torch.version.cuda:
        return f"this torch ({torch.__version__}) is built without CUDA"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    return None


def seconds_of(run, repeats=3):
    """Run once to warm up; give the fastest seconds and the last result."""
    run()
    fastest = np.inf
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        result = run()
        torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest, result


def product_rate(dtype, n=8192):
    """Operations a second of a large square product."""
    left, right = (torch.randn(n, n, device="cuda").to(dtype) for _ in range(2))
    return 2 * n**3 / seconds_of(lambda: left @ right)[0]


def copy_rate(n_bytes=1 << 30):
    """Bytes a second, read and written, of a large copy."""
    source = torch.randn(n_bytes // 4, device="cuda")
    target = torch.empty_like(source)
    return 2 * n_bytes / seconds_of(lambda: target.copy_(source))[0]


def network_operations(model, pairs, y):
    """Count operations of the products of a fit: forward, and back to the weights."""
    widths = (pairs.n_features, *model.hidden_layer_sizes, 1)
    sizes = [n_in * n_out for n_in, n_out in pairwise(widths)]
    # No gradient goes back to the items.
    per_row = 2 * (3 * sum(sizes) - sizes[0])
    n_kept = int(len(pairs) * (1 - model.validation_fraction))
    batch_size = min(max(n_kept // 16, 128), 2048)
    groups = sharing_groups(pairs.index, pairs.prompt_ids)
    order = shuffle(groups, batch_size, np.random.RandomState(0))[:n_kept]
    return (
        per_row
        * len(cut_into_batches(pairs.index, order, batch_size).items)
        * model.n_iter_
    )


def fit(sizes, device, pairs, y, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not sizes:
            return BradleyTerryRegressor(device=device, **params).fit(pairs, y)
        model = BradleyTerryMLPRegressor(sizes, device=device, random_state=0, **params)
        return model.fit(pairs, y)


def line(name, seconds, floor, on_cpu):
    share = f"{100 * floor / seconds:.1f} %" if floor else ""
    print(f"| {name} | {seconds:.4f} | {floor:.4f} | {share} | {on_cpu:.2f} |")


def main():
    """Print a table, or why there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=40)
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"Nothing measured: {reason}.")
        return
    rate, bandwidth = product_rate(torch.float32), copy_rate()
    print(
        f"{torch.cuda.get_device_name()}: {rate / 1e12:.1f} TFLOP/s float32, "
        f"{product_rate(torch.bfloat16) / 1e12:.1f} bfloat16, "
        f"{bandwidth / 1e9:.0f} GB/s\n"
    )
    print("| work | seconds | floor | of the floor | seconds on the CPU |")
    print("|---|---|---|---|---|")
    pairs, y = made_up(20_000, 2_048, 40_000)
    n_bytes = pairs.embeddings.nbytes
    for name, sizes in ("network (1024, 512)", HIDDEN), ("linear", ()):
        took, model = seconds_of(lambda sizes=sizes: fit(sizes, "cuda", pairs, y))
        started = time.perf_counter()
        fit(sizes, "cpu", pairs, y)
        on_cpu = time.perf_counter() - started
        if sizes:
            floor = network_operations(model, pairs, y) / rate
        else:
            # Every iteration reads the items twice.
            floor = 2 * n_bytes * model.n_iter_ / bandwidth
        line(f"{name}, 40,000 pairs x 2,048", took, floor, on_cpu)

    model = fit(HIDDEN, "cuda", pairs, y, max_iter=2)
    rows = np.tile(pairs.embeddings.astype(np.float16), (10, 1))
    took, _ = seconds_of(lambda: model.predict(rows))
    print(f"\nRewards: {len(rows) / took:,.0f} a second from float16 on the host.")

    pairs, y = made_up(20_000, 384, 20_000)
    pairs = EmbeddingPairs(pairs.embeddings, pairs.index, pairs.prompt_ids)

    def members(n):
        head = BradleyTerryMLPRegressor(HIDDEN, device="cuda", max_iter=8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return RewardEnsemble(head, n, random_state=0).fit(pairs, y)

    one, _ = seconds_of(lambda: members(1), 1)
    twenty, _ = seconds_of(lambda: members(20), 1)
    many, _ = seconds_of(lambda: members(options.members), 1)
    print(
        f"RewardEnsemble of (1024, 512): 1 member {one:.2f} s, the second to twentieth "
        f"{(twenty - one) / 19:.3f} s each; {options.members} members {many:.2f} s, so "
        f"{STUDY_SETTINGS:,} such fits take "
        f"{many / options.members * STUDY_SETTINGS / 60:.0f} minutes."
    )


if __name__ == "__main__":
    main()
