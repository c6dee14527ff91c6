"""The results file: one JSON line a setting, written by the driver alone."""

import fcntl
import gzip
import json
import os
from pathlib import Path


class ResultsFile:
    """Results on disk, opened for appending by one driver at a time.

    A line is written whole, flushed and synced before the next setting counts as
    done. What a crash left of a last line is cut off, so it is redone.

    Use as a context manager; ``done`` is the set of keys in the file.
    """

    def __init__(self, path):
        self.path = Path(path)
        if self.path.suffix == ".gz":
            raise ValueError(f"{path}: results are appended to plain .jsonl files.")

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise BlockingIOError(
                f"{self.path} is in use by another driver."
            ) from error
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        self.done = {row["key"] for row in _parse(whole.decode(), self.path)}
        return self

    def __exit__(self, *exception):
        self._file.close()

    def append(self, row):
        """Write one result."""
        if row["key"] in self.done:
            raise ValueError(f"{row['key']} is in {self.path} already.")
        self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done.add(row["key"])


def read_results(path):
    """Read all whole lines of a results file, ``.jsonl`` or ``.jsonl.gz``."""
    path = Path(path)
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        content = file.read()
    return _parse(content[: content.rfind("\n") + 1], path)


def _parse(content, path):
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number} is no JSON: {error}.") from error
    return rows
