"""Embeddings that something else computed: arrays in place of texts."""

import json
import zipfile

import numpy as np
import pytest

from skreward import load
from skreward.datasets import load_embeddings, make_preferences

DATA = make_preferences(
    n_prompts=30, n_responses=4, n_features=5, n_pairs=200, random_state=0
)
ITEMS = {
    "embeddings": DATA.pairs.embeddings,
    "prompt_ids": DATA.pairs.prompt_ids,
}
PAIRS = ITEMS | {"index": DATA.pairs.index, "y": DATA.y}
RATED = ITEMS | {"ratings": DATA.rewards}
FIT = ("--reward", "linear", "--folds", "3")


def write(path, arrays):
    """Save arrays in an .npz file, or the embeddings in an .npy file, others beside."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    for old in path.parent.glob("*.npy"):
        old.unlink()
    for name, array in arrays.items():
        file = path if name == "embeddings" else path.with_name(f"{name}.npy")
        np.save(file, array)
    return path


@pytest.fixture(scope="module")
def rows_model(tmp_path_factory):
    """A model fitted to rows."""
    from skreward.cli.main import main

    folder = tmp_path_factory.mktemp("arrays")
    data = write(folder / "pairs.npz", PAIRS)
    args = ["fit", data, "-o", folder / "model.skops", *FIT]
    assert main([str(arg) for arg in args]) == 0
    return folder / "model.skops"


def test_a_model_of_rows_predicts_rewards_of_rows(command, tmp_path, rows_model):
    data = write(tmp_path / "items.npz", ITEMS)
    report = command.report("score", rows_model, data, "-o", tmp_path / "out.jsonl")
    assert report["n_rows"] == len(DATA.pairs.embeddings)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").open()]
    assert set(rows[0]) == {"row", "reward", "rank"}
    assert [row["row"] for row in rows] == list(range(len(rows)))
    rewards = load(rows_model).predict(ITEMS["embeddings"])
    np.testing.assert_allclose([row["reward"] for row in rows], rewards)
    assert command.report("info", rows_model)["embedding"] is None


@pytest.mark.parametrize("name", ["data.npz", "items.npy"])
def test_evaluation_and_the_best_of_rows(command, tmp_path, rows_model, name):
    for arrays in (PAIRS, RATED):
        data = write(tmp_path / name, arrays)
        report = command.report("evaluate", rows_model, data)
        assert report["order_consistency"] > 0.7
        assert set(report["compared"]) == {"model", "coin"}
        assert report["n_prompts_trained_on"] == 30
    command.report("best", rows_model, data, "-o", tmp_path / "best.csv")
    assert len((tmp_path / "best.csv").read_text().splitlines()) == 31
    pairs = write(tmp_path / "pairs.npz", PAIRS)
    command.report("score", rows_model, pairs, "-o", tmp_path / "pairs.jsonl")
    row = json.loads((tmp_path / "pairs.jsonl").open().readline())
    assert set(row) == {"row", "reward_response_a", "reward_response_b", "margin"}


def test_rows_of_a_folder_give_the_fit_of_the_folder(command, tmp_path, tiny, data):
    command.report("embed", data, "-o", tmp_path / "e", "--model", tiny)
    found = load_embeddings(tmp_path / "e")
    arrays = write(
        tmp_path / "a.npz",
        {
            "embeddings": found.embeddings[:],
            "prompt_ids": found.prompt_ids.astype(str),
            "index": found.index,
        },
    )
    one = command.report("fit", arrays, "-o", tmp_path / "a.skops", *FIT)
    two = command.report("fit", tmp_path / "e", "-o", tmp_path / "b.skops", *FIT,
                         "--features", "embedding")  # fmt: skip
    assert one["n_pairs"] == two["n_pairs"]
    # Folds are dealt by ids of prompts, which are other ids here.
    coefs = [load(tmp_path / name)[-1] for name in ("a.skops", "b.skops")]
    assert coefs[0][-1].coef_.shape == coefs[1][-1].coef_.shape


@pytest.mark.parametrize("name", ["data.npz", "items.npy"])
def test_float16_and_strings(command, tmp_path, name):
    arrays = PAIRS | {
        "embeddings": PAIRS["embeddings"].astype(np.float16),
        "prompt_ids": PAIRS["prompt_ids"].astype(str),
    }
    data = write(tmp_path / name, arrays)
    report = command.report("fit", data, "-o", tmp_path / "m.skops", *FIT)
    assert report["order_consistency"] > 0.7


def test_one_model_of_both_forms(command, tmp_path, rows_model):
    data = write(tmp_path / "pairs.npy", PAIRS)
    command.report("fit", data, "-o", tmp_path / "m.skops", *FIT)
    coefs = [load(path)[-1][-1].coef_ for path in (rows_model, tmp_path / "m.skops")]
    np.testing.assert_array_equal(*coefs)


def test_texts_and_rows_are_not_mixed(command, tmp_path, data, model, rows_model):
    arrays = write(tmp_path / "data.npz", PAIRS)
    line = command.refused("evaluate", model, arrays)
    assert "the model takes texts" in line
    line = command.refused("evaluate", rows_model, data)
    assert line.endswith("holds no pipeline from texts to rewards")
    line = command.refused("best", rows_model, arrays, "-o", tmp_path / "o.csv")
    assert "wanted the columns prompt, response" in line


WRONG = [
    ({"embeddings": None}, "there is no array 'embeddings'"),
    ({"prompt_ids": None}, "there is no array 'prompt_ids'"),
    ({"embeddings": np.ones((3, 2, 1))}, "embeddings: wanted floating numbers"),
    ({"embeddings": np.ones((120, 2), int)}, "embeddings: wanted floating numbers"),
    ({"embeddings": np.empty((0, 2))}, "embeddings: wanted floating numbers"),
    ({"embeddings": np.full((120, 2), np.nan)}, "embeddings: row 0 is not finite"),
    ({"embeddings": np.array([[{}]])}, "no {suffix} file of numbers"),
    ({"prompt_ids": np.ones(3, int)}, "prompt_ids: wanted integers or strings"),
    ({"prompt_ids": np.ones(120)}, "prompt_ids: wanted integers or strings"),
    ({"index": np.ones((3, 2))}, "index: wanted integers"),
    ({"index": np.ones((200, 3), int)}, "index: wanted integers"),
    ({"index": np.full((200, 2), 120)}, "index: wanted pairs of the items 0 to 119"),
    ({"index": np.full((200, 2), -1)}, "index: wanted pairs of the items 0 to 119"),
    ({"index": np.full((200, 2), 1)}, "nothing but 200 pairs of equal texts"),
    ({"y": np.ones(3)}, "y: wanted 200 numbers"),
    ({"y": np.full(200, np.inf)}, "y: holds a number that is not finite"),
    ({"y": np.full(200, 2.0)}, "a label of a pair is not within 0 and 1"),
    ({"index": None}, "y: goes with an index"),
    ({"index": None, "y": None}, "without a rating"),
    ({"ratings": np.ones(120)}, "ratings: go without an index"),
]


@pytest.mark.parametrize("name", ["data.npz", "items.npy"])
@pytest.mark.parametrize(("changed", "said"), WRONG, ids=[said for _, said in WRONG])
def test_arrays_that_are_wrong(command, tmp_path, name, changed, said):
    arrays = {k: v for k, v in (PAIRS | changed).items() if v is not None}
    data = write(tmp_path / name, arrays)
    said = said.format(suffix=data.suffix)
    if name.endswith("npy") and changed.get("embeddings", data) is None:
        said = "No such file"
    line = command.refused("fit", data, "-o", tmp_path / "m.skops", *FIT)
    assert line.startswith(str(data))
    assert said in line


def test_what_is_no_file_of_arrays(command, tmp_path):
    data = tmp_path / "data.npz"
    refused = ("fit", data, "-o", tmp_path / "m.skops")
    assert "No such file" in command.refused(*refused)
    data.write_bytes(b"PK\x03\x04 and no more")
    assert "no .npz file of numbers" in command.refused(*refused)
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("embeddings.npy", b"\0" * (300 << 20))
    assert "the file unpacks to 300 MiB" in command.refused(*refused)


@pytest.mark.parametrize("written", [b"", b"PK\x03\x04 no array", b"\x93NUMPY\x01\x00"])
def test_what_is_no_mapped_array(command, tmp_path, written):
    data = write(tmp_path / "items.npy", PAIRS)
    refused = ("fit", data, "-o", tmp_path / "m.skops")
    for name in ("y.npy", "items.npy"):
        (tmp_path / name).write_bytes(written)
        said = command.refused(*refused)
        assert said.startswith(str(tmp_path / name))
        assert "no .npy file of numbers" in said


@pytest.mark.parametrize("options", [("--features", "embedding"), ("--model", "x")])
def test_options_of_texts_cannot_act(command, tmp_path, options):
    data = write(tmp_path / "data.npz", PAIRS)
    line = command.refused("fit", data, "-o", tmp_path / "m.skops", *options)
    assert line == f"{options[0]} cannot act with arrays, which hold no texts"
