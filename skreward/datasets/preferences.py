"""Preference data as people publish it, read into pairs and labels."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import Bunch

Row = dict[str, Any]


# What a row raises whose cells are not what its columns promise.
MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError)


class Preference(NamedTuple):
    """One comparison: the row, P(first preferred), and who said so, how strongly."""

    row: int
    prompt: Any
    first: Any
    second: Any
    target: float
    strength: float | None = None
    annotator: Any = None


class LayoutError(ValueError):
    """A row that is not of the layout it was read by; it knows its row."""

    def __init__(self, row: int | None, problem: str):
        self.row, self.problem = row, problem
        super().__init__(problem if row is None else f"row {row}: {problem}")

    def __reduce__(self):
        return type(self), (self.row, self.problem)


class UnpairedError(ValueError):
    """Data that compare nothing."""


def read_preferences(
    data: Any, layout: str = "auto", ties: str = "half", label: str | None = None
) -> Bunch:
    """Read a published preference data set into pairs and labels.

    Parameters
    ----------
    data : list of dict, data frame, or Hugging Face ``Dataset``
        Rows as the data set has them.
    layout : str, default="auto"
        One of the layouts below; "auto" tells it by the columns.
    ties : {"half", "drop"}, default="half"
        Ties become labels of 0.5, or are left out and counted.
    label : str, default=None
        The column that says what is preferred, where a layout has several: a rating
        of "helpsteer2" and "ratings" ("helpfulness" by default for the first),
        ``better_response_id`` or ``safer_response_id`` of "pku-saferlhf".

    Returns
    -------
    data : Bunch
        ``pairs``, a list of ``{"prompt", "response_a", "response_b"}`` (without a
        prompt column, dialogues: ``{"chosen", "rejected"}``), as ``fit`` takes it;
        ``y``, P(response_a preferred), 1 where it is chosen; ``sample_weight``, how
        strongly it is preferred where the data say so (a *weight*: TRL's ``margin``
        there is an offset of the loss, which is not the same), else None;
        ``annotators``, who said so, else None; ``dropped``, how many comparisons were
        left out by reason; ``rows``, the row (of two, the later) that each pair is
        of; ``layout``.

    Raises
    ------
    ValueError
        If the columns fit no layout, or several label columns fit; if a row is not of
        the layout, naming it; for KTO's unpaired data.

    Notes
    -----
    =====================  =====================================================
    layout                 columns
    =====================  =====================================================
    pairs                  chosen, rejected[, prompt][, margin]: HH-RLHF, TRL,
                           UltraFeedback binarized, Skywork, RewardBench 1
    labelled               prompt, response_a, response_b, label
    ratings                prompt, response and a rating (``label``)
    helpsteer2             prompt, response, helpfulness, ...
    helpsteer2-preference  prompt, response_1, response_2, preference_strength
                           (-3 to 3; above 0 the second)
    helpsteer3             context, response1, response2, overall_preference
    nectar                 prompt, answers with ranks (1 is best)
    pku-saferlhf           prompt, response_0, response_1, better_response_id (the
                           index of the better one), safer_response_id
    shp                    history, human_ref_A, human_ref_B, labels (1: A)
    summarize              info, summaries, choice (an index), worker
    arena-140k             conversation_a, conversation_b, winner
    arena-55k              prompt, response_a, response_b (JSON lists),
                           winner_model_a, winner_model_b, winner_tie
    arena                  prompt, response_a, response_b, winner
    rewardbench2           prompt, chosen, rejected (lists), num_correct
    =====================  =====================================================

    Ratings and ranks give all pairs within a prompt. Pairs of two equal texts are
    left out and counted.

    Examples
    --------
    >>> from skreward.datasets import read_preferences
    >>> rows = [{"history": "Why?", "human_ref_A": "So.", "human_ref_B": "No.",
    ...          "labels": 1}]
    >>> data = read_preferences(rows)
    >>> data.layout, data.y.tolist(), data.pairs[0]["response_a"]
    ('shp', [1.0], 'So.')
    """
    if ties not in ("half", "drop"):
        raise ValueError(f"ties must be 'half' or 'drop', got {ties!r}.")
    rows = _rows(data)
    layout = find_layout(rows, label) if layout == "auto" else layout
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {sorted(LAYOUTS)}, got {layout!r}.")
    kept: list[Preference] = []
    dropped: Counter[str] = Counter()
    for preference in _read(rows, layout, label):
        if _key(preference.first) == _key(preference.second):
            dropped["equal texts"] += 1
        elif preference.target == 0.5 and ties == "drop":
            dropped["tie"] += 1
        else:
            kept.append(preference)
    return Bunch(
        pairs=[_pair(preference) for preference in kept],
        y=np.array([preference.target for preference in kept], dtype=float),
        sample_weight=_column([p.strength for p in kept], float),
        annotators=_column([p.annotator for p in kept], object),
        dropped=dict(dropped),
        rows=np.array([preference.row for preference in kept], dtype=np.intp),
        layout=layout,
    )


def _read(rows, layout, label) -> list[Preference]:
    """Read rows; LayoutError for the first that is not of the layout."""
    _check_columns(rows, layout)
    try:
        return _with_prompts(LAYOUTS[layout].read(rows, label), layout)
    except MISSHAPEN:
        problems = (problem_of(row, layout, label) for row in rows)
        for k, problem in enumerate(problems):
            if problem is not None:
                raise LayoutError(k, problem) from None
        raise


def _with_prompts(read, layout) -> list[Preference]:
    """List what is read; only dialogues may go without a prompt."""
    preferences = list(read)
    for preference in preferences:
        if preference.prompt is None and layout != "pairs":
            raise LayoutError(preference.row, "the prompt is missing.")
    return preferences


def problem_of(row: Row, layout: str, label: str | None = None) -> str | None:
    """Say what keeps a row from being of a layout; None where nothing does."""
    try:
        _check_columns([row], layout)
        _with_prompts(LAYOUTS[layout].read([row], label), layout)
    except LayoutError as error:
        return error.problem
    except MISSHAPEN:
        return f"the row is not shaped as those of layout {layout!r}."
    return None


def columns_of(layout: str, label: str | None = None) -> list[str]:
    """Name every column that a layout may read."""
    known = LAYOUTS[layout]
    named = set() if label is None else {label}
    return sorted(known.columns | known.optional | named)


def find_layout(rows: list[Row], label: str | None = None) -> str:
    """Tell a layout by the columns of the first row."""
    names = set(rows[0])
    if {"prompt", "completion", "label"} <= names:
        raise UnpairedError(
            "the data are KTO's: a completion and whether it is good, with nothing to "
            "compare it with. A reward is learned from pairs, or from ratings of "
            "several responses to a prompt."
        )
    for name, layout in LAYOUTS.items():
        if layout.columns <= names and layout.fits(rows[0], label):
            return name
    raise ValueError(
        f"the columns {', '.join(map(repr, sorted(names)))} fit no layout; known are "
        + "; ".join(f"{n}: {', '.join(sorted(x.columns))}" for n, x in LAYOUTS.items())
        + "."
    )


def _rows(data) -> list[Row]:
    """Give rows as dicts, whatever the table."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        rows = data.to_dict("records") if hasattr(data, "iloc") else data.to_dicts()
    elif hasattr(data, "to_pylist"):
        rows = data.to_pylist()
    else:
        rows = list(data)
    if not rows:
        raise ValueError("data holds no rows.")
    for k, row in enumerate(rows):
        if not isinstance(row, dict):
            raise LayoutError(k, f"wanted a dict of columns, got {type(row).__name__}.")
    return rows


