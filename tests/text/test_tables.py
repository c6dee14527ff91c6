"""Every form of text table, read into one."""

import gzip
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from skreward.text.items import (
    TextItem,
    TextItems,
    TextPairs,
    TextRowError,
    check_template,
    render,
)
from skreward.text.tables import is_text_pairs, read_texts, text_prompt_ids
from tests.support import data_file

ROWS = [
    {"prompt": "p0", "chosen": "a", "rejected": "b"},
    {"prompt": "p1", "chosen": "a", "rejected": "c"},
    {"prompt": "p0", "chosen": "b", "rejected": "d"},
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def as_pandas(rows):
    return pd.DataFrame(rows)


def as_polars(rows):
    return pl.DataFrame(rows)


def as_dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(rows)


def as_arrow(rows):
    return pa.Table.from_pylist(rows)


def as_list(rows):
    return rows


def as_duck(rows):
    """What a table has to be at least: columns by name, and a length."""

    class Table:
        column_names = tuple(rows[0])

        def __len__(self):
            return len(rows)

        def __getitem__(self, name):
            return [row[name] for row in rows]

    return Table()


TABLES = [as_list, as_duck, as_pandas, as_polars, as_dataset, as_arrow]


def texts_of(items):
    return render(items, "auto", lambda messages: None)


@pytest.mark.parametrize("make", TABLES)
def test_a_table_of_pairs(make):
    pairs = read_texts(make(ROWS))
    assert isinstance(pairs, TextPairs)
    # The same response to another prompt is another item.
    assert texts_of(pairs.items) == [
        "p0\n\na",
        "p0\n\nb",
        "p1\n\na",
        "p1\n\nc",
        "p0\n\nd",
    ]
    assert_array_equal(pairs.pairs, [[0, 1], [2, 3], [1, 4]])
    ids = text_prompt_ids(make(ROWS))
    assert ids.shape == (3, 2)
    assert ids.dtype == np.int64
    assert_array_equal(ids[:, 0], ids[:, 1])
    assert ids[0, 0] == ids[2, 0] != ids[1, 0]
    assert is_text_pairs(make(ROWS))


@pytest.mark.parametrize("make", TABLES)
def test_a_table_of_items_keeps_its_rows(make):
    rows = [{"prompt": "p", "response": r, "extra": 1} for r in ("a", "b", "a")]
    items = read_texts(make(rows))
    assert isinstance(items, TextItems)
    assert texts_of(items) == ["p\n\na", "p\n\nb", "p\n\na"]
    assert len(set(text_prompt_ids(make(rows)))) == 1
    assert not is_text_pairs(make(rows))


@pytest.mark.parametrize("make", TABLES)
def test_responses_a_and_b(make):
    rows = [{"prompt": "p", "response_a": "x", "response_b": "y"}]
    pairs = read_texts(make(rows))
    assert texts_of(pairs.items) == ["p\n\nx", "p\n\ny"]
    assert_array_equal(pairs.pairs, [[0, 1]])
    assert is_text_pairs(make(rows))


@pytest.mark.parametrize("make", TABLES)
def test_chat_messages_in_any_table(make):
    rows = [
        {
            "prompt": [user("hi"), assistant("hello"), user("2 + 2?")],
            "chosen": [assistant("4")],
            "rejected": [assistant("5")],
        }
    ]
    pairs = read_texts(make(rows))
    seen = []
    render(pairs.items, "auto", lambda messages: seen.append(messages) or "")
    assert seen == [
        [*rows[0]["prompt"], assistant("4")],
        [*rows[0]["prompt"], assistant("5")],
    ]
    assert texts_of(pairs.items)[0] == "hi\n\nhello\n\n2 + 2?\n\n4"


SIDE = st.sampled_from(["a", "b", "chat:[]", [user("a")], [user("b")], "text:a"])


@pytest.mark.parametrize("hashed", [hash, lambda key: 0, lambda key: hash(key) % 3])
@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(SIDE, SIDE, SIDE), min_size=1, max_size=9))
def test_items_are_distinct_whatever_their_hashes(hashed, rows):
    columns = ("prompt", "chosen", "rejected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skreward.text.tables.hash", hashed, raising=False)
        read = read_texts([dict(zip(columns, row, strict=True)) for row in rows])
    texts = [read_texts([{"prompt": p, "response": r}]).items[0]
             for p, *sides in rows for r in sides]  # fmt: skip
    distinct = [text for k, text in enumerate(texts) if text not in texts[:k]]
    assert read.items.items == distinct
    assert read.pairs.ravel().tolist() == [distinct.index(text) for text in texts]


