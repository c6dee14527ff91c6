"""Texts as items: what is embedded, and what other transformers read."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from string import Formatter
from typing import Any, NamedTuple

import numpy as np

BLANK = "\n\n"
# Made once: an encoder a value would take as long as the value.
KEYS = json.JSONEncoder(sort_keys=True, default=str)

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

    The columns are held, and an item is made when it is asked for: one object an item
    would take as much memory as a short text.
    """

    column_names = ("prompt", "response")

    def __init__(self, items: Iterable[TextItem]):
        items = list(items)
        self.prompts: list[Any] = [item.prompt for item in items]
        self.responses: list[Any] = [item.response for item in items]
        self.glues = [item.glue for item in items]

    @classmethod
    def of_columns(
        cls, prompts: list[Any], responses: list[Any], glues: list[str]
    ) -> "TextItems":
        """Make items of columns, which it keeps."""
        made = cls(())
        made.prompts, made.responses, made.glues = prompts, responses, glues
        return made

    @property
    def items(self) -> list[TextItem]:
        """Every item, made anew."""
        return list(self.each())

    def each(self) -> Iterator[TextItem]:
        """Give the items one by one."""
        return map(TextItem, self.prompts, self.responses, self.glues)

    @property
    def lone(self) -> bool:
        """Whether these are texts without a prompt."""
        return bool(self.prompts) and self.prompts[0] is None

    @property
    def prompt_ids(self) -> np.ndarray | None:
        """An int64 per item, equal where prompts are equal, in every call; or None."""
        if self.lone:
            return None
        keys = as_keys(self.prompts)
        distinct = dict(zip(keys, self.prompts, strict=True))
        ids = {key: _digest(value_key(value)) for key, value in distinct.items()}
        return np.fromiter(map(ids.__getitem__, keys), np.int64, len(keys))

    @property
    def lengths(self) -> np.ndarray:
        """Characters of the responses."""
        texts = map(plain, self.responses)
        return np.fromiter(map(len, texts), np.int64, len(self))

    def __len__(self):
        return len(self.responses)

    def __getitem__(self, key):
        if isinstance(key, str):
            if self.lone or key not in self.column_names:
                have = "lone strings" if self.lone else "prompt and response"
                raise KeyError(f"no column {key!r}: these texts are {have}")
            return list(map(plain, self.prompts if key == "prompt" else self.responses))
        if isinstance(key, (int, np.integer)):
            prompt, response = self.prompts[key], plain(self.responses[key])
            if prompt is None:
                return response
            return {"prompt": plain(prompt), "response": response}
        places = np.arange(len(self))[key].tolist()
        return TextItems.of_columns(
            [self.prompts[k] for k in places],
            [self.responses[k] for k in places],
            [self.glues[k] for k in places],
        )

    def __repr__(self):
        return f"TextItems(n_items={len(self)})"


class TextPairs(NamedTuple):
    """Distinct items and the two that each row compares.

    ``unlabelled`` says why the labels must be given beside them, if they must.
    """

    items: TextItems
    pairs: np.ndarray
    unlabelled: str | None = None

    @property
    def pair_prompt_ids(self) -> np.ndarray:
        """Prompt ids of both sides, ``(n_pairs, 2)``."""
        ids = self.items.prompt_ids
        assert ids is not None
        return ids[self.pairs]


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
        _render(k, item, template, render_chat) for k, item in enumerate(items.each())
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
            messages = as_messages(item.prompt, "user") + item.response
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


def value_key(value: Value | None) -> str:
    """Give a string that is equal where values are equal."""
    if value is None or isinstance(value, str):
        return f"text:{value}"
    return "chat:" + KEYS.encode(value)


def are_strings(values: list) -> bool:
    """Whether all values are strings, and of no type derived from it."""
    return set(map(type, values)) <= {str}


def as_keys(values: list) -> list:
    """Give what is equal where values are, and can be looked up."""
    if are_strings(values):
        return values
    return [v if isinstance(v, str) else (value_key(v),) for v in values]


def _digest(key):
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def as_messages(value: Value | None, role: str) -> list[Message]:
    """Write a value as chat messages: a string is one of a role."""
    if value is None:
        return []
    return [{"role": role, "content": value}] if isinstance(value, str) else value
