"""Every form a text table may take, read into one: items, and pairs of them.

No dataframe library is imported: a table is whatever names its columns
(``columns`` or ``column_names``) or a list of dicts.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from string import Formatter
from typing import Any, NamedTuple

import numpy as np

TURNS = ("\n\nHuman:", "\n\nAssistant:")
BLANK = "\n\n"
PAIR_COLUMNS = (("chosen", "rejected"), ("response_a", "response_b"))
WANTED = (
    "strings, or a table with the columns prompt, response; prompt, chosen, rejected; "
    "prompt, response_a, response_b; or chosen, rejected"
)

Message = dict[str, Any]
Value = str | list[Message]


class TextRowError(ValueError):
    """A value of a text table that cannot be read; it knows its row."""

    def __init__(self, row: int, column: str | None, problem: str):
        self.row, self.column, self.problem = row, column, problem
        where = "" if column is None else f", column {column!r}"
        super().__init__(f"X, row {row}{where}: {problem}")

    def __reduce__(self):
        return type(self), (self.row, self.column, self.problem)


class TextItem(NamedTuple):
    """One text: a prompt (None for a lone text), a response, what joins them."""

    prompt: Value | None
    response: Value
    glue: str = BLANK


class TextItems(Sequence):
    """Texts as a table that any transformer can read.

    A number picks a row: ``{"prompt": ..., "response": ...}``, or the string
    itself for lone texts. A name picks a column, as in a dataframe:
    ``items["response"]`` is a list of strings. A slice, an index array or a mask
    picks rows. Chat messages show as their contents, joined by a blank line.
    """

    column_names = ("prompt", "response")

    def __init__(self, items: Sequence[TextItem]):
        self.items = list(items)

    @property
    def lone(self) -> bool:
        """Whether these are texts without a prompt."""
        return bool(self.items) and self.items[0].prompt is None

    @property
    def prompt_ids(self) -> np.ndarray | None:
        """An int64 per item, equal where prompts are equal, in every call; or None."""
        if self.lone:
            return None
        ids: dict[str, int] = {}
        keys = [_key(item.prompt) for item in self.items]
        for key in keys:
            if key not in ids:
                digest = hashlib.blake2b(key.encode(), digest_size=8)
                ids[key] = int.from_bytes(digest.digest(), "little", signed=True)
        return np.array([ids[key] for key in keys], dtype=np.int64)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, key):
        if isinstance(key, str):
            if self.lone or key not in self.column_names:
                have = "lone strings" if self.lone else "prompt and response"
                raise KeyError(f"no column {key!r}: these texts are {have}")
            return [plain(getattr(item, key)) for item in self.items]
        if isinstance(key, (int, np.integer)):
            item = self.items[key]
            if item.prompt is None:
                return plain(item.response)
            return {"prompt": plain(item.prompt), "response": plain(item.response)}
        if isinstance(key, slice):
            return TextItems(self.items[key])
        return TextItems([self.items[i] for i in np.arange(len(self))[key]])

    def __repr__(self):
        return f"TextItems(n_items={len(self)})"


class TextPairs(NamedTuple):
    """Distinct items and the two that each row compares."""

    items: TextItems
    pairs: np.ndarray

    @property
    def pair_prompt_ids(self) -> np.ndarray:
        """Prompt ids of both sides, ``(n_pairs, 2)``."""
        ids = self.items.prompt_ids
        assert ids is not None
        return ids[self.pairs]


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
        For a missing value, a value that is neither a string nor chat messages, a
        pair of a text with itself, or a dialogue without a turn boundary.
    ValueError
        For a table whose columns fit no form.
    """
    if isinstance(X, TextItems):
        return X
    names = _column_names(X)
    if names is None:
        values = _text_values(X)
        return None if values is None else _lone_items(values)
    if not names & {"chosen", "rejected", "response_a", "response_b", "response"}:
        if _is_frame_of_numbers(X):
            return None
    form = _form(names)
    columns = {name: _column(X, name) for name in (*form, *({"prompt"} & names))}
    n_rows = len(columns[form[0]])
    checked = {
        name: [_check_value(value, k, name) for k, value in enumerate(column)]
        for name, column in columns.items()
    }
    if form == ("response",):
        return TextItems(
            [
                _item(prompt, response)
                for prompt, response in zip(
                    checked["prompt"], checked["response"], strict=True
                )
            ]
        )
    return _pairs(checked, form, n_rows)


