"""From a table to what is embedded, which texts meet, and who is preferred."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from skreward.annotation import pairs_from_ratings
from skreward.cli.columns import (
    find_form,
    find_label,
    is_blank,
    read_labels,
    read_ratings,
    text_cells,
)
from skreward.cli.files import DataError, Table
from skreward.cli.layouts import in_pairs
from skreward.cli.printing import count, listed, warn
from skreward.data.pairs import EmbeddingPairs
from skreward.text.embed import warn_of_equal_pairs
from skreward.text.items import TextItems, TextPairs, TextRowError
from skreward.text.tables import read_texts


@dataclass(frozen=True)
class Texts:
    """What a table holds of texts, the rows it was read from, and which were not."""

    table: Table
    read: TextItems | TextPairs
    form: tuple[str, ...]
    skipped: dict[str, list[int]]

    @property
    def n_skipped(self):
        """Number of rows left out because they are bad."""
        return sum(len(lines) for lines in self.skipped.values())


@dataclass(frozen=True)
class Preferences:
    """Pairs of a table: what is embedded, which items meet, who is preferred."""

    items: TextItems
    index: np.ndarray
    y: np.ndarray | None
    ratings: np.ndarray | None = None
    counts: dict[str, int] = field(default_factory=dict)

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
        """Length of the first response minus that of the second, in characters."""
        length = np.array([len(text) for text in self.items["response"]])
        return length[self.index[:, 0]] - length[self.index[:, 1]]

    @property
    def n_contradictions(self):
        """Number of two texts of which some pairs prefer one, and some the other."""
        y = np.ones(len(self.index)) if self.y is None else self.y
        low, high = np.sort(self.index, axis=1).T
        key = low * len(self.items) + high
        prefers_low = np.where(self.index[:, 0] == low, y - 0.5, 0.5 - y)
        return len(np.intersect1d(key[prefers_low > 0], key[prefers_low < 0]))

    def over(self, rows, n_embedding) -> EmbeddingPairs:
        """Give the pairs over the rows of the items, which begin with an embedding."""
        warn_of_equal_pairs(rows[:, :n_embedding], self.index)
        return EmbeddingPairs(rows, self.index, self.items.prompt_ids)


def read_preferences(
    table: Table,
    *,
    layout="auto",
    label=None,
    label_values=None,
    drop_bad_rows=False,
    seed=0,
) -> Preferences:
    """Read pairs and preferences out of a table, or make them of ratings."""
    read = in_pairs(table, layout, label)
    if label_values is not None and read[0] is not table:
        raise table.error(None, "--label-values goes with a label column of your own")
    table, label = read
    form = find_form(table)
    name = find_label(table, form, label)
    if label_values is not None and (name is None or form == ("response",)):
        raise table.error(None, "--label-values goes with a label of pairs")
    texts = read_rows(table, form, label=name, drop_bad_rows=drop_bad_rows)
    counts = {"n_skipped_rows": texts.n_skipped}
    if isinstance(texts.read, TextItems):
        assert name is not None
        ratings = read_ratings(texts.table, name)
        index, y = _pairs(texts.table, name, ratings, texts.read.prompt_ids, seed)
        return Preferences(texts.read, index, y, ratings, counts)
    texts, counts["n_equal_pairs"] = _without_equal_pairs(texts)
    y = None if name is None else read_labels(texts.table, name, label_values)
    return Preferences(texts.read.items, texts.read.pairs, y, None, counts)


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
    rows = [
        dict(zip(columns, cells, strict=True))
        for cells in zip(*columns.values(), strict=True)
    ]
    problems = _find_blanks(checked)
    if not problems:
        try:
            return Texts(table, _read_all(rows), form, {})
        except TextRowError as error:
            problems = {error.row: _problem(error)}
            if drop_bad_rows:
                problems = _find_problems(rows)
    elif drop_bad_rows:
        problems = _find_problems(rows) | problems
    if not drop_bad_rows:
        first = min(problems)
        raise table.error(
            first, f"{problems[first]}; --drop-bad-rows leaves such rows out"
        )
    kept = [k for k in range(len(rows)) if k not in problems]
    skipped = defaultdict(list)
    for k in sorted(problems):
        skipped[problems[k]].append(table.lines[k])
    said = "; ".join(
        f"{what} in {count(len(lines), 'row')} ({listed(lines)})"
        for what, lines in skipped.items()
    )
    if not kept:
        raise DataError(table.path, None, f"every row is bad: {said}")
    warn(f"{table.path}: {len(problems)} of {count(len(rows), 'row')} left out: {said}")
    read = _read_all([rows[k] for k in kept])
    return Texts(table.take(kept), read, form, dict(skipped))


def _read_all(rows):
    texts = read_texts(rows)
    assert texts is not None
    return texts


def _text_columns(table, form):
    has_prompt = "prompt" in table.names
    return ("prompt", *form) if has_prompt else form


def _find_blanks(columns):
    return {
        k: f"column {name!r} is empty"
        for name, cells in reversed(columns.items())
        for k, cell in enumerate(cells)
        if is_blank(cell)
    }


def _find_problems(rows):
    problems = {}
    for k, row in enumerate(rows):
        try:
            _read_all([row])
        except TextRowError as error:
            problems[k] = _problem(error)
    return problems


def _problem(error):
    column = "" if error.column is None else f"column {error.column!r}: "
    return column + error.problem.removesuffix(".")


def _pairs(table, name, ratings, prompt_ids, seed):
    try:
        return pairs_from_ratings(ratings, prompt_ids, random_state=seed)
    except ValueError as error:
        raise DataError(table.path, None, f"column {name!r}: {error}") from None


def _without_equal_pairs(texts):
    """Leave out pairs of a text with itself: they say nothing of a reward."""
    is_equal = texts.read.pairs[:, 0] == texts.read.pairs[:, 1]
    if not is_equal.any():
        return texts, 0
    lines = [texts.table.lines[k] for k in np.flatnonzero(is_equal)]
    said = f"{count(len(lines), 'pair')} of equal texts ({listed(lines)})"
    if is_equal.all():
        raise DataError(texts.table.path, None, f"there is nothing but {said}")
    warn(f"{texts.table.path}: {said} left out: they say nothing of a reward")
    kept = texts.table.take(np.flatnonzero(~is_equal).tolist())
    return read_rows(kept, texts.form), len(lines)
