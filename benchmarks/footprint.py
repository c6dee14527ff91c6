"""Peak memory of a job in processes of its own.

    python -m benchmarks.footprint linear
    python -m benchmarks.footprint network
    python -m benchmarks.footprint grid-in-memory
    python -m benchmarks.footprint grid-in-threads
    python -m benchmarks.footprint grid-as-memmap

A single process is charged with its resident set, memory-mapped pages included; a
search in several with the proportional set sizes of all of them, looked at ten times a
second. What is not there in two looks in a row is not counted: processes are read one
after the other, and pages that one lets go of and another maps meanwhile count twice.
Linux only.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from joblib import parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skreward import BradleyTerryMLPRegressor, BradleyTerryRegressor, EmbeddingPairs
from skreward.model_selection import PromptDisjointKFold

GRIDS = "grid-in-memory", "grid-in-threads", "grid-as-memmap"
KINDS = "linear", "network", *GRIDS
RESPONSES = 10


def footprint(kind):
    """Run a job in a process of its own; gives its peak in bytes, and its seconds."""
    command = [sys.executable, "-m", "benchmarks.footprint", kind, "--job"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.npy"
        if kind in GRIDS:
            _write(path, 500_000, 512, np.float32)
        else:
            _write(path, 300_000, 1024, np.float16)
        job = subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, text=True)
        largest = before = 0
        while kind in GRIDS and job.poll() is None:
            now = _proportional_set_size(job.pid)
            largest = max(largest, min(before, now))
            before = now
            time.sleep(0.1)
        output, _ = job.communicate()
    if job.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {job.returncode}.")
    found = json.loads(output.splitlines()[-1])
    return {"peak": largest or found["peak"], "seconds": found["seconds"]}


def _write(path, n_items, n_features, dtype):
    items = np.lib.format.open_memmap(path, "w+", dtype, (n_items, n_features))
    rng = np.random.default_rng(0)
    for start in range(0, n_items, 10_000):
        part = items[start : start + 10_000]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    items.flush()


def _proportional_set_size(pid):
    """Sum over a process and its descendants, in bytes."""
    total = 0
    for process in [pid, *_descendants(pid)]:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        total += sum(
            1024 * int(line.split()[1])
            for line in text.splitlines()
            if line.startswith("Pss:")
        )
    return total


def _descendants(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def job(kind, path):
    """Fit, and print what was used."""
    is_in_memory = kind in ("grid-in-memory", "grid-in-threads")
    items = np.load(path, mmap_mode=None if is_in_memory else "r")
    n_items = len(items)
    n_pairs = 200_000 if kind in GRIDS else 1_000_000
    rng = np.random.default_rng(0)
    prompt = rng.integers(n_items // RESPONSES, size=n_pairs)
    first = rng.integers(RESPONSES, size=n_pairs)
    second = (first + rng.integers(1, RESPONSES, size=n_pairs)) % RESPONSES
    index = RESPONSES * prompt[:, np.newaxis] + np.column_stack([first, second])
    pairs = EmbeddingPairs(items, index, np.arange(n_items) // RESPONSES)
    y = rng.integers(2, size=n_pairs)
    started = time.perf_counter()
    backend = "threading" if kind == "grid-in-threads" else "loky"
    with warnings.catch_warnings(), parallel_config(backend):
        warnings.simplefilter("ignore", ConvergenceWarning)
        _model(kind).fit(pairs, y)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"peak": 1024 * int(line.split()[1]), "seconds": seconds}))


def _model(kind):
    if kind == "linear":
        return BradleyTerryRegressor()
    if kind == "network":
        # Memory is the same in every epoch.
        return BradleyTerryMLPRegressor(
            (1024, 512), max_iter=1, device="cpu", random_state=0
        )
    return GridSearchCV(
        BradleyTerryRegressor(),
        {"alpha": np.logspace(-5, 0, 10)},
        cv=PromptDisjointKFold(5, random_state=0),
        n_jobs=2,
    )


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else None
    if kind not in KINDS:
        sys.exit(f"usage: python -m benchmarks.footprint {'|'.join(KINDS)}")
    if sys.argv[2:3] == ["--job"]:
        job(kind, sys.argv[3])
    else:
        used = footprint(kind)
        print(f"{kind}: {used['peak'] / 1e9:.2f} GB, {used['seconds']:.1f} s")


if __name__ == "__main__":
    main()
