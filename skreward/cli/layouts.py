"""Tables in published layouts, rewritten as the pairs that the commands read."""

from collections import defaultdict

import click

from skreward.cli.columns import LABEL, decoded
from skreward.cli.printing import DROPS, count, warn
from skreward.cli.table import DataError, Table
from skreward.datasets import preferences

# What the commands read as it is.
OWN = ("pairs", "labelled", "ratings")
NAMES = ("auto", *preferences.LAYOUTS)
# Those whose rows may give several pairs, or a pair of two rows.
MANY = ("helpsteer2", "nectar", "rewardbench2")


def in_pairs(
    table: Table, layout: str, label: str | None, *, drop_bad_rows=False
) -> tuple[Table, str | None, str, dict[str, list[int]]]:
    """Rewrite a table of a published layout.

    Returns
    -------
    table : Table
        Any other comes back as it is.
    label : str or None
        The column of labels.
    layout : str
        Which it was; "" for none of those known.
    skipped : dict
        Lines of what was left out, by reason.

    Raises
    ------
    DataError
        For a row that is not of the layout, with its line, unless bad rows are
        dropped.
    """
    if layout not in NAMES:
        raise click.UsageError(f"--layout: wanted one of {', '.join(NAMES)}")
    if layout == "auto":
        layout = _find(table, label)
    if layout in OWN or layout == "":
        return table, label, layout, {}
    rows = table.only(preferences.columns_of(layout, label))
    if table.is_json_in_text:
        rows = [{k: decoded(v) for k, v in row.items()} for row in rows]
    kept, skipped = list(range(len(rows))), {}
    try:
        data = _read(table, rows, layout, label)
    except DataError:
        kept, skipped = _good_rows(table, rows, layout, label)
        if not drop_bad_rows or not skipped or not kept:
            raise
        data = _read(table, [rows[k] for k in kept], layout, label)
    made = [
        {**pair, LABEL: float(y)} for pair, y in zip(data.pairs, data.y, strict=True)
    ]
    if not made:
        raise DataError(table.path, None, f"layout {layout!r} gives no pair")
    for reason, n in data.dropped.items():
        warn(f"{table.path}: {count(n, 'pair')} left out: {reason}")
    return table.in_pairs(made, [kept[k] for k in data.rows]), LABEL, layout, skipped


def _read(table, rows, layout, label):
    try:
        return preferences.read_preferences(rows, layout, label=label)
    except preferences.LayoutError as error:
        way_out = "" if error.row is None else DROPS
        problem = error.problem.removesuffix(".")
        raise table.error(error.row, problem + way_out) from None
    except ValueError as error:
        raise DataError(table.path, None, str(error)) from None


def _good_rows(table, rows, layout, label):
    """Give the rows that are of a layout, and the lines of the others by reason."""
    kept, skipped = [], defaultdict(list)
    for k, row in enumerate(rows):
        problem = preferences.problem_of(row, layout, label)
        if problem is None:
            kept.append(k)
        else:
            skipped[problem.removesuffix(".")].append(table.lines[k])
    return kept, skipped


def _find(table, label):
    """Tell the layout; "" where there is none, which the command explains."""
    told_by = {name for known in preferences.LAYOUTS.values() for name in known.columns}
    try:
        return preferences.find_layout([table.first(told_by)], label)
    except preferences.UnpairedError as error:
        raise table.error(None, str(error)) from None
    except ValueError:
        return ""
