"""From a table to what is embedded, which texts meet, and who is preferred."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skreward.annotation import pairs_from_ratings
from skreward.cli.columns import (
    find_blanks,
    find_form,
    find_label,
    read_labels,
    read_ratings,
    text_cells,
    with_columns,
)
from skreward.cli.files import read_table
from skreward.cli.layouts import MANY, in_pairs
from skreward.cli.printing import DROPS, count, listed, warn
from skreward.cli.table import DataError, Table
from skreward.data.pairs import EmbeddingPairs
from skreward.text.embed import warn_of_equal_pairs
from skreward.text.items import TextItems, TextPairs, TextRowError
from skreward.text.tables import read_columns, read_sides


@dataclass(frozen=True)
class Texts:
    """What a table holds of texts, the rows it was read from, and which were not.

    ``read`` is something else where the texts are embedded already, and
    ``n_skipped_before`` counts the rows that were left out then.
    """

    table: Table
    read: Any
    form: tuple[str, ...]
    skipped: dict[str, list[int]]
    n_skipped_before: int = 0

    @property
    def n_skipped(self):
        """Number of rows left out because they are bad."""
        return self.n_skipped_before + sum(map(len, self.skipped.values()))


@dataclass(frozen=True)
class Preferences:
    """Pairs of a table: what is embedded, which items meet, who is preferred.

    ``items`` are texts, or stored rows with their ``prompt_ids`` and ``lengths``.
    """

    items: Any
    index: np.ndarray
    y: np.ndarray | None
    texts: Texts
    ratings: np.ndarray | None = None
    equal: list[int] = field(default_factory=list)
    layout: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows that were left out, by why."""
        counts = {"n_skipped_rows": self.texts.n_skipped}
        return counts if self.rated else counts | {"n_equal_pairs": len(self.equal)}

    @property
    def rated(self) -> bool:
        """Whether the pairs are made of rated responses."""
        return self.ratings is not None

    @property
    def labels(self) -> np.ndarray:
        """P(first preferred) of every pair."""
        return np.ones(len(self.index)) if self.y is None else self.y

    @property
    def pair_prompts(self):
        """Id of the prompt of every pair."""
        ids = self.items.prompt_ids
        assert ids is not None
        return ids[self.index[:, 0]]

    @property
    def n_prompts(self):
        """Number of distinct prompts that occur in a pair."""
        return len(np.unique(self.pair_prompts))

    @property
    def longer(self):
        """Length of the first response minus that of the second, in characters.

        None where the lengths are not known.
        """
        length = self.items.lengths
        if length is None:
            return None
        return length[self.index[:, 0]] - length[self.index[:, 1]]

    @property
    def n_contradictions(self):
        """Number of two texts of which some pairs prefer one, and some the other."""
        key, lead = self._unordered()
        return len(np.intersect1d(key[lead > 0], key[lead < 0]))

    @property
    def n_duplicates(self):
        """Number of pairs that say what another said before: same texts, same label."""
        return len(self.index) - len(
            np.unique(np.column_stack(self._unordered()), axis=0)
        )

    def _unordered(self):
        """Name two items whatever their order, and how far the first is preferred."""
        low, high = np.sort(self.index, axis=1).T
        lead = np.where(self.index[:, 0] == low, self.labels - 0.5, 0.5 - self.labels)
        return low * len(self.items) + high, lead

    def pair_table(self) -> Table:
        """Give a row a pair, with all that the file says of it."""
        origin = self.texts.table.origin
        if self.rated:
            return _of_two(origin, self.texts.table.called("prompt"), self.index)
        if self.layout not in MANY:
            return origin
        sides = ("response_a", "response_b")
        shown = [
            row | {name: made[name] for name in sides if name in made}
            for row, made in zip(origin.rows, self.texts.table.rows, strict=True)
        ]
        return Table(origin.path, shown, origin.lines, origin.header)

    def over(self, rows, n_embedding) -> EmbeddingPairs:
        """Give the pairs over the rows of the items, which begin with an embedding."""
        if n_embedding:
            warn_of_equal_pairs(rows[:, :n_embedding], self.index)
        return EmbeddingPairs(rows, self.index, self.items.prompt_ids)


def read_data(
    path, *, delimiter=None, format=None, columns=None, **reading
) -> Preferences:
    """Read pairs and preferences out of a file, and say what is left out of it.

    ``reading`` is of `read_preferences`.
    """
    table = read_table(path, delimiter, format)
    preferences = read_preferences(table, columns, **reading)
    warn_of_left_out(preferences.texts, preferences.equal)
    return preferences


def read_preferences(
    table: Table,
    columns: dict[str, str] | None = None,
    *,
    layout="auto",
    label=None,
    label_map=None,
    drop_bad_rows=False,
    seed=0,
) -> Preferences:
    """Read pairs and preferences out of a table, or make them of ratings."""
    skipped: dict[str, list[int]] = {}
    if columns:
        # Who names the columns says that they are of no other layout.
        known, layout = with_columns(table, columns), ""
    else:
        known, label, layout, skipped = in_pairs(
            table, layout, label, drop_bad_rows=drop_bad_rows
        )
        if label_map is not None and known is not table:
            raise table.error(None, "--label-map goes with a label column of your own")
    form = find_form(known)
    name = find_label(known, form, label)
    if label_map is not None and (name is None or form == ("response",)):
        raise table.error(None, "--label-map goes with a label of pairs")
    texts = read_rows(known, form, label=name, drop_bad_rows=drop_bad_rows)
    texts = replace(texts, skipped=skipped | texts.skipped)
    if isinstance(texts.read, TextItems):
        assert name is not None
        ratings = read_ratings(texts.table, name)
        ids = texts.read.prompt_ids
        index, y = pairs_of_ratings(table.path, name, ratings, ids, seed)
        return Preferences(texts.read, index, y, texts, ratings, layout="ratings")
    texts, equal = _without_equal_pairs(texts)
    y = None if name is None else read_labels(texts.table, name, label_map)
    assert isinstance(texts.read, TextPairs)
    items, pairs, _ = texts.read
    return Preferences(items, pairs, y, texts, None, equal, layout)


