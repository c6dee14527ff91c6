"""Formats of tables: which a name says, and which the first bytes say."""

from pathlib import Path
from typing import NamedTuple

from skreward.cli.table import DataError

# How a pipe is named, on the command line and in what is said of it.
PIPE, STDIN = Path("-"), Path("stdin")
TEXTUAL = ("jsonl", "json", "csv", "tsv")
NAMES = (*(f"{kind}{end}" for kind in TEXTUAL for end in ("", ".gz")), "parquet")
FORMATS = tuple(f".{name}" for name in NAMES)
PACKED, ARROW = b"\x1f\x8b", b"PAR1"


class Format(NamedTuple):
    """A kind of table (a name without its .gz), and whether it is packed."""

    kind: str
    is_packed: bool


def find_format(path: Path, named: str | None = None, else_: str = "") -> Format:
    """Give the format that was named, or that a file's name says; DataError else.

    ``else_`` ends the error: what else can be done.
    """
    name = path.name.lower()
    for ending in sorted(NAMES, key=len, reverse=True):
        if named == ending or (named is None and name.endswith(f".{ending}")):
            kind = ending.removesuffix(".gz")
            return Format(kind, ending != kind)
    raise DataError(
        path, None, f"unknown extension; wanted {', '.join(FORMATS)}{else_}"
    )


def tell_format(start: bytes, is_packed=False) -> Format:
    """Tell the format of a pipe by its first bytes; DataError where they do not say."""
    if start.startswith(ARROW):
        return Format("parquet", False)
    kinds = {b"{": "jsonl", b"[": "json"}
    kind = kinds.get(start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1])
    if kind is None:
        raise DataError(
            STDIN,
            None,
            "its format cannot be told by its beginning; give --format, one of "
            + ", ".join(NAMES),
        )
    return Format(kind, is_packed)


def check_delimiter(path: Path, delimiter: str | None, format: Format) -> None:
    """Refuse a delimiter for a file that has none."""
    if delimiter is not None and format.kind != "csv":
        raise DataError(
            path,
            None,
            "--delimiter goes with .csv and .csv.gz files alone, and this is read as "
            f".{format.kind}",
        )


def delimiter_for(path: Path, delimiter: str | None) -> str | None:
    """Give the delimiter of the input for an output that has one too."""
    return delimiter if find_format(path).kind == "csv" else None
