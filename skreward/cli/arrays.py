"""Files of arrays in place of texts: embeddings that something else computed."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skreward.cli.files import GROWTH_LIMIT, UNPACKED_FREE
from skreward.cli.table import DataError

PACKED, MAPPED = ".npz", ".npy"
# What stands first in a pipeline that takes rows, and not texts.
ROWS = "passthrough"
NAMES = ("embeddings", "prompt_ids", "index", "y", "ratings")


@dataclass(frozen=True)
class Arrays:
    """What a file of arrays holds, by the names that a folder has for it."""

    path: Path
    about: dict[str, Any]
    embeddings: np.ndarray
    prompt_ids: np.ndarray
    rows: np.ndarray
    lines: np.ndarray
    labels: np.ndarray | None

    @property
    def is_pairs(self) -> bool:
        """Whether a row of the data holds two items."""
        return self.rows.ndim == 2


class ArrayItems:
    """Items of a file of arrays; how long their texts were is not known."""

    lengths = None

    def __init__(self, arrays: Arrays, rows: np.ndarray):
        self.arrays, self.rows = arrays, rows
        self.prompt_ids = arrays.prompt_ids[rows]

    def __len__(self):
        return len(self.rows)

    def features(self, parts) -> str:
        """Give what a pipeline begins with: rows are taken as they are."""
        return ROWS

    def rows_by(self, features) -> np.ndarray:
        """Give the rows; DataError for a model of texts."""
        path, rows = self.arrays.path, self.arrays.embeddings[self.rows]
        if features != ROWS:
            raise DataError(
                path,
                None,
                "the model takes texts, and arrays do not say what embedded theirs; "
                "skreward embed makes a folder that does",
            )
        is_finite = np.isfinite(rows).all(axis=1)
        if not is_finite.all():
            k = int(self.rows[is_finite.argmin()])
            raise DataError(path, None, f"embeddings: row {k} is not finite")
        return rows.astype(np.float32) if rows.dtype == np.float16 else rows


def is_arrays(path: Path) -> bool:
    """Whether the name of a file says that it holds arrays."""
    return path.suffix.lower() in (PACKED, MAPPED)


def read_arrays(path: Path) -> Arrays:
    """Read embeddings, prompts, and what is compared or rated.

    They are in one ``.npz`` file; or the embeddings are in an ``.npy`` file, which is
    mapped into memory, and the others in ``prompt_ids.npy`` and so on beside it.

    Raises
    ------
    DataError
        For a file of another kind, that holds objects, lacks an array or has one that
        does not go with the others.
    """
    found = _mapped(path) if path.suffix.lower() == MAPPED else _unpacked(path)

    def refuse(problem):
        raise DataError(path, None, problem)

    for name in ("embeddings", "prompt_ids"):
        if name not in found:
            refuse(f"there is no array {name!r}; known are {', '.join(NAMES)}")
    embeddings, prompt_ids = found["embeddings"], found["prompt_ids"]
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or not embeddings.size:
        refuse(
            "embeddings: wanted floating numbers of shape (n_items, n_features), got "
            f"{embeddings.dtype} of shape {embeddings.shape}"
        )
    n = len(embeddings)
    if prompt_ids.shape != (n,) or prompt_ids.dtype.kind not in "iuUS":
        refuse(
            f"prompt_ids: wanted integers or strings of shape ({n},), got "
            f"{prompt_ids.dtype} of shape {prompt_ids.shape}"
        )
    index = found.get("index")
    if index is None:
        if "y" in found:
            refuse("y: goes with an index of pairs")
        labels = _numbers(found, "ratings", n, refuse)
        return _arrays(path, embeddings, prompt_ids, np.arange(n), labels, ["response"])
    if "ratings" in found:
        refuse("ratings: go without an index of pairs")
    if index.ndim != 2 or index.shape[1] != 2 or index.dtype.kind not in "iu":
        refuse(
            "index: wanted integers of shape (n_pairs, 2), got "
            f"{index.dtype} of shape {index.shape}"
        )
    if len(index) == 0 or index.min() < 0 or index.max() >= n:
        refuse(f"index: wanted pairs of the items 0 to {n - 1}")
    labels = _numbers(found, "y", len(index), refuse)
    form = ["chosen", "rejected"] if labels is None else ["response_a", "response_b"]
    return _arrays(path, embeddings, prompt_ids, index.astype(np.intp), labels, form)


def _arrays(path, embeddings, prompt_ids, rows, labels, form):
    about = {"data": {"form": form, "layout": "", "n_skipped_rows": 0}}
    lines = np.arange(len(rows))
    return Arrays(path, about, embeddings, prompt_ids, rows, lines, labels)


def _numbers(found, name, n, refuse):
    values = found.get(name)
    if values is None:
        return None
    if values.shape != (n,) or values.dtype.kind not in "fiub":
        refuse(f"{name}: wanted {n} numbers, got {values.dtype} of {values.shape}")
    values = values.astype(float)
    if not np.isfinite(values).all():
        refuse(f"{name}: holds a number that is not finite")
    return values


def _unpacked(path) -> dict[str, np.ndarray]:
    try:
        limit = max(UNPACKED_FREE, GROWTH_LIMIT * path.stat().st_size)
        with zipfile.ZipFile(path) as file:
            n_bytes = sum(info.file_size for info in file.infolist())
        if n_bytes > limit:
            problem = f"the file unpacks to {n_bytes // 2**20} MiB"
            raise DataError(path, None, problem)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in NAMES if name in file.files}
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(path, None, f"no .npz file of numbers ({error})") from None


def _mapped(path) -> dict[str, np.ndarray]:
    beside = {name: path.with_name(name + MAPPED) for name in NAMES[1:]}
    files = {n: file for n, file in beside.items() if file.exists() and file != path}
    return {name: _array(file) for name, file in [(NAMES[0], path), *files.items()]}


def _array(path) -> np.ndarray:
    try:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from None
    except (ValueError, EOFError) as error:
        raise DataError(path, None, f"no .npy file of numbers ({error})") from None
