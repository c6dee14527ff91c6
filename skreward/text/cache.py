"""Embeddings already computed: in memory for the process, in sqlite on disk.

sqlite is the file format because it is in Python, survives a kill at any moment and
lets several processes write. Every entry carries a checksum all the same; one that
does not match counts as absent. Texts are stored as hashes alone.
"""

import hashlib
import json
import logging
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

FORMAT = 1
MEMORY_BYTES = 4 << 30
BUSY_SECONDS = 120.0
LOOKUP = 500

logger = logging.getLogger(__name__)


class _Memory:
    """The rows that this process knows, least recently used ones dropped first."""

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self.rows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self.n_bytes = 0
        self.lock = threading.Lock()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        with self.lock:
            found = {key: self.rows[key] for key in keys if key in self.rows}
            for key in found:
                self.rows.move_to_end(key)
            return found

    def put(self, rows: Mapping[bytes, np.ndarray]):
        with self.lock:
            for key, row in rows.items():
                if key not in self.rows:
                    self.n_bytes += row.nbytes
                self.rows[key] = row
            while self.n_bytes > self.max_bytes and len(self.rows) > 1:
                self.n_bytes -= self.rows.popitem(last=False)[1].nbytes

    def clear(self):
        with self.lock:
            self.rows.clear()
            self.n_bytes = 0


_memory = _Memory(MEMORY_BYTES)


def clear_memory():
    """Forget the rows that are held in memory; those on disk stay."""
    _memory.clear()


class EmbeddingCache:
    """Rows of one embedding setup by text.

    Parameters
    ----------
    setup : dict
        Everything but the text that decides an embedding, as JSON can write it.
    cache_dir : path or None
        A folder for one sqlite file a setup; None keeps rows in memory alone.

    Raises
    ------
    OSError
        Where ``cache_dir`` can be neither found nor made.
    """

    def __init__(self, setup: dict, cache_dir: str | os.PathLike | None = None):
        described = json.dumps({"format": FORMAT, **setup}, sort_keys=True)
        self.setup_digest = hashlib.sha256(described.encode()).digest()
        self.file: EmbeddingFile | None = None
        if cache_dir is not None:
            folder = Path(cache_dir).expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            name = f"embeddings-{self.setup_digest.hex()[:24]}.sqlite"
            self.file = EmbeddingFile(folder / name)

    def get(self, texts: Iterable[str]) -> dict[str, np.ndarray]:
        """Look texts up; those that are not known are left out."""
        keys = {self._key(text): text for text in texts}
        found = _memory.get(keys)
        if self.file is not None and len(found) < len(keys):
            stored = self.file.read([key for key in keys if key not in found])
            _memory.put(stored)
            found |= stored
        return {keys[key]: row for key, row in found.items()}

    def put(self, rows: Mapping[str, np.ndarray]):
        """Keep rows (float32) in memory and on disk."""
        keyed = {
            self._key(text): np.array(row, dtype="<f4") for text, row in rows.items()
        }
        for row in keyed.values():
            row.setflags(write=False)
        _memory.put(keyed)
        if self.file is not None and keyed:
            self.file.write(keyed)

    def _key(self, text: str) -> bytes:
        key = self.setup_digest
        return hashlib.blake2b(text.encode(), digest_size=24, key=key).digest()


class EmbeddingFile:
    """Rows by key in one sqlite file, which may fail without any harm.

    A file that cannot be used is told of once in the log, and left alone from then
    on; one that is damaged is set aside.
    """

    def __init__(self, path: Path):
        self.path = path
        self.is_usable = True

    def read(self, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        """Look keys up; absent and damaged entries are left out."""
        found: dict[bytes, np.ndarray] = {}
        if not self.path.exists():
            return found
        with self._guarded(), self._connection() as connection:
            for start in range(0, len(keys), LOOKUP):
                some = keys[start : start + LOOKUP]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, entry FROM embeddings WHERE key IN ({marks})", some
                )
                for key, entry in rows:
                    row = _unseal(key, entry)
                    if row is not None:
                        found[key] = row
        return found

    def write(self, rows: dict[bytes, np.ndarray]):
        """Add rows, all or none of them; a damaged entry is replaced."""
        if not self.is_usable:
            return
        with self._guarded(), self._connection() as connection, connection:
            connection.executemany(
                "INSERT OR REPLACE INTO embeddings (key, entry) VALUES (?, ?)",
                [(key, _seal(key, row)) for key, row in rows.items()],
            )

    @contextmanager
    def _connection(self):
        # One connection a call: none crosses a fork or a thread.
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS embeddings "
                "(key BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID"
            )
            yield connection

    @contextmanager
    def _guarded(self):
        before = _inode(self.path)
        try:
            yield
        except sqlite3.OperationalError as error:
            self.is_usable = False
            logger.warning(
                "The embedding cache %s cannot be used (%s); going on without it.",
                self.path,
                error,
            )
        except sqlite3.DatabaseError as error:
            logger.warning(
                "The embedding cache %s is damaged (%s) and set aside; its entries are "
                "computed again.",
                self.path,
                error,
            )
            # Another process may have set it aside and begun a new one meanwhile.
            if before is not None and _inode(self.path) == before:
                self._set_aside()

    def _set_aside(self):
        # The journal belongs to the damaged file: a new one must not play it back.
        for suffix in ("-journal", ""):
            path = Path(f"{self.path}{suffix}")
            if path.exists():
                os.replace(path, f"{self.path}.damaged{suffix}")


def _inode(path):
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _seal(key: bytes, row: np.ndarray) -> bytes:
    values = row.tobytes()
    return _checksum(key, values) + values


def _unseal(key: bytes, entry) -> np.ndarray | None:
    if not isinstance(entry, bytes) or len(entry) < 12 or len(entry) % 4:
        return None
    if entry[:8] != _checksum(key, entry[8:]):
        return None
    return np.frombuffer(entry, dtype="<f4", offset=8)


def _checksum(key: bytes, values: bytes) -> bytes:
    return hashlib.blake2b(values, digest_size=8, key=key).digest()