def test_a_response_that_repeats_the_prompt_is_the_same_pair():
    # UltraFeedback gives the prompt as a string, and again in the messages.
    repeated = {
        "prompt": "q",
        "chosen": [user("q"), assistant("yes")],
        "rejected": [user("q"), assistant("no")],
    }
    once = {
        "prompt": [user("q")],
        "chosen": [assistant("yes")],
        "rejected": [assistant("no")],
    }
    assert read_texts([repeated]).items.items == read_texts([once]).items.items
    mixed = {"prompt": [user("q")], "chosen": "yes", "rejected": "no"}
    assert read_texts([mixed]).items.items == read_texts([once]).items.items


def test_content_in_parts_and_empty_fields():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    message = {"role": "user", "content": parts, "name": None}
    items = read_texts([{"prompt": [message], "response": "x"}])
    assert items.items[0].prompt == [{"role": "user", "content": "one\n\ntwo"}]


def test_messages_alone_share_their_first_turns():
    row = {
        "chosen": [user("q"), assistant("a"), user("r"), assistant("good")],
        "rejected": [user("q"), assistant("a"), user("r"), assistant("bad")],
    }
    item = read_texts([row]).items.items[0]
    assert item.prompt == row["chosen"][:3]
    assert item.response == [assistant("good")]


TURN = st.sampled_from(["\n\nHuman:", "\n\nAssistant:"])
SPEECH = st.text("ab \nHuman:", max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(TURN, SPEECH), min_size=1, max_size=4),
    SPEECH,
    SPEECH,
)
def test_a_dialogue_is_split_at_the_last_turn_that_both_share(turns, one, other):
    start = "".join(turn + speech for turn, speech in turns)
    chosen, rejected = start + " x" + one, start + " y" + other
    pairs = read_texts([{"chosen": chosen, "rejected": rejected}])
    prompts = [item.prompt for item in pairs.items.items]
    assert prompts[0] == prompts[1]
    assert chosen.startswith(prompts[0])
    assert prompts[0].endswith(("\n\nHuman:", "\n\nAssistant:"))
    # Nothing is lost or added, and no turn that both share is left in a response.
    assert texts_of(pairs.items) == [chosen, rejected]
    shared = (start + " ")[len(prompts[0]) :]
    assert "\n\nHuman:" not in shared
    assert "\n\nAssistant:" not in shared


@pytest.mark.realdata
def test_real_dialogues():
    with gzip.open(data_file("hh_harmless_dev.jsonl.gz"), "rt") as file:
        rows = [json.loads(line) for line in file]
    pairs = read_texts(rows)
    assert len(pairs.pairs) == len(rows) == 1700
    texts = texts_of(pairs.items)
    assert [texts[k] for k in pairs.pairs[:, 0]] == [row["chosen"] for row in rows]
    assert [texts[k] for k in pairs.pairs[:, 1]] == [row["rejected"] for row in rows]
    assert_array_equal(pairs.pair_prompt_ids[:, 0], pairs.pair_prompt_ids[:, 1])
    ends = {item.prompt.rsplit("\n\n", 1)[1] for item in pairs.items.items}
    assert ends <= {"Assistant:", "Human:"}


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda x: np.array(x, dtype=object),
        lambda x: pd.Series(x),
        lambda x: pd.Series(x, dtype="string"),
        lambda x: pl.Series(x),
    ],
)
def test_lone_strings(make):
    items = read_texts(make(["b", "a", "b"]))
    assert texts_of(items) == ["b", "a", "b"]
    assert list(items) == ["b", "a", "b"]
    assert text_prompt_ids(make(["b", "a", "b"])) is None
    assert not is_text_pairs(make(["b", "a", "b"]))


