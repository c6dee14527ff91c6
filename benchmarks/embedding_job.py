"""What `skreward embed` costs around the encoder, and what processes gain.

    python -m benchmarks.embedding_job                                # made up
    python -m benchmarks.embedding_job judged_dev.jsonl.gz --texts 256 --jobs 1 2

Around: 20,000 made-up responses are read, hashed, put aside, described by statistics
and written as rows of 384 float16, without an encoder; CPU microseconds a text, and how
much the peak of memory grows. Jobs: the command on the same responses with each number
of processes by turns, texts a second of the best of two runs; processes load the model
in that time. From these the hours of a million texts follow.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skreward.cli.embedding_data import Parts, read_and_put_aside, texts_of
from skreward.data.shard_writer import FolderWriter
from skreward.text.items import TextItem, TextItems
from skreward.text.statistics import TextStatisticsTransformer

READING = dict.fromkeys(("delimiter", "format", "columns", "label", "label_map"))
SHARD_ROWS, N_FEATURES, MILLION = 4096, 384, 10**6


def around(n):
    """Time everything but the encoder, by stages."""
    spent = dict.fromkeys(("read and hash", "read back", "statistics", "write"), 0.0)

    @contextmanager
    def timed(stage):
        started = time.process_time()
        yield
        spent[stage] += time.process_time() - started

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.jsonl")
        write_made_up(data, n)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with FolderWriter(Path(folder, "embedded")) as writer:
            parts = Parts(data, **READING, layout="auto", drop_bad_rows=False)
            with timed("read and hash"):
                found = read_and_put_aside(parts, writer.texts, SHARD_ROWS)
            names = TextStatisticsTransformer().get_feature_names_out().tolist()
            left = writer.begin(
                {
                    "n_features": N_FEATURES,
                    "dtype": "float16",
                    "shard_rows": SHARD_ROWS,
                    "statistics": names,
                    "encoder": {},
                    "data": found.about,
                },
                found.columns,
            )
            for k in left:
                with timed("read back"):
                    texts = texts_of(writer.texts, k)
                    items = TextItems([TextItem(*text) for text in texts])
                with timed("statistics"):
                    statistics = TextStatisticsTransformer().fit_transform(items)
                rows = np.zeros((len(items), N_FEATURES), np.float16)
                with timed("write"):
                    writer.write(k, rows, statistics, 0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = data.stat().st_size
    total = sum(spent.values())
    print(f"{n} texts, {size / n:.0f} bytes each, around the encoder:")
    for stage, seconds in spent.items():
        print(f"  {stage:14} {1e6 * seconds / n:7.1f} microseconds of CPU a text")
    minutes = total / n * MILLION / 60
    print(f"  together {1e6 * total / n:.0f}: {minutes:.1f} minutes of a core for a "
          f"million; memory grew by {grown / 1024:.0f} MB")  # fmt: skip


def write_made_up(path, n):
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, k % 9 + 2)) for k in range(3000)])
    with path.open("w") as file:
        for k in range(n):
            prompt = " ".join(words[rng.integers(3000, size=30)]) + f" {k // 8}"
            response = " ".join(words[rng.integers(3000, size=rng.integers(60, 300))])
            file.write(json.dumps({"prompt": prompt, "response": response}) + "\n")


def rates(data, n, jobs):
    """Run the command with each number of processes, by turns."""
    with gzip.open(data, "rt") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if row["response"].strip()]
    rows = rows[:: max(1, len(rows) // n)][:n]
    best = dict.fromkeys(jobs, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.jsonl")
        path.write_text("".join(
            json.dumps({"prompt": row["prompt"], "response": row["response"]}) + "\n"
            for row in rows
        ))  # fmt: skip
        for turn in range(2):
            for k in jobs:
                out = Path(folder, f"{k}-{turn}")
                command = [sys.executable, "-m", "skreward", "embed", path, "-o", out,
                           "--jobs", str(k), "--json",
                           "--shard-rows", str(max(1, n // 8))]  # fmt: skip
                before = os.times()
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                after = os.times()
                report = json.loads(done.stdout.splitlines()[-1])
                best[k] = max(best[k], report["texts_per_second"])
                cpu = sum(after[2:4]) - sum(before[2:4])
                print(f"  jobs {k}: {report['texts_per_second']:.1f} texts a second, "
                      f"{n / cpu:.1f} a second of CPU, loading included")  # fmt: skip
    first = best[jobs[0]]
    for k, rate in best.items():
        print(f"jobs {k}: {rate:.1f} texts a second, {rate / first:.2f} of jobs "
              f"{jobs[0]}; a million in {MILLION / rate / 3600:.1f} hours")  # fmt: skip


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="judged responses, .jsonl.gz")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--around", type=int, default=20_000)
    options = parser.parse_args(arguments)
    if options.data is None:
        around(options.around)
    else:
        rates(options.data, options.texts, options.jobs)


if __name__ == "__main__":
    main()
