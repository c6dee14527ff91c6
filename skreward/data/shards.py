"""A folder of embeddings that were computed as a job of its own, and how it is read.

::

    manifest.json            how many of what, and how the rows were made
    items/prompt_ids.npy     int64  (n_items,)         equal where prompts are equal
    items/text_hashes.npy    uint8  (n_items, 16)      of prompt and response together
    items/lengths.npy        int64  (n_items,)         characters of the response
    rows/lines.npy           int64  (n_rows,)          where a row of the data begins
    rows/items.npy           int64  (n_rows,) or (n_rows, 2)    the items that it has
    rows/labels.npy          float64 (n_rows,)         P(first preferred), or a rating
    embeddings/00000.npy     float16 or float32  (shard_rows, n_features)
    statistics/00000.npy     float32  (shard_rows, n_statistics)
    sealed/00000.json        digests of the two: a shard counts once this is there

Items are distinct texts, in the order in which the data have them; shard k holds those
from ``k * shard_rows`` on, and the last shard what is left. Labels may be missing.

Shards are ``.npy``: NumPy maps them into memory without another package, any tool reads
them, and each appears whole by a rename. zarr cannot be mapped, and safetensors would
need a reader of its own to be mapped by NumPy. A manifest names no file: names follow
from numbers, so that no manifest leads out of its folder.
"""

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skreward.utils.typing import Array, FilePath

FORMAT = "skreward embeddings 1"
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 1 << 20
DTYPES = ("float16", "float32")
HASH_BYTES = 16
COLUMNS: dict[str, np.dtype[Any]] = {
    "items/prompt_ids": np.dtype("<i8"),
    "items/text_hashes": np.dtype("u1"),
    "items/lengths": np.dtype("<i8"),
    "rows/items": np.dtype("<i8"),
    "rows/lines": np.dtype("<i8"),
    "rows/labels": np.dtype("<f8"),
}
# What a manifest says, and of which type it is.
FIELDS: dict[str, type] = {
    "n_items": int,
    "n_rows": int,
    "n_features": int,
    "shard_rows": int,
    "dtype": str,
    "is_pairs": bool,
    "is_labelled": bool,
    "statistics": list,
    "encoder": dict,
    "data": dict,
    "columns": str,
}


class FolderError(ValueError):
    """A folder of embeddings that is not one, or not whole."""


class ShardedRows:
    """Rows of many ``.npy`` files as one array, read where they are asked for.

    A slice within a file is a view of its memory map; any other key copies. No file
    stays open but the last one, so that thousands of them are no burden; what is
    pickled is their names.

    Parameters
    ----------
    paths : sequence of path
        The files, in order.
    shape : tuple of int
        ``(n_rows, n_columns)`` of all of them together.
    dtype : dtype
        Of every file.
    shard_rows : int
        Rows of each file but the last.
    """

    ndim = 2

    def __init__(
        self,
        paths: Sequence[Path],
        shape: tuple[int, int],
        dtype: Any,
        shard_rows: int,
    ) -> None:
        self.paths, self.shape = list(paths), shape
        self.dtype, self.shard_rows = np.dtype(dtype), shard_rows
        self._last: tuple[int, Array] | None = None

    @property
    def n_shards(self) -> int:
        """Number of files."""
        return len(self.paths)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def rows_of(self, k: int) -> int:
        """Count the rows of a file."""
        return min(self.shard_rows, self.shape[0] - k * self.shard_rows)

    def shard(self, k: int) -> Array:
        """Map a file into memory, read-only; FolderError where it is not whole."""
        if self._last is None or self._last[0] != k:
            shape = (self.rows_of(k), self.shape[1])
            self._last = k, map_array(self.paths[k], self.dtype, shape)
        return self._last[1]

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if isinstance(key, tuple):
            if len(key) == 0 or len(key) > 2:
                raise IndexError(f"there are 2 dimensions, got {len(key)} indices.")
            rows = self[key[0]]
            if len(key) == 1 or key[1] is Ellipsis:
                return rows
            return rows[..., key[1]]
        if key is Ellipsis:
            key = slice(None)
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1 and start < stop and self._is_within(start, stop):
                k, first = divmod(start, self.shard_rows)
                return self.shard(k)[first : first + stop - start]
            return self._gather(np.arange(start, stop, step))
        if isinstance(key, (int, np.integer)):
            return self._gather(np.arange(len(self))[[int(key)]])[0]
        return self._gather(np.arange(len(self))[key])

    def _is_within(self, start, stop):
        return start // self.shard_rows == (stop - 1) // self.shard_rows

    def _gather(self, index):
        out = np.empty((*index.shape, self.shape[1]), dtype=self.dtype)
        flat, index = out.reshape(-1, self.shape[1]), index.ravel()
        shards = index // self.shard_rows
        order = np.argsort(shards, kind="stable")
        edges = np.flatnonzero(np.diff(shards[order])) + 1
        for part in np.split(order, edges):
            if len(part):
                k = int(shards[part[0]])
                flat[part] = self.shard(k)[index[part] - k * self.shard_rows]
        return out

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("rows of several files cannot be one array without a copy")
        rows = self[:] if self.n_shards != 1 else np.array(self[:])
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __getstate__(self):
        return vars(self) | {"_last": None}

    def __repr__(self):
        return (
            f"ShardedRows(shape={self.shape}, dtype={self.dtype}, "
            f"n_shards={self.n_shards})"
        )


