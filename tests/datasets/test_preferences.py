"""Published layouts: five made rows of each, and the row that is none."""

import json

import numpy as np
import pytest
from datasets import Dataset
from numpy.testing import assert_array_equal

from skreward.datasets import read_preferences
from skreward.datasets.preferences import LAYOUTS, LayoutError
from skreward.text.tables import read_texts

GOOD, BAD = "Of course: here it is.", "No."


def user(text):
    return {"role": "user", "content": text}


def bot(text):
    return {"role": "assistant", "content": text}


def parts(message):
    part = {"type": "text", "text": message["content"], "image": None, "mimeType": None}
    return {"role": message["role"], "content": [part]}


def five(make):
    return [make(f"Question {k}?", k) for k in range(5)]


# Layout by name: five rows whose first response is better in the first, third and
# fifth; what the labels are then.
ALTERNATING = [1.0, 0.0, 1.0, 0.0, 1.0]


def sides(k):
    return (GOOD, BAD) if k % 2 == 0 else (BAD, GOOD)


def winner(k):
    return ("model_a", "model_b")[k % 2]


MADE = {
    "HH-RLHF": (
        "pairs",
        five(
            lambda q, k: {
                "chosen": f"\n\nHuman: {q}\n\nAssistant: {GOOD}",
                "rejected": f"\n\nHuman: {q}\n\nAssistant: {BAD}",
            }
        ),
        [1.0] * 5,
    ),
    "UltraFeedback binarized": (
        "pairs",
        five(
            lambda q, k: {
                "prompt": q, "prompt_id": str(k), "score_chosen": 8.0,
                "chosen": [user(q), bot(GOOD)], "rejected": [user(q), bot(BAD)],
            }
        ),
        [1.0] * 5,
    ),
    "Skywork": (
        "pairs",
        five(
            lambda q, k: {
                "chosen": [user(q), bot(GOOD)], "rejected": [user(q), bot(BAD)],
                "source": "magpie",
            }
        ),
        [1.0] * 5,
    ),
    "TRL with a margin": (
        "pairs",
        five(
            lambda q, k: {"prompt": q, "chosen": GOOD, "rejected": BAD, "margin": k / 2}
        ),
        [1.0] * 5,
    ),
    "HelpSteer2": (
        "helpsteer2",
        [
            {"prompt": q, "response": r, "helpfulness": h, "correctness": 0}
            for q, r, h in [
                ("p", GOOD, 4), ("p", BAD, 1), ("q", BAD, 2), ("q", GOOD, 3),
                ("alone", GOOD, 4),
            ]
        ],
        [1.0, 0.0],
    ),
    "HelpSteer2 preference": (
        "helpsteer2-preference",
        five(
            lambda q, k: {
                "prompt": q, "response_1": sides(k)[0], "response_2": sides(k)[1],
                "preference_strength": (-3, 1, -1, 2, 0)[k], "split": "train",
            }
        ),
        [1.0, 0.0, 1.0, 0.0, 0.5],
    ),
    "HelpSteer3": (
        "helpsteer3",
        five(
            lambda q, k: {
                "domain": "general", "context": [user(q)], "response1": sides(k)[0],
                "response2": sides(k)[1], "overall_preference": (-3, 1, -1, 2, -2)[k],
            }
        ),
        ALTERNATING,
    ),
    "Nectar": (
        "nectar",
        five(
            lambda q, k: {
                "prompt": f"\n\nHuman: {q}\n\nAssistant: ",
                "answers": [
                    {"answer": f"Answer {r}.", "model": "m", "rank": float(r)}
                    for r in (2, 1, 3)
                ],
            }
        ),
        [0.0, 1.0, 1.0] * 5,
    ),
    "PKU-SafeRLHF": (
        "pku-saferlhf",
        five(
            lambda q, k: {
                "prompt": q, "response_0": sides(k)[0], "response_1": sides(k)[1],
                "better_response_id": k % 2,
            }
        ),
        ALTERNATING,
    ),
    "SHP": (
        "shp",
        five(
            lambda q, k: {
                "history": q, "human_ref_A": sides(k)[0], "human_ref_B": sides(k)[1],
                "labels": 1 - k % 2, "score_ratio": 2.0,
            }
        ),
        ALTERNATING,
    ),
    "summarize-from-feedback": (
        "summarize",
        five(
            lambda q, k: {
                "info": {"post": q, "id": str(k)}, "choice": k % 2, "worker": f"w{k}",
                "summaries": [{"text": text, "policy": "p"} for text in sides(k)],
            }
        ),
        ALTERNATING,
    ),
    "LMArena 140k": (
        "arena-140k",
        five(
            lambda q, k: {
                "model_a": "x", "model_b": "y",
                "winner": ("model_a", "model_b", "model_a", "tie", "both_bad")[k],
                "conversation_a": [parts(user(q)), parts(bot(sides(k)[0]))],
                "conversation_b": [parts(user(q)), parts(bot(sides(k)[1]))],
            }
        ),
        [1.0, 0.0, 1.0, 0.5, 0.5],
    ),
    "LMArena 55k": (
        "arena-55k",
        five(
            lambda q, k: {
                "id": k, "model_a": "x", "model_b": "y",
                "prompt": json.dumps([q, "And then?"]),
                "response_a": json.dumps([sides(k)[0], None]),
                "response_b": json.dumps([sides(k)[1], "More."]),
                "winner_model_a": int(k in (0, 2)), "winner_model_b": int(k == 1),
                "winner_tie": int(k > 2),
            }
        ),
        [1.0, 0.0, 1.0, 0.5, 0.5],
    ),
    "Chatbot Arena": (
        "arena-140k",
        five(
            lambda q, k: {
                "model_a": "x", "model_b": "y", "judge": f"arena_user_{k}",
                "winner": (winner(k), "tie (bothbad)")[k == 4],
                "conversation_a": [user(q), bot(sides(k)[0])],
                "conversation_b": [user(q), bot(sides(k)[1])],
            }
        ),
        [1.0, 0.0, 1.0, 0.0, 0.5],
    ),
    "Arena with responses": (
        "arena",
        five(
            lambda q, k: {
                "prompt": q, "model_a": "x", "model_b": "y", "winner": winner(k),
                "response_a": sides(k)[0], "response_b": sides(k)[1],
            }
        ),
        ALTERNATING,
    ),
    "RewardBench 1": (
        "pairs",
        five(
            lambda q, k: {
                "prompt": q, "chosen": GOOD, "rejected": BAD, "subset": "hep-go",
            }
        ),
        [1.0] * 5,
    ),
    "RewardBench 2": (
        "rewardbench2",
        five(
            lambda q, k: {
                "id": str(k), "prompt": q, "chosen": [GOOD],
                "rejected": [BAD, "Never.", "Go away."], "num_correct": 1,
            }
        ),
        [1.0] * 15,
    ),
    "labelled": (
        "labelled",
        five(
            lambda q, k: {
                "prompt": q, "response_a": sides(k)[0], "response_b": sides(k)[1],
                "label": ALTERNATING[k],
            }
        ),
        ALTERNATING,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_layouts(name):
    layout, rows, y = MADE[name]
    data = read_preferences(rows)
    assert data.layout == layout
    assert_array_equal(data.y, y)
    texts = read_texts(data.pairs)
    assert len(texts.pairs) == len(y)
    for k, (first, second) in enumerate(texts.pairs):
        responses = texts.items["response"]
        better = {1.0: first, 0.0: second}.get(y[k])
        if better is not None and name not in ("Nectar", "LMArena 55k"):
            assert responses[better].strip() == GOOD


@pytest.mark.parametrize("name", MADE)
def test_tables_of_any_kind_are_read_alike(name):
    _, rows, y = MADE[name]
    import pandas

    for table in (Dataset.from_list(rows), pandas.DataFrame(rows)):
        data = read_preferences(table)
        assert_array_equal(data.y, y)
        assert len(read_texts(data.pairs).pairs) == len(y)


@pytest.mark.parametrize(
    "name", ["LMArena 140k", "LMArena 55k", "HelpSteer2 preference"]
)
def test_ties_can_be_dropped_and_are_counted(name):
    _, rows, y = MADE[name]
    data = read_preferences(rows, ties="drop")
    assert 0.5 not in data.y
    assert data.dropped == {"tie": y.count(0.5)}


def test_every_layout_is_tried():
    assert {layout for layout, *_ in MADE.values()} | {"ratings"} == set(LAYOUTS)


def test_strengths_annotators_and_prompts():
    margins = read_preferences(MADE["TRL with a margin"][1])
    assert_array_equal(margins.sample_weight, [0, 0.5, 1, 1.5, 2])
    strengths = read_preferences(MADE["HelpSteer2 preference"][1])
    assert_array_equal(strengths.sample_weight, [3, 1, 1, 2, 1])
    assert read_preferences(MADE["SHP"][1]).sample_weight is None
    workers = read_preferences(MADE["summarize-from-feedback"][1]).annotators
    assert list(workers) == ["w0", "w1", "w2", "w3", "w4"]
    judges = read_preferences(MADE["Chatbot Arena"][1]).annotators
    assert list(judges) == [f"arena_user_{k}" for k in range(5)]
    turns = read_preferences(MADE["LMArena 55k"][1]).pairs[0]
    assert turns["prompt"] == [user("Question 0?")]
    assert turns["response_a"] == [bot(GOOD), user("And then?"), bot("")]


def test_every_pair_knows_its_row():
    assert read_preferences(MADE["SHP"][1]).rows.tolist() == [0, 1, 2, 3, 4]
    assert read_preferences(MADE["HelpSteer2"][1]).rows.tolist() == [1, 3]
    kept = read_preferences(MADE["LMArena 140k"][1], ties="drop")
    assert kept.rows.tolist() == [0, 1, 2]
    triples = np.repeat(np.arange(5), 3).tolist()
    assert read_preferences(MADE["RewardBench 2"][1]).rows.tolist() == triples


def test_ratings_need_a_name():
    rows = [
        {"prompt": "p", "response": GOOD, "stars": 4},
        {"prompt": "p", "response": BAD, "stars": 1},
        {"prompt": "p", "response": "Hm.", "stars": 4},
    ]
    data = read_preferences(rows, label="stars")
    assert data.layout == "ratings"
    assert_array_equal(data.y, [1.0, 0.5, 0.0])
    with pytest.raises(ValueError, match="fit no layout"):
        read_preferences(rows)
    two = [row | {"helpfulness": 0, "verbosity": 5 - row["stars"]} for row in rows]
    assert_array_equal(read_preferences(two, label="verbosity").y, [0.0, 0.5, 1.0])


def test_two_label_columns_are_not_guessed():
    rows = [row | {"safer_response_id": 0} for row in MADE["PKU-SafeRLHF"][1]]
    with pytest.raises(ValueError, match=r"better_response_id.*safer_response_id"):
        read_preferences(rows)
    assert_array_equal(read_preferences(rows, label="safer_response_id").y, [1.0] * 5)
    assert_array_equal(
        read_preferences(rows, label="better_response_id").y, ALTERNATING
    )


def test_equal_texts_are_left_out_and_counted():
    rows = [
        *MADE["SHP"][1],
        MADE["SHP"][1][0] | {"human_ref_A": "x", "human_ref_B": "x"},
    ]
    data = read_preferences(rows)
    assert len(data.y) == 5
    assert data.dropped == {"equal texts": 1}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("SHP", {"labels": 2}, r"row 0: labels must be one of 1, 0; got 2"),
        ("PKU-SafeRLHF", {"better_response_id": -1}, "row 0: better_response_id"),
        ("HelpSteer3", {"overall_preference": 4}, "row 0: overall_preference lies in"),
        ("HelpSteer3", {"overall_preference": None}, "row 0: .*must be a number"),
        ("LMArena 140k", {"winner": "x"}, "row 0: winner must be one of"),
        ("LMArena 140k", {"conversation_a": [user("other"), bot("x")]}, "share no pr"),
        ("LMArena 55k", {"winner_tie": 1}, r"row 0: one winner_\.\.\. column is 1"),
        ("LMArena 55k", {"response_a": "not json"}, "row 0: response_a must be a JSON"),
        ("LMArena 55k", {"response_a": '["a"]'}, "differ in their turns"),
        ("summarize-from-feedback", {"info": {}}, "row 0: wanted info.post"),
        ("Nectar", {"answers": [{"answer": "a"}]}, "row 0: answers must have"),
        ("TRL with a margin", {"margin": -1}, "row 0: margin must not be negative"),
        ("labelled", {"label": 3}, r"row 0: label must lie in \[0, 1\]"),
    ],
)
def test_bad_rows_are_named(name, change, message):
    _, rows, _ = MADE[name]
    with pytest.raises(ValueError, match=message):
        read_preferences([rows[0] | change, *rows[1:]])


