"""Published layouts, and ranks, by the command."""

import csv
import json

import pytest

import skreward
from skreward.cli.files import DataError, read_table
from skreward.cli.main import main
from skreward.cli.preferences import read_preferences
from tests.tiny_models import WORDS, save_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("llama"), bos=False)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def steered(n=24):
    """Rows as HelpSteer3 has them; the response of early letters is preferred."""
    rows = []
    for k in range(n):
        good, bad = " ".join(WORDS[k % 3 : k % 3 + 2]), " ".join(WORDS[5 : 7 + k % 2])
        rows.append(
            {
                "context": [
                    {"role": "user", "content": f"{WORDS[k % 12]} {k % 5} one"}
                ],
                "response1": (good, bad)[k % 2],
                "response2": (bad, good)[k % 2],
                "overall_preference": (-2, 2)[k % 2],
            }
        )
    return rows


def test_fit_and_evaluate_tell_the_layout(tiny, tmp_path, capsys):
    data, out = write(tmp_path / "data.jsonl", steered()), tmp_path / "model.skops"
    arguments = ["fit", str(data), "-o", str(out), "--model", tiny, "--folds", "2"]
    assert main([*arguments, "--reward", "linear", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["n_pairs"] == 24
    assert main(["evaluate", str(out), str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["order_consistency"] > 0.9
    assert main(["evaluate", str(out), str(data), "--layout", "shp"]) == 2
    assert "layout 'shp' has a column" in capsys.readouterr().err
    assert main(["evaluate", str(out), str(data), "--layout", "mine"]) == 2
    said = capsys.readouterr().err
    assert "'--layout': 'mine' is not one of 'auto', 'arena-55k'" in said


def test_lines_of_the_file_are_named(tmp_path):
    rows = steered(4)
    rows[2]["overall_preference"] = 7
    table = read_table(write(tmp_path / "data.jsonl", rows))
    with pytest.raises(DataError, match=r"data\.jsonl:3: overall_preference lies in"):
        read_preferences(table)
    rows = steered(4)
    rows[3]["response1"] = ""
    table = read_table(write(tmp_path / "data.jsonl", rows))
    with pytest.raises(DataError, match=r"data\.jsonl:4: "):
        read_preferences(table)


def test_ties_and_equal_texts_of_a_layout(tmp_path, capsys):
    rows = steered(4)
    rows[0]["overall_preference"] = 0
    rows[1]["response1"] = rows[1]["response2"]
    preferences = read_preferences(read_table(write(tmp_path / "data.jsonl", rows)))
    assert preferences.y.tolist() == [0.5, 1.0, 0.0]
    assert "1 pair left out: equal texts" in capsys.readouterr().err


def test_json_in_a_csv_cell(tmp_path):
    path = tmp_path / "data.csv"
    rows = [
        {
            "prompt": json.dumps(["q"]),
            "response_a": json.dumps(["a b"]),
            "response_b": json.dumps(["f"]),
            "winner_model_a": "1",
            "winner_model_b": "0",
            "winner_tie": "0",
        }
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert read_preferences(read_table(path)).y.tolist() == [1.0]
    rows = [{"history": "q", "human_ref_A": "a", "human_ref_B": "b", "labels": "0"}]
    path.write_text("history,human_ref_A,human_ref_B,labels\nq,a,b,0\n")
    assert read_preferences(read_table(path)).y.tolist() == [0.0]


def test_a_label_map_is_for_own_labels(tmp_path):
    table = read_table(write(tmp_path / "data.jsonl", steered(2)))
    with pytest.raises(DataError, match="a label column of your own"):
        read_preferences(table, label_map={"1": 1, "0": 0})


def test_unpaired_data_are_refused_with_a_word(tmp_path):
    rows = [{"prompt": "p", "completion": "c", "label": True}]
    table = read_table(write(tmp_path / "data.jsonl", rows))
    with pytest.raises(DataError, match="KTO"):
        read_preferences(table)


def test_score_ranks_within_prompts(tiny, tmp_path):
    from sklearn.pipeline import make_pipeline

    data = write(tmp_path / "pairs.jsonl", steered())
    pairs = skreward.datasets.read_preferences(steered())
    model = make_pipeline(
        skreward.LLMEmbeddingTransformer(tiny), skreward.BradleyTerryRegressor()
    ).fit(pairs.pairs, pairs.y)
    skreward.save(model, tmp_path / "model.skops")
    rows = [
        {"prompt": p, "response": r}
        for p, r in [("one", "f g"), ("two", "a"), ("one", "a b"), ("one", "a b")]
    ]
    data = write(tmp_path / "items.jsonl", rows)
    out = tmp_path / "scored.jsonl"
    assert (
        main(["score", str(tmp_path / "model.skops"), str(data), "-o", str(out)]) == 0
    )
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["rank"] for row in scored] == [3, 1, 1, 2]
