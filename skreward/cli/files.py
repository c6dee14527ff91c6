"""Tables of texts in files: every error knows its line."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'"}
# A line, or a field, of more characters is no text to learn a reward from.
LINE_LIMIT = 2**25
# A file that grows by more than this when it is unpacked, and beyond a size that is
# no burden, was made to fill the memory. Texts shrink to a third or a tenth.
GROWTH_LIMIT = 100
UNPACKED_FREE = 2**28
ROWS_FREE = 10**6


class DataError(Exception):
    """What is wrong with a file, on one line: path, line number, problem."""

    def __init__(self, path, line: int | None, problem: str):
        where = f"{path}" if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {' '.join(problem.split())}")


class Table:
    """Rows of a file, the line that each begins at, the columns of all of them.

    ``header`` is the line that names the columns, where there is one. A row need not
    have every column; what it lacks is None in `column`.
    """

    def __init__(
        self,
        path: Path,
        rows: list[dict[str, Any]],
        lines: Sequence[int],
        names: Sequence[str] | None = None,
        header: int | None = None,
    ):
        self.path, self.rows, self.lines, self.header = path, rows, lines, header
        if names is None:
            names = list(dict.fromkeys(name for row in rows for name in row))
        self.names = names

    # Where a cell is a text alone, chat messages are written as JSON.
    is_json_in_text = False

    def __len__(self):
        return len(self.lines)

    def column(self, name: str) -> list:
        """Give the cells of a column."""
        return [row.get(name) for row in self.rows]

    def take(self, positions) -> "Table":
        """Give a table of some of the rows."""
        taken = object.__new__(type(self))
        taken.__dict__ |= self.__dict__
        taken.rows = [self.rows[k] for k in positions]
        taken.lines = [self.lines[k] for k in positions]
        return taken

    def error(self, row: int | None, problem: str) -> DataError:
        """Say what is wrong with a row, or with the columns (None)."""
        line = self.header if row is None else self.lines[row]
        return DataError(self.path, line, problem)


class CsvTable(Table):
    """Rows of texts."""

    is_json_in_text = True


class ParquetTable(Table):
    """Rows that stay in Arrow's columns, with their types."""

    is_json_in_text = True

    def __init__(self, path: Path, arrow):
        self.path, self.arrow, self.names = path, arrow, arrow.column_names
        self.lines, self.header = range(1, arrow.num_rows + 1), None

    def column(self, name: str) -> list:
        """Give the cells of a column as Python's types; DataError for none."""
        try:
            return self.arrow[name].to_pylist()
        except Exception as error:  # of any type: it depends on the column's
            raise DataError(
                self.path, None, f"column {name!r} cannot be read: {error}"
            ) from None

    @property
    def rows(self):  # type: ignore[override]
        """Every row as a dict."""
        columns = [self.column(name) for name in self.names]
        return [
            dict(zip(self.names, cells, strict=True))
            for cells in zip(*columns, strict=True)
        ]

    def take(self, positions) -> "ParquetTable":
        """Give a table of some of the rows."""
        taken = ParquetTable(self.path, self.arrow.take(list(positions)))
        taken.lines = [self.lines[k] for k in positions]
        return taken


def check_format(path: Path) -> str:
    """Give the format that a file's name says; DataError for any other."""
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise DataError(path, None, f"unknown extension; wanted {', '.join(FORMATS)}")


def read_table(path: Path, delimiter: str | None = None) -> Table:
    """Read a table of at least one row.

    Parameters
    ----------
    path : Path
    delimiter : str, default=None
        What separates the fields of a CSV file; None is a comma.

    Raises
    ------
    DataError
        For a file that is not there, cannot be read, or is not what its extension
        says; with the line where it can be told.
    """
    suffix = check_format(path)
    check_delimiter(path, delimiter)
    try:
        if suffix == ".parquet":
            table = _read_parquet(path)
        elif suffix == ".csv":
            table = _read_csv(path, delimiter or ",")
        else:
            table = _read_jsonl(path, is_packed=suffix == ".jsonl.gz")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(path, None, f"not a whole gzip file ({error})") from None
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from None
    if len(table) == 0:
        raise DataError(path, None, "the file holds no rows")
    return table


def check_delimiter(path: Path, delimiter: str | None):
    """Refuse a delimiter for a file that has none."""
    if delimiter is not None and check_format(path) != ".csv":
        raise DataError(path, None, "--delimiter goes with .csv files alone")


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