def is_text_pairs(X: Any) -> bool:
    """Whether ``X`` is a table of text pairs, by the names of its columns alone."""
    names = _column_names(X)
    return names is not None and any(set(pair) <= names for pair in PAIR_COLUMNS)


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


def check_template(template: str) -> str:
    """Check ``template``: "auto", or a format string of {prompt} and {response}."""
    if not isinstance(template, str):
        raise TypeError(f"template must be a string, got {type(template).__name__}.")
    if template == "auto":
        return template
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"template {template!r} is broken: {error}.") from None
    fields = {name for _, name, _, _ in parts if name is not None}
    plain_fields = all(not spec and not conv for _, _, spec, conv in parts)
    if not plain_fields or not fields <= {"prompt", "response"}:
        raise ValueError(
            "template may name {prompt} and {response} alone, written as is; got "
            f"{template!r}."
        )
    if "response" not in fields:
        raise ValueError(f"template must contain {{response}}, got {template!r}.")
    return template


def render(items: TextItems, template: str, render_chat) -> list[str]:
    """Write every item as the one string that is embedded.

    ``render_chat`` makes a string of chat messages, or None where the model has no
    chat template; it is called for items that hold messages alone.
    """
    return [
        _render(k, item, template, render_chat) for k, item in enumerate(items.items)
    ]


def plain(value: Value) -> str:
    """Show a value as a string: chat messages as their contents."""
    if isinstance(value, str):
        return value
    return BLANK.join(message["content"] for message in value)


def _render(k, item, template, render_chat):
    chat = not (isinstance(item.response, str) and isinstance(item.prompt, str | None))
    if template == "auto":
        if chat:
            messages = _as_messages(item.prompt, "user") + item.response
            text = render_chat(messages)
            return plain(messages) if text is None else text
        prompt = "" if item.prompt is None else item.prompt + item.glue
        return prompt + item.response
    if chat:
        raise TextRowError(
            k, None, "chat messages need template='auto', not a format string."
        )
    if item.prompt is None and "{prompt}" in template:
        raise TextRowError(
            k, None, f"a lone string has no prompt to put into template {template!r}."
        )
    return template.format(prompt=item.prompt, response=item.response)


def _column_names(X: Any) -> set[str] | None:
    """Name the columns of a table; None where ``X`` is not one."""
    if isinstance(X, (str, bytes, TextItems)):
        return None
    names = getattr(X, "column_names", None)
    if isinstance(names, dict):
        raise ValueError(
            f"X is a dict of data sets ({', '.join(map(str, names))}); give one."
        )
    if names is None and not callable(getattr(X, "columns", None)):
        names = getattr(X, "columns", None)
    if names is not None:
        if not hasattr(X, "__len__") or not hasattr(X, "__getitem__"):
            raise TypeError(
                f"X is a {type(X).__name__}, which cannot be indexed; collect it into "
                "a table first."
            )
        return {name for name in names if isinstance(name, str)}
    if isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], dict):
        return {name for name in X[0] if isinstance(name, str)}
    return None


def _form(names: set[str]) -> tuple[str, ...]:
    forms: list[tuple[str, ...]] = [pair for pair in PAIR_COLUMNS if set(pair) & names]
    if "response" in names:
        forms.append(("response",))
    if len(forms) != 1:
        have = ", ".join(sorted(names)) or "no named column"
        what = "fit no form of text" if not forms else "fit more than one form of text"
        raise ValueError(f"the columns of X {what}: wanted {WANTED}; got {have}.")
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
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None:
        return False
    return all(
        kind.startswith(("int", "uint", "float", "bool", "decimal"))
        for kind in (str(dtype).lower() for dtype in dtypes)
    )


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
    return list(column)