def test_lone_conversations():
    items = read_texts([[user("q"), assistant("a")], [user("r"), assistant("b")]])
    assert texts_of(items) == ["q\n\na", "r\n\nb"]


@pytest.mark.parametrize(
    "X",
    [
        np.eye(3),
        np.zeros((2, 2, 2)),
        [[1.0, 2.0]],
        [1, 2],
        [],
        None,
        np.array([1.5]),
    ],
)
def test_numbers_are_no_texts(X):
    assert read_texts(X) is None
    assert text_prompt_ids(X) is None
    assert not is_text_pairs(X)


def test_frames_of_numbers_are_no_texts():
    assert read_texts(as_pandas({"x": [1.0, 2.0], "n": [1, 2]})) is None
    assert read_texts(as_polars({"x": [1.0, 2.0], "n": [1, 2]})) is None


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("one text", "X is one string"),
        ([{"prompt": "p", "chosen": "a"}], "no column 'rejected'"),
        ([{"response": "a"}], "no column 'prompt'"),
        ([{"response_a": "a", "response_b": "b"}], "no column 'prompt'"),
        ([{"text": "a"}], "fit no form of text.*got text"),
        ([user("one conversation")], "fit no form of text.*content, role"),
        (
            [{"prompt": "p", "chosen": "a", "rejected": "b", "response": "c"}],
            "more than one form",
        ),
    ],
)
def test_tables_that_fit_no_form(X, message):
    with pytest.raises(ValueError, match=message):
        read_texts(X)


# polars warns when the columns of a lazy frame are looked at.
@pytest.mark.filterwarnings("ignore:Determining the column names")
def test_dict_of_data_sets_and_lazy_tables():
    splits = SimpleNamespace(column_names={"train": ["chosen"], "test": ["chosen"]})
    with pytest.raises(ValueError, match="train, test"):
        read_texts(splits)
    lazy = as_polars(ROWS).lazy()
    with pytest.raises(TypeError, match="LazyFrame, which cannot be indexed"):
        read_texts(lazy)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"chosen": None}, "row 1, column 'chosen': the text is missing"),
        ({"chosen": float("nan")}, "row 1, column 'chosen': the text is missing"),
        ({"rejected": 3}, "row 1, column 'rejected': wanted a string .* got int"),
        ({"rejected": []}, "row 1, column 'rejected': .* got list"),
        ({"prompt": [{"role": "user"}]}, "row 1, column 'prompt': .* role and content"),
        ({"prompt": [{"role": "user", "content": 1}]}, "row 1, .*must be text"),
        ({"chosen": "\ud800"}, "row 1, column 'chosen': .*not valid Unicode"),
    ],
)
def test_a_bad_value_is_named_with_its_row(bad, message):
    rows = [ROWS[0], {**ROWS[1], **bad}]
    with pytest.raises(TextRowError, match=message) as caught:
        read_texts(rows)
    assert caught.value.row == 1
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.row, str(again)) == (1, str(caught.value))


def test_missing_values_of_frames():
    frame = as_pandas(ROWS).astype("string")
    frame.loc[2, "rejected"] = None
    with pytest.raises(TextRowError, match=r"row 2, column 'rejected'.*missing"):
        read_texts(frame)
    with pytest.raises(TextRowError, match=r"row 0.*missing"):
        read_texts(as_polars({"prompt": [None], "response": ["a"]}))
    with pytest.raises(TextRowError, match="row 1: the text is missing"):
        read_texts(["a", None])
    with pytest.raises(TextRowError, match=r"row 1, column 'chosen'.*no such key"):
        read_texts([ROWS[0], {"prompt": "p", "rejected": "x"}])


