"""The command that writes a report card."""

import hashlib

import pytest

from skreward.cli.main import main
from tests.cli.tables import good_and_bad, labelled, write_jsonl, write_rows
from tests.report.pages import read_page, text_of


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    rows = good_and_bad(12, seed=1)
    for row in rows:
        row["prompt"] += " two"
    return write_jsonl(tmp_path_factory.mktemp("unseen") / "unseen.jsonl", rows)


def test_a_page_of_a_model_on_a_file(command, model, unseen, tmp_path):
    out = tmp_path / "report.html"
    found = command.report("report", model, unseen, "-o", out)
    evaluated = command.report("evaluate", model, unseen)
    assert found["order_consistency"] == pytest.approx(evaluated["order_consistency"])
    assert found["n_pairs"] == evaluated["n_pairs"]
    assert found["n_prompts_trained_on"] == 0
    low, high = found["order_consistency_interval"]
    assert low < found["order_consistency"] < high
    assert found["compared"]["longer response"] == pytest.approx(
        evaluated["compared"]["longer response"]
    )
    said = text_of(read_page(out.read_text(encoding="utf-8")))
    assert "Report card: model.skops" in said
    digest = hashlib.sha256(unseen.read_bytes()).hexdigest()[:16]
    assert f"on unseen.jsonl, bytes {unseen.stat().st_size:,}, sha256 {digest}" in said
    assert str(tmp_path.parent) not in out.read_text()
    before = out.read_bytes()
    code, text, err = command.run("report", model, unseen, "-o", out, "--force")
    assert code == 0, err
    assert out.read_bytes() == before
    assert f"report written to {out}" in text
    assert "% interval" in text


def test_two_models_of_one_name_in_two_folders(
    command, model, tiny, data, unseen, tmp_path
):
    other = tmp_path / "b" / "model.skops"
    other.parent.mkdir()
    args = ["fit", data, "-o", other, "--model", tiny, "--reward", "classifier"]
    assert main([str(arg) for arg in args]) == 0
    out = tmp_path / "report.html"
    found = command.report("report", model, unseen, "-o", out, "--compare", other)
    assert found["gain_interval"][0] <= found["gain"] <= found["gain_interval"][1]
    said = text_of(read_page(out.read_text()))
    assert f"{model.parent.name}/model.skops and b/model.skops" in said
    itself = ["report", model, unseen, "-o", out, "--compare", model, "--force"]
    assert command.report(*itself)["gain"] == 0


def test_texts_stay_out_of_a_page_without_examples(command, model, unseen, tmp_path):
    out = tmp_path / "report.html"
    command.report("report", model, unseen, "-o", out, "--examples", "0")
    assert 'class="said"' not in out.read_text()


def test_ratings_and_labels(command, model, tmp_path):
    rows = [
        {"prompt": f"{p} one", "response": f"{w} {w}", "label": "efghabcd".index(w)}
        for p in "abcd"
        for w in "abcdefgh"
    ]
    rated, out = tmp_path / "rated.csv", tmp_path / "report.html"
    write_rows(rated, rows)
    found = command.report("report", model, rated, "-o", out, "--label", "label")
    assert found["n_pairs"] == 4 * 28
    assert "Improvement of the rating, 4 prompts" in text_of(read_page(out.read_text()))
    pairs = write_jsonl(tmp_path / "ab.jsonl", labelled(good_and_bad(6), "A", "B"))
    args = ["report", model, pairs, "-o", out, "--force"]
    assert command.report(*args)["order_consistency"] > 0.8


def test_a_name_of_a_file_that_is_html(command, model, unseen, tmp_path):
    evil = tmp_path / "<img src=x onerror=alert(1)>.jsonl"
    evil.write_bytes(unseen.read_bytes())
    out = tmp_path / "<script>.html"
    command.report("report", model, evil, "-o", out)
    read_page(out.read_text())


def test_what_is_wrong_is_told_before_the_work(command, model, unseen, tmp_path):
    out = tmp_path / "report.html"
    assert command.refused("report", model, unseen, "-o", tmp_path / "a.txt") == (
        f"{tmp_path / 'a.txt'}: wanted a name that ends in .html"
    )
    missing = tmp_path / "no.jsonl"
    # Bad data come first: a model takes a while to load.
    no_model = tmp_path / "bad.skops"
    no_model.write_text("no model")
    told = command.refused("report", no_model, missing, "-o", out)
    assert told == f"{missing}: No such file or directory"
    told = command.refused("report", tmp_path / "no.skops", unseen, "-o", out)
    assert "no.skops" in told
    told = command.refused("report", model, unseen, "-o", out, "--compare", unseen)
    assert told == f"{unseen} is no model file of skreward.save."
    out.write_text("mine")
    assert "exists; --force replaces it" in command.refused(
        "report", model, unseen, "-o", out
    )
    assert out.read_text() == "mine"
