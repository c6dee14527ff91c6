"""The cache of embeddings beside ``diskcache``, in one run.

    python -m benchmarks.embedding_cache

20,000 rows of 384 float32 are written 120 at a time, as an encoder hands them over
every two seconds, read again by a fresh process's memory, and written by four
processes at once. Both write to sqlite; diskcache is asked for bytes, in one
transaction a batch.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import diskcache
import numpy as np

from skreward.text.cache import EmbeddingCache, clear_memory

WIDTH = 384
BATCH = 120
WRITERS = 4


def text(k):
    return f"a response of some length, number {k}. " * 8


def make_rows(n):
    return np.random.default_rng(0).normal(size=(n, WIDTH)).astype("<f4")


def batches(numbers):
    return [numbers[k : k + BATCH] for k in range(0, len(numbers), BATCH)]


class Ours:
    """The cache of this package."""

    def __init__(self, folder, rows):
        self.rows = rows
        self.cache = EmbeddingCache({"model": "m"}, folder)

    def put(self, numbers):
        """Write rows."""
        for some in batches(numbers):
            self.cache.put({text(k): self.rows[k] for k in some})

    def get(self, numbers):
        """Read rows, and count them."""
        clear_memory()
        return len(self.cache.get(map(text, numbers)))


class Theirs:
    """The cache of diskcache."""

    def __init__(self, folder, rows):
        self.folder, self.rows = folder, rows

    def open(self):
        """Open the folder."""
        return diskcache.Cache(self.folder, eviction_policy="none", size_limit=1 << 40)

    def put(self, numbers):
        """Write rows."""
        with self.open() as cache:
            for some in batches(numbers):
                with cache.transact():
                    for k in some:
                        cache.set(text(k), self.rows[k].tobytes())

    def get(self, numbers):
        """Read rows, and count them."""
        with self.open() as cache:
            found = [cache.get(text(k)) for k in numbers]
        return len([np.frombuffer(row, "<f4") for row in found if row is not None])


def put(kind, folder, rows, numbers):
    kind(folder, rows).put(numbers)


def measured(kind, rows):
    n, seconds = len(rows), []
    with tempfile.TemporaryDirectory() as folder:
        seconds.append(timed(kind(folder, rows).put, range(n)))
        seconds.append(timed(kind(folder, rows).get, range(n)))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*"))
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        workers = [
            context.Process(target=put, args=(kind, folder, rows, range(k, n, WRITERS)))
            for k in range(WRITERS)
        ]
        seconds.append(timed(lambda: [worker.start() for worker in workers] and
                             [worker.join() for worker in workers]))  # fmt: skip
        assert kind(folder, rows).get(range(n)) == n
    return [*seconds, size / 1e6]


def timed(work, *arguments):
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    kinds = {"skreward": Ours, "diskcache": Theirs}
    rows = make_rows(options.rows)
    runs = {name: [] for name in kinds}
    for _ in range(options.repeats):
        for name, kind in kinds.items():
            runs[name].append(measured(kind, rows))
    print("cache        write s   read s  four writers s     MB")
    for name, found in runs.items():
        print("{:10s} {:9.2f} {:8.2f} {:15.2f} {:6.0f}".format(name, *np.min(found, 0)))


if __name__ == "__main__":
    main()
