"""Export, best, rewardbench and serve, by the command."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline

import skreward
from skreward.cli.main import main
from skreward.cli.ranks import ranks_within
from tests.support import ROOT, needs
from tests.tiny_models import WORDS, save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A linear reward for words of the first half, on a tiny language model."""
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    rows = [
        {
            "prompt": str(rng.choice(WORDS)),
            "chosen": " ".join(rng.choice(["a", "b", "c"], 4)),
            "rejected": " ".join(rng.choice(["f", "g", "h"], 4)),
        }
        for _ in range(80)
    ]
    embed = skreward.LLMEmbeddingTransformer(
        save_tiny(folder / "llama", bos=False), pooling="last",
        template="{prompt} {response}",
    )  # fmt: skip
    fitted = make_pipeline(embed, skreward.BradleyTerryRegressor(alpha=0.01)).fit(rows)
    skreward.save(fitted, folder / "model.skops")
    return str(folder / "model.skops")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


CANDIDATES = [
    {"prompt": "one", "response": "f g", "id": 0},
    {"prompt": "two", "response": "a b", "id": 1},
    {"prompt": "one", "response": "a b", "id": 2},
    {"prompt": "one", "response": "a b", "id": 3},
    {"prompt": "two", "response": "h h", "id": 4},
]


def test_best_of_every_prompt(model, tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", CANDIDATES)
    out = tmp_path / "best.jsonl"
    assert main(["best", model, data, "-o", str(out)]) == 0
    rows = read(out)
    assert [row["id"] for row in rows] == [2, 1]  # the first of ties
    assert [row["rank"] for row in rows] == [1, 1]
    wanted = skreward.load(model).predict(CANDIDATES)
    assert_allclose([row["reward"] for row in rows], wanted[[2, 1]], rtol=1e-5)
    assert main(["best", model, data, "-o", str(out), "-n", "2", "--force"]) == 0
    assert [(r["id"], r["rank"]) for r in read(out)] == [(2, 1), (3, 2), (1, 1), (4, 2)]
    assert main(["best", model, data, "-o", str(out), "-n", "3", "--force"]) == 0
    assert "1 prompt of 2 have fewer than 3 responses" in capsys.readouterr().err


def test_best_of_lists(model, tmp_path):
    rows = [
        {"prompt": "one", "responses": ["f", "a"], "kept": True},
        {"prompt": "two", "responses": ["a b"], "kept": False},
    ]
    out = tmp_path / "best.jsonl"
    data = write(tmp_path / "data.jsonl", rows)
    assert main(["best", model, data, "-o", str(out)]) == 0
    given = read(out)
    assert [(r["response"], r["kept"]) for r in given] == [("a", True), ("a b", False)]
    assert "responses" not in given[0]
    data = tmp_path / "data.csv"
    data.write_text('prompt,responses\none,"[""f"", ""a""]"\n')
    assert main(["best", model, str(data), "-o", str(tmp_path / "best.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "best.csv").open())
    assert row["response"] == "a"
    assert row["rank"] == "1"


def test_best_and_worst_as_pairs(model, tmp_path, capsys):
    rows = [*CANDIDATES, {"prompt": "three", "response": "a", "id": 5}]
    data, out = write(tmp_path / "data.jsonl", rows), tmp_path / "pairs.jsonl"
    assert main(["best", model, data, "-o", str(out), "--pairs"]) == 0
    one, two = read(out)
    assert (one["prompt"], one["chosen"], one["rejected"]) == ("one", "a b", "f g")
    assert two["reward_chosen"] > two["reward_rejected"]
    assert "1 prompt of 3 left out" in capsys.readouterr().err
    # What comes out goes in again.
    assert main(["evaluate", model, str(out)]) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "p", "responses": []}], ":1: column 'responses': wanted a list"),
        ([{"prompt": "p", "responses": ["a", ""]}], ":1: column 'responses'.*empty"),
        ([{"prompt": "p", "responses": "a"}], ":1: column 'responses'"),
        (
            [{"prompt": "p", "chosen": "a", "rejected": "b"}],
            "wanted the columns prompt",
        ),
        ([{"prompt": "p", "response": "a", "reward": 1}], "'reward' already"),
    ],
)
def test_best_of_bad_files(model, rows, message, tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", rows)
    assert main(["best", model, data, "-o", str(tmp_path / "best.jsonl")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said), said
    assert not (tmp_path / "best.jsonl").exists()


def test_ranks_within_prompts():
    assert ranks_within(np.array([1.0, 3, 3, 0, 2]), np.array([5, 5, 5, 1, 1])) == [
        3, 1, 2, 2, 1,
    ]  # fmt: skip


def test_export(model, tmp_path, capsys):
    needs("onnx")
    out = tmp_path / "reward.onnx"
    assert main(["export", model, "--to", "onnx", "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["largest_difference"] < 1e-3
    assert out.exists()
    for target in ("sentence-transformer", "sequence-classifier"):
        folder = tmp_path / target
        data = write(tmp_path / "data.jsonl", CANDIDATES)
        arguments = ["export", model, "--to", target, "-o", str(folder), "--data", data]
        assert main(arguments) == 0
        assert (folder / "skreward.json").exists()
    assert main(arguments) == 2
    assert "is there, and not empty" in capsys.readouterr().err
    bad = ["export", model, "--to", "onnx", "-o", str(tmp_path / "x.bin")]
    assert main(bad) == 2
    bad = [
        "export",
        model,
        "--to",
        "onnx",
        "--dtype",
        "float16",
        "-o",
        str(out) + "x.onnx",
    ]
    assert main(bad) == 2


def test_rewardbench(model, tmp_path, capsys):
    rows = [
        {"prompt": "one", "chosen": "a b", "rejected": "f g h", "subset": "hep-go"},
        {"prompt": "two", "chosen": "h h", "rejected": "a", "subset": "mt-bench-hard"},
    ]
    data, out = write(tmp_path / "data.jsonl", rows), tmp_path / "out.jsonl"
    arguments = ["rewardbench", model, data, "-o", str(out), "--json"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Reasoning" in printed
    report = json.loads(printed.splitlines()[-1])
    assert report["scores"]["Reasoning"] == 1
    assert report["scores"]["Chat Hard"] == 0
    assert report["length"]["Chat Hard"] == 1
    assert [row["results"] for row in read(out)] == [1, 0]
    assert main(["rewardbench", model, write(tmp_path / "x.jsonl", [{"a": 1}])]) == 2
    assert ":1: there is no column 'prompt'" in capsys.readouterr().err


def test_serve_answers_and_ends_quietly(model):
    httpx = needs("httpx")
    needs("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SKREWARD_TOKEN": "secret"}
    server = subprocess.Popen(
        [sys.executable, "-m", "skreward", "serve", model, "--port", str(port)],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                assert httpx.get(f"{url}/health").json() == {"status": "ok"}
                break
            except httpx.ConnectError:
                assert server.poll() is None, server.stderr.read()
                time.sleep(0.2)
        data = {"query": ["one a b"], "prompts": ["one "]}
        assert httpx.post(f"{url}/get_reward", json=data).status_code == 401
        headers = {"Authorization": "Bearer secret"}
        answer = httpx.post(f"{url}/get_reward", json=data, headers=headers, timeout=60)
        wanted = skreward.load(model).predict([{"prompt": "one ", "response": "a b"}])
        assert_allclose(answer.json()["rewards"], wanted, rtol=1e-5)
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    assert "Traceback" not in err
    assert "secret" not in out + err
