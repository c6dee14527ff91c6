"""Tables of texts in files: every error knows its line."""

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from skreward.cli.formats import (
    PACKED,
    PIPE,
    STDIN,
    Format,
    check_delimiter,
    find_format,
    tell_format,
)
from skreward.cli.table import CsvTable, DataError, ParquetTable, Table
from skreward.data.shards import is_folder
from skreward.utils.progress import progress

__all__ = ["DataError", "Table", "import_pyarrow", "read_table"]

DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'"}
# A line, or a field, of more characters is no text to learn a reward from.
LINE_LIMIT = 2**25
# A file that grows by more than this when it is unpacked, and beyond a size that is
# no burden, was made to fill the memory. Texts shrink to a third or a tenth.
GROWTH_LIMIT = 100
UNPACKED_FREE = 2**28
ROWS_FREE = 10**6
# Rows that are read at a time: few enough to stay in the processor's cache.
BLOCK_ROWS = 512
NO_ROWS = "the file holds no rows"
BLANKS = re.compile(r"[ \t\r\n]*")


class Source:
    """What a table is read from: a file, or what came through a pipe."""

    def __init__(self, path: Path, format: str | None):
        self.path, self.content = path, None
        if path == PIPE:
            self.path, self.content = STDIN, _from_pipe()
        self.format = self._find_format(format)

    def _find_format(self, named) -> Format:
        if self.content is not None and not self.content.strip():
            raise DataError(STDIN, None, "the file holds no rows")
        if named is None and self.content is not None:
            if not self.content.startswith(PACKED):
                return tell_format(self.content[:1024])
            with gzip.open(io.BytesIO(self.content)) as file:
                return tell_format(file.read(1024), is_packed=True)
        return find_format(self.path, named, "; or say what it is by --format")

    @property
    def size(self) -> int:
        """Number of bytes, packed as they are."""
        if self.content is None:
            return self.path.stat().st_size
        return len(self.content)

    @property
    def place(self):
        """What a library reads it from."""
        return self.path if self.content is None else io.BytesIO(self.content)

    @contextmanager
    def opened(self):
        """Open the bytes of the table, unpacked."""
        raw = self.path.open("rb") if self.content is None else io.BytesIO(self.content)
        with raw:
            if not self.format.is_packed:
                yield raw
                return
            with gzip.open(raw) as file:
                yield file


def _from_pipe() -> bytes:
    if sys.stdin is None:
        raise DataError(STDIN, None, "it is closed")
    return sys.stdin.buffer.read()


def read_table(
    path: Path, delimiter: str | None = None, format: str | None = None
) -> Table:
    """Read a table of at least one row.

    Parameters
    ----------
    path : Path
        "-" is standard input.
    delimiter : str, default=None
        What separates the fields of a CSV file; None is a comma.
    format : str, default=None
        One of `formats.NAMES`; None is told by the name, of a pipe by its beginning.

    Raises
    ------
    DataError
        For a file that is not there, cannot be read, or is not what its extension
        says; with the line where it can be told.
    """
    blocks = read_blocks(path, delimiter, format)
    with progress(None, f"reading {_shown(path)}"):
        first, *others = blocks
    return first.joined(others) if others else first


def read_blocks(
    path: Path,
    delimiter: str | None = None,
    format: str | None = None,
    n_rows: int = BLOCK_ROWS,
) -> Iterator[Table]:
    """Read a table some rows at a time; a JSON list comes whole.

    As in `read_table`; every block has a row at least.
    """
    shown = _shown(path)
    if is_folder(path):
        raise DataError(path, None, "is a folder of embeddings, and holds no texts")
    with _named_errors(shown):
        source = Source(path, format)
        check_delimiter(shown, delimiter, source.format)
    return _some_rows(shown, _blocks(source, delimiter, n_rows))


def _shown(path):
    """Give what messages call a source of rows."""
    return STDIN if path == PIPE else path


def _some_rows(shown, blocks) -> Iterator[Table]:
    n_blocks = 0
    with _named_errors(shown):
        for block in blocks:
            yield block
            n_blocks += 1
    if n_blocks == 0:
        raise DataError(shown, None, NO_ROWS)


@contextmanager
def _named_errors(shown):
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(shown, None, f"not a whole gzip file ({error})") from None
    except OSError as error:
        raise DataError(shown, None, error.strerror or str(error)) from None


