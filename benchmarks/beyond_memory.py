"""A fit of items on disk by a Dask cluster of two processes, beside the disk alone.

    python -m benchmarks.beyond_memory --figure docs/images/beyond_memory.png
    python -m benchmarks.beyond_memory --items 400000 --pairs 1000000 --kill

Made-up embeddings with the spectrum of text embeddings are written to shards of 32,768
rows of float16, 4,000,000 x 1,024 by default: 8.2 GB in ``--folder``, which is removed
at the end unless ``--keep``. Pairs are of the same prompt, ten responses each. A shard
is a chunk, read as a whole and dropped from the system's cache, so that every pass is
from the disk. Fits of an eighth, a quarter, half and all of the shards, with as many
pairs in proportion, are told with

- what was read, counted where it was, in passes over the items;
- what these passes take the disk alone, with as many processes reading, by turns;
- seconds of processors of all processes, which other work on the machine disturbs less;
- the peak memory of each process (resident set).

With ``--kill`` the last fit is run again, one of the workers is killed half-way, and
the coefficients are compared. Linux only.
"""

import argparse
import importlib
import json
import os
import shutil
import signal
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import dask.array as da
import numpy as np
import psutil
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.utils.float16 import rewards

ROWS = 32_768
RESPONSES = 10
WORKERS = 2
MEMORY_LIMIT = "3GB"
SHARES = 1 / 8, 1 / 4, 1 / 2, 1
# Bytes that this process has read.
has_read = [0]


@cache
def drawn(n_features):
    """Draw a shard of embeddings, and a linear law of rewards."""
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, n_features + 1, dtype=np.float32) ** -0.5
    rows = np.empty((ROWS, n_features), dtype=np.float16)
    for start in range(0, ROWS, 1024):
        rows[start : start + 1024] = spectrum * rng.standard_normal(
            (1024, n_features), dtype=np.float32
        )
    return rows, rng.standard_normal(n_features).astype(np.float32)


def write_shard(folder, k, n_features):
    """Write a shard, and its rewards, unless they are there.

    To draw four thousand million numbers would take longer than to fit them: a shard is
    the first one with other signs of its features.
    """
    path = Path(folder) / f"{k:05d}.npy"
    if path.exists():
        return
    rows, law = drawn(n_features)
    signs = np.random.default_rng([1, k]).integers(2, size=n_features, dtype=np.uint16)
    np.save(path.with_suffix(".reward.npy"), rewards(rows, law * (1.0 - 2.0 * signs)))
    with open(path.with_suffix(".part"), "wb") as file:
        np.save(file, (rows.view(np.uint16) ^ (signs << 15)).view(np.float16))
        file.flush()
        os.fsync(file.fileno())  # what is not on the disk stays in the cache
    path.with_suffix(".part").rename(path)


def read_shard(path):
    """Read a shard from the disk, and let the system forget it."""
    with open(path, "rb") as file:
        rows = np.load(file)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    has_read[0] += rows.nbytes
    return rows


def read_alone(path):
    """Read a shard, and do nothing with it; gives its bytes."""
    return read_shard(path).nbytes


def read_bytes():
    """Give what this process has read."""
    return has_read[0]


def lazy_items(paths, n_features):
    """Give shards as one Dask array."""
    names = np.array([str(path) for path in paths])[:, np.newaxis]
    names = da.from_array(names, chunks=1, name=False)
    return names.map_blocks(
        lambda block: read_shard(str(block[0, 0])),
        chunks=((ROWS,) * len(paths), (n_features,)),
        dtype=np.float16, meta=np.empty((0, 0), np.float16),
    )  # fmt: skip


def made_up_pairs(items, paths, n_pairs):
    """Compare responses of a prompt, with labels of a logistic annotator."""
    rng = np.random.default_rng(2)
    n_prompts = items.shape[0] // RESPONSES
    first = RESPONSES * rng.integers(n_prompts, size=n_pairs)
    place = rng.integers(RESPONSES, size=n_pairs)
    step = rng.integers(1, RESPONSES, size=n_pairs)
    index = np.column_stack([first + place, first + (place + step) % RESPONSES])
    reward = np.concatenate(
        [np.load(path.with_suffix(".reward.npy")) for path in paths]
    )
    margin = reward[index[:, 0]] - reward[index[:, 1]]
    y = rng.random(n_pairs) < 1 / (1 + np.exp(-margin / reward.std()))
    return EmbeddingPairs(items, index), y