def _read_jsonl(path, is_packed):
    rows, lines = [], []
    with (gzip.open if is_packed else open)(path, "rb") as file:
        for number, text in _lines(path, file, is_packed):
            if not text.strip():
                continue
            try:
                row = json.loads(text, object_pairs_hook=_distinct_keys)
            except RecursionError:
                raise DataError(path, number, "broken JSON: nested too deep") from None
            except ValueError as error:
                raise DataError(path, number, f"broken JSON: {error}") from None
            if not isinstance(row, dict):
                kind = type(row).__name__
                raise DataError(path, number, f"wanted a JSON object, got {kind}")
            rows.append(row)
            lines.append(number)
    return Table(path, rows, lines)


def _distinct_keys(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return made


def _lines(path, file, is_packed) -> Iterator[tuple[int, str]]:
    """Number and decode the lines of a file, none of which may fill the memory."""
    limit = max(UNPACKED_FREE, GROWTH_LIMIT * path.stat().st_size)
    number, n_bytes = 0, 0
    while raw := file.readline(LINE_LIMIT + 1):
        number, n_bytes = number + 1, n_bytes + len(raw)
        if len(raw) > LINE_LIMIT:
            raise DataError(
                path, number, f"the line is longer than {_size(LINE_LIMIT)}"
            )
        if is_packed and n_bytes > limit:
            raise DataError(
                path, number, f"the file unpacks to more than {_size(n_bytes)}"
            )
        yield number, _decode(path, number, raw)


def _size(n_bytes):
    return f"{n_bytes // 2**20} MiB"


def _decode(path, number, raw):
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        is_utf16 = number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        reason = "it looks like UTF-16" if is_utf16 else error.reason
        raise DataError(path, number, f"not UTF-8 ({reason})") from None


def _read_csv(path, delimiter):
    with path.open("rb") as file:
        text = "".join(text for _, text in _lines(path, file, is_packed=False))
    limit = csv.field_size_limit(LINE_LIMIT)
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), strict=True, delimiter=delimiter
        )
        return _csv_table(path, reader, delimiter)
    finally:
        csv.field_size_limit(limit)


def _csv_table(path, reader, delimiter):
    rows, lines, header, header_line = [], [], [], None
    end = 0
    try:
        for fields in reader:
            start, end = end + 1, reader.line_num
            if not fields:
                continue
            if header_line is None:
                header, header_line = fields, start
                _check_header(path, header, start, delimiter)
                continue
            if len(fields) != len(header):
                raise DataError(
                    path,
                    start,
                    f"{_count(fields, 'field')} for {_count(header, 'column')}",
                )
            rows.append(dict(zip(header, fields, strict=True)))
            lines.append(start)
    except csv.Error as error:
        raise DataError(path, reader.line_num, f"broken CSV: {error}") from None
    return CsvTable(path, rows, lines, header, header_line)


def _count(fields, kind):
    return f"{len(fields)} {kind}{'' if len(fields) == 1 else 's'}"


def _check_header(path, header, line, delimiter):
    if len(set(header)) < len(header):
        name = next(name for name in header if header.count(name) > 1)
        raise DataError(path, line, f"two columns have the name {name[:80]!r}")
    seen = [mark for mark in DELIMITERS if mark in header[0] and mark != delimiter]
    if len(header) == 1 and seen:
        shown = DELIMITERS[seen[0]]
        raise DataError(
            path,
            line,
            f"the header is one column, {header[0][:80]!r}, which holds {shown}: if "
            f"that separates the columns, give --delimiter {shown}",
        )


def _read_parquet(path):
    pyarrow, parquet = import_pyarrow(path)
    try:
        with parquet.ParquetFile(path) as file:
            _check_unpacked(path, file.metadata)
            arrow = file.read()
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(path, None, f"not a Parquet file ({error})") from None
    names = arrow.column_names
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise DataError(path, None, f"two columns have the name {name[:80]!r}")
    return ParquetTable(path, arrow)


def _check_unpacked(path, metadata):
    size = path.stat().st_size
    groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
    n_bytes = sum(group.total_byte_size for group in groups)
    if n_bytes > max(UNPACKED_FREE, GROWTH_LIMIT * size):
        raise DataError(path, None, f"the file unpacks to {_size(n_bytes)}")
    if metadata.num_rows > max(ROWS_FREE, size):
        raise DataError(
            path, None, f"the file claims {metadata.num_rows} rows in {size} bytes"
        )