def _blocks(source, delimiter, n_rows) -> Iterator[Table]:
    kind = source.format.kind
    if kind == "parquet":
        return _parquet_blocks(source, n_rows)
    if kind == "jsonl":
        return _json_blocks(source.path, _jsonl_rows(source), n_rows)
    if kind == "json":
        # Its text is in memory as a whole.
        return _json_blocks(source.path, _json_rows(source), None)
    return _csv_blocks(source, "\t" if kind == "tsv" else delimiter or ",", n_rows)


def _json_blocks(path, numbered, n_rows):
    # No tuple of both is kept: the garbage collector would take a third of the time.
    lines, rows = [], []
    for line, row in numbered:
        lines.append(line)
        rows.append(row)
        if len(rows) == n_rows:
            yield Table(path, rows, lines)
            lines, rows = [], []
    if rows:
        yield Table(path, rows, lines)


def import_pyarrow(path: Path):
    """Give pyarrow and its room for Parquet; DataError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            path, None, "Parquet needs the package pyarrow: pip install pyarrow"
        ) from None
    return pyarrow, pyarrow.parquet


def _jsonl_rows(source) -> Iterator[tuple[int, dict]]:
    for number, text in _lines(source):
        if text and not text.isspace():
            yield number, _row(source.path, number, text)


def _row(path, number, text):
    try:
        row = DECODER.decode(text)
    except (RecursionError, ValueError) as error:
        raise _broken_json(path, number, error) from None
    _check_object(path, number, row)
    return row


def _json_rows(source) -> Iterator[tuple[int, dict]]:
    """Read a list of objects; every one knows the line that it begins at."""
    path, text = source.path, _whole(source)
    at, number = _after_blanks(text, 0), 1 + text.count("\n", 0, _after_blanks(text, 0))
    if text[at : at + 1] != "[":
        way_out = "if it holds one object a line, give --format jsonl"
        raise DataError(path, number, f"wanted a JSON list of objects; {way_out}")
    before, at, mark = at, _after_blanks(text, at + 1), ","
    if text[at : at + 1] == "]":
        mark = "]"
    while mark == ",":
        number, before = number + text.count("\n", before, at), at
        try:
            row, at = DECODER.raw_decode(text, at)
        except (RecursionError, ValueError) as error:
            raise _broken_json(path, number, error) from None
        _check_object(path, number, row)
        yield number, row
        at = _after_blanks(text, at)
        mark = text[at : at + 1]
        at = at if mark != "," else _after_blanks(text, at + 1)
    if mark != "]" or _after_blanks(text, at + 1) < len(text):
        number += text.count("\n", before, at)
        wanted = "',' or ']' after an object" if mark != "]" else "nothing after ']'"
        raise DataError(path, number, f"broken JSON: wanted {wanted}")


def _after_blanks(text, at):
    found = BLANKS.match(text, at)
    assert found is not None  # it matches nothing, too
    return found.end()


def _broken_json(path, number, error):
    what = "nested too deep" if isinstance(error, RecursionError) else str(error)
    return DataError(path, number, f"broken JSON: {what}")


def _check_object(path, number, row):
    if not isinstance(row, dict):
        kind = type(row).__name__
        raise DataError(path, number, f"wanted a JSON object, got {kind}")


def _distinct_keys(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return made


# Made once: a decoder a line would take as long as the line.
DECODER = json.JSONDecoder(object_pairs_hook=_distinct_keys)


def _lines(source) -> Iterator[tuple[int, str]]:
    """Number and decode the lines of a file, none of which may fill the memory."""
    path, limit = source.path, _unpacked_limit(source)
    number, n_bytes = 0, 0
    with source.opened() as file:
        while raw := file.readline(LINE_LIMIT + 1):
            number, n_bytes = number + 1, n_bytes + len(raw)
            if len(raw) > LINE_LIMIT:
                raise DataError(
                    path, number, f"the line is longer than {_size(LINE_LIMIT)}"
                )
            if source.format.is_packed and n_bytes > limit:
                raise DataError(
                    path, number, f"the file unpacks to more than {_size(n_bytes)}"
                )
            yield number, _decode(path, number, raw)


def _whole(source) -> str:
    """Read and decode a file whose lines may be of any length."""
    limit = _unpacked_limit(source)
    with source.opened() as file:
        raw = file.read(limit + 1 if source.format.is_packed else -1)
    if source.format.is_packed and len(raw) > limit:
        raise DataError(
            source.path, None, f"the file unpacks to more than {_size(limit)}"
        )
    return _decode(source.path, 1, raw)


def _unpacked_limit(source):
    return max(UNPACKED_FREE, GROWTH_LIMIT * source.size)


def _size(n_bytes):
    return f"{n_bytes // 2**20} MiB"


def _decode(path, number, raw):
    """Decode what begins at a line, and name the line of what is no UTF-8."""
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        is_utf16 = number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        reason = "it looks like UTF-16" if is_utf16 else error.reason
        number += raw.count(b"\n", 0, error.start)
        raise DataError(path, number, f"not UTF-8 ({reason})") from None


def _csv_blocks(source, delimiter, n_rows):
    # A carriage return alone ends a line, too.
    parts = (io.StringIO(text, newline="") for _, text in _lines(source))
    reader = csv.reader(chain.from_iterable(parts), strict=True, delimiter=delimiter)
    rows = _csv_rows(source.path, reader, delimiter)
    for header_line, header in _some_fields(rows, 1):
        while block := _some_fields(rows, n_rows):
            numbers, fields = zip(*block, strict=True)
            cells = map(list, zip(*fields, strict=True))
            columns = dict(zip(header, cells, strict=True))
            lines = list(numbers)
            yield CsvTable.of_columns(source.path, columns, lines, header_line)


def _some_fields(rows, n_rows):
    """List some rows; the limit of a field holds for whoever reads CSV meanwhile."""
    limit = csv.field_size_limit(LINE_LIMIT)
    try:
        return list(islice(rows, n_rows))
    finally:
        csv.field_size_limit(limit)


def _csv_rows(path, reader, delimiter) -> Iterator[tuple[int, list[str]]]:
    """Give the fields of every row, those of the header first, and their line."""
    header: list[str] = []
    end = 0
    try:
        for fields in reader:
            start, end = end + 1, reader.line_num
            if not fields:
                continue
            if not header:
                header = fields
                _check_header(path, header, start, delimiter)
            if len(fields) != len(header):
                raise DataError(
                    path,
                    start,
                    f"{_count(fields, 'field')} for {_count(header, 'column')}",
                )
            yield start, fields
    except csv.Error as error:
        raise DataError(path, reader.line_num, f"broken CSV: {error}") from None


def _count(fields, kind):
    return f"{len(fields)} {kind}{'' if len(fields) == 1 else 's'}"


def _check_header(path, header, line, delimiter):
    if len(set(header)) < len(header):
        name = next(name for name in header if header.count(name) > 1)
        raise DataError(path, line, f"two columns have the name {name[:80]!r}")
    seen = [mark for mark in DELIMITERS if mark in header[0] and mark != delimiter]
    if len(header) == 1 and seen:
        shown = DELIMITERS[seen[0]]
        way_out = f"--delimiter {shown}" if delimiter != "\t" else "--format csv"
        raise DataError(
            path,
            line,
            f"the header is one column, {header[0][:80]!r}, which holds {shown}: if "
            f"that separates the columns, give {way_out}",
        )


def _parquet_blocks(source, n_rows) -> Iterator[Table]:
    path = source.path
    pyarrow, parquet = import_pyarrow(path)
    start = 1
    try:
        with parquet.ParquetFile(source.place) as file:
            _check_unpacked(source, file.metadata)
            _check_column_names(path, file.schema_arrow.names)
            for batch in file.iter_batches(n_rows):
                if len(batch):
                    yield ParquetTable(path, pyarrow.Table.from_batches([batch]), start)
                start += len(batch)
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(path, None, f"not a Parquet file ({error})") from None


def _check_column_names(path, names):
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise DataError(path, None, f"two columns have the name {name[:80]!r}")


def _check_unpacked(source, metadata):
    size = source.size
    groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
    n_bytes = sum(group.total_byte_size for group in groups)
    if n_bytes > max(UNPACKED_FREE, GROWTH_LIMIT * size):
        raise DataError(source.path, None, f"the file unpacks to {_size(n_bytes)}")
    if metadata.num_rows > max(ROWS_FREE, size):
        raise DataError(
            source.path,
            None,
            f"the file claims {metadata.num_rows} rows in {size} bytes",
        )