def peak(pid):
    """Give the largest resident set of a process so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def fit(client, paths, n_features, n_pairs):
    """Fit; gives the model, and what it took."""
    pairs, y = made_up_pairs(lazy_items(paths, n_features), paths, n_pairs)
    pids = list(client.run(os.getpid).values())
    processes = [psutil.Process(pid) for pid in (os.getpid(), *pids)]
    before = [sum(p.cpu_times()[:2]) for p in processes]
    read = sum(client.run(read_bytes).values())
    started = time.perf_counter()
    model = BradleyTerryRegressor().fit(pairs, y)
    seconds = time.perf_counter() - started
    cpu = sum(sum(p.cpu_times()[:2]) for p in processes) - sum(before)
    read = sum(client.run(read_bytes).values()) - read
    return model, {
        "shards": len(paths),
        "items": pairs.n_items,
        "pairs": n_pairs,
        "iterations": model.n_iter_,
        "passes": read / pairs.embeddings.nbytes,
        "seconds": seconds,
        "cpu": cpu,
        "peak": [peak(p.pid) for p in processes],
    }


def disk_alone(paths):
    """Seconds of a pass over the shards by as many processes as there are workers."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawn) as pool:
        list(pool.map(read_alone, paths[:WORKERS]))  # they have started
        started = time.perf_counter()
        sum(pool.map(read_alone, paths))
        return time.perf_counter() - started


def fit_while_one_dies(client, seconds, *shape):
    """Fit, with a worker killed after so many seconds."""
    victim = next(iter(client.run(os.getpid).values()))
    timer = threading.Timer(seconds, os.kill, (victim, signal.SIGKILL))
    timer.start()
    pairs, y = made_up_pairs(lazy_items(shape[0], shape[1]), shape[0], shape[2])
    model = BradleyTerryRegressor().fit(pairs, y)
    timer.cancel()
    return model, not psutil.pid_exists(victim)


def draw(rows, path):
    """Draw seconds against shards."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shards = [row["shards"] for row in rows]
    figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    for name, label in (
        ("seconds", "fit, by the clock"),
        ("cpu", "fit, seconds of processors"),
        ("disk", "its passes, the disk alone"),
    ):
        took = [row[name] for row in rows]
        slope = np.polyfit(np.log(shards), np.log(took), 1)[0]
        axis.plot(shards, took, marker="o", label=f"{label}, slope {slope:.2f}")
    axis.set(xscale="log", yscale="log", xlabel="shards of 32,768 items")
    axis.set(ylabel="seconds")
    axis.set_xticks(shards, labels=[str(n) for n in shards])
    axis.minorticks_off()
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main():
    """Write, fit, print a line a fit, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=4_000_000)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--folder", default="beyond_memory_shards")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--figure", help="where to draw the growth, .png")
    options = parser.parse_args()
    warnings.simplefilter("error", ConvergenceWarning)
    folder = Path(options.folder)
    folder.mkdir(exist_ok=True)
    n_shards = -(-options.items // ROWS)
    paths = [folder / f"{k:05d}.npy" for k in range(n_shards)]
    for k in range(n_shards):
        write_shard(folder, k, options.features)
    counts = sorted({max(WORKERS, round(share * n_shards)) for share in SHARES})
    rows = []
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, memory_limit=MEMORY_LIMIT,
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        for count in counts:
            some = paths[:count]
            shape = some, options.features, options.pairs * count // n_shards
            model, row = fit(client, *shape)
            row["pass"] = disk_alone(some)
            row["disk"] = row["pass"] * row["passes"]
            row["times the disk"] = row["seconds"] / row["disk"]
            rows.append(row)
            print(json.dumps(row), flush=True)
        if options.kill:
            other, died = fit_while_one_dies(client, row["seconds"] / 2, *shape)
            same = bool(np.array_equal(model.coef_, other.coef_))
            print(json.dumps({"a worker died": died, "the same to the last bit": same}))
    if options.figure:
        draw(rows, options.figure)
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    # Workers import this module, rather than get copies of its functions.
    importlib.import_module("benchmarks.beyond_memory").main()
