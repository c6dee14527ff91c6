"""`skreward embed`, and its folder in place of the texts that it was made of."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from skreward import load
from skreward.cli import files
from skreward.data.shards import open_folder
from skreward.datasets import load_embeddings
from tests.cli.tables import good_and_bad, labelled, write_jsonl, write_rows
from tests.support import ROOT

ROWS = good_and_bad()
FIT = ("--reward", "linear", "--folds", "3")


def rated(rows):
    """Rate responses, of which some are there twice."""
    made = []
    for k, row in enumerate(rows[:24]):
        for side in ("rejected", "chosen"):
            made.append({"prompt": row["prompt"], "response": row[side],
                         "rating": k % 3 + 2 * (side == "chosen")})  # fmt: skip
    return [*made, made[5], made[0]]


def same_text(row):
    return row | {"rejected": row["chosen"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny, data):
    """Folder of the pairs that the model was fitted to."""
    from skreward.cli.main import main

    path = tmp_path_factory.mktemp("embedded") / "pairs"
    args = ["embed", data, "-o", path, "--model", tiny, "--shard-rows", "50"]
    assert main([str(arg) for arg in args]) == 0
    return path


def coefficients(path):
    reward = load(path)[-1]
    return reward[-1].coef_


def assert_alike(one, two):
    """Compare reports: texts that are computed with others differ in rounding."""
    rest = {"data", "model", "output", "seconds"}
    assert one.keys() == two.keys()
    for key in one.keys() - rest:
        assert one[key] == (
            pytest.approx(two[key], abs=1e-5)
            if isinstance(two[key], float) or key == "compared"
            else two[key]
        ), key


DATA = {
    "pairs": (ROWS, ()),
    "equal texts": ([same_text(ROWS[0]), *ROWS, same_text(ROWS[3])], ()),
    "labels": (labelled(ROWS, "A", "B"), ()),
    "graded": (
        [row | {"label": 0.5} for row in labelled(ROWS)[:9]]
        + labelled(ROWS, "1", "0")[9:],
        (),
    ),
    "ratings": (rated(ROWS), ("--label", "rating")),
    "shp": (
        [
            {
                "history": row["prompt"],
                "human_ref_A": row["chosen"],
                "human_ref_B": row["rejected"],
                "labels": 1,
            }
            for row in ROWS
        ],
        (),
    ),
    "named": (
        [
            {"q": row["prompt"], "good": row["chosen"], "bad": row["rejected"]}
            for row in ROWS
        ],
        ("--prompt-column", "q", "--chosen-column", "good", "--rejected-column", "bad"),
    ),
    "bad rows": (
        [*ROWS[:40], {"prompt": "", "chosen": "a", "rejected": "b"}, *ROWS[40:]],
        ("--drop-bad-rows",),
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_a_fit_to_the_folder_is_the_fit_to_the_data(
    command, tmp_path, tiny, name, monkeypatch
):
    monkeypatch.setattr(files.read_blocks, "__defaults__", (None, None, 10))
    rows, options = DATA[name]
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    command.report("embed", data, "-o", tmp_path / "e", "--model", tiny, *options,
                   "--shard-rows", "7")  # fmt: skip
    one = command.report("fit", data, "-o", tmp_path / "a.skops", "--model", tiny, *FIT,
                         *options)  # fmt: skip
    two = command.report("fit", tmp_path / "e", "-o", tmp_path / "b.skops", *FIT)
    assert_alike(two, one)
    wanted = coefficients(tmp_path / "a.skops")
    size = np.abs(wanted).max()
    found = coefficients(tmp_path / "b.skops")
    np.testing.assert_allclose(found, wanted, atol=1e-5 * size)


def test_a_real_encoder_gives_the_fit_that_its_texts_give(command, tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", ROWS[:40])
    exact = ("--dtype", "float32")
    command.report("embed", data, "-o", tmp_path / "e", "--shard-rows", "30", *exact)
    reports = [
        command.report("fit", given, "-o", tmp_path / f"{k}.skops", *FIT, *options)
        for k, (given, options) in enumerate([(data, exact), (tmp_path / "e", ())])
    ]
    assert reports[0]["order_consistency"] == reports[1]["order_consistency"]
    one, two = (coefficients(tmp_path / f"{k}.skops") for k in range(2))
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-6 * np.abs(one).max())


@pytest.mark.parametrize("features", ["embedding", "statistics"])
def test_either_part_alone(command, tmp_path, tiny, data, folder, features):
    given = ("--features", features, *FIT)
    embedding = () if features == "statistics" else ("--model", tiny)
    one = command.report("fit", data, "-o", tmp_path / "a.skops", *given, *embedding)
    two = command.report("fit", folder, "-o", tmp_path / "b.skops", *given)
    assert one["order_consistency"] == two["order_consistency"]
    wanted = coefficients(tmp_path / "a.skops")
    found = coefficients(tmp_path / "b.skops")
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_model_of_the_folder_scores_new_texts(command, tmp_path, folder, data, model):
    command.report("fit", folder, "-o", tmp_path / "m.skops", "--reward", "linear")
    rewards = []
    for fitted, given in ((model, data), (tmp_path / "m.skops", data), (model, folder)):
        out = tmp_path / "out.jsonl"
        command.report("score", fitted, given, "-o", out, "--force")
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        rewards.append([row["margin"] for row in rows])
    for found in rewards[1:]:
        np.testing.assert_allclose(found, rewards[0], rtol=1e-4, atol=1e-4)
    assert set(rows[0]) == {"line", "reward_chosen", "reward_rejected", "margin"}
    assert [row["line"] for row in rows] == list(range(1, len(ROWS) + 1))


def test_evaluation_of_the_folder(command, tmp_path, folder, data, model):
    out = tmp_path / "margins.csv"
    one = command.report("evaluate", model, folder, "-o", out)
    two = command.report("evaluate", model, data)
    assert_alike(one, two)
    assert out.read_text().splitlines()[0] == "line,margin,probability,agrees"


def test_the_best_of_the_folder(command, tmp_path, tiny, model):
    data = write_jsonl(tmp_path / "data.jsonl", rated(ROWS))
    command.report("embed", data, "-o", tmp_path / "e", "--model", tiny)
    for k, given in enumerate([data, tmp_path / "e"]):
        command.report("best", model, given, "-o", tmp_path / f"{k}.jsonl", "-n", "2")
    one, two = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("0.jsonl", "1.jsonl")
    )
    rewards = [[row["reward"] for row in rows] for rows in (one, two)]
    np.testing.assert_allclose(*rewards, rtol=1e-4)
    texts = rated(ROWS)
    assert [row["response"] for row in one] == [
        texts[row["line"] - 1]["response"] for row in two
    ]
    said = command.refused("best", model, tmp_path / "e", "-o", tmp_path / "p.jsonl",
                           "--pairs")  # fmt: skip
    assert said.endswith("holds no texts, which --pairs writes")
    said = command.refused("fit", tmp_path / "e", "-o", tmp_path / "x.skops")
    assert "without a rating" in said


def test_what_the_folder_holds(command, tmp_path, tiny):
    rows = rated(ROWS)
    data = tmp_path / "data.jsonl.gz"
    data.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    report = command.report("embed", data, "-o", tmp_path / "e", "--model", tiny,
                            "--label", "rating", "--store", "float16")  # fmt: skip
    assert (report["n_texts"], report["n_rows"]) == (48, 50)
    found = load_embeddings(tmp_path / "e")
    assert found.embeddings.dtype == np.float16
    assert found.row_items[-2:].tolist() == [5, 0]
    assert found.ratings[:2].tolist() == [0, 2]
    assert len(np.unique(found.text_hashes, axis=0)) == 48
    assert found.response_chars[0] == len(rows[0]["response"])
    assert found.encoder["template"] == "auto"
    assert found.data["name"] == "data.jsonl.gz"
    everything = b"".join(
        p.read_bytes() for p in (tmp_path / "e").rglob("*") if p.is_file()
    )
    assert rows[0]["response"].encode() not in everything


@pytest.mark.parametrize("name", ["data.csv", "data.json", "data.parquet", "data.tsv"])
def test_every_format_gives_the_same_folder(
    command, tmp_path, tiny, folder, name, monkeypatch
):
    monkeypatch.setattr(files.read_blocks, "__defaults__", (None, None, 10))
    data = write_rows(tmp_path / name, ROWS)
    command.report("embed", data, "-o", tmp_path / "e", "--model", tiny)
    one, two = open_folder(folder), open_folder(tmp_path / "e")
    np.testing.assert_array_equal(one.text_hashes, two.text_hashes)
    np.testing.assert_allclose(one.embeddings[:], two.embeddings[:], atol=1e-5)


def test_chat_messages(command, tmp_path, other):
    rows = [
        {"prompt": [{"role": "user", "content": row["prompt"]}],
         "chosen": [{"role": "assistant", "content": row["chosen"]}],
         "rejected": [{"role": "assistant", "content": row["rejected"]}]}
        for row in ROWS[:20]
    ]  # fmt: skip
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    command.report("embed", data, "-o", tmp_path / "e", "--model", other)
    fits = [
        command.report("fit", given, "-o", tmp_path / "m.skops", "--force", *FIT, *more)
        for given, more in ((data, ("--model", other)), (tmp_path / "e", ()))
    ]
    assert fits[0]["order_consistency"] == fits[1]["order_consistency"]


def test_a_killed_job_goes_on(command, tmp_path, tiny, data, folder):
    args = [sys.executable, "-m", "skreward", "embed", data, "-o", tmp_path / "e",
            "--model", tiny, "--shard-rows", "1"]  # fmt: skip
    process = subprocess.Popen(args, cwd=ROOT, stdout=subprocess.DEVNULL)
    sealed = tmp_path / "e" / "sealed"
    while len(list(sealed.glob("*.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    when = {p: p.stat().st_mtime_ns for p in sealed.glob("*.json")}
    code, _, err = command.run("fit", tmp_path / "e", "-o", tmp_path / "m.skops")
    assert code == 2
    assert "shards are not computed yet: run the same skreward embed again" in err
    report = command.report("embed", data, "-o", tmp_path / "e", "--model", tiny,
                            "--shard-rows", "1")  # fmt: skip
    assert report["n_computed"] == report["n_texts"] - len(when)
    assert all(path.stat().st_mtime_ns == at for path, at in when.items())
    one, two = open_folder(folder), open_folder(tmp_path / "e")
    np.testing.assert_array_equal(one.text_hashes, two.text_hashes)
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_allclose(one.embeddings[:], two.embeddings[:], atol=1e-5)
    np.testing.assert_array_equal(one.statistics[:], two.statistics[:])


def test_processes_compute_the_same(command, tmp_path, tiny, data, folder):
    report = command.report("embed", data, "-o", tmp_path / "e", "--model", tiny,
                            "--shard-rows", "50", "--jobs", "2")  # fmt: skip
    assert report["n_computed"] == report["n_texts"]
    one, two = open_folder(folder), open_folder(tmp_path / "e")
    np.testing.assert_allclose(one.embeddings[:], two.embeddings[:], atol=1e-5)


def test_a_cluster_computes_the_same(command, tmp_path, tiny, data, folder):
    import distributed

    options = {"processes": False, "dashboard_address": None, "n_workers": 2}
    with distributed.LocalCluster(**options) as cluster:
        command.report("embed", data, "-o", tmp_path / "e", "--model", tiny,
                       "--shard-rows", "50",
                       "--dask", cluster.scheduler_address)  # fmt: skip
    one, two = open_folder(folder), open_folder(tmp_path / "e")
    np.testing.assert_allclose(one.embeddings[:], two.embeddings[:], atol=1e-5)


def test_a_cluster_that_is_not_there(command, tmp_path, tiny, data, monkeypatch):
    import distributed

    def refuse(address, timeout):
        raise OSError(f"timed out after {timeout} s")

    monkeypatch.setattr(distributed, "Client", refuse)
    said = command.refused("embed", data, "-o", tmp_path / "e", "--model", tiny,
                           "--dask", "tcp://127.0.0.1:1")  # fmt: skip
    assert said.startswith("--dask: no scheduler answers at tcp://127.0.0.1:1")


def test_a_model_of_another_encoder_is_refused(command, tmp_path, folder, other, data):
    command.report("fit", data, "-o", tmp_path / "m.skops", "--model", other, *FIT)
    for name in ("evaluate", "score"):
        said = command.refused(name, tmp_path / "m.skops", folder, "-o",
                               tmp_path / "out.jsonl")  # fmt: skip
        assert "its embeddings are not the model's: digest" in said


def test_a_model_of_another_template_is_refused(command, tmp_path, tiny, folder, data):
    template = "{prompt} one {response}"
    command.report("fit", data, "-o", tmp_path / "m.skops", "--model", tiny,
                   "--template", template, *FIT)  # fmt: skip
    said = command.refused("evaluate", tmp_path / "m.skops", folder)
    assert f"template 'auto', and the model was fitted with '{template}'" in said


CHANGED = [
    (("--template", "{response}"), "template 'auto', not '{response}'"),
    (("--max-length", "5"), "max_length None, not 5"),
    (("--store", "float16"), "dtype 'float32', not 'float16'"),
    (("--pooling", "last"), "pooling 'auto', not 'last'"),
]


@pytest.mark.parametrize(("options", "said"), CHANGED)
def test_what_differs_from_before_is_named(command, tiny, data, folder, options, said):
    args = ("embed", data, "-o", folder, "--model", tiny, "--shard-rows", "50")
    line = command.refused(*args, *options)
    assert f"was begun with {said}; give another folder, or delete this one" in line


def test_data_that_changed_are_told_by_the_line(command, tmp_path, tiny, data, folder):
    rows = [dict(row) for row in ROWS]
    rows[17]["rejected"] = "one two"
    changed = write_jsonl(tmp_path / "pairs.jsonl", rows)
    line = command.refused("embed", changed, "-o", folder, "--model", tiny,
                           "--shard-rows", "50")  # fmt: skip
    assert "the first text that differs is at line 18" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "x"), "--model cannot act with a folder of embeddings"),
        (("--label", "x"), "--label cannot act with a folder of embeddings"),
        (("--prompt-column", "x"), "--prompt-column cannot act with a folder"),
    ],
)
def test_options_of_texts_are_refused(command, tmp_path, folder, model, options, said):
    line = command.refused("fit", folder, "-o", tmp_path / "m.skops", *options)
    assert line.startswith(said)
    assert command.refused("evaluate", model, folder, *options).startswith(said)


@pytest.mark.parametrize("name", ["inspect", "report"])
def test_what_needs_texts_is_told_there_are_none(
    command, tmp_path, folder, model, name
):
    args = (
        (folder,) if name == "inspect" else (model, folder, "-o", tmp_path / "r.html")
    )
    said = command.refused(name, *args)
    assert said.endswith("is a folder of embeddings, and holds no texts")


def test_what_embed_cannot_take(command, tmp_path, tiny, data):
    file = tmp_path / "file"
    file.write_text("x")
    refused = [
        (("-", "-o", tmp_path / "e"), "a pipe is there once"),
        ((data, "-o", file), "exists, and is no folder"),
        ((data, "-o", tmp_path / "a" / "b"), "there is no folder"),
        ((data, "-o", tmp_path / "e", "--dask", "x", "--jobs", "2"), "--jobs cannot"),
        ((data, "-o", tmp_path / "e", "--shard-rows", "0"), "--shard-rows"),
        ((data, "-o", tmp_path / "e", "--label-map", "a=1"), "--label-map goes"),
        ((tmp_path / "none.jsonl", "-o", tmp_path / "e"), "No such file"),
    ]
    for args, said in refused:
        assert said in command.refused("embed", *args, "--model", tiny), args


def test_a_bad_row_late_in_the_file_is_told_before_the_work(
    command, tmp_path, tiny, monkeypatch
):
    monkeypatch.setattr(files.read_blocks, "__defaults__", (None, None, 10))
    data = write_jsonl(tmp_path / "d.jsonl", [*ROWS, {"prompt": "a", "chosen": "b"}])
    line = command.refused("embed", data, "-o", tmp_path / "e", "--model", tiny)
    assert f"d.jsonl:{len(ROWS) + 1}: " in line
    assert not list((tmp_path / "e" / "embeddings").iterdir())
    assert not list((tmp_path / "e" / "texts").iterdir())


def test_a_last_block_of_bad_rows_is_left_out(command, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(files.read_blocks, "__defaults__", (None, None, len(ROWS)))
    bad = {"prompt": "a", "chosen": "", "rejected": "b"}
    data = write_jsonl(tmp_path / "d.jsonl", [*ROWS, bad])
    args = ("embed", data, "-o", tmp_path / "e", "--model", tiny, "--drop-bad-rows")
    assert command.report(*args)["n_rows"] == len(ROWS)
    only = write_jsonl(tmp_path / "o.jsonl", [bad])
    args = ("embed", only, "-o", tmp_path / "o", "--model", tiny, "--drop-bad-rows")
    assert "every row is bad" in command.refused(*args)


def test_a_hostile_manifest_loads_no_code(command, tmp_path, folder):
    """A manifest may not ask for the code of a model, nor be of other types."""
    import shutil

    shutil.copytree(folder, tmp_path / "e")
    path = tmp_path / "e" / "manifest.json"
    about = json.loads(path.read_text())
    for changed in (
        {"encoder": about["encoder"] | {"model": ["x"]}},
        {"encoder": about["encoder"] | {"template": "{prompt.__class__}{response}"}},
        {"encoder": {}},
        {"data": {}},
        {"data": about["data"] | {"form": ["response"]}},
    ):
        path.write_text(json.dumps(about | changed))
        command.refused("fit", tmp_path / "e", "-o", tmp_path / "m.skops")
    about["encoder"] |= {"trust_remote_code": True, "cache_dir": "/"}
    path.write_text(json.dumps(about))
    command.report("fit", tmp_path / "e", "-o", tmp_path / "m.skops", *FIT)
    union = load(tmp_path / "m.skops")[0].transformer_
    embed = dict(union.transformer_list)["embedding"]
    assert (embed.trust_remote_code, embed.cache_dir) == (False, None)


def test_numbers_that_are_not_finite_are_refused(command, tmp_path, folder):
    import shutil

    shutil.copytree(folder, tmp_path / "e")
    path = tmp_path / "e" / "embeddings" / "00001.npy"
    rows = np.load(path)
    rows[3, 2] = np.nan
    np.save(path, rows)
    line = command.refused("fit", tmp_path / "e", "-o", tmp_path / "m.skops")
    assert line.endswith("item 53, in shard 00001, is not finite")
