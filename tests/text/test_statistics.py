"""Statistics of texts: what each column says, odd texts, and use beside others."""

import gzip
import json
import pickle
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import text_features
from benchmarks.order_consistency import make_task, score
from benchmarks.plain_statistics import plain_statistics
from skreward import (
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    TextStatisticsTransformer,
    load,
    save,
)
from skreward.datasets import make_text_preferences
from skreward.model_selection import PromptDisjointKFold
from skreward.text import words
from skreward.text.counts import name_languages
from tests.support import data_file

PROMPT = "Please list three large cities."
NO_PROMPT = ("length", "form", "words", "stance")


def row_of(response, prompt=PROMPT):
    """Statistics of one response, by name."""
    statistics = TextStatisticsTransformer()
    values = statistics.fit_transform([{"prompt": prompt, "response": response}])[0]
    return dict(zip(statistics.get_feature_names_out(), values, strict=True))


COUNTS = {
    # response: (column, count)
    "abc": ("log_characters", 3),
    "One two, don't stop.": ("log_words", 4),
    "One. Two! Three? 3.14 is a number": ("log_sentences", 3),
    "Two words. Two words.": ("log_sentence_words", 2),
    "- a\n- b\n  * c\n12. d\n3) e\nno - f": ("log_list_items", 5),
    "# a\n### b\n#hash": ("log_headings", 2),
    "```py\nx\n```\nand\n~~~\ny\n~~~": ("log_code_blocks", 2),
    "use `a` and `b`\n```\nx\n```": ("log_inline_code", 2),
    "| a | b |\n|---|---|\n| 1 | 2 |": ("log_table_rows", 3),
    "**a** and **b**": ("log_bold", 2),
    "[x](https://a.b) and [y](c)": ("log_links", 2),
    'He said "no" and “yes”.\n> cited': ("log_quotes", 3),
    "a\nb\n\nc": ("log_newlines", 3),
    "a\n\nb\n\nc": ("log_paragraphs", 2),
    "done 🎉🎉": ("log_symbols", 2),
    "What? Why\uff1f": ("log_questions", 2),
    "Yes! Oh\uff01": ("log_exclamations", 2),
    "I think we like it, and it\u2019s mine; i\u2019m sure": ("log_first_person", 4),
    "You and your dog": ("log_second_person", 2),
    "Perhaps it might work, probably": ("log_hedges", 3),
    "No, it isn't, never": ("log_negations", 3),
    "I'm sorry, but I can't do that.": ("log_refusals", 2),
    "As an AI language model, I cannot": ("log_refusals", 3),
    "Sorry, I apologize": ("log_apologies", 2),
    "你好世界": ("log_words", 4),
    "你好。世界\uff01好吗\uff1f": ("log_sentences", 3),
}
SHARES = {
    "ab cdef": ("word_length", 3.0),
    "a b a b": ("type_token_ratio", 0.5),
    "A a a a": ("guiraud_index", 0.5),
    "ABcd": ("capitals_share", 0.5),
    "12ab": ("digits_share", 0.5),
    "a,b.": ("punctuation_share", 0.5),
    "the dog": ("stop_words_share", 0.5),
    "Cities: not lists": ("prompt_coverage", 1 / 3),  # of list, large, cities
    "three dogs": ("prompt_repetition", 0.5),
    "a b c d e": ("prompt_log_length_ratio", 0.0),
}


