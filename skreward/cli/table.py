"""Rows of a file, and the one line that says what is wrong with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class DataError(Exception):
    """What is wrong with a file, on one line: path, line number, problem."""

    def __init__(self, path, line: int | None, problem: str):
        where = f"{path}" if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {' '.join(problem.split())}")


class Table:
    """Rows of a file, the line that each begins at, the columns of all of them.

    ``header`` is the line that names the columns, where there is one. A row need not
    have every column; what it lacks is None in `column`. A table may be a view of
    another, by names that the commands know or in pairs that they read: `origin` is
    the rows as the file has them, one for each.
    """

    # Where a cell is a text alone, chat messages are written as JSON.
    is_json_in_text = False

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
        self._origin: Table | None = None
        self._called: dict[str, str] = {}

    def __len__(self):
        return len(self.lines)

    @property
    def origin(self) -> "Table":
        """The rows as the file has them; the table itself where it is no view."""
        return self if self._origin is None else self._origin

    def called(self, name: str) -> str:
        """Give the name that the file has for a column."""
        return self._called.get(name, name)

    def column(self, name: str) -> list:
        """Give the cells of a column."""
        return self._cells(self.called(name))

    def _cells(self, name):
        return [row.get(name) for row in self.rows]

    def only(self, names) -> list[dict[str, Any]]:
        """Give rows of some columns; a row that lacks one here lacks it there."""
        return [{n: row[n] for n in names if n in row} for row in self.rows]

    def first(self, names) -> dict[str, Any]:
        """Give the first row; cells of columns other than some may be None."""
        return self.rows[0]

    def take(self, positions: Sequence[int]) -> "Table":
        """Give a table of some of the rows."""
        taken = self._copy()
        taken._keep(positions)
        taken.lines = [self.lines[k] for k in positions]
        if self._origin is not None:
            taken._origin = self._origin.take(positions)
        return taken

    def _keep(self, positions):
        self.rows = [self.rows[k] for k in positions]

    def view(self, called: dict[str, str], names: Sequence[str]) -> "Table":
        """Give the same rows by other names of their columns."""
        made = self._copy()
        made.names, made._called, made._origin = names, called, self.origin
        return made

    def in_pairs(self, rows, positions) -> "Table":
        """Give rows made of those at some positions, of which they are a view."""
        origin = self.take(positions)
        made = Table(self.path, rows, origin.lines, None, self.header)
        made._origin = origin
        return made

    def _copy(self):
        made = object.__new__(type(self))
        made.__dict__ |= self.__dict__
        return made

    def error(self, row: int | None, problem: str) -> DataError:
        """Say what is wrong with a row, or with the columns (None)."""
        line = self.header if row is None else self.lines[row]
        return DataError(self.path, line, problem)


class CsvTable(Table):
    """Rows of texts."""

    is_json_in_text = True


class ParquetTable(Table):
    """Rows that stay in Arrow's columns, with their types, until they are asked for."""

    is_json_in_text = True

    def __init__(self, path: Path, arrow, start: int = 1):
        self.path, self.arrow, self.names = path, arrow, arrow.column_names
        self.lines, self.header = range(start, start + arrow.num_rows), None
        self._origin, self._called = None, {}

    def _cells(self, name):
        try:
            return self.arrow[name].to_pylist()
        except Exception as error:  # of any type: it depends on the column's
            raise DataError(
                self.path, None, f"column {name!r} cannot be read: {error}"
            ) from None

    def only(self, names):
        """Give rows of some columns; the others are not read."""
        rows: list[dict[str, Any]] = [{} for _ in range(self.arrow.num_rows)]
        for name in names:
            if name in self.arrow.column_names:
                for row, cell in zip(rows, self._cells(name), strict=True):
                    row[name] = cell
        return rows

    def first(self, names):
        """Give the first row; other columns than some are not read."""
        return dict.fromkeys(self.arrow.column_names) | self.take([0]).only(names)[0]

    @property
    def rows(self):  # type: ignore[override]
        """Every row as a dict."""
        return self.only(self.arrow.column_names)

    def _keep(self, positions):
        self.arrow = self.arrow.take(list(positions))
