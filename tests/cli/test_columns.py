"""Labels and cells as people write them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skreward.cli.columns import decoded, is_blank, read_labels
from skreward.cli.files import DataError, Table
from tests.cli.tables import good_and_bad, labelled, write_jsonl, write_rows


def table_of(labels):
    rows = [{"label": label} for label in labels]
    return Table("x.jsonl", rows, range(1, len(rows) + 1))


@pytest.mark.parametrize(
    ("labels", "y"),
    [
        ([1, 0, 0.5], [1, 0, 0.5]),
        (["1", "0", " 0.25 "], [1, 0, 0.25]),
        ([True, False], [1, 0]),
        (["True", "False", "true"], [1, 0, 1]),
        ([1, -1], [1, 0]),
        (["+1", "-1", "tie"], [1, 0, 0.5]),
        (["A", "B", "Tie"], [1, 0, 0.5]),
        (["a", "b"], [1, 0]),
        (["model_a", "model_b", "tie", "tie (bothbad)"], [1, 0, 0.5, 0.5]),
        (["response_b", "response_a"], [0, 1]),
        (["first", "Second"], [1, 0]),
        (["1", "0", "tie"], [1, 0, 0.5]),
        (["tie", "tie"], [0.5, 0.5]),
        (["B", "B"], [0, 0]),
    ],
)
def test_labels_that_are_unambiguous(labels, y):
    assert_array_equal(read_labels(table_of(labels), "label"), y)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([1, 2], 2),
        ([1, 0, -1], 3),
        (["A", "C"], 1),
        (["A", "first"], 1),
        (["A", 1], 2),
        (["left", "right"], 1),
        ([0.5, 1.5], 2),
        (["nan", "1"], 1),
        ([10**400, 1], 1),
        ([{}, 1], 1),
        ([b"1", b"0"], 1),
        (["inf", "1"], 1),
    ],
)
def test_labels_that_are_not_show_what_was_seen(labels, line):
    with pytest.raises(DataError, match=f":{line}: column 'label'.*--label-map"):
        read_labels(table_of(labels), "label")


def test_labels_by_the_names_that_the_caller_gives():
    votes = table_of([2, 1.0, "0", "2"])
    assert_array_equal(
        read_labels(votes, "label", {"1": 1, "2": 0, "0": 0.5}), [0, 1, 0.5, 0]
    )
    sides = table_of(["left", "Right "])
    assert_array_equal(read_labels(sides, "label", {"left": 1, "right": 0}), [1, 0])
    with pytest.raises(DataError, match=r":3:.*'0' prefers.*'1', '2' alone"):
        read_labels(votes, "label", {"1": 1, "2": 0})


@pytest.mark.parametrize(
    "cell", [None, np.nan, "", " \n", [], [{"role": "user", "content": " "}]]
)
def test_what_is_blank(cell):
    assert is_blank(cell)


@pytest.mark.parametrize("cell", ["a", 0, False, {}, [1], [{"a": 1}, "b"], b""])
def test_what_is_not(cell):
    assert not is_blank(cell) or cell == [{"a": 1}, "b"]


# -- through the command


@pytest.mark.parametrize(
    ("first", "second", "options"),
    [
        ("A", "B", []),
        (True, False, []),
        (1, -1, []),
        ("first", "second", []),
        (1, 2, ["--label-map", "1=1,2=0"]),
        ("left", "right", ["--label-map", "left=1,right=0,none=.5"]),
    ],
)
def test_every_way_to_write_a_label_says_the_same(
    command, tmp_path, model, first, second, options
):
    plain = command.report(
        "evaluate", model, write_jsonl(tmp_path / "plain.jsonl", good_and_bad())
    )
    rows = labelled(good_and_bad(), first, second)
    path = write_jsonl(tmp_path / "labelled.jsonl", rows)
    report = command.report("evaluate", model, path, *options)
    for name in ("order_consistency", "calibration_error", "n_pairs", "n_prompts"):
        assert_allclose(report[name], plain[name], rtol=1e-6)


def test_a_label_beside_chosen_counts_when_it_is_named(command, tmp_path, model):
    rows = [row | {"label": 0} for row in good_and_bad()]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    assert "--label label" in command.refused("evaluate", model, path)
    turned = command.report("evaluate", model, path, "--label", "label")
    plain = command.report("evaluate", model, write_jsonl(path, good_and_bad()))
    total = turned["order_consistency"] + plain["order_consistency"]
    assert_allclose(total, 1, rtol=1e-6)


def test_delimiters(command, tmp_path, model):
    plain = command.report(
        "evaluate", model, write_rows(tmp_path / "x.csv", good_and_bad())
    )
    for mark, name in ((";", ";"), ("\t", "tab"), ("|", "|")):
        path = write_rows(tmp_path / "x.csv", good_and_bad(), delimiter=mark)
        report = command.report("evaluate", model, path, "--delimiter", name)
        assert report["order_consistency"] == plain["order_consistency"]
        out = tmp_path / "out.csv"
        code, _, err = command.run(
            "score", model, path, "-o", out, "--force", "--delimiter", name
        )
        assert code == 0, err
        wanted = ["prompt", "chosen", "rejected"]
        wanted += ["reward_chosen", "reward_rejected", "margin"]
        assert out.read_text().splitlines()[0].split(mark) == wanted
    jsonl = write_jsonl(tmp_path / "x.jsonl", good_and_bad())
    said = command.refused("evaluate", model, jsonl, "--delimiter", ";")
    assert "--delimiter goes with .csv and .csv.gz files alone" in said
    assert "one character" in command.refused(
        "evaluate", model, path, "--delimiter", ";;"
    )


def test_options_that_cannot_act_are_refused(command, tmp_path, model):
    pairs = write_jsonl(tmp_path / "x.jsonl", good_and_bad())
    said = command.refused("evaluate", model, pairs, "--label-map", "1=1,2=0")
    assert "--label-map goes with a label" in said
    for values, problem in (
        ("1", "'1': wanted a value of the label and how likely"),
        ("A=1,=0", "'=0': wanted"),
        ("A=1,B=2", "'B=2': wanted"),
        ("A=1,B=nan", "'B=nan': wanted"),
        ("A=yes", "'A=yes': wanted"),
        ("A=1,B=0,a=.5", "'a' is there twice"),
        ("1=1,2=0,1.0=0", "'1.0' is there twice"),
    ):
        said = command.refused("evaluate", model, pairs, "--label-map", values)
        assert "--label-map" in said
        assert problem in said


# -- rows that are left out


def test_bad_rows_are_left_out_when_that_is_asked_for(command, tmp_path, model, tiny):
    rows = good_and_bad()
    bad = {
        4: rows[3] | {"chosen": ""},
        10: rows[9] | {"rejected": None},
        11: rows[10] | {"chosen": 3},
        20: {"prompt": "p", "rejected": "x"},
    }
    mixed = [bad.get(k, row) for k, row in enumerate(rows)]
    kept = [row for k, row in enumerate(rows) if k not in bad]
    path = write_jsonl(tmp_path / "x.jsonl", mixed)
    assert ":5: column 'chosen' is empty" in command.refused("evaluate", model, path)
    code, _, err = command.run("evaluate", model, path, "--drop-bad-rows")
    assert code == 0
    assert (
        f"4 of {len(rows)} rows left out: column 'chosen' is empty in 2 rows (lines 5, "
        "21); column 'rejected' is empty in 1 row (line 11); column 'chosen': wanted a "
        "string or a list of chat messages, got int in 1 row (line 12)"
    ) in err
    report = command.report("evaluate", model, path, "--drop-bad-rows")
    assert report["n_skipped_rows"] == 4
    clean = write_jsonl(tmp_path / "clean.jsonl", kept)
    wanted = command.report("evaluate", model, clean)
    assert report["order_consistency"] == wanted["order_consistency"]
    args = ["score", model, path, "-o", tmp_path / "o.jsonl", "--drop-bad-rows"]
    assert command.report(*args)["n_rows"] == len(kept)
    only = write_jsonl(tmp_path / "only.jsonl", [bad[4]])
    said = command.refused("evaluate", model, only, "--drop-bad-rows")
    assert "every row is bad: column 'chosen' is empty in 1 row (line 1)" in said


def test_a_row_without_any_text_is_a_bad_row(command, tmp_path, model):
    empty = dict.fromkeys(good_and_bad()[0])
    numbers = dict.fromkeys(empty, 1)
    path = write_jsonl(tmp_path / "x.jsonl", [empty, *good_and_bad(), numbers])
    report = command.report("evaluate", model, path, "--drop-bad-rows")
    assert (report["n_pairs"], report["n_skipped_rows"]) == (len(good_and_bad()), 2)


def test_pairs_of_equal_texts(command, tmp_path, model, tiny):
    rows = good_and_bad()
    equal = rows[0] | {"rejected": rows[0]["chosen"]}
    path = write_jsonl(tmp_path / "x.jsonl", [*rows[:7], equal, *rows[7:], equal])
    args = ["fit", path, "-o", tmp_path / "m.skops", "--model", tiny]
    args += ["--reward", "linear", "--json"]
    code, out, err = command.run(*args)
    assert code == 0
    assert f"2 pairs of equal texts (lines 8, {len(rows) + 2}) left out" in err
    assert f'"n_pairs": {len(rows)}' in out
    assert '"n_equal_pairs": 2' in out
    code, out, err = command.run("score", model, path, "-o", tmp_path / "o.csv")
    assert (code, err) == (0, "")
    report = command.report("evaluate", model, path)
    assert (report["n_pairs"], report["n_equal_pairs"]) == (len(rows), 2)


@pytest.mark.parametrize("cell", ["[" * 10**5, "[1", "", " ", "plain", None, 3])
def test_what_is_no_json_stays_as_it_is(cell):
    assert decoded(cell) == cell
    assert decoded(cell, "[") == cell
    assert decoded(' ["a"]', "[") == ["a"]
