"""Tables in published layouts, rewritten as the pairs that the commands read."""

import click

from skreward.cli.columns import LABEL, decoded
from skreward.cli.files import DataError, Table
from skreward.cli.printing import count, warn
from skreward.datasets import preferences

# What the commands read as it is.
OWN = ("pairs", "labelled", "ratings")
NAMES = ("auto", *preferences.LAYOUTS)


def in_pairs(table: Table, layout: str, label: str | None) -> tuple[Table, str | None]:
    """Rewrite a table of a published layout; gives it, and the label's column.

    Any other comes back as it is.

    Raises
    ------
    DataError
        For a row that is not of the layout, with its line.
    """
    if layout not in NAMES:
        raise click.UsageError(f"--layout: wanted one of {', '.join(NAMES)}")
    rows = table.rows
    if layout == "auto":
        layout = _find(table, label)
    if layout in OWN:
        return table, label
    if table.is_json_in_text:
        rows = [{k: decoded(v) for k, v in row.items()} for row in rows]
    try:
        data = preferences.read_preferences(rows, layout, label=label)
    except preferences.LayoutError as error:
        raise table.error(error.row, error.problem) from None
    except ValueError as error:
        raise DataError(table.path, None, str(error)) from None
    made = [
        {**pair, LABEL: float(y)} for pair, y in zip(data.pairs, data.y, strict=True)
    ]
    if not made:
        raise DataError(table.path, None, f"layout {layout!r} gives no pair")
    for reason, n in data.dropped.items():
        warn(f"{table.path}: {count(n, 'pair')} left out: {reason}")
    lines = [table.lines[k] for k in data.rows]
    return Table(table.path, made, lines, None, table.header), LABEL


def _find(table, label):
    """Tell the layout; "pairs" where there is none, which the command explains."""
    try:
        return preferences.find_layout(table.rows, label)
    except preferences.UnpairedError as error:
        raise table.error(None, str(error)) from None
    except ValueError:
        return "pairs"
