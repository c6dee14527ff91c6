"""Which columns of a file hold what: texts, and who is preferred."""

import json
from collections import Counter
from difflib import SequenceMatcher
from math import isfinite

import click
import numpy as np

from skreward.cli.printing import count
from skreward.cli.table import Table
from skreward.text.items import are_strings
from skreward.text.tables import PAIR_COLUMNS, WANTED

LABEL = "label"
TEXTS = ("prompt", "chosen", "rejected", "response_a", "response_b", "response")
FORMS: tuple[tuple[str, ...], ...] = (*PAIR_COLUMNS, ("response",))
# What prefers the first response, and what the second, in lower case.
VOCABULARIES = (
    ("a", "b"),
    ("response_a", "response_b"),
    ("model_a", "model_b"),
    ("first", "second"),
    ("true", "false"),
)
TIES = {"tie", "draw", "tie (bothbad)"}
UNDERSTOOD = "1 / 0, numbers between, 1 / -1, A / B, first / second, True / False, tie"
MOST_SHOWN = 5
# How like two names are that may be one: 1 is equal, one letter of six 0.83.
ALIKE = 0.85


def with_columns(table: Table, columns: dict[str, str]) -> Table:
    """Give a view in which columns that were named have the names of their texts.

    Other columns of that form keep theirs; those of another form are no texts then.

    Parameters
    ----------
    table : Table
    columns : dict
        The file's name of a column, by the name in TEXTS.
    """
    if not columns:
        return table
    forms = [form for form in FORMS if set(form) & set(columns)]
    if len(forms) > 1:
        one, other = (next(n for n in form if n in columns) for form in forms[:2])
        raise click.UsageError(f"{option_of(one)} goes without {option_of(other)}")
    for text, name in columns.items():
        if name not in table.names:
            raise missing_column(table, name, f", which {option_of(text)} names")
    if len(set(columns.values())) < len(columns):
        name = next(n for n, k in Counter(columns.values()).items() if k > 1)
        options = [option_of(text) for text in columns if columns[text] == name]
        raise click.UsageError(f"{' and '.join(options)} name one column, {name!r}")
    texts = {name: text for text, name in columns.items()}
    free = {"prompt", *forms[0]} if forms else set(TEXTS)
    shown = [
        texts.get(name, name)
        for name in table.names
        if name in texts or name not in TEXTS or (name in free and name not in columns)
    ]
    return table.view(columns, shown)


def option_of(text: str) -> str:
    """Name the option that names a column of texts."""
    return f"--{text.replace('_', '-')}-column"


def find_form(table: Table) -> tuple[str, ...]:
    """Name the columns that hold the responses; DataError where it is unclear."""
    names = set(table.names)
    forms: list[tuple[str, ...]] = [pair for pair in PAIR_COLUMNS if set(pair) & names]
    if "response" in names:
        forms.append(("response",))
    if not forms:
        shown = ", ".join(repr(name) for name in table.names[:20])
        raise table.error(
            None,
            f"no column holds responses among {shown or 'no columns'}"
            f"{_did_you_mean(TEXTS, table.names)}; wanted {_wanted()}",
        )
    if len(forms) > 1:
        found = " and ".join(
            repr(name) for form in forms for name in form if name in names
        )
        raise table.error(
            None, f"the columns {found} fit more than one form; wanted {_wanted()}"
        )
    needed = forms[0] if forms[0] == PAIR_COLUMNS[0] else ("prompt", *forms[0])
    is_misspelt = "prompt" not in names and _did_you_mean(["prompt"], table.names)
    for name in ("prompt", *needed) if is_misspelt else needed:
        if name not in names:
            raise missing_column(table, name, f", which goes with {forms[0][0]!r}")
    return forms[0]


def _wanted():
    return WANTED.removeprefix("strings, or ")


def missing_column(table: Table, name: str, why: str = ""):
    """Say that a column is missing, and which may be meant."""
    have = table.origin.names
    shown = ", ".join(map(repr, have[:20]))
    return table.error(
        None,
        f"there is no column {name!r}{why}{_did_you_mean([name], have)}; the columns "
        f"are {shown}",
    )


def find_label(table: Table, form: tuple[str, ...], label: str | None) -> str | None:
    """Name the column that says what is preferred; None where chosen always is."""
    if label is not None:
        if label not in table.names:
            raise missing_column(table, label)
        return label
    if form == ("response",):
        raise table.error(
            None,
            "a table of prompt, response needs --label with a rating; the columns are "
            + ", ".join(repr(name) for name in table.names[:20]),
        )
    if form == PAIR_COLUMNS[0]:
        if LABEL in table.names:
            raise table.error(
                None,
                f"there is a column {LABEL!r} beside 'chosen' and 'rejected': if it "
                "says whether chosen is preferred, give --label label; if not, give "
                "it another name",
            )
        return None
    if LABEL not in table.names:
        raise missing_column(
            table, LABEL, " that says which response is preferred (see --label)"
        )
    return LABEL


def text_cells(table: Table, name: str) -> list:
    """Give the cells of a column of texts, chat messages as messages."""
    cells = table.column(name)
    return [_from_json(cell) for cell in cells] if table.is_json_in_text else cells


