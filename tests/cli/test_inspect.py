"""What is said of a file before anything is fitted, and of a model file after."""

import numpy as np
import pytest

import skreward
from skreward.cli import inspection
from skreward.text.cache import clear_memory
from skreward.text.source import default_folder
from tests.cli.tables import good_and_bad, labelled, write_jsonl
from tests.support import data_file


def tangled():
    """Pairs with one of everything that is remarked on."""
    rows = labelled(good_and_bad()[:8], 1, 0)
    rows[0]["label"] = 0.5
    rows[1]["label"] = 0.75
    rows.append(dict(rows[2]))  # says it twice
    turned = {"response_a": rows[3]["response_b"], "response_b": rows[3]["response_a"]}
    rows.append(rows[3] | turned | {"label": 1 - rows[3]["label"]})  # the same again
    rows.append(rows[4] | {"label": 1 - rows[4]["label"]})  # the other way round
    rows.append(rows[5] | {"response_a": "a", "response_b": "a"})
    rows.append(rows[5] | {"response_a": " "})
    rows.append(rows[5] | {"response_b": 3})
    return rows


def test_everything_that_is_odd_is_counted(command, tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", tangled())
    report = command.report("inspect", path)
    assert report["layout"] == "labelled"
    assert report["columns"] == ["prompt", "response_a", "response_b"]
    assert (report["n_rows"], report["n_pairs"]) == (14, 11)
    assert (report["n_ties"], report["n_soft_labels"]) == (1, 1)
    assert (report["n_duplicates"], report["n_contradictions"]) == (2, 1)
    assert report["n_equal_pairs"] == 1
    assert report["skipped"] == {
        "column 'response_a' is empty": 1,
        "column 'response_b': wanted a string or a list of chat messages, got int": 1,
    }
    code, out, err = command.run("inspect", path)
    assert (code, err) == (0, "")
    for said in (
        "14 rows, layout labelled, read from 'prompt', 'response_a', 'response_b'",
        "duplicates                2 (same",
        "contradictions            1 (same",
        "1: column 'response_a' is empty (line 13)",
        "equal texts               1 (line 12), left out",
        "note: 1 pair of texts is labelled both ways",
    ):
        assert said in out


def test_the_example_is_read_as_the_label_says(command, tmp_path):
    rows = [
        {"q": "one", "l": "a b c", "r": "e f", "won": "right"},
        {"q": "two", "l": "d", "r": "g h e", "won": "left"},
    ]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    args = ["inspect", path, "--prompt-column", "q", "--response-a-column", "l"]
    args += ["--response-b-column", "r", "--label", "won"]
    report = command.report(*args, "--label-map", "left=1,right=0")
    assert report["example"] == {"prompt": "one", "preferred": "e f", "other": "a b c"}
    assert report["columns"] == ["q", "l", "r"]
    assert report["longer_wins"] == 0
    assert report["lengths"]["preferred"]["max"] == 3
    report = command.report(*args, "--label-map", "left=0,right=1")
    assert report["example"]["preferred"] == "a b c"
    assert report["longer_wins"] == 1
    assert "preferred: a b c" in " ".join(
        command.run(*args, "--label-map", "left=0,right=1")[1].split()
    )


def test_ratings_and_ties_alone(command, tmp_path):
    rows = [
        {"prompt": "one", "response": t, "s": len(t)} for t in ("a", "b c", "d e f")
    ]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    report = command.report("inspect", path, "--label", "s")
    assert report["ratings"]["max"] == 5
    assert (report["n_pairs"], report["longer_wins"]) == (3, 1)
    ties = [row | {"label": "tie"} for row in labelled(good_and_bad()[:3])]
    path = write_jsonl(path, ties)
    _, out, _ = command.run("inspect", path)
    assert "every pair is a tie" in out
    report = command.report("inspect", path)
    assert report["example"] is None
    assert set(report["lengths"]) == {"prompt"}


def test_what_cannot_be_read_is_an_error(command, tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [{"text": "a"}])
    assert "no column holds responses" in command.refused("inspect", path)
    rows = labelled(good_and_bad()[:3], "yes", "no")
    said = command.refused("inspect", write_jsonl(path, rows))
    assert "x.jsonl:1: column 'label': cannot tell what" in said
    rows = [row | {"chosen": ""} for row in good_and_bad()[:2]]
    assert "every row is bad" in command.refused("inspect", write_jsonl(path, rows))


def test_texts_are_cut_as_they_are_counted(command, tmp_path):
    """The count by the tokenizer is the warning of the model itself."""
    rng = np.random.default_rng(0)
    words = ["word", "naïve", "antidisestablishmentarianism", "东京", "!?", "\n"]
    rows = [
        {
            "prompt": "why",
            "chosen": " ".join(rng.choice(words, n)),
            "rejected": f"no {n}",
        }
        for n in (5, 60, 70, 80, 90, 240, 252, 253, 254, 255, 300)
    ]
    tokens = command.report("inspect", write_jsonl(tmp_path / "x.jsonl", rows))[
        "tokens"
    ]
    clear_memory()
    with pytest.warns(UserWarning, match="texts were cut to 256 tokens") as warned:
        skreward.LLMEmbeddingTransformer().fit_transform(rows)
    said = next(str(w.message) for w in warned if "were cut" in str(w.message))
    assert said.startswith(f"{tokens['n_cut']} of {tokens['n_texts']} texts")
    assert 0 < tokens["n_cut"] < tokens["n_texts"]


def test_an_encoder_that_is_not_here_is_told(command, tmp_path, monkeypatch, data):
    monkeypatch.setattr(inspection, "default_folder", lambda: None)
    code, out, _ = command.run("inspect", data)
    assert code == 0
    assert (
        "tokens are not counted: sentence-transformers/all-MiniLM-L6-v2 is not" in out
    )
    assert command.report("inspect", data)["tokens"] is None


def test_the_default_is_looked_for_without_the_hub(monkeypatch):
    def snapshot_download(name, *, local_files_only, **options):
        assert local_files_only
        raise OSError

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("skreward.text.source._packaged_default", lambda: None)
    assert default_folder() is None


@pytest.mark.realdata
def test_real_dialogues(command):
    report = command.report("inspect", data_file("hh_harmless_dev.jsonl.gz"))
    assert (report["layout"], report["n_pairs"]) == ("pairs", 1700)
    assert 0.4 < report["longer_wins"] < 0.5
    assert 0 < report["tokens"]["n_cut"] < report["tokens"]["n_texts"]


# -- models


def test_info_tells_what_fit_did(command, model, tiny, data):
    report = command.report("info", model)
    fitted = skreward.load(model)
    embed = fitted[0].transformer_.transformer_list[0][1]
    assert report["bytes"] == model.stat().st_size
    assert report["embedding"]["name"] == tiny
    assert report["embedding"]["digest"] == embed.model_digest_
    assert report["embedding"]["versions"] == embed.versions_
    assert report["trained_on"] == {
        "n_pairs": len(good_and_bad()), "n_prompts": 30, "all": True,
    }  # fmt: skip
    assert report["fit"]["data"] == data.name
    assert 0.5 < report["fit"]["order_consistency"] <= 1
    assert report["fit"]["versions"]["skreward"] == skreward.__version__
    assert report["trusted"] == []
    code, out, err = command.run("info", model)
    assert (code, err) == (0, "")
    assert f"order consistency {report['fit']['order_consistency']:.3f}" in out
    assert embed.model_digest_ in out
    assert "step       reward: bradleyterryregressorcv: BradleyTerryRegressorCV(" in out


def test_info_of_a_model_that_python_saved(command, tmp_path):
    model = skreward.BradleyTerryRegressor()
    skreward.save(model, tmp_path / "m.skops")
    report = command.report("info", tmp_path / "m.skops")
    assert (report["fit"], report["embedding"], report["trained_on"]) == (None,) * 3
    assert (
        "was not saved by skreward fit" in command.run("info", tmp_path / "m.skops")[1]
    )


def test_info_executes_nothing_and_names_what_is_not_trusted(command, tmp_path, model):
    path = tmp_path / "m.skops"
    path.write_bytes(b"no model")
    assert "is no model file" in command.refused("info", path)
    fitted = skreward.load(model)
    fitted[0].transformer_.transformer_list[0][1].trust_remote_code = True
    skreward.save(fitted, path)
    assert "--trust-remote-code" in command.refused("info", path)
    assert command.run("info", path, "--trust-remote-code")[0] == 0