def test_dialogues_without_a_shared_turn():
    with pytest.raises(TextRowError, match=r"row 0: .*share no turn"):
        read_texts([{"chosen": "yes", "rejected": "no"}])
    with pytest.raises(TextRowError, match=r"row 0: .*share no message"):
        read_texts([{"chosen": [user("a")], "rejected": [user("b")]}])
    with pytest.raises(TextRowError, match="string and rejected is chat"):
        read_texts([{"chosen": "\n\nHuman: a", "rejected": [user("b")]}])


def test_prompt_ids_agree_between_calls():
    whole = text_prompt_ids(ROWS)
    assert_array_equal(whole[1:], text_prompt_ids(ROWS[1:]))
    # A string and the chat message that says the same are different prompts.
    chat = [{"prompt": [user("p0")], "response": "a"}]
    assert text_prompt_ids(chat)[0] not in whole


def test_an_empty_table_of_pairs():
    texts = read_texts(as_pandas(ROWS).iloc[:0])
    assert texts.pairs.shape == (0, 2)
    assert texts.pair_prompt_ids.shape == (0, 2)


# -- items as a table for any transformer


def test_items_are_rows_and_columns():
    items = read_texts(ROWS).items
    assert items["response"] == ["a", "b", "a", "c", "d"]
    assert items["prompt"][2] == "p1"
    assert items[3] == {"prompt": "p1", "response": "c"}
    assert items[1:3]["response"] == ["b", "a"]
    assert items[np.array([4, 0])]["response"] == ["d", "a"]
    assert items[np.array([True, False, False, False, True])]["response"] == ["a", "d"]
    assert read_texts(items) is items
    again = pickle.loads(pickle.dumps(items))
    assert again.items == items.items
    with pytest.raises(KeyError, match="no column 'chosen'"):
        items["chosen"]
    with pytest.raises(KeyError, match="lone strings"):
        read_texts(["a"])["response"]


def n_characters(X):
    return np.array([[len(response)] for response in X["response"]])


def responses(X):
    return X["response"]


def test_ordinary_transformers_read_items():
    union = make_union(
        FunctionTransformer(n_characters),
        make_pipeline(FunctionTransformer(responses), CountVectorizer(analyzer="char")),
    )
    rows = [{"prompt": "p", "chosen": "aab", "rejected": "b"}]
    out = union.fit_transform(read_texts(rows).items).toarray()
    assert_array_equal(out, [[3, 2, 1], [1, 0, 1]])
    # The same function reads the user's own tables.
    frame = as_pandas([{"prompt": "p", "response": "aab"}])
    assert_array_equal(n_characters(frame), [[3]])


# -- templates


def test_format_string():
    items = TextItems([TextItem("{x}", "{response}")])
    assert render(items, "Q: {prompt} A: {response}", None) == ["Q: {x} A: {response}"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{prompt}", "must contain {response}"),
        ("{prompt} {answer} {response}", "may name {prompt} and {response} alone"),
        ("{response.__class__}", "may name"),
        ("{response!r}", "may name"),
        ("{response:>10}", "may name"),
        ("{response", "broken"),
        ("{} {response}", "may name"),
    ],
)
def test_bad_templates(template, message):
    with pytest.raises(ValueError, match=message):
        check_template(template)


def test_template_and_texts_that_do_not_go_together():
    items = read_texts(
        [
            {"prompt": "p", "response": "a"},
            {"prompt": [user("p")], "response": "a"},
        ]
    )
    with pytest.raises(TextRowError, match="row 1: chat messages need template='auto'"):
        render(items, "{prompt} {response}", None)
    with pytest.raises(TextRowError, match="row 0: a lone string has no prompt"):
        render(read_texts(["a"]), "{prompt} {response}", None)
    assert render(read_texts(["a"]), "-> {response}", None) == ["-> a"]


def test_pairs_of_equal_texts_are_kept():
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "a"},
        {"prompt": "p", "chosen": "a", "rejected": "b"},
    ]
    assert read_texts(rows).pairs.tolist() == [[0, 0], [0, 1]]
