"""The rows that `evaluate` writes, and options that `evaluate` and `score` share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline

import skreward
from skreward import PairwiseClassifierReward, RewardEnsemble, TextStatisticsTransformer
from skreward.cli.files import read_table
from skreward.cli.loading import load_model
from skreward.cli.options import LAYOUTS
from skreward.datasets import preferences
from tests.cli.tables import good_and_bad, labelled, write_jsonl, write_rows


def numbers(table, name):
    return np.array([float(cell) for cell in table.column(name)])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv.gz", ".parquet"])
def test_a_row_a_pair_is_written(command, tmp_path, model, suffix):
    rows = [
        row | {"label": k % 3 / 2, "note": f"n{k}"}
        for k, row in enumerate(labelled(good_and_bad()))
    ]
    path, out = tmp_path / f"x{suffix}", tmp_path / f"out{suffix}"
    write_rows(path, rows)
    report = command.report("evaluate", model, path, "-o", out)
    assert report["output"] == str(out)
    written, fitted = read_table(out), skreward.load(model)
    assert written.names == [*rows[0], "margin", "probability", "agrees"]
    assert written.column("note") == [row["note"] for row in rows]
    margin, agrees = numbers(written, "margin"), numbers(written, "agrees")
    assert_allclose(margin, fitted.predict(rows), rtol=1e-6)
    proba = skreward.predict_preference_proba(fitted, rows)
    assert_allclose(numbers(written, "probability"), proba, rtol=1e-6)
    assert_allclose(agrees.mean(), report["order_consistency"], rtol=1e-12)
    label = np.array([row["label"] for row in rows])
    assert_allclose(agrees, np.where(margin > 0, label, 1 - label))


def test_rows_that_are_left_out_are_not_written(command, tmp_path, model):
    rows = good_and_bad()[:6]
    rows[1] = rows[1] | {"chosen": ""}
    rows[3] = rows[3] | {"rejected": rows[3]["chosen"]}
    rows = [row | {"id": k} for k, row in enumerate(rows)]
    path, out = write_jsonl(tmp_path / "x.jsonl", rows), tmp_path / "out.jsonl"
    assert command.run("evaluate", model, path, "-o", out, "--drop-bad-rows")[0] == 0
    assert read_table(out).column("id") == [0, 2, 4, 5]


def test_a_layout_keeps_its_own_columns(command, tmp_path, model):
    rows = [
        {
            "context": f"one {k}",
            "response1": "a b",
            "response2": "e f" if k else "a b",
            "overall_preference": -2,
            "domain": f"d{k}",
        }
        for k in range(5)
    ]
    path, out = write_jsonl(tmp_path / "x.jsonl", rows), tmp_path / "out.jsonl"
    assert command.run("evaluate", model, path, "-o", out)[0] == 0
    written = read_table(out)
    assert written.names == [*rows[0], "margin", "probability", "agrees"]
    assert written.column("domain") == ["d1", "d2", "d3", "d4"]


def test_several_pairs_of_a_row_name_their_texts(command, tmp_path, model):
    answers = [
        {"answer": text, "rank": k} for k, text in enumerate(["a b", "c", "e f"])
    ]
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": "one", "answers": answers}])
    out = tmp_path / "out.jsonl"
    assert command.run("evaluate", model, path, "-o", out)[0] == 0
    written = read_table(out)
    assert written.column("response_a") == ["a b", "a b", "c"]
    assert written.column("response_b") == ["c", "e f", "e f"]
    assert written.column("answers") == [answers] * 3


def test_pairs_of_rated_rows_keep_what_either_says(command, tmp_path, model):
    rows = [
        {"prompt": "one", "response": text, "stars": k, "by": f"m{k}"}
        for k, text in enumerate(["a b", "c", "e f"])
    ]
    path, out = write_jsonl(tmp_path / "x.jsonl", rows), tmp_path / "out.jsonl"
    args = ["evaluate", model, path, "--label", "stars", "-o", out]
    report = command.report(*args)
    written = read_table(out)
    assert written.names[:4] == ["prompt", "response_a", "stars_a", "by_a"]
    assert len(written) == report["n_pairs"] == 3
    fitted = skreward.load(model)
    for row in written.rows:
        a, b = fitted.predict(
            [{"prompt": "one", "response": row[f"response_{s}"]} for s in "ab"]
        )
        assert_allclose(row["margin"], a - b, rtol=1e-5, atol=1e-7)
        assert row["agrees"] == float((a > b) == (row["stars_a"] > row["stars_b"]))


def test_what_cannot_be_written_is_told_before_the_model_is_loaded(
    command, tmp_path, model, monkeypatch
):
    monkeypatch.setattr("skreward.cli.commands.load_model", None)
    rows = [row | {"margin": 1} for row in good_and_bad()[:3]]
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": "p", "chosen": 1}])
    for args in (
        ["evaluate", model, path],
        ["score", model, path, "-o", tmp_path / "out.csv"],
        ["evaluate", tmp_path / "no.skops", path],
    ):
        said = command.refused(*args)
        assert "x.jsonl" in said or "no.skops: No such file" in said
    monkeypatch.undo()
    path = write_jsonl(path, rows)
    out = tmp_path / "out.jsonl"
    said = command.refused("evaluate", model, path, "-o", out)
    assert "'margin' already" in said
    assert command.run("evaluate", model, path, "-o", out, "--suffix", "_2")[0] == 0
    assert read_table(out).names[-3:] == ["margin_2", "probability_2", "agrees_2"]
    assert "--suffix cannot act without -o" in command.refused(
        "evaluate", model, path, "--suffix", "_2"
    )
    assert "--force cannot act without -o" in command.refused(
        "evaluate", model, path, "--force"
    )


def save_of_statistics(path, reward):
    rows = good_and_bad()
    model = make_pipeline(TextStatisticsTransformer(), reward).fit(rows)
    skreward.save(model, path)
    return path


def test_a_reward_without_probabilities_writes_none(command, tmp_path, data):
    for reward in (PairwiseClassifierReward(), RewardEnsemble(n_estimators=2)):
        path = save_of_statistics(tmp_path / "m.skops", reward)
        out = tmp_path / "out.jsonl"
        report = command.report("evaluate", path, data, "-o", out, "--force")
        assert report["calibration_error"] is None
        assert read_table(out).names[-2:] == ["margin", "agrees"]


def test_a_model_of_statistics_alone_takes_no_option_of_an_embedding(
    command, tmp_path, data
):
    path = save_of_statistics(tmp_path / "m.skops", PairwiseClassifierReward())
    for option, value in (
        ("--model", "x"),
        ("--template", "auto"),
        ("--cache-dir", tmp_path),
        ("--batch-size", 2),
    ):
        said = command.refused("evaluate", path, data, option, value)
        assert said.endswith(f"without an embedding for {option}")


def test_device_and_batch_size_reach_the_model(command, tmp_path, model, data):
    fitted = load_model(model, device="cpu", batch_size=3)
    embed = fitted[0].transformer_.transformer_list[0][1]
    assert (embed.device, embed.batch_size) == ("cpu", 3)
    assert embed.device in {
        value for name, value in fitted.get_params().items() if name.endswith("device")
    }
    plain = command.report("evaluate", model, data)
    report = command.report(
        "evaluate", model, data, "--device", "cpu", "--batch-size", 1
    )
    assert_allclose(report["order_consistency"], plain["order_consistency"])
    out = tmp_path / "out.jsonl"
    args = ["score", model, data, "-o", out, "--device"]
    assert "names no device" in command.refused(*args, "gpu")
    assert "torch sees" in command.refused(*args, "cuda:99")
    assert not out.exists()


def test_layouts_of_the_option_are_those_that_are_read():
    assert set(LAYOUTS) == {"auto", *preferences.LAYOUTS}