def read_rows(table, form, *, label=None, drop_bad_rows=False) -> Texts:
    """Read the texts of every row; pairs of equal texts stay.

    Raises
    ------
    DataError
        For the first row that is bad, unless such rows are dropped; where none is
        left.
    """
    columns = {name: text_cells(table, name) for name in _text_columns(table, form)}
    checked = columns if label is None else columns | {label: table.column(label)}
    problems = _find_blanks(table, checked)
    if not problems:
        try:
            return Texts(table, read_columns(columns), form, {})
        except TextRowError as error:
            problems = {error.row: _problem(table, error)}
    if not drop_bad_rows:
        first = min(problems)
        raise table.error(first, problems[first] + DROPS)
    others = [k for k in range(len(table)) if k not in problems]
    problems |= _find_problems(table, columns, others)
    kept = [k for k in range(len(table)) if k not in problems]
    skipped = defaultdict(list)
    for k in sorted(problems):
        skipped[problems[k]].append(table.lines[k])
    if not kept:
        raise NoRowLeftError(table.path, dict(skipped))
    read = read_columns(_rows_of(columns, kept))
    return Texts(table.take(kept), read, form, dict(skipped))


class NoRowLeftError(DataError):
    """Rows that are bad, all of them: by what is wrong, the lines."""

    def __init__(self, path, skipped: dict[str, list[int]]):
        self.skipped = skipped
        super().__init__(path, None, f"every row is bad: {told(skipped)}")


def told(skipped) -> str:
    """Say what was wrong with rows, and where."""
    return "; ".join(
        f"{what} in {count(len(lines), 'row')} ({listed(lines)})"
        for what, lines in skipped.items()
    )


def warn_of_left_out(texts: Texts, equal=()) -> None:
    """Say on stderr which rows are not read."""
    path = texts.table.path
    warn_of_skipped(path, texts.skipped, len(texts.table) + len(equal))
    if equal:
        said = f"{count(len(equal), 'pair')} of equal texts ({listed(equal)})"
        warn(f"{path}: {said} left out: they say nothing of a reward")


def warn_of_skipped(path, skipped, n_kept) -> None:
    """Say on stderr which rows are bad, and left out."""
    n = sum(map(len, skipped.values()))
    if n:
        warn(f"{path}: {n} of {count(n + n_kept, 'row')} left out: {told(skipped)}")


def _text_columns(table, form):
    has_prompt = "prompt" in table.names
    return ("prompt", *form) if has_prompt else form


def _find_blanks(table, columns):
    return {
        k: f"column {table.called(name)!r} is empty"
        for name, cells in reversed(columns.items())
        for k in find_blanks(cells)
    }


def _find_problems(table, columns, rows):
    """Say what is wrong with any of some rows; halves are read where not all can be."""
    try:
        read_sides(_rows_of(columns, rows))
    except TextRowError as error:
        if len(rows) == 1:
            return {rows[0]: _problem(table, error)}
        halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        first, second = (_find_problems(table, columns, half) for half in halves)
        return first | second
    return {}


def _rows_of(columns, rows):
    return {name: [cells[k] for k in rows] for name, cells in columns.items()}


def _problem(table, error):
    column = ""
    if error.column is not None:
        column = f"column {table.called(error.column)!r}: "
    return column + error.problem.removesuffix(".")


def pairs_of_ratings(path, name, ratings, prompt_ids, seed):
    """Make pairs of ratings; DataError where they give none."""
    try:
        return pairs_from_ratings(ratings, prompt_ids, random_state=seed)
    except ValueError as error:
        raise DataError(path, None, f"column {name!r}: {error}") from None


def _without_equal_pairs(texts):
    """Leave out pairs of a text with itself: they say nothing of a reward."""
    is_equal = texts.read.pairs[:, 0] == texts.read.pairs[:, 1]
    if not is_equal.any():
        return texts, []
    lines = [texts.table.lines[k] for k in np.flatnonzero(is_equal)]
    if is_equal.all():
        said = f"{count(len(lines), 'pair')} of equal texts ({listed(lines)})"
        raise DataError(texts.table.path, None, f"there is nothing but {said}")
    kept = texts.table.take(np.flatnonzero(~is_equal).tolist())
    rest = read_rows(kept, texts.form)
    return replace(rest, skipped=texts.skipped), lines


def _of_two(table: Table, prompt: str, index) -> Table:
    """Give what a file says of two rows as one: the prompt, and the rest of either."""
    first, second = (table.take(side.tolist()) for side in index.T)
    names = [name for name in table.names if name != prompt]
    columns = {prompt: first.column(prompt)}
    columns |= {f"{name}_a": first.column(name) for name in names}
    columns |= {f"{name}_b": second.column(name) for name in names}
    return Table.of_columns(table.path, columns, first.lines, table.header)
