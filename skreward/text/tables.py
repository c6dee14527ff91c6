"""Every form a text table may take, read into one: items, and pairs of them.

No dataframe library is imported: a table is whatever names its columns
(``columns`` or ``column_names``) or a list of dicts.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import compress, filterfalse
from typing import Any

import numpy as np

from skreward.text.items import (
    BLANK,
    Message,
    TextItem,
    TextItems,
    TextPairs,
    TextRowError,
    Value,
    are_strings,
    as_keys,
    as_messages,
)

TURNS = ("\n\nHuman:", "\n\nAssistant:")
PAIR_COLUMNS = (("chosen", "rejected"), ("response_a", "response_b"))
FORM_COLUMNS = {"chosen", "rejected", "response_a", "response_b", "response"}
LABEL = "label"
# Dtypes as pandas, polars and pyarrow spell them.
NUMBER = re.compile(r"(sparse\[)?(u?int|float|double|half|bool|decimal)")
WANTED = (
    "strings, or a table with the columns prompt, response; prompt, chosen, rejected; "
    "prompt, response_a, response_b; or chosen, rejected"
)


def is_text(X: Any) -> bool:
    """Whether ``X`` holds texts, by the first value of each of its columns.

    Names do not tell: a column of numbers may well be called ``response``.
    """
    if isinstance(X, (str, bytes, TextItems)):
        return True
    names = _all_column_names(X)
    if names is None:
        return _is_text_value(_first_of_sequence(X))
    if len(X) == 0:
        return any(name in FORM_COLUMNS for name in names if isinstance(name, str))
    if _is_frame_of_numbers(X):
        return False
    return any(_is_text_value(_first(_cells(X, name))) for name in names)


def read_texts(X: Any) -> TextItems | TextPairs | None:
    """Read texts in any accepted form; None where ``X`` holds no text.

    Parameters
    ----------
    X : list, array or Series of strings; or a table
        As in `LLMEmbeddingTransformer`. A `TextItems` comes back as it is.

    Returns
    -------
    texts : TextItems, TextPairs or None
        Items row by row; pairs with their distinct items, first seen first.
        None for numbers, for `EmbeddingPairs` and for anything else not text.

    Raises
    ------
    TextRowError
        For a missing value, a value that is neither a string nor chat messages, or a
        dialogue without a turn boundary.
    ValueError
        For a table whose columns fit no form.
    """
    if isinstance(X, TextItems):
        return X
    if not is_text(X):
        return None
    names = _column_names(X)
    if names is None:
        return _lone_items(_text_values(X))
    form = _form(names)
    columns = {name: _column(X, name) for name in (*form, *({"prompt"} & names))}
    read = read_columns(columns)
    if isinstance(read, TextItems):
        return read
    return read._replace(unlabelled=_why_unlabelled(form, names))


def read_columns(columns: dict[str, list]) -> TextItems | TextPairs:
    """Read the columns of one form as texts, whatever they hold; as `read_texts`."""
    sides = read_sides(columns)
    if len(sides) == 1:
        return sides[0][:]  # a copy: the lists may be the table's own
    return TextPairs(*_distinct(*sides))


def read_sides(columns: dict[str, list]) -> list[TextItems]:
    """Read the texts of every row: one item, or two in a table of pairs."""
    form = _form(set(columns))
    wanted = *form, *({"prompt"} & columns.keys())
    checked = {name: _checked(columns[name], name) for name in wanted}
    sides = [checked[name] for name in form]
    if "prompt" in columns:
        return [_items(checked["prompt"], side) for side in sides]
    return _split(*sides)


def is_text_pairs(X: Any) -> bool:
    """Whether ``X`` is a table of text pairs."""
    if isinstance(X, np.ndarray):
        return False
    names = _column_names(X)
    is_named = names is not None and any(set(pair) <= names for pair in PAIR_COLUMNS)
    return is_named and is_text(X)


def text_prompt_ids(X: Any) -> np.ndarray | None:
    """Give the prompt ids of a text table, or None where there are none.

    Parameters
    ----------
    X : table of texts

    Returns
    -------
    prompt_ids : ndarray of int64 or None
        ``(n_pairs, 2)`` for a table of pairs, ``(n_items,)`` for one of items.
        Equal prompts have equal ids, also between two calls.
    """
    texts = read_texts(X)
    if isinstance(texts, TextPairs):
        return texts.pair_prompt_ids
    return None if texts is None else texts.prompt_ids


def require_pair_columns(X: Any) -> None:
    """Raise where ``X`` is a table whose columns are of no pairs of texts."""
    names = _column_names(X)
    if names is not None and _form(names) == ("response",):
        raise ValueError(f"X is a table of items: {_listed(names)}; wanted pairs.")


def _column_names(X: Any) -> set[str] | None:
    """Name the columns of a table that have a name; None where ``X`` is not one."""
    names = _all_column_names(X)
    if names is None:
        return None
    return {name for name in names if isinstance(name, str)}


def _all_column_names(X: Any) -> list | None:
    if isinstance(X, (str, bytes, TextItems)):
        return None
    names = getattr(X, "column_names", None)
    if isinstance(names, dict):
        raise ValueError(
            f"X is a dict of data sets ({', '.join(map(str, names))}); give one."
        )
    if names is None:
        columns = getattr(X, "columns", None)
        names = None if callable(columns) else columns
    if names is not None:
        if not hasattr(X, "__len__") or not hasattr(X, "__getitem__"):
            raise TypeError(
                f"X is a {type(X).__name__}, which cannot be indexed; collect it into "
                "a table first."
            )
        return list(names)
    if isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], dict):
        return list(X[0])
    return None


def why_unlabelled(X: Any) -> str | None:
    """Say why a table of pairs does not tell who is preferred; None where it does."""
    names = _column_names(X)
    return None if names is None else _why_unlabelled(_form(names), names)


def _why_unlabelled(form, names) -> str | None:
    """Say why ``y`` must tell who is preferred; None where the columns tell."""
    if form == ("response_a", "response_b"):
        return (
            "X is a table of response_a and response_b, and y is None: give the labels "
            "as y, 1 where response_a is preferred and 0 where response_b is."
        )
    if LABEL in names:
        return (
            f"X has a column {LABEL!r} beside chosen and rejected, and y is None: give "
            "it as y if it says which is preferred (1 = chosen), or leave it out of X."
        )
    return None


def _listed(names) -> str:
    return ", ".join(sorted(names)) or "no named column"


def _form(names: set[str]) -> tuple[str, ...]:
    forms: list[tuple[str, ...]] = [pair for pair in PAIR_COLUMNS if set(pair) & names]
    if "response" in names:
        forms.append(("response",))
    if len(forms) != 1:
        what = "fit no form of text" if not forms else "fit more than one form of text"
        raise ValueError(
            f"the columns of X {what}: wanted {WANTED}; got {_listed(names)}."
        )
    form = forms[0]
    needed = form if form == ("chosen", "rejected") else ("prompt", *form)
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(
            f"X has no column {missing[0]!r}, which goes with {form[0]!r}; its columns "
            f"are {', '.join(sorted(names))}."
        )
    return form


def _is_frame_of_numbers(X):
    """Whether the dtypes of all columns are numbers; where not, values tell."""
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None:
        return False
    return all(NUMBER.match(str(dtype).lower()) for dtype in dtypes)


def _cells(X, name) -> Iterable:
    """Give the values of a column, one by one."""
    if isinstance(X, (list, tuple)):
        return (row.get(name) for row in X)
    return X[name]


def _first(values: Iterable) -> Any:
    """Give the first value that is not missing, or None."""
    for value in values:
        # pyarrow and polars have values of their own.
        for method in ("as_py", "to_list"):
            value = getattr(value, method)() if hasattr(value, method) else value
        if not _is_missing(value):
            return value
    return None


def _first_of_sequence(X):
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype.kind not in "OUT"):
        return None
    is_column = hasattr(X, "to_list") and hasattr(X, "dtype")
    is_sequence = isinstance(X, (np.ndarray, list, tuple))
    return _first(X) if is_column or is_sequence else None


def _is_text_value(value):
    return isinstance(value, str) or _looks_like_messages(value)


def _column(X, name) -> list:
    if isinstance(X, (list, tuple)):
        missing = next((k for k, row in enumerate(X) if name not in row), None)
        if missing is not None:
            raise TextRowError(missing, name, "the row has no such key.")
        return [row[name] for row in X]
    column = X[name]
    for method in ("to_list", "to_pylist", "tolist"):
        if hasattr(column, method):
            return getattr(column, method)()
    return column if isinstance(column, list) else list(column)


def _text_values(X: Any) -> list:
    """List the values of a sequence of texts."""
    if isinstance(X, (str, bytes)):
        raise ValueError("X is one string; wanted a list of strings, or a table.")
    for method in ("tolist", "to_list"):
        if hasattr(X, method):
            return getattr(X, method)()
    return list(X)


def _looks_like_messages(value):
    return (
        isinstance(value, (list, tuple, np.ndarray))
        and len(value) > 0
        and all(isinstance(message, dict) for message in value)
    )


def _lone_items(values):
    texts = _checked(values, None)
    return TextItems.of_columns([None] * len(texts), texts, [BLANK] * len(texts))


def _checked(values, column) -> list[Value]:
    if are_strings(values) and _are_unicode(values):
        return values
    return [_check_value(value, row, column) for row, value in enumerate(values)]


def _check_value(value, row, column) -> Value:
    if isinstance(value, str):
        return _check_unicode(str(value), row, column)
    if isinstance(value, (list, tuple, np.ndarray)) and len(value):
        return [_check_message(message, row, column) for message in value]
    if _is_missing(value):
        raise TextRowError(row, column, "the text is missing.")
    raise TextRowError(
        row,
        column,
        f"wanted a string or a list of chat messages, got {type(value).__name__}.",
    )


def _is_missing(value):
    # pandas.NA, known by name because pandas is not imported here.
    nan = isinstance(value, float) and value != value
    return value is None or nan or type(value).__name__ == "NAType"


def _check_unicode(text, row, column):
    if not _are_unicode([text]):
        raise TextRowError(
            row, column, "the text is not valid Unicode (half a surrogate pair)."
        )
    return text


def _are_unicode(texts):
    try:
        for text in filterfalse(str.isascii, texts):
            text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_message(message, row, column) -> Message:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise TextRowError(
            row, column, "a chat message must be a dict with role and content."
        )
    content = message["content"]
    if isinstance(content, (list, tuple, np.ndarray)):
        texts = [
            part.get("text") if isinstance(part, dict) else None for part in content
        ]
        is_text = all(isinstance(text, str) for text in texts)
        content = BLANK.join(map(str, texts)) if is_text else None
    if not isinstance(content, str) or not isinstance(message["role"], str):
        raise TextRowError(
            row, column, "role and content of a chat message must be text."
        )
    kept = {k: v for k, v in message.items() if v is not None}
    return {**kept, "content": _check_unicode(content, row, column)}


def _items(prompts: list[Value], responses: list[Value]) -> TextItems:
    if are_strings(prompts) and are_strings(responses):
        return TextItems.of_columns(prompts, responses, [BLANK] * len(prompts))
    pairs = zip(prompts, responses, strict=True)
    return TextItems(_item(*pair) for pair in pairs)


def _distinct(first: TextItems, second: TextItems) -> tuple[TextItems, np.ndarray]:
    """Give the distinct items of two sides, first seen first, and their places."""
    is_new, places = _numbered([_keys(first), _keys(second)])
    chosen = is_new.tobytes()

    def kept(one, other):
        both = [*one, *other]
        both[::2], both[1::2] = one, other
        return list(compress(both, chosen))

    prompts = kept(first.prompts, second.prompts)
    responses = kept(first.responses, second.responses)
    items = TextItems.of_columns(prompts, responses, kept(first.glues, second.glues))
    return items, places.reshape(-1, 2)


def _keys(items):
    return as_keys(items.prompts), as_keys(items.responses), items.glues


def _numbered(sides) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct items of sides, by turns: which are new, and all numbers."""
    hashes = np.column_stack([_hashes(side) for side in sides]).ravel()
    first = np.arange(len(hashes))
    # Items of a hash of their own are new. A dict of all of them would take half of the
    # memory that short texts take.
    seen: dict[tuple, int] = {}
    for k in _repeated(hashes):
        row, (prompts, responses, glues) = k // len(sides), sides[k % len(sides)]
        first[k] = seen.setdefault((prompts[row], responses[row], glues[row]), k)
    is_new = first == np.arange(len(first))
    return is_new, (np.cumsum(is_new) - 1)[first]