@dataclass(frozen=True)
class EmbeddingFolder:
    """What `open_folder` finds."""

    path: Path
    about: dict[str, Any]
    embeddings: ShardedRows
    statistics: ShardedRows
    prompt_ids: Array
    text_hashes: Array
    lengths: Array
    rows: Array
    lines: Array
    labels: Array | None

    @property
    def is_pairs(self) -> bool:
        """Whether a row of the data holds two responses."""
        return self.about["is_pairs"]


def is_folder(path: FilePath) -> bool:
    """Whether something is a folder with a manifest."""
    return os.path.isdir(path) and os.path.lexists(Path(path) / MANIFEST)


def open_folder(path: FilePath) -> EmbeddingFolder:
    """Open a folder that is whole; columns are read, shards are not.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder.
    FolderError
        Where it is none of embeddings, or shards are missing, or a file is not what
        the manifest says.
    """
    path = Path(path)
    about = read_manifest(path)
    n_items, n_rows = about["n_items"], about["n_rows"]
    sides = (2,) if about["is_pairs"] else ()
    shapes = {
        "items/prompt_ids": (n_items,),
        "items/text_hashes": (n_items, HASH_BYTES),
        "items/lengths": (n_items,),
        "rows/items": (n_rows, *sides),
        "rows/lines": (n_rows,),
    }
    if about["is_labelled"]:
        shapes["rows/labels"] = (n_rows,)
    columns = {
        name: np.array(map_array(column_path(path, name), COLUMNS[name], shape))
        for name, shape in shapes.items()
    }
    _check_columns(path, columns, n_items)
    _check_whole(path, about)
    return EmbeddingFolder(
        path,
        about,
        sharded(path, about, "embeddings"),
        sharded(path, about, "statistics"),
        columns["items/prompt_ids"],
        columns["items/text_hashes"],
        columns["items/lengths"],
        columns["rows/items"],
        columns["rows/lines"],
        columns.get("rows/labels"),
    )


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest and check all that a reader goes by."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: there is no such folder.")
    file = path / MANIFEST
    if not os.path.lexists(file):
        raise FolderError(f"{path}: holds no {MANIFEST}: no folder of embeddings.")
    check_ordinary(file)
    if file.stat().st_size > MANIFEST_LIMIT:
        raise FolderError(f"{file}: is larger than {MANIFEST_LIMIT} bytes.")
    try:
        about = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{file}: is no JSON ({error}).") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise FolderError(f"{file}: the format is {found!r:.60}, wanted {FORMAT!r}.")
    for name, kind in FIELDS.items():
        if type(about.get(name)) is not kind:
            raise FolderError(f"{file}: {name} must be of type {kind.__name__}.")
    for name in ("n_items", "n_rows", "n_features", "shard_rows"):
        if not 0 < about[name] < 2**48:
            raise FolderError(f"{file}: {name} must be positive, got {about[name]}.")
    if about["dtype"] not in DTYPES:
        raise FolderError(f"{file}: dtype must be one of {', '.join(DTYPES)}.")
    if not all(isinstance(name, str) for name in about["statistics"]):
        raise FolderError(f"{file}: statistics must list names.")
    return about


def sharded(path: Path, about: dict[str, Any], kind: str) -> ShardedRows:
    """Give the rows of one kind of shard."""
    n_columns = about["n_features"]
    if kind == "statistics":
        n_columns = len(about["statistics"])
    return ShardedRows(
        [shard_path(path, kind, k) for k in range(n_shards(about))],
        (about["n_items"], n_columns),
        about["dtype"] if kind == "embeddings" else "float32",
        about["shard_rows"],
    )


def n_shards(about: dict[str, Any]) -> int:
    """Count the shards that a whole folder has."""
    return -(-about["n_items"] // about["shard_rows"])


def shard_path(path: Path, kind: str, k: int) -> Path:
    """Name a file of a shard: of its embeddings, its statistics or its seal."""
    return path / kind / f"{k:05d}.{'json' if kind == 'sealed' else 'npy'}"


def column_path(path: Path, name: str) -> Path:
    """Name the file of a column."""
    return path / f"{name}.npy"


def check_ordinary(path: Path) -> None:
    """Refuse a link, a pipe, a device: what is read lies in the folder itself."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        raise FolderError(f"{path}: is missing.") from None
    if not stat.S_ISREG(mode):
        raise FolderError(f"{path}: is no ordinary file.")


def map_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Map a ``.npy`` file into memory; FolderError where it is not as it must be."""
    for folder in (path.parent, path):
        if folder.is_symlink():
            raise FolderError(f"{folder}: is a link.")
    check_ordinary(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, AttributeError) as error:
        raise FolderError(f"{path}: is no whole .npy file ({error}).") from None
    if not isinstance(array, np.ndarray):
        raise FolderError(f"{path}: is no .npy file.")
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise FolderError(
            f"{path}: holds {array.dtype} of shape {array.shape}, wanted {dtype} of "
            f"shape {shape}, row by row."
        )
    return array


def _check_columns(path, columns, n_items):
    rows = columns["rows/items"]
    if rows.min() < 0 or rows.max() >= n_items:
        raise FolderError(f"{path}: a row names an item that is none of {n_items}.")
    labels = columns.get("rows/labels")
    if labels is not None and not np.isfinite(labels).all():
        raise FolderError(f"{path}: a label is not finite.")


def _check_whole(path, about):
    """Raise where shards are missing."""
    n = n_shards(about)
    folder = path / "sealed"
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    # A manifest may claim any number of them.
    missing = n - len(there)
    if missing <= 0:
        missing = sum(f"{k:05d}.json" not in there for k in range(n))
    if missing:
        raise FolderError(
            f"{path}: {missing} of {n} shards are not computed yet: run the same "
            "skreward embed again, which goes on where it stopped."
        )