def find_blanks(cells: list) -> list[int]:
    """Give the positions of cells that hold nothing."""
    if are_strings(cells) and all(map(str.strip, cells)):
        return []
    return [k for k, cell in enumerate(cells) if is_blank(cell)]


def is_blank(cell) -> bool:
    """Whether a cell holds nothing: null, NaN, white space, messages that say none."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return True
    if isinstance(cell, str):
        return not cell.strip()
    return isinstance(cell, list) and all(
        isinstance(message, dict) and is_blank(message.get("content"))
        for message in cell
    )


def read_ratings(table: Table, name: str) -> np.ndarray:
    """Read a column of finite numbers."""
    ratings = np.empty(len(table))
    for k, cell in enumerate(table.column(name)):
        value = as_number(cell)
        if value is None:
            raise table.error(
                k, f"column {name!r}: wanted a number, got {show_cell(cell)}"
            )
        ratings[k] = value
    return ratings


def read_labels(table: Table, name: str, meaning=None) -> np.ndarray:
    """Read a column of labels as P(first preferred).

    Parameters
    ----------
    table : Table
    name : str
    meaning : dict of float by str, default=None
        P(first preferred) of every value. None understands what is unambiguous.
    """
    cells = table.column(name)
    words = [as_word(cell) for cell in cells]
    if meaning is not None:
        named = {as_word(value): share for value, share in meaning.items()}
        return _look_up(table, name, cells, words, named, meaning)
    spoken = {word for word in words if isinstance(word, str)} - TIES
    if spoken:
        fitting = [pair for pair in VOCABULARIES if spoken <= set(pair)]
        known = dict(zip(fitting[0], (1.0, 0.0), strict=True)) if fitting else {}
        return _look_up(table, name, cells, words, known | dict.fromkeys(TIES, 0.5))
    is_tie = np.array([word in TIES for word in words])
    y = np.array([0.5 if word in TIES else word for word in words], dtype=float)
    if (y < 0).any() and (np.abs(y[~is_tie]) == 1).all():
        return np.where(is_tie, 0.5, (y + 1) / 2)
    wrong = (y < 0) | (y > 1)
    if wrong.any():
        raise _unclear(table, name, cells, int(wrong.argmax()))
    return y


def decoded(cell, begins="[{-0123456789"):
    """Read a text that begins, and goes on, as JSON; any other cell stays as it is."""
    if not isinstance(cell, str) or cell.lstrip()[:1] not in tuple(begins):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def as_number(cell) -> float | None:
    """Give a cell as a finite number, or None."""
    if isinstance(cell, bytes):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if isfinite(value) else None


def _look_up(table, name, cells, words, known, meaning=None):
    for k, word in enumerate(words):
        if word not in known:
            raise _unclear(table, name, cells, k, meaning)
    return np.array([known[word] for word in words])


def _unclear(table, name, cells, row, meaning=None):
    seen = Counter(show_cell(cell) for cell in cells)
    shown = ", ".join(value for value, _ in seen.most_common(MOST_SHOWN))
    if len(seen) > MOST_SHOWN:
        shown += f" and {len(seen) - MOST_SHOWN} more"
    if meaning is not None:
        rest = f"--label-map names {', '.join(map(repr, meaning))} alone"
    else:
        rest = (
            f"understood are {UNDERSTOOD}; or say of each value how likely the first "
            "is preferred, as in --label-map A=1,B=0,tie=.5"
        )
    return table.error(
        row,
        f"column {name!r}: cannot tell what {show_cell(cells[row])} prefers; the "
        f"column holds {count(len(seen), 'value')}: {shown}; {rest}",
    )


def as_word(cell) -> float | str:
    """Give a label as a number where it is one, else as a word in lower case."""
    number = as_number(cell)
    return str(cell).strip().lower() if number is None else number


def _from_json(cell):
    """Read chat messages out of a text; any other text stays as it is."""
    value = decoded(cell, "[")
    is_chat = isinstance(value, list) and all(
        isinstance(message, dict) and {"role", "content"} <= message.keys()
        for message in value
    )
    return value if is_chat else cell


def _did_you_mean(wanted, have):
    """Suggest columns whose names differ in case, spaces or a letter or two."""
    free = [name for name in have if name not in wanted]
    hints = []
    for name in wanted:
        likeness = [
            SequenceMatcher(None, name, _plain(other)).ratio() for other in free
        ]
        if name not in have and max(likeness, default=0) >= ALIKE:
            found = free.pop(likeness.index(max(likeness)))
            hints.append(f"{name!r} for {found!r}")
    return f" (did you mean {', '.join(hints)}?)" if hints else ""


def _plain(name):
    return "_".join(name.strip(" \t\"'\ufeff").lower().replace("-", " ").split())


def show_cell(cell) -> str:
    """Write a cell, cut to what fits in a message."""
    try:
        text = repr(cell)
    except ValueError:
        return f"a very large {type(cell).__name__}"
    return text if len(text) <= 40 else f"{text[:40]}..."