@pytest.mark.parametrize("response", COUNTS)
def test_counts(response):
    name, count = COUNTS[response]
    assert_allclose(np.expm1(row_of(response)[name]), count, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("response", SHARES)
def test_shares(response):
    name, share = SHARES[response]
    assert_allclose(row_of(response)[name], share, rtol=1e-6, atol=1e-7)


def test_every_column_is_told_of_by_a_test():
    told = {name for name, _ in (COUNTS | SHARES).values()}
    told |= {"prompt_language_kept", "prompt_format_kept"}
    assert told == set(TextStatisticsTransformer().get_feature_names_out())


@pytest.mark.parametrize(
    ("prompt", "response", "kept"),
    [
        ("What is the capital of France?", "It is the city of Paris.", 1),
        ("What is the capital of France?", "C'est la ville de Paris, qui est en", 0),
        ("Was ist die Hauptstadt und der Fluss?", "It is the city of Paris.", 0),
        ("Was ist die Hauptstadt und der Fluss?", "Das ist Paris und die Seine.", 1),
        ("法国的首都是哪里\uff1f", "It is the city of Paris.", 0),
        ("法国的首都是哪里\uff1f", "巴黎。", 1),
        ("Какая столица Франции?", "Париж.", 1),
        ("What is the answer to it?", "42", 1),  # unknown is no change
    ],
)
def test_language_kept(prompt, response, kept):
    assert row_of(response, prompt)["prompt_language_kept"] == kept


def test_languages_have_names():
    texts = ["It is the city of", "Das ist nicht", "你好", "Париж", "42", ""]
    names = ["E", "D", "CJK", "CYRILLIC", None, None]
    assert name_languages(texts * 100) == names * 100


def test_format_kept():
    prompt = "Go on:\n- a\n- b\n```\nx\n```"
    assert row_of("- c\n- d", prompt)["prompt_format_kept"] == 0.5
    assert row_of("- c\n```\ny\n```", prompt)["prompt_format_kept"] == 1
    assert row_of("c, d", prompt)["prompt_format_kept"] == 0
    assert row_of("c, d")["prompt_format_kept"] == 1


ODD = [
    "", " ", "\n\n\n", "🎉", "\u200d", "مرحبا بالعالم؟", "你好", "ไทย", "\x00\x01",
    "'''",
    "\U0001d5db\U0001d5f2", "\U00020000", "e\u0301", "...", "?!", "#", "|", "```", "**",
    "Ǆ ß İ", "\ufeff",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_texts_give_finite_numbers(text):
    for prompt, response in ((text, text), (text, "a b"), ("a b", text)):
        values = np.array(list(row_of(response, prompt).values()))
        assert np.isfinite(values).all()
    shares = {k: v for k, v in row_of(text, text).items() if k.endswith("_share")}
    assert all(0 <= share <= 1 for share in shares.values())


SPITE = [
    "\n", " ", "\n ", "\n\t \t", "1", "1.", "\n1", "\n1234", "#", "\n######", "`", "*",
    "**", "\n```", "[", "](", "'", "a'", "i'm ", "i can", "sorry ", "?", ". ", "你",
    "\u0301",
]  # fmt: skip


def test_a_megabyte_of_spite_takes_linear_time():
    """A search that tries twice would take hours for some of these."""
    started = time.process_time()
    for unit in SPITE:
        text = unit * (1_000_000 // len(unit))
        assert np.isfinite(list(row_of(text).values())).all()
    assert time.process_time() - started < 60


def characters(**limits):
    return st.text(st.characters(exclude_categories=("Cs",), **limits), max_size=6)


SNIPPETS = [
    *ODD, *SPITE, *COUNTS, *SHARES, "i can't", "I can't ", "as an AI ", "be unethical",
    "1. a", "12) b", "1234. c", "\n 1.\t", "\U0001d7ce. d", "• e", "\n\t• f",
    "####### g",
    "\n~~~", "der und die", "le et les", "a://b", ":/", "K", "\u2019s", "9",
    "antidisestablishmentarianism", "antidisestablishmentarianists", "\n", " ", " ",
]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(SNIPPETS), characters(), characters(max_codepoint=127)
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


ROWS = st.tuples(st.sampled_from([PROMPT, "", "法国 1. a"]) | TEXTS, TEXTS)


@given(st.lists(ROWS, min_size=1, max_size=8), st.integers(1, 200), st.integers(1, 3))
@settings(deadline=None)
def test_many_texts_at_once_are_as_each_alone(rows, part_characters, part_rows):
    """Beside the plain way, a text at a time, however texts are parted."""
    prompts, responses = zip(*rows, strict=True)
    table = [{"prompt": p, "response": r} for p, r in rows]
    wanted = plain_statistics(prompts, responses)
    statistics = TextStatisticsTransformer()
    assert_array_equal(statistics.transform(table), wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skreward.text.statistics.PART_CHARACTERS", part_characters)
        patch.setattr("skreward.text.statistics.PART_ROWS", part_rows)
        assert_array_equal(statistics.transform(table), wanted)


@pytest.mark.parametrize("spread", [None, 0])
def test_words_are_numbered_alike_where_they_are_equal(spread, monkeypatch):
    """Also where all of them collide."""
    if spread is not None:
        monkeypatch.setattr(words, "SPREAD", words.SPREAD * np.uint64(spread))
    key = np.random.default_rng(0).integers(0, 9, (3, 2000)).astype(np.uint64)
    like, is_it = words.alike(*key)
    assert_array_equal(key[:, like], key)
    assert_array_equal(np.flatnonzero(is_it), np.unique(like))
    assert is_it.sum() == len(np.unique(key, axis=1).T)


def test_forms_of_text_agree():
    responses = ["One.", "- two\n- three"]
    rows = [{"prompt": PROMPT, "response": response} for response in responses]
    statistics = TextStatisticsTransformer().fit(rows)
    items = statistics.transform(rows)
    chat = [
        {
            "prompt": [{"role": "user", "content": PROMPT}],
            "response": [{"role": "assistant", "content": response}],
        }
        for response in responses
    ]
    assert_array_equal(statistics.transform(chat), items)
    pairs = statistics.transform(
        [{"prompt": PROMPT, "chosen": responses[0], "rejected": responses[1]}]
    )
    assert isinstance(pairs, EmbeddingPairs)
    assert_array_equal(pairs.embeddings, items)
    assert pairs.prompt_ids[0] == pairs.prompt_ids[1]
    lone = TextStatisticsTransformer(groups=NO_PROMPT).fit_transform(responses)
    assert_array_equal(lone, items[:, : lone.shape[1]])
    assert items.dtype == np.float32


def test_groups_choose_columns_in_their_own_order():
    rows = make_text_preferences(5, 4, 20, random_state=0).texts
    every = TextStatisticsTransformer().set_output(transform="pandas")
    frame = every.fit_transform(rows)
    assert frame.shape[1] == 35
    for groups in (["prompt", "length"], ("words",), ["stance", "form"]):
        some = TextStatisticsTransformer(groups=groups)
        names = some.get_feature_names_out()
        assert [n for n in frame.columns if n in set(names)] == list(names)
        assert_array_equal(some.fit_transform(rows), frame[names].to_numpy())


def test_it_composes_with_others_in_pipelines_and_searches(tmp_path):
    data = make_text_preferences(20, 4, 200, random_state=0)
    vowels = FunctionTransformer(
        lambda items: np.array([[r.count("e")] for r in items["response"]], float),
        feature_names_out=lambda self, names: ["vowels"],
    )
    union = ItemwiseTransformer(make_union(vowels, TextStatisticsTransformer()))
    pairs = union.fit_transform(data.pairs)
    assert pairs.embeddings.shape[1] == 36
    assert union.get_feature_names_out()[1].endswith("__log_characters")
    model = make_pipeline(
        ItemwiseTransformer(
            make_pipeline(TextStatisticsTransformer(), StandardScaler())
        ),
        BradleyTerryRegressor(alpha=0.01),
    )
    name = "itemwisetransformer__transformer__textstatisticstransformer__groups"
    search = GridSearchCV(
        model,
        {name: [("length",), ("length", "words")]},
        cv=PromptDisjointKFold(3, random_state=0),
    ).fit(data.pairs, data.y)
    assert search.best_score_ > 0.6
    save(search.best_estimator_, tmp_path / "model.skops")
    assert_array_equal(
        load(tmp_path / "model.skops").predict(data.texts), search.predict(data.texts)
    )


def test_it_needs_no_fit_and_keeps_nothing():
    statistics = TextStatisticsTransformer(groups=["length"])
    values = statistics.transform(["a b"])
    assert_array_equal(statistics.fit(["a"]).transform(["a b"]), values)
    for copy in (clone(statistics), pickle.loads(pickle.dumps(statistics))):
        assert copy.get_params() == {"groups": ["length"]}
        assert_array_equal(copy.transform(["a b"]), values)
    assert vars(statistics) == {"groups": ["length"]}


@pytest.mark.parametrize(
    ("groups", "X", "error", "words"),
    [
        (("size",), ["a"], ValueError, "'size'; the groups are length, form"),
        ((), ["a"], ValueError, "must list some of"),
        ("length", ["a"], ValueError, "groups.*'length'"),
        (("length", "length"), ["a"], ValueError, "twice"),
        (([],), ["a"], ValueError, r"holds \[\]"),
        (("length",), [], ValueError, "must be strings|0 texts"),
        (("length",), np.ones((2, 3)), ValueError, r"strings.*\(2, 3\)"),
        (("length",), ["a", None], ValueError, "row 1.*missing"),
        (("length", "prompt"), ["a"], ValueError, r"lone.*groups=\['length'\]"),
        (("prompt",), ["a"], ValueError, "lone strings"),
    ],
)
def test_bad_input(groups, X, error, words):
    for method in ("fit", "transform"):
        with pytest.raises(error, match=f"(?s){words}"):
            getattr(TextStatisticsTransformer(groups=groups), method)(X)


@pytest.mark.realdata
def test_statistics_beat_length_and_the_embedding():
    data = text_features.load(
        data_file("judged_dev.jsonl.gz"), data_file("judged_dev_minilm.npz")
    )
    rows = text_features.few_rows(data)
    task = make_task(data, 0, n_pairs=5_000)
    kept, similar = zip(
        *(score(task, rewards(task, 0)) for rewards in rows.values()), strict=True
    )
    length, embedding, _, statistics, both = kept
    assert statistics >= max(length, embedding) + 0.02
    assert both >= statistics - 0.005
    assert both >= 0.74
    assert similar[-1] >= similar[1] + 0.02


@pytest.mark.realdata
def test_they_order_what_people_prefer_too():
    path = data_file("hh_harmless_dev.jsonl.gz")
    assert np.mean(text_features.human_pairs(path, 1)) >= 0.6
    with gzip.open(path, "rt") as file:
        row = json.loads(file.readline())
    pairs = TextStatisticsTransformer().fit_transform([row])
    assert pairs.shape == (1, 2, 35)


def test_blocks_of_characters_are_what_unicode_says_of_each():
    from skreward.text import characters

    named = [("CJK", *block) for block in ((0x20000, 0x2A6DE), (0x30000, 0x3134B))]
    named += [b for b in characters.BLOCKS if b[0] != "OTHER" and b[1] < 0x10000]
    for script, first, end in named:
        for character in map(chr, range(first, end)):
            assert unicodedata.category(character) == "Lo"
            assert unicodedata.name(character).startswith(script)
            assert character.lower() == character
    for code in range(0x10000)[characters.EMPTY]:
        assert unicodedata.category(chr(code)) in ("Cs", "Co")