def _check_columns(rows, layout):
    for k, row in enumerate(rows):
        missing = sorted(LAYOUTS[layout].columns - set(row))
        if missing:
            raise LayoutError(k, f"layout {layout!r} has a column {missing[0]!r}.")


def _pair(preference: Preference) -> Row:
    if preference.prompt is None:
        return {"chosen": preference.first, "rejected": preference.second}
    return {
        "prompt": preference.prompt,
        "response_a": preference.first,
        "response_b": preference.second,
    }


def _column(values, dtype) -> np.ndarray | None:
    if not values or any(value is None for value in values):
        return None
    return np.array(values, dtype=dtype)


def _number(row: Row, k: int, name: str) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise LayoutError(k, f"{name} must be a number, got {row[name]!r}.")
    return value


def _one_of(row: Row, k: int, name: str, allowed: dict) -> Any:
    value = row[name]
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, int | str | bool) or value not in allowed:
        known = ", ".join(map(repr, allowed))
        raise LayoutError(k, f"{name} must be one of {known}; got {value!r}.")
    return allowed[value]


def _read_pairs(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        margin = None
        if row.get("margin") is not None:
            margin = _number(row, k, "margin")
            if margin < 0:
                raise LayoutError(k, f"margin must not be negative, got {margin:g}.")
        yield Preference(
            k, row.get("prompt"), row["chosen"], row["rejected"], 1.0, margin
        )


def _read_labelled(rows, label) -> Iterator[Preference]:
    name = label or "label"
    for k, row in enumerate(rows):
        if name not in row:
            raise LayoutError(k, f"there is no column {name!r}.")
        y = _number(row, k, name)
        if not 0 <= y <= 1:
            raise LayoutError(k, f"{name} must lie in [0, 1], got {y:g}.")
        yield Preference(k, row["prompt"], row["response_a"], row["response_b"], y)


def _read_ratings(rows, label) -> Iterator[Preference]:
    name = label or "helpfulness"
    prompts: dict[str, list[tuple[int, Row, float]]] = {}
    for k, row in enumerate(rows):
        if name not in row:
            raise LayoutError(k, f"there is no column {name!r}.")
        rated = k, row, _number(row, k, name)
        prompts.setdefault(_key(row["prompt"]), []).append(rated)
    for responses in prompts.values():
        for (_, one, a), (k, two, b) in combinations(responses, 2):
            y = 0.5 + 0.5 * float(np.sign(a - b))
            yield Preference(k, one["prompt"], one["response"], two["response"], y)


def _read_strengths(prompt, first, second, strength):
    """Make a reader of strengths in -3 to 3, above 0 for the second."""

    def read(rows, label) -> Iterator[Preference]:
        for k, row in enumerate(rows):
            value = _number(row, k, strength)
            if abs(value) > 3:
                raise LayoutError(k, f"{strength} lies in -3 to 3, got {value:g}.")
            y = 0.5 - 0.5 * float(np.sign(value))
            # A tie is one vote for each side, as strong as a slight preference.
            size = abs(value) or 1.0
            yield Preference(k, row[prompt], row[first], row[second], y, size)

    return read


def _read_nectar(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        for answer in row["answers"]:
            if not {"answer", "rank"} <= set(answer):
                raise LayoutError(k, "answers must have an answer and a rank each.")
        for one, two in combinations(row["answers"], 2):
            y = 0.5 + 0.5 * float(np.sign(two["rank"] - one["rank"]))
            yield Preference(k, row["prompt"], one["answer"], two["answer"], y)


def _read_pku(rows, label) -> Iterator[Preference]:
    names = [n for n in ("better_response_id", "safer_response_id") if n in rows[0]]
    if label is None and len(names) > 1:
        raise ValueError(
            "the data say both which response is better (better_response_id) and which "
            "is safer (safer_response_id): name one as label."
        )
    name = label or names[0]
    for k, row in enumerate(rows):
        if name not in row:
            raise LayoutError(k, f"there is no column {name!r}.")
        y = _one_of(row, k, name, {0: 1.0, 1: 0.0})
        yield Preference(k, row["prompt"], row["response_0"], row["response_1"], y)


def _read_shp(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        y = _one_of(row, k, "labels", {1: 1.0, 0: 0.0})
        yield Preference(k, row["history"], row["human_ref_A"], row["human_ref_B"], y)


def _read_summaries(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        info, summaries = row["info"], row["summaries"]
        text = info.get("post") or info.get("article")
        if text is None or len(summaries) != 2:
            raise LayoutError(k, "wanted info.post (or .article) and two summaries.")
        y = _one_of(row, k, "choice", {0: 1.0, 1: 0.0})
        first, second = (summary["text"] for summary in summaries)
        yield Preference(k, text, first, second, y, annotator=row.get("worker"))


WINNERS = {
    "model_a": 1.0, "model_b": 0.0, "a": 1.0, "b": 0.0, "A": 1.0, "B": 0.0,
    "tie": 0.5, "both_bad": 0.5, "tie (bothbad)": 0.5, "bothbad": 0.5,
}  # fmt: skip


def _read_conversations(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        first, second = list(row["conversation_a"]), list(row["conversation_b"])
        y = _one_of(row, k, "winner", WINNERS)
        prompt, one, two = _apart(first, second, k)
        yield Preference(k, prompt, one, two, y, annotator=row.get("judge"))


def _read_55k(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        votes = [
            _one_of(row, k, name, {0: 0, 1: 1, "0": 0, "1": 1})
            for name in ("winner_model_a", "winner_model_b", "winner_tie")
        ]
        if sum(votes) != 1:
            raise LayoutError(k, f"one winner_... column is 1; got {votes}.")
        y = (1.0, 0.0, 0.5)[votes.index(1)]
        prompts, *sides = (
            _decoded(row, k, name) for name in ("prompt", "response_a", "response_b")
        )
        if any(len(side) != len(prompts) for side in sides):
            raise LayoutError(k, "prompt and responses differ in their turns.")
        first, second = (_messages(prompts, side) for side in sides)
        prompt, one, two = _apart(first, second, k)
        yield Preference(k, prompt, one, two, y)


def _apart(first, second, k):
    """Take the turns that two conversations share, and what follows on either side."""
    most = min(len(first), len(second)) - 1
    shared = 0
    while shared < most and _same(first[shared], second[shared]):
        shared += 1
    if shared == 0:
        raise LayoutError(k, "the conversations share no prompt with an answer to it.")
    return first[:shared], first[shared:], second[shared:]


def _messages(prompts, responses):
    return [
        {"role": role, "content": content}
        for turn in zip(prompts, responses, strict=True)
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]


def _decoded(row, k, name) -> list[str]:
    """Read a JSON list of strings; an answer of null is an empty one."""
    values = row[name]
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except (ValueError, RecursionError):
            values = None
    if not isinstance(values, list) or not values:
        raise LayoutError(k, f"{name} must be a JSON list of strings.")
    return ["" if value is None else str(value) for value in values]


def _read_arena(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        y = _one_of(row, k, "winner", WINNERS)
        yield Preference(
            k, row["prompt"], row["response_a"], row["response_b"], y,
            annotator=row.get("judge"),
        )  # fmt: skip


def _read_rewardbench2(rows, label) -> Iterator[Preference]:
    for k, row in enumerate(rows):
        for chosen in row["chosen"]:
            for rejected in row["rejected"]:
                yield Preference(k, row["prompt"], chosen, rejected, 1.0)


def _same(one, two) -> bool:
    return one["role"] == two["role"] and _key(one["content"]) == _key(two["content"])


def _key(value) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value):
    """Give what JSON has no form of: an array as a list, anything else as it prints."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _is_list_of_strings(value) -> bool:
    is_list = isinstance(value, list | tuple | np.ndarray)
    return is_list and len(value) > 0 and all(isinstance(v, str) for v in value)


def _always(row, label) -> bool:
    return True


class Layout(NamedTuple):
    """The columns of a layout, what else tells it, how and what else is read."""

    columns: frozenset[str]
    read: Callable[[list[Row], str | None], Iterator[Preference]]
    fits: Callable[[Row, str | None], bool] = _always
    optional: frozenset[str] = frozenset()


def _columns(names: str) -> frozenset[str]:
    return frozenset(names.split())


# In the order in which they are tried: those with more columns first.
LAYOUTS = {
    "arena-55k": Layout(
        _columns(
            "prompt response_a response_b winner_model_a winner_model_b winner_tie"
        ),
        _read_55k,
    ),
    "arena-140k": Layout(
        _columns("conversation_a conversation_b winner"),
        _read_conversations,
        optional=_columns("judge"),
    ),
    "arena": Layout(
        _columns("prompt response_a response_b winner"),
        _read_arena,
        optional=_columns("judge"),
    ),
    "helpsteer3": Layout(
        _columns("context response1 response2 overall_preference"),
        _read_strengths("context", "response1", "response2", "overall_preference"),
    ),
    "helpsteer2-preference": Layout(
        _columns("prompt response_1 response_2 preference_strength"),
        _read_strengths("prompt", "response_1", "response_2", "preference_strength"),
    ),
    "helpsteer2": Layout(_columns("prompt response helpfulness"), _read_ratings),
    "nectar": Layout(_columns("prompt answers"), _read_nectar),
    "pku-saferlhf": Layout(
        _columns("prompt response_0 response_1"),
        _read_pku,
        lambda row, label: bool({"better_response_id", "safer_response_id"} & set(row)),
        _columns("better_response_id safer_response_id"),
    ),
    "shp": Layout(_columns("history human_ref_A human_ref_B labels"), _read_shp),
    "summarize": Layout(
        _columns("info summaries choice"),
        _read_summaries,
        optional=_columns("worker"),
    ),
    "rewardbench2": Layout(
        _columns("prompt chosen rejected"),
        _read_rewardbench2,
        lambda row, label: _is_list_of_strings(row["chosen"]),
    ),
    "pairs": Layout(
        _columns("chosen rejected"), _read_pairs, optional=_columns("prompt margin")
    ),
    "labelled": Layout(
        _columns("prompt response_a response_b"),
        _read_labelled,
        lambda row, label: (label or "label") in row,
        _columns("label"),
    ),
    "ratings": Layout(
        _columns("prompt response"),
        _read_ratings,
        lambda row, label: label is not None and label in row,
    ),
}
