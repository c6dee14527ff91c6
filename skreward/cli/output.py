"""Tables with new columns, checked before the work and written whole after it."""

import csv
import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from skreward.cli.files import import_pyarrow
from skreward.cli.formats import check_delimiter, find_format
from skreward.cli.table import DataError, ParquetTable, Table
from skreward.utils.atomic import replacing

# Integers beyond are not exact as float64.
EXACT = 2**53
# Bytes of a file's name that leave room for that of its draft.
NAME_LIMIT = 240


def check_output(path: Path, force: bool, suffix: str | None = None):
    """Refuse an output that cannot or must not be written, before any work.

    ``suffix`` is what its name must end in; None asks for the format of a table.
    """
    if suffix is None:
        find_format(path)
    elif path.suffix != suffix:
        raise click.UsageError(f"{path}: wanted a name that ends in {suffix}")
    folder = path.parent
    if not folder.is_dir():
        raise click.UsageError(f"{path}: there is no folder {folder}")
    if path.is_dir():
        raise click.UsageError(f"{path}: is a folder")
    if path.exists() and not path.is_file():
        raise click.UsageError(f"{path}: is no ordinary file")
    if path.exists() and not force:
        raise click.UsageError(f"{path}: exists; --force replaces it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise click.UsageError(
            f"{path}: cannot be written in folder {folder} ({error.strerror})"
        ) from None
    if len(os.fsencode(path.name)) > NAME_LIMIT:
        raise click.UsageError(f"{folder}: the name of the output is too long")


@contextmanager
def named_errors(path: Path):
    """Let errors of the system name the output, not the draft that is written."""
    try:
        yield
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from None


def refuse_clash(table: Table, added: Sequence[str]):
    """Refuse new columns that a table has already."""
    clash = [name for name in added if name in table.names]
    if clash:
        raise table.error(
            None,
            f"there is a column {clash[0]!r} already, which would be lost; "
            f"--suffix _new calls the new one {clash[0] + '_new'!r}",
        )


class Writer:
    """Writes a table with further columns of numbers to a file.

    Whatever cannot be written is found when it is made; `write` is for after the
    work.
    """

    def __init__(self, table: Table, path: Path, added: Sequence[str]):
        self.table, self.path, self.added = table, path, added
        refuse_clash(table, added)
        self._prepare()

    def _prepare(self):
        raise NotImplementedError

    def _content(self, columns: Sequence[list[float]]) -> bytes:
        raise NotImplementedError

    def write(self, columns: Sequence[Iterable[float]]):
        """Write everything, the columns ``added`` at the end, or nothing."""
        values = [
            [value if isinstance(value, int) else float(value) for value in column]
            for column in columns
        ]
        with named_errors(self.path), replacing(self.path) as draft:
            content = self._content(values)
            if find_format(self.path).is_packed:
                content = gzip.compress(content, mtime=0)
            Path(draft).write_bytes(content)

    def _refuse(self, row, name, problem, way_out):
        raise self.table.error(row, f"column {name!r} holds {problem}; {way_out}")


class JsonLinesWriter(Writer):
    """One JSON object a line; as a list of them with ``is_list``."""

    way_out = "write to .parquet, or leave the column out"
    is_list = False

    def _prepare(self):
        self.rows = self.table.rows
        for k, row in enumerate(self.rows):
            try:
                _to_json(row)
            except (TypeError, ValueError, RecursionError):
                self._find(k, row)

    def _find(self, k, row):
        for name, value in row.items():
            try:
                _to_json({name: value})
            except (TypeError, ValueError, RecursionError):
                problem = f"{_show(value)}, which JSON has no word for"
                self._refuse(k, name, problem, self.way_out)

    def _content(self, columns):
        lines = [
            _to_json(row | dict(zip(self.added, new, strict=True)))
            for row, *new in zip(self.rows, *columns, strict=True)
        ]
        if self.is_list:
            return ("[" + ",\n".join(lines) + "]\n").encode()
        return "".join(f"{line}\n" for line in lines).encode()


class JsonWriter(JsonLinesWriter):
    """A JSON list of objects, one a line."""

    is_list = True


class CsvWriter(Writer):
    """Fields of text: nothing for None, chat messages and other structure as JSON."""

    way_out = "write to .jsonl or .parquet, or leave the column out"

    def __init__(self, table, path, added, delimiter=None):
        self.delimiter = delimiter or ","
        super().__init__(table, path, added)

    def _prepare(self):
        _check_names(self.table)
        self.fields = [self._fields(name) for name in self.table.names]

    def _fields(self, name):
        fields = []
        for k, value in enumerate(self.table.column(name)):
            try:
                fields.append(_to_field(value))
                fields[-1].encode()
            except (TypeError, ValueError, RecursionError):
                problem = f"{_show(value)}, which is no text"
                self._refuse(k, name, problem, self.way_out)
        return fields

    def _content(self, columns):
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.delimiter)
        writer.writerow([*self.table.names, *self.added])
        writer.writerows(zip(*self.fields, *columns, strict=True))
        return out.getvalue().encode()


