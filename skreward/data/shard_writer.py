"""Writing a folder of embeddings: a kill at any moment costs a shard at most."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from skreward.data.shards import (
    COLUMNS,
    FORMAT,
    MANIFEST,
    FolderError,
    check_ordinary,
    column_path,
    map_array,
    n_shards,
    read_manifest,
    shard_path,
)
from skreward.utils.atomic import fcntl, replacing
from skreward.utils.typing import Array

LOCK = ".lock"
TEXTS = "texts"
KINDS = ("embeddings", "statistics")
ROOMS = ("items", "rows", *KINDS, "sealed", TEXTS)
# What may differ between two runs that write one folder; names only where the digest
# says that they are of one model.
FREE = ("versions_", "dtype")
NAMES = ("model", "model_name_", "revision", "revision_")
SEAL_LIMIT = 1 << 12


class FolderWriter:
    """A folder of embeddings that this process alone writes to.

    Columns come first, the manifest when they are on the disk, then shards in any
    order, each sealed when both of its files are on the disk. Who comes again goes on
    where the last one stopped, if data and encoder are the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._check_ours()
        for name in ROOMS:
            (self.path / name).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise FolderError(
                f"{self.path}: another process is writing to it."
            ) from None
        self._clear_texts()
        return self

    def __exit__(self, *error) -> None:
        assert self._lock is not None
        with contextlib.suppress(OSError):
            self._clear_texts()
        os.close(self._lock)

    def _check_ours(self):
        """Refuse a folder that holds what we did not write."""
        if self.path.is_symlink() and not self.path.exists():
            raise FolderError(f"{self.path}: is a link to nothing.")
        if not self.path.exists():
            if not self.path.parent.is_dir():
                raise FolderError(f"{self.path}: there is no folder {self.path.parent}")
            return
        if not self.path.is_dir():
            raise FolderError(f"{self.path}: exists, and is no folder.")
        for name in os.listdir(self.path):
            ours = name in (*ROOMS, MANIFEST, LOCK) or name.startswith(f".{MANIFEST}.")
            if not ours:
                raise FolderError(f"{self.path}: holds other files, such as {name}.")
            if (self.path / name).is_symlink():
                raise FolderError(f"{self.path / name}: is a link.")

    @property
    def texts(self) -> Path:
        """A folder for texts that wait; it is empty before and after."""
        return self.path / TEXTS

    def _clear_texts(self):
        for name in os.listdir(self.texts):
            (self.texts / name).unlink()

    def begin(
        self, about: Mapping[str, Any], columns: Mapping[str, Array]
    ) -> list[int]:
        """Write columns and manifest, or find that they are there; name what is left.

        Parameters
        ----------
        about : dict
            The manifest, but for what is told by the columns.
        columns : dict of array
            By the names in `COLUMNS`; labels may be missing.

        Returns
        -------
        left : list of int
            The shards that are not there, or whose files are not those that were
            sealed.

        Raises
        ------
        FolderError
            Where the folder was begun with other data or another encoder, or the disk
            is too small for what is left.
        """
        columns = {
            name: column.astype(COLUMNS[name]) for name, column in columns.items()
        }
        rows = columns["rows/items"]
        self._about = {
            "format": FORMAT,
            **about,
            "n_items": len(columns["items/prompt_ids"]),
            "n_rows": len(rows),
            "is_pairs": rows.ndim == 2,
            "is_labelled": "rows/labels" in columns,
            "columns": _digest_of(columns),
        }
        if os.path.lexists(self.path / MANIFEST):
            self._check_same(read_manifest(self.path), columns)
        else:
            for name, column in columns.items():
                self._save(column_path(self.path, name), column)
            self._write(self.path / MANIFEST, _json(self._about))
        left = [k for k in range(n_shards(self._about)) if not self._is_sealed(k)]
        self._check_room(len(left))
        return left

    def _check_same(self, before, columns):
        now = self._about
        one, other = before["encoder"], now["encoder"]
        is_same_model = one.get("model_digest_") == other.get("model_digest_")
        for name, old in one.items():
            is_free = name in FREE or (is_same_model and name in NAMES)
            if not is_free and old != other.get(name):
                self._refuse(f"{name} {old!r}", f"{other.get(name)!r}")
        for name in ("dtype", "shard_rows", "statistics", "n_features"):
            if before[name] != now[name]:
                self._refuse(f"{name} {before[name]!r}", f"{now[name]!r}")
        for name, what in (("n_rows", "rows of data"), ("n_items", "texts")):
            if before[name] != now[name]:
                self._refuse(f"{before[name]} {what}", f"{now[name]}")
        if before["columns"] != now["columns"]:
            self._refuse(f"other data{self._where(columns)}", "these")

    def _where(self, columns):
        """Say where the data differ from those before: at the first line that does."""
        lines, items = columns["rows/lines"], columns["rows/items"]
        for name, what in (
            ("items/text_hashes", "text"),
            ("rows/items", "row"),
            ("rows/labels", "label"),
        ):
            if name not in columns:
                continue
            path, new = column_path(self.path, name), columns[name]
            try:
                old = map_array(path, COLUMNS[name], new.shape)
            except FolderError:
                continue
            differs = (old != new).reshape(len(new), -1).any(axis=1)
            if differs.any():
                k = int(differs.argmax())
                if what == "text":
                    k = int((items.reshape(len(lines), -1) == k).any(axis=1).argmax())
                return f" (the first {what} that differs is at line {lines[k]})"
        return ""

    def _refuse(self, old, new):
        raise FolderError(
            f"{self.path}: was begun with {old}, not {new}; give another folder, or "
            "delete this one."
        )

    def _check_room(self, n_left):
        about = self._about
        width = about["n_features"] * np.dtype(about["dtype"]).itemsize
        row = width + 4 * len(about["statistics"])
        n_bytes = n_left * min(about["shard_rows"], about["n_items"]) * row
        free = shutil.disk_usage(self.path).free
        if n_bytes > free:
            raise FolderError(
                f"{self.path}: what is left to compute takes {n_bytes / 1e9:.1f} GB, "
                f"and the disk has {free / 1e9:.1f} GB free."
            )

    def _is_sealed(self, k):
        """Whether a shard is there with the bytes that it was sealed with."""
        seal = shard_path(self.path, "sealed", k)
        if not os.path.lexists(seal):
            return False
        try:
            return self.seal(k).items() >= self._digests(k).items()
        except (FolderError, OSError):
            return False

    def seal(self, k: int) -> dict[str, Any]:
        """Read what was written of a shard when it was whole."""
        path = shard_path(self.path, "sealed", k)
        check_ordinary(path)
        with path.open("rb") as file:
            content = file.read(SEAL_LIMIT)
        try:
            seal = json.loads(content)
        except (ValueError, RecursionError):
            seal = None
        if not isinstance(seal, dict) or not isinstance(seal.get("n_cut"), int):
            raise FolderError(f"{path}: is no seal of a shard.")
        return seal

    def _digests(self, k):
        paths = {kind: shard_path(self.path, kind, k) for kind in KINDS}
        for path in paths.values():
            check_ordinary(path)
        return {kind: _digest_of_file(path) for kind, path in paths.items()}

    def write(self, k: int, embeddings: Array, statistics: Array, n_cut: int) -> None:
        """Write a shard: all of it is on the disk before it is sealed."""
        seal = shard_path(self.path, "sealed", k)
        seal.unlink(missing_ok=True)
        for kind, rows in zip(KINDS, (embeddings, statistics), strict=True):
            self._save(shard_path(self.path, kind, k), rows)
        self._write(seal, _json(self._digests(k) | {"n_cut": n_cut}))

    def _save(self, path, array):
        array = np.ascontiguousarray(array)
        with _named(path), replacing(path) as draft, open(draft, "wb") as file:
            header = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(file, header)
            # numpy.save does not say that it was the disk that was full.
            file.write(array.reshape(-1).view(np.uint8))

    def _write(self, path, content):
        with _named(path), replacing(path) as draft:
            Path(draft).write_bytes(content)


@contextlib.contextmanager
def _named(path):
    """Let errors of the disk name the file that was to be written."""
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _json(about) -> bytes:
    return (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()


def _digest_of(columns) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(columns):
        digest.update(f"{name} {columns[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(columns[name]))
    return digest.hexdigest()


def _digest_of_file(path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.blake2b(digest_size=16)
        ).hexdigest()