def _hashes(columns):
    rows = zip(*columns, strict=True)
    return np.fromiter(map(hash, rows), np.int64, len(columns[0]))


def _repeated(values) -> list[int]:
    """List the positions of values that are there more than once."""
    order = np.argsort(values)
    ranked = values[order]
    same = ranked[1:] == ranked[:-1]
    repeats = np.zeros(len(values), dtype=bool)
    repeats[order[1:][same]] = repeats[order[:-1][same]] = True
    return np.flatnonzero(repeats).tolist()


def _item(prompt: Value, response: Value) -> TextItem:
    """Bring both to one form; a response that repeats the prompt loses that part."""
    if isinstance(prompt, str) and isinstance(response, str):
        return TextItem(prompt, response)
    before = as_messages(prompt, "user")
    after = as_messages(response, "assistant")
    if len(after) > len(before) and after[: len(before)] == before:
        after = after[len(before) :]
    return TextItem(before, after)


def _split(firsts: list[Value], seconds: list[Value]) -> list[TextItems]:
    """Take the prompts that dialogues share: up to their last common turn."""
    pairs = zip(firsts, seconds, strict=True)
    starts = [_response_start(*pair, row) for row, pair in enumerate(pairs)]
    prompts = [text[:start] for text, start in zip(firsts, starts, strict=True)]
    glues = ["" if isinstance(text, str) else BLANK for text in firsts]
    responses = (
        [text[start:] for text, start in zip(side, starts, strict=True)]
        for side in (firsts, seconds)
    )
    return [TextItems.of_columns(prompts, side, glues) for side in responses]


def _response_start(first, second, row) -> int:
    if isinstance(first, str) != isinstance(second, str):
        raise TextRowError(
            row,
            None,
            "chosen is a string and rejected is chat messages, or vice versa.",
        )
    shared = _common_length(first, second)
    if isinstance(first, str):
        found = [(first.rfind(turn, 0, shared), len(turn)) for turn in TURNS]
        ends = [position + length for position, length in found if position >= 0]
        if not ends:
            raise TextRowError(
                row,
                None,
                "chosen and rejected share no turn that opens with "
                f"{TURNS[0]!r} or {TURNS[1]!r}; give a column with the prompt.",
            )
        return max(ends)
    start = min(shared, len(first) - 1, len(second) - 1)
    if start < 1:
        raise TextRowError(
            row, None, "chosen and rejected share no message to take as the prompt."
        )
    return start


def _common_length(first, second) -> int:
    n = min(len(first), len(second))
    return bisect_left(range(n), True, key=lambda k: first[: k + 1] != second[: k + 1])