def _text_values(X: Any) -> list | None:
    """List the values of a sequence of texts; None where it is something else."""
    if isinstance(X, (str, bytes)):
        raise ValueError("X is one string; wanted a list of strings, or a table.")
    if isinstance(X, np.ndarray):
        if X.ndim != 1 or X.dtype.kind not in "OUT":
            return None
        values = X.tolist()
    elif isinstance(X, (list, tuple)):
        values = list(X)
    elif hasattr(X, "to_list") and hasattr(X, "dtype"):
        values = X.to_list()
    else:
        return None
    first = next((value for value in values if not _is_missing(value)), None)
    is_text = isinstance(first, str) or _looks_like_messages(first)
    return values if is_text else None


def _looks_like_messages(value):
    return (
        isinstance(value, (list, tuple, np.ndarray))
        and len(value) > 0
        and all(isinstance(message, dict) for message in value)
    )


def _lone_items(values):
    return TextItems(
        [TextItem(None, _check_value(v, k, None)) for k, v in enumerate(values)]
    )


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
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TextRowError(
            row, column, "the text is not valid Unicode (half a surrogate pair)."
        ) from None
    return text


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


def _pairs(columns, form, n_rows) -> TextPairs:
    seen: dict[tuple, int] = {}
    items: list[TextItem] = []
    index = np.empty((n_rows, 2), dtype=np.intp)
    for row in range(n_rows):
        first, second = columns[form[0]][row], columns[form[1]][row]
        if "prompt" in columns:
            prompt = columns["prompt"][row]
            pair = _item(prompt, first), _item(prompt, second)
        else:
            pair = _split_pair(first, second, row)
        for side, item in enumerate(pair):
            key = (_key(item.prompt), _key(item.response), item.glue)
            if key not in seen:
                seen[key] = len(items)
                items.append(item)
            index[row, side] = seen[key]
        if index[row, 0] == index[row, 1]:
            raise TextRowError(
                row, None, f"{form[0]} and {form[1]} are the same; leave the pair out."
            )
    return TextPairs(TextItems(items), index)


def _item(prompt: Value, response: Value) -> TextItem:
    """Bring both to one form; a response that repeats the prompt loses that part."""
    if isinstance(prompt, str) and isinstance(response, str):
        return TextItem(prompt, response)
    before = _as_messages(prompt, "user")
    after = _as_messages(response, "assistant")
    if len(after) > len(before) and after[: len(before)] == before:
        after = after[len(before) :]
    return TextItem(before, after)


def _as_messages(value: Value | None, role: str) -> list[Message]:
    if value is None:
        return []
    return [{"role": role, "content": value}] if isinstance(value, str) else value


def _split_pair(first, second, row) -> tuple[TextItem, TextItem]:
    """Take the prompt that two dialogues share: up to their last common turn."""
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
        start = max(ends)
        return (
            TextItem(first[:start], first[start:], ""),
            TextItem(second[:start], second[start:], ""),
        )
    start = min(shared, len(first) - 1, len(second) - 1)
    if start < 1:
        raise TextRowError(
            row, None, "chosen and rejected share no message to take as the prompt."
        )
    return TextItem(first[:start], first[start:]), TextItem(
        second[:start], second[start:]
    )


def _common_length(first, second) -> int:
    pairs: Iterable = zip(first, second, strict=False)
    for k, (a, b) in enumerate(pairs):
        if a != b:
            return k
    return min(len(first), len(second))


def _key(value: Value | None) -> str:
    if value is None or isinstance(value, str):
        return f"text:{value}"
    return "chat:" + json.dumps(value, sort_keys=True, default=str)
