"""Rows of a file, and the one line that says what is wrong with them."""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import eq
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
    the rows as the file has them, one for each. Cells are held column by column, and
    made rows of where rows are asked for.
    """

    # Where a cell is a text alone, chat messages are written as JSON.
    is_json_in_text = False

    def __init__(
        self,
        path: Path,
        rows: Sequence[dict[str, Any]],
        lines: Sequence[int],
        header: int | None = None,
    ):
        self.path, self.lines, self.header = path, lines, header
        # Rows of the same names have them in one tuple, in the order of the file.
        known: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._keys = [known.setdefault(keys, keys) for keys in map(tuple, rows)]
        self.names = list(dict.fromkeys(chain.from_iterable(known)))
        self._columns: dict[str, Any] = {
            name: [row.get(name) for row in rows] for name in self.names
        }
        self._origin: Table | None = None
        self._called: dict[str, str] = {}

    @classmethod
    def of_columns(
        cls,
        path: Path,
        columns: dict[str, Any],
        lines: Sequence[int],
        header: int | None = None,
    ) -> "Table":
        """Make a table whose rows all have a cell in every column."""
        made = cls(path, [], lines, header)
        made.names, made._columns = list(columns), columns
        made._keys = [tuple(columns)] * len(made)
        return made

    def __len__(self):
        return len(self.lines)

    @property
    def origin(self) -> "Table":
        """The rows as the file has them; the table itself where it is no view."""
        return self if self._origin is None else self._origin

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row as a dict."""
        return self.only(self._columns)

    def called(self, name: str) -> str:
        """Give the name that the file has for a column."""
        return self._called.get(name, name)

    def column(self, name: str) -> list:
        """Give the cells of a column."""
        return self._cells(self.called(name))

    def _cells(self, name):
        return self._columns.get(name) or [None] * len(self)

    def only(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Give rows of some columns; a row that lacks one here lacks it there."""
        cells = {name: self._cells(name) for name in names if name in self._columns}
        return [
            {name: cells[name][k] for name in keys if name in cells}
            for k, keys in enumerate(self._keys)
        ]

    def first(self, names: Iterable[str]) -> dict[str, Any]:
        """Give the first row; cells of columns other than some are None."""
        return dict.fromkeys(self._keys[0]) | self.take([0]).only(names)[0]

    def take(self, positions: Sequence[int]) -> "Table":
        """Give a table of some of the rows."""
        taken = self._copy()
        taken._keep(positions)
        taken._keys = [self._keys[k] for k in positions]
        taken.lines = [self.lines[k] for k in positions]
        if self._origin is not None:
            taken._origin = self._origin.take(positions)
        return taken

    def _keep(self, positions):
        self._columns = {
            name: [cells[k] for k in positions] for name, cells in self._columns.items()
        }

    def joined(self, others: "Sequence[Table]") -> "Table":
        """Give these rows, and below them those of other tables of the file."""
        made, tables = self._copy(), [self, *others]
        made._hold(tables)
        made.names = list(made._columns)
        made._keys = [keys for table in tables for keys in table._keys]
        made.lines = _shortened([line for table in tables for line in table.lines])
        return made

    def _hold(self, tables):
        names = dict.fromkeys(name for table in tables for name in table.names)
        self._columns = {
            name: [cell for table in tables for cell in table.column(name)]
            for name in names
        }

    def view(self, called: dict[str, str], names: Sequence[str]) -> "Table":
        """Give the same rows by other names of their columns."""
        made = self._copy()
        made.names, made._called, made._origin = list(names), called, self.origin
        return made

    def in_pairs(self, rows, positions) -> "Table":
        """Give rows made of those at some positions, of which they are a view."""
        origin = self.take(positions)
        made = Table(self.path, rows, origin.lines, self.header)
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


def _shortened(lines: list[int]) -> Sequence[int]:
    """Give lines of which none is left out as a range, which takes no memory."""
    every = range(lines[0], lines[0] + len(lines))
    return every if all(map(eq, lines, every)) else lines


class CsvTable(Table):
    """Rows of texts."""

    is_json_in_text = True


class ParquetTable(Table):
    """Cells that stay in Arrow's columns, with their types, until they are wanted."""

    is_json_in_text = True

    def __init__(self, path: Path, arrow, start: int = 1):
        super().__init__(path, [], range(start, start + arrow.num_rows))
        self._keys = [tuple(arrow.column_names)] * arrow.num_rows
        self.names = arrow.column_names
        self._put(arrow)

    def _put(self, arrow):
        self.arrow = arrow
        self._columns = dict(zip(arrow.column_names, arrow.columns, strict=True))

    def _cells(self, name):
        try:
            return self._columns[name].to_pylist()
        except Exception as error:  # of any type: it depends on the column's
            raise DataError(
                self.path, None, f"column {name!r} cannot be read: {error}"
            ) from None

    def _keep(self, positions):
        self._put(self.arrow.take(list(positions)))

    def _hold(self, tables):
        batches = [batch for table in tables for batch in table.arrow.to_batches()]
        self._put(self.arrow.from_batches(batches, self.arrow.schema))
