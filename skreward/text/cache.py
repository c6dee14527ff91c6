"""Embeddings already computed: in memory for the process, in sqlite on disk.

sqlite is the file format because it is in Python, survives a kill at any moment and
lets several processes write. Every entry carries a checksum all the same; one that
does not match counts as absent. Texts are stored as hashes alone. What is read is
bytes and never a pickle, which a cache of general use (diskcache) would load from a
folder that others may write; ``python -m benchmarks.embedding_cache`` has the two side
by side: as fast, and 34 MB for diskcache's 49 (20,000 rows of 384).
"""

import hashlib
import json
import logging
import os
import sqlite3
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

FORMAT = 2
MEMORY_BYTES = 4 << 30
BUSY_SECONDS = 120.0
LOOKUP = 500
# Of one file: an entry of some kilobytes is not spread over pages.
PAGE_BYTES = 8192
HEAD = struct.Struct("<II")
NONE: Mapping = {}

logger = logging.getLogger(__name__)


class Cut(NamedTuple):
    """How many tokens of a text were kept, and how many its model could take."""

    length: int = 0
    limit: int = 0


class _Memory:
    """The rows that this process knows, least recently used ones dropped first.

    ``cut`` is how texts were cut, and ``told`` those of which the user was told.
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self.rows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self.cut: dict[bytes, Cut] = {}
        self.told: set[bytes] = set()
        self.n_bytes = 0
        self.lock = threading.Lock()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        with self.lock:
            found = {key: self.rows[key] for key in keys if key in self.rows}
            for key in found:
                self.rows.move_to_end(key)
            return found

    def put(self, rows: Mapping[bytes, np.ndarray], cut: Mapping[bytes, Cut] = NONE):
        with self.lock:
            self.cut.update(cut)
            for key, row in rows.items():
                if key not in self.rows:
                    self.n_bytes += row.nbytes
                self.rows[key] = row
            while self.n_bytes > self.max_bytes and len(self.rows) > 1:
                self.n_bytes -= self.rows.popitem(last=False)[1].nbytes

    def tell_of_cut(self, keys: Iterable[bytes]) -> list[Cut]:
        with self.lock:
            cut = {key: self.cut[key] for key in keys if key in self.cut}
            if cut.keys() <= self.told:
                return []
            self.told.update(cut)
            return list(cut.values())

    def clear(self):
        with self.lock:
            self.rows.clear()
            self.cut.clear()
            self.told.clear()
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
            stored, cut = self.file.read([key for key in keys if key not in found])
            _memory.put(stored, cut)
            found |= stored
        return {keys[key]: row for key, row in found.items()}

    def put(self, rows: Mapping[str, np.ndarray], cut: Mapping[str, Cut] = NONE):
        """Keep rows (float32) in memory and on disk, and how texts were cut."""
        keyed = {
            self._key(text): np.array(row, dtype="<f4") for text, row in rows.items()
        }
        for row in keyed.values():
            row.setflags(write=False)
        keyed_cut = {self._key(text): how for text, how in cut.items()}
        _memory.put(keyed, keyed_cut)
        if self.file is not None and keyed:
            self.file.write(keyed, keyed_cut)

    def tell_of_cut(self, texts: Iterable[str]) -> list[Cut]:
        """Say how texts were cut, those that were; nothing if all of it was said."""
        return _memory.tell_of_cut([self._key(text) for text in texts])

    def cut(self, texts: Iterable[str]) -> set[str]:
        """Give the texts that were cut, of those that this process knows."""
        return {text for text in texts if self._key(text) in _memory.cut}

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

    def read(
        self, keys: list[bytes]
    ) -> tuple[dict[bytes, np.ndarray], dict[bytes, Cut]]:
        """Look keys up; absent and damaged entries are left out."""
        found: dict[bytes, np.ndarray] = {}
        cut: dict[bytes, Cut] = {}
        if not self.path.exists():
            return found, cut
        with self._guarded(), self._connection() as connection:
            for start in range(0, len(keys), LOOKUP):
                some = keys[start : start + LOOKUP]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, entry FROM embeddings WHERE key IN ({marks})", some
                )
                for key, sealed in rows:
                    entry = _unseal(key, sealed)
                    if entry is not None:
                        found[key], how = entry
                        cut.update({key: how} if how.length else {})
        return found, cut

    def write(self, rows: dict[bytes, np.ndarray], cut: dict[bytes, Cut]):
        """Add rows, all or none of them; a damaged entry is replaced."""
        if not self.is_usable:
            return
        with self._guarded(), self._connection() as connection, connection:
            connection.executemany(
                "INSERT OR REPLACE INTO embeddings (key, entry) VALUES (?, ?)",
                [(key, _seal(key, row, cut.get(key))) for key, row in rows.items()],
            )

    @contextmanager
    def _connection(self):
        # One connection a call: none crosses a fork or a thread.
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS embeddings "
                "(key BLOB PRIMARY KEY, entry BLOB NOT NULL)"
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


def _seal(key: bytes, row: np.ndarray, cut: Cut | None) -> bytes:
    values = HEAD.pack(*(cut or Cut())) + row.tobytes()
    return _checksum(key, values) + values


def _unseal(key: bytes, sealed) -> tuple[np.ndarray, Cut] | None:
    if not isinstance(sealed, bytes) or len(sealed) < 20 or len(sealed) % 4:
        return None
    if sealed[:8] != _checksum(key, sealed[8:]):
        return None
    row = np.frombuffer(sealed, dtype="<f4", offset=8 + HEAD.size)
    return row, Cut(*HEAD.unpack_from(sealed, 8))


def _checksum(key: bytes, values: bytes) -> bytes:
    return hashlib.blake2b(values, digest_size=8, key=key).digest()