class ParquetWriter(Writer):
    """Typed columns; those of a Parquet file keep theirs."""

    way_out = "write to .jsonl, or leave the column out"

    def _prepare(self):
        self.pyarrow, self.parquet = import_pyarrow(self.path)
        if isinstance(self.table, ParquetTable):
            self.arrow = self.table.arrow
            return
        _check_names(self.table)
        self.arrow = self.pyarrow.table(
            {name: self._array(name) for name in self.table.names}
        )

    def _array(self, name):
        cells = self.table.column(name)
        if any(isinstance(cell, list | dict) for cell in cells):
            cells = self._as_json(name, cells)
        known = [k for k, cell in enumerate(cells) if cell is not None]
        kinds = {_kind(cells[k]) for k in known}
        if len(kinds) > 1:
            first = _kind(cells[known[0]])
            k = next(k for k in known if _kind(cells[k]) != first)
            before = f"after {_show(cells[known[0]])}, and a column has one type"
            self._refuse(k, name, f"{_show(cells[k])} {before}", self.way_out)
        dtype = None
        if kinds == {"a number"}:
            dtype = self._number_type(name, cells, known)
        elif kinds == {"a text"}:
            dtype = self.pyarrow.string()
            self._check_unicode(name, cells)
        return self.pyarrow.array(cells, type=dtype)

    def _as_json(self, name, cells):
        made = []
        for k, cell in enumerate(cells):
            try:
                is_json = isinstance(cell, list | dict)
                made.append(_to_json(cell) if is_json else cell)
            except (TypeError, ValueError, RecursionError):
                problem = f"{_show(cell)}, which JSON has no word for"
                self._refuse(k, name, problem, self.way_out)
        return made

    def _number_type(self, name, cells, known):
        is_float = any(isinstance(cells[k], float) for k in known)
        low = min(cells[k] for k in known)
        lowest, highest, dtype = -(2**63), 2**63 - 1, self.pyarrow.int64()
        if is_float:
            lowest, highest, dtype = -EXACT, EXACT, self.pyarrow.float64()
        elif low >= 0:
            lowest, highest, dtype = 0, 2**64 - 1, self.pyarrow.uint64()
            if all(cells[k] < 2**63 for k in known):
                dtype = self.pyarrow.int64()
        for k in known:
            if isinstance(cells[k], int) and not lowest <= cells[k] <= highest:
                self._refuse(
                    k, name, f"{_show(cells[k])}, too large an integer", self.way_out
                )
        return dtype

    def _check_unicode(self, name, cells):
        for k, cell in enumerate(cells):
            try:
                (cell or "").encode()
            except UnicodeEncodeError:
                self._refuse(
                    k, name, f"{_show(cell)}, which is no valid Unicode", self.way_out
                )

    def _content(self, columns):
        arrow = self.arrow
        for name, column in zip(self.added, columns, strict=True):
            arrow = arrow.append_column(name, self.pyarrow.array(column))
        out = io.BytesIO()
        self.parquet.write_table(arrow, out)
        return out.getvalue()


def make_writer(table: Table, path: Path, added: Sequence[str], delimiter=None):
    """Make the writer for the format that the name of a file says."""
    format = find_format(path)
    check_delimiter(path, delimiter, format)
    if format.kind in ("csv", "tsv"):
        return CsvWriter(
            table, path, added, "\t" if format.kind == "tsv" else delimiter
        )
    writers = {"json": JsonWriter, "jsonl": JsonLinesWriter, "parquet": ParquetWriter}
    return writers[format.kind](table, path, added)


def _to_json(value) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no bytes, and yet a form in JSON.
        return json.dumps(value, allow_nan=False)
    return text


def _to_field(value) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return _to_json(value)
    if isinstance(value, str | int | float | date | time | Decimal):
        return str(value)
    raise TypeError


def _kind(value) -> str:
    if isinstance(value, bool):
        return "a truth value"
    return "a number" if isinstance(value, int | float) else "a text"


def _show(value: Any) -> str:
    kind = type(value).__name__
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"a very large {kind}"
    return text if len(text) <= 40 else f"{text[:40]}... ({kind})"


def _check_names(table):
    for name in table.names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise table.error(
                None, f"the name of column {name!r} is no valid Unicode"
            ) from None
