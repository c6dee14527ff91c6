"""The data of a job of embedding: read once, in parts, their texts put aside."""

import json
from array import array
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skreward.cli.columns import (
    LABEL,
    find_form,
    find_label,
    read_labels,
    read_ratings,
    with_columns,
)
from skreward.cli.files import read_blocks, read_table
from skreward.cli.layouts import in_pairs
from skreward.cli.output import named_errors
from skreward.cli.preferences import NoRowLeftError, Texts, read_rows, warn_of_skipped
from skreward.cli.table import Table
from skreward.text.embedding_job import item_hash
from skreward.text.items import TextItem, TextItems, TextPairs
from skreward.utils.progress import progress

Skipped = dict[str, list[int]]


class Data(NamedTuple):
    """What is kept of the data beside the texts, and a word on each."""

    columns: dict[str, np.ndarray]
    about: dict[str, Any]
    first: TextItems


class Parts:
    """Rows of a file, some at a time; ``form``, ``label`` and ``layout`` hold for all.

    A published layout is read whole: its pairs may be made of several rows.
    """

    def __init__(self, path: Path, *, delimiter, format, columns, layout, label,
                 label_map, drop_bad_rows):  # fmt: skip
        self.path, self.source = path, (path, delimiter, format)
        self.columns, self.layout, self.label = columns, layout, label
        self.label_map, self.drops = label_map, drop_bad_rows
        self.form: tuple[str, ...] = ()
        self.skipped: Skipped = defaultdict(list)

    def __iter__(self) -> Iterator[Texts]:
        blocks = read_blocks(*self.source)
        first = next(blocks)
        known = self._settle(first)
        yield from self._read(known)
        if self.columns or known is first:
            for block in blocks:
                yield from self._read(self._view(block))

    def _settle(self, first: Table) -> Table:
        """Find out from the first rows what the columns are."""
        known = with_columns(first, self.columns)
        if self.columns:
            self.layout = ""
        else:
            known, self.label, self.layout, _ = self._in_pairs(first)
        if known is not first and not self.columns:
            known, _, _, skipped = self._in_pairs(read_table(*self.source))
            self._skip(skipped)
            if self.label_map is not None:
                problem = "--label-map goes with a label column of your own"
                raise first.error(None, problem)
        self.form = find_form(known)
        self.label = self._find_label(known)
        return known

    def _in_pairs(self, table):
        return in_pairs(table, self.layout, self.label, drop_bad_rows=self.drops)

    def _view(self, block):
        known = with_columns(block, self.columns)
        form = find_form(known)
        if form != self.form:
            problem = f"columns {', '.join(form)} after {', '.join(self.form)}"
            raise known.error(0, problem)
        return known

    def _find_label(self, table):
        """Name the label; None where there is none, which `embed` can do without."""
        name, is_rated = None, self.form == ("response",)
        if self.label is not None or (LABEL in table.names and not is_rated):
            name = find_label(table, self.form, self.label)
        if self.label_map is not None and (name is None or is_rated):
            raise table.error(None, "--label-map goes with a label of pairs")
        return name

    def _read(self, known) -> Iterator[Texts]:
        try:
            texts = read_rows(
                known, self.form, label=self.label, drop_bad_rows=self.drops
            )
        except NoRowLeftError as error:
            self._skip(error.skipped)
            return
        self._skip(texts.skipped)
        yield texts

    def _skip(self, skipped):
        for problem, lines in skipped.items():
            self.skipped[problem].extend(lines)


def read_and_put_aside(parts: Parts, folder: Path, shard_rows: int) -> Data:
    """Read the data, and write the texts of every shard to a file of a folder."""
    kept = _Kept(folder, shard_rows)
    with progress(None, f"reading {parts.path}"):
        for texts in parts:
            with named_errors(folder):
                kept.add(texts, parts.label)
        with named_errors(folder):
            kept.close()
    if not kept.lines:
        raise NoRowLeftError(parts.path, dict(parts.skipped))
    warn_of_skipped(parts.path, parts.skipped, len(kept.lines))
    n_skipped = sum(map(len, parts.skipped.values()))
    columns = kept.columns()
    if parts.label is not None:
        columns["rows/labels"] = _labels(parts, kept)
    about = {
        "name": parts.path.name,
        "form": list(parts.form),
        "layout": parts.layout,
        "n_skipped_rows": n_skipped,
    }
    return Data(columns, about, TextItems(kept.first))


def texts_of(folder: Path, k: int) -> list[list[Any]]:
    """Read the texts that were put aside for a shard, and forget them."""
    path = _aside(folder, k)
    with path.open(encoding="utf-8") as file:
        texts = [json.loads(line) for line in file]
    path.unlink()
    return texts


def _aside(folder, k):
    return folder / f"{k:05d}.jsonl"


class _Kept:
    """Columns as they grow, and the file of the shard that texts are written to."""

    def __init__(self, folder, shard_rows):
        self.folder, self.shard_rows = folder, shard_rows
        self.number: dict[bytes, int] = {}
        self.prompt_ids, self.lengths = array("q"), array("q")
        self.rows, self.lines = array("q"), array("q")
        self.labels: list[Any] = []
        self.is_pairs = False
        self.first: list[TextItem] = []
        self.file: Any = None

    def add(self, texts: Texts, label):
        read = texts.read
        self.is_pairs = isinstance(read, TextPairs)
        items = read.items if isinstance(read, TextPairs) else read
        numbers = self._numbers(items)
        rows = numbers[read.pairs] if isinstance(read, TextPairs) else numbers
        self.rows.extend(rows.ravel().tolist())
        self.lines.extend(texts.table.lines)
        if label is not None:
            self.labels.extend(texts.table.column(label))

    def _numbers(self, items):
        numbers = np.empty(len(items), dtype=np.int64)
        prompt_ids, lengths = items.prompt_ids.tolist(), items.lengths.tolist()
        for k, item in enumerate(items.each()):
            n = self.number.setdefault(item_hash(item), len(self.number))
            numbers[k] = n
            if n == len(self.lengths):
                self.prompt_ids.append(prompt_ids[k])
                self.lengths.append(lengths[k])
                self._put_aside(n, item)
        return numbers

    def _put_aside(self, n, item):
        if n == 0:
            self.first = [item]
        if n % self.shard_rows == 0:
            self.close()
            path = _aside(self.folder, n // self.shard_rows)
            self.file = path.open("w", encoding="utf-8")
        # Exotic values of a chat message are written as its key has them.
        self.file.write(json.dumps(item, default=str) + "\n")

    def close(self):
        if self.file is not None:
            self.file.close()

    def columns(self):
        hashes = np.frombuffer(b"".join(self.number), dtype=np.uint8)
        rows = np.frombuffer(self.rows, dtype=np.int64)
        return {
            "items/prompt_ids": np.frombuffer(self.prompt_ids, dtype=np.int64),
            "items/text_hashes": hashes.reshape(len(self.number), -1),
            "items/lengths": np.frombuffer(self.lengths, dtype=np.int64),
            "rows/items": rows.reshape(-1, 2) if self.is_pairs else rows,
            "rows/lines": np.frombuffer(self.lines, dtype=np.int64),
        }


def _labels(parts, kept):
    """Read the labels of all rows at once: one of them may tell what others mean."""
    name = parts.label
    table = Table.of_columns(parts.path, {name: kept.labels}, kept.lines)
    if parts.form == ("response",):
        return read_ratings(table, name)
    return read_labels(table, name, parts.label_map)
