"""Tables of texts in files: every error knows its line."""

import csv
import gzip
import io
import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skreward.utils.atomic import replacing

FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")


class DataError(Exception):
    """What is wrong with a file, on one line: path, line number, problem."""

    def __init__(self, path, line: int | None, problem: str):
        where = f"{path}" if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {' '.join(problem.split())}")


@dataclass(frozen=True)
class Table:
    """Rows of a file, and the line that each begins at."""

    path: Path
    rows: list[dict[str, Any]]
    lines: list[int]

    def error(self, row: int | None, problem: str) -> DataError:
        """Say what is wrong with a row; None for what its first row shows."""
        return DataError(self.path, self.lines[0 if row is None else row], problem)


def check_format(path: Path) -> str:
    """Give the format that a file's name says; DataError for any other."""
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise DataError(path, None, f"unknown extension; wanted {', '.join(FORMATS)}")


def read_table(path: Path) -> Table:
    """Read a table of at least one row.

    Raises
    ------
    DataError
        For a file that is not there, cannot be read, or is not what its extension
        says; with the line where it can be told.
    """
    suffix = check_format(path)
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    try:
        rows, lines = readers.get(suffix, _read_jsonl)(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(path, None, f"not a whole gzip file ({error})") from None
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from None
    if not rows:
        raise DataError(path, None, "the file holds no rows")
    return Table(path, rows, lines)


def write_table(path: Path, rows: list[dict[str, Any]]):
    """Write rows in the format of the file's name: all of it or nothing."""
    suffix = check_format(path)
    with replacing(path) as draft, open(draft, "wb") as file:
        if suffix == ".parquet":
            pyarrow, parquet = _pyarrow(path)
            parquet.write_table(pyarrow.Table.from_pylist(rows), file)
        else:
            text = _csv_text(rows) if suffix == ".csv" else _jsonl_text(rows)
            is_packed = suffix == ".jsonl.gz"
            data = text.encode()
            file.write(gzip.compress(data, mtime=0) if is_packed else data)


def _read_jsonl(path):
    rows, lines = [], []
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            text = _decode(path, number, raw)
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(path, number, f"broken JSON: {error}") from None
            if not isinstance(row, dict):
                kind = type(row).__name__
                raise DataError(path, number, f"wanted a JSON object, got {kind}")
            rows.append(row)
            lines.append(number)
    return rows, lines


def _read_csv(path):
    text = b"".join(
        _decode(path, number, raw).encode()
        for number, raw in enumerate(path.open("rb"), start=1)
    ).decode()
    limit = csv.field_size_limit(sys.maxsize)
    try:
        return _csv_rows(path, csv.reader(io.StringIO(text, newline=""), strict=True))
    finally:
        csv.field_size_limit(limit)


def _csv_rows(path, reader):
    rows, lines, header = [], [], None
    end = 0
    try:
        for fields in reader:
            start, end = end + 1, reader.line_num
            if not fields:
                continue
            if header is None:
                header = fields
                if len(set(header)) < len(header):
                    raise DataError(path, start, "two columns have the same name")
                continue
            if len(fields) != len(header):
                raise DataError(
                    path, start, f"{len(fields)} fields for {len(header)} columns"
                )
            rows.append(dict(zip(header, fields, strict=True)))
            lines.append(start)
    except csv.Error as error:
        raise DataError(path, reader.line_num, f"broken CSV: {error}") from None
    return rows, lines


def _read_parquet(path):
    pyarrow, parquet = _pyarrow(path)
    try:
        rows = parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(path, None, f"not a Parquet file ({error})") from None
    return rows, list(range(1, len(rows) + 1))


def _pyarrow(path):
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            path, None, "Parquet needs the package pyarrow: pip install pyarrow"
        ) from None
    return pyarrow, pyarrow.parquet


def _decode(path, number, raw):
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(path, number, f"not UTF-8 ({error.reason})") from None


def _jsonl_text(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv_text(rows):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