def test_what_is_no_preference_is_refused():
    kto = [{"prompt": "p", "completion": "c", "label": True}]
    with pytest.raises(ValueError, match=r"KTO's.*nothing to"):
        read_preferences(kto)
    with pytest.raises(ValueError, match="'a', 'b' fit no layout; known are arena-55k"):
        read_preferences([{"a": 1, "b": 2}])
    with pytest.raises(ValueError, match="holds no rows"):
        read_preferences([])
    with pytest.raises(ValueError, match="row 0: wanted a dict"):
        read_preferences(["text"])
    with pytest.raises(ValueError, match="ties must be"):
        read_preferences(kto, ties="win")
    with pytest.raises(ValueError, match="layout must be one of"):
        read_preferences(kto, layout="mine")
    late = [*MADE["SHP"][1], {"history": "x"}]
    with pytest.raises(ValueError, match="row 5: layout 'shp' has a column"):
        read_preferences(late)


def test_a_reward_is_learned_from_any_of_them(preferences):
    from sklearn.pipeline import make_pipeline

    from skreward import BradleyTerryRegressor, TextStatisticsTransformer

    for name in ("HH-RLHF", "HelpSteer3", "SHP", "labelled"):
        data = read_preferences(MADE[name][1])
        model = make_pipeline(TextStatisticsTransformer(), BradleyTerryRegressor())
        model.fit(data.pairs, data.y)
        assert_array_equal(np.sign(model.predict(data.pairs)), np.sign(data.y - 0.5))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "p", "answers": None}, "row 1: the row is not shaped as those of"),
        ({"prompt": "p", "answers": [1]}, "row 1: the row is not shaped as those of"),
        (
            {"prompt": None, "answers": [{"answer": t, "rank": 1} for t in "ab"]},
            "row 1: the prompt is missing",
        ),
    ],
)
def test_a_row_of_another_shape_is_named(row, problem):
    good = {"prompt": "p", "answers": [{"answer": t, "rank": 1} for t in "ab"]}
    with pytest.raises(LayoutError, match=problem):
        read_preferences([good, row])
