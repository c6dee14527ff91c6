"""The command line, in this process where it can be and in another where it must."""

import csv
import gzip
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import skreward
from skreward.cli import main as cli
from skreward.cli.files import DataError, read_table, write_table
from skreward.metrics import order_consistency_score
from skreward.text import encoders
from skreward.text.cache import clear_memory
from tests.support import data_file
from tests.tiny_models import CHAT, WORDS, save_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("other"), seed=1, chat=CHAT)


def good_and_bad(n_prompts=30, seed=0):
    """Pairs of which the response with more of the letters a to d is preferred."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n_prompts):
        prompt = f"{WORDS[k % 8]} {WORDS[k // 8]} one"
        for _ in range(4):
            texts = [" ".join(rng.choice(WORDS[:8], 6)) for _ in range(2)]
            counts = [sum(word in "abcd" for word in text.split()) for text in texts]
            if counts[0] != counts[1]:
                chosen, rejected = texts if counts[0] > counts[1] else texts[::-1]
                rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    return rows


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_jsonl(folder / "pairs.jsonl", good_and_bad())


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny, data):
    path = tmp_path_factory.mktemp("model") / "model.skops"
    args = ["fit", data, "-o", path, "--model", tiny, "--reward", "linear"]
    assert cli.main([str(arg) for arg in args]) == 0
    return path


def run(capfd, *args):
    """Run a command; give its exit code, stdout and stderr."""
    code = cli.main([str(arg) for arg in args])
    out, err = capfd.readouterr()
    return code, out, err


def refused(capfd, *args):
    """Run a command that must fail; give its one line."""
    code, out, err = run(capfd, *args)
    assert code == 2
    assert "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert out == ""
    return lines[0].removeprefix("skreward: ")


# -- the commands


def test_fit_compares_and_saves(capfd, tmp_path, tiny, data):
    output = tmp_path / "model.skops"
    code, out, err = run(
        capfd, "fit", data, "-o", output, "--model", tiny, "--json", "--folds", 4
    )
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    rows = good_and_bad()
    assert report["n_pairs"] == len(rows)
    assert report["n_prompts"] == 30
    assert report["model"] == str(output)
    assert report["embedding_model"] == tiny
    assert list(report["compared"]) == [
        "linear",
        "network",
        "classifier",
        "longer response",
        "coin",
    ]
    assert report["order_consistency"] == report["compared"][report["reward"]]
    assert report["order_consistency"] > 0.7 > report["compared"]["coin"]
    assert 0 < report["order_consistency_std"] < 0.3
    assert report["seconds"] > 0
    for name in report["compared"]:
        assert name in out
    fitted = skreward.load(output)
    assert fitted.predict(rows).shape == (len(rows),)
    embed = fitted[0]
    assert (embed.model_name_, embed.template) == (tiny, "auto")
    assert embed.cache_dir is None
    assert "torch" in embed.versions_


def test_evaluate_and_score_agree_with_python(capfd, tmp_path, model):
    rows = good_and_bad(seed=5)
    unseen = write_jsonl(tmp_path / "unseen.jsonl", rows)
    code, out, _ = run(capfd, "evaluate", model, unseen, "--json")
    assert code == 0
    report = json.loads(out.splitlines()[-1])
    fitted = skreward.load(model)
    margin = fitted.predict(rows)
    assert_allclose(
        report["order_consistency"], order_consistency_score(None, margin), rtol=1e-12
    )
    assert report["order_consistency_stderr"] > 0
    assert 0 <= report["calibration_error"] <= 1
    output = tmp_path / "out.jsonl"
    code, out, _ = run(capfd, "score", model, unseen, "-o", output)
    assert code == 0
    assert str(output) in out
    scored = read_table(output).rows
    assert [row["prompt"] for row in scored] == [row["prompt"] for row in rows]
    assert_allclose([row["margin"] for row in scored], margin, rtol=1e-6)
    difference = [row["reward_chosen"] - row["reward_rejected"] for row in scored]
    assert_allclose(difference, margin, rtol=1e-5, atol=1e-8)
    items = [{"prompt": row["prompt"], "response": row["chosen"]} for row in rows]
    single = write_jsonl(tmp_path / "items.jsonl", items)
    assert run(capfd, "score", model, single, "-o", tmp_path / "items.csv")[0] == 0
    rewards = [float(row["reward"]) for row in read_table(tmp_path / "items.csv").rows]
    assert_allclose(rewards, [row["reward_chosen"] for row in scored], rtol=1e-5)


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv", ".parquet"])
def test_every_format_gives_the_same_model(capfd, tmp_path, tiny, model, suffix):
    path = tmp_path / f"pairs{suffix}"
    write_table(path, good_and_bad())
    again = tmp_path / "again.skops"
    code, _, err = run(
        capfd, "fit", path, "-o", again, "--model", tiny, "--reward", "linear"
    )
    assert code == 0, err
    rows = good_and_bad(seed=5)
    assert_array_equal(
        skreward.load(again).predict(rows), skreward.load(model).predict(rows)
    )


def test_labels_say_which_response_is_preferred(capfd, tmp_path, tiny, model):
    flipped = []
    for k, row in enumerate(good_and_bad()):
        a, b = ("chosen", "rejected") if k % 2 else ("rejected", "chosen")
        flipped.append(
            {
                "prompt": row["prompt"],
                "response_a": row[a],
                "response_b": row[b],
                "label": k % 2,
            }
        )
    path = write_jsonl(tmp_path / "labelled.jsonl", flipped)
    _, out, _ = run(capfd, "evaluate", model, path, "--json")
    swapped = json.loads(out.splitlines()[-1])
    plain = write_jsonl(tmp_path / "plain.jsonl", good_and_bad())
    _, out, _ = run(capfd, "evaluate", model, plain, "--json")
    report = json.loads(out.splitlines()[-1])
    for name in ("order_consistency", "calibration_error", "n_pairs", "n_prompts"):
        assert_allclose(swapped[name], report[name], rtol=1e-6)


def test_ratings_give_best_of_n(capfd, tmp_path, model):
    rng = np.random.default_rng(0)
    rows = []
    for k in range(10):
        for _ in range(6):
            words = rng.choice(WORDS[:8], 6)
            rating = sum(word in "abcd" for word in words)
            rows.append(
                {"prompt": WORDS[k], "response": " ".join(words), "stars": int(rating)}
            )
    path = write_jsonl(tmp_path / "rated.jsonl", rows)
    code, out, err = run(capfd, "evaluate", model, path, "--label", "stars", "--json")
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["order_consistency"] > 0.6
    assert list(report["best_of_n"]) == ["1", "2", "5"]
    assert report["best_of_n"]["1"] == 0
    assert report["best_of_n"]["5"] > 0.2


def test_another_embedding_model_or_template_is_refused(
    capfd, tmp_path, model, data, tiny, other
):
    line = refused(capfd, "evaluate", model, data, "--model", other)
    assert "it is another model" in line
    out = tmp_path / "out.jsonl"
    line = refused(
        capfd, "score", model, data, "-o", out, "--template", "{prompt}{response}"
    )
    assert "fitted with template 'auto'" in line
    assert not out.exists()
    assert run(capfd, "evaluate", model, data, "--model", tiny)[0] == 0


def test_pairs_cut_to_the_same_tokens_are_told_of(capfd, tmp_path, tiny, data):
    args = ["fit", data, "-o", tmp_path / "m.skops", "--model", tiny]
    code, _, err = run(capfd, *args, "--reward", "linear", "--max-length", 5)
    assert code == 0
    assert "skreward: warning: " in err
    assert "pairs have equal embeddings" in err


def test_help_and_version(capfd):
    for args in (["--help"], ["fit", "-h"], ["evaluate", "--help"], ["--version"], []):
        code, out, err = run(capfd, *args)
        assert (code, err) == (0, "")
        assert "skreward" in out


# -- what is wrong is said on one line

GOOD = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("x.jsonl", "", None, "the file holds no rows"),
        ("x.jsonl", "\n \n", None, "the file holds no rows"),
        ("x.jsonl", f"{GOOD}\n\n{{broken\n", 3, "broken JSON"),
        ("x.jsonl", f"{GOOD}\n[1]\n", 2, "wanted a JSON object, got list"),
        ("x.jsonl", '\n{"prompt": "p", "chosen": "a"}\n', 2, "no column 'rejected'"),
        ("x.jsonl", '{"text": "p"}\n', 1, "fit no form of text"),
        (
            "x.jsonl",
            f'{GOOD}\n{{"prompt": "p", "chosen": 3, "rejected": "b"}}',
            2,
            "'chosen': wanted a string or a list of chat messages, got int",
        ),
        (
            "x.jsonl",
            f'{GOOD}\n{{"prompt": "p", "chosen": null, "rejected": "b"}}',
            2,
            "column 'chosen': the text is missing",
        ),
        (
            "x.jsonl",
            f'{GOOD}\n{{"prompt": "p"}}',
            2,
            "'chosen': the row has no such key",
        ),
        ("x.jsonl", b"\xff\xfe\n", 1, "not UTF-8"),
        (
            "x.jsonl",
            '{"prompt": "p", "response_a": "a", "response_b": "b"}',
            1,
            "there is no column 'label'",
        ),
        (
            "x.jsonl",
            '{"prompt": "p", "response_a": "a", "response_b": "b", "label": "yes"}',
            1,
            "column 'label': wanted a number, got 'yes'",
        ),
        (
            "x.jsonl",
            '{"prompt": "p", "response_a": "a", "response_b": "b", "label": 2}',
            1,
            "wanted a label in [0, 1], got 2",
        ),
        (
            "x.jsonl",
            '{"prompt": "p", "response": "a"}',
            1,
            "needs --label with a rating",
        ),
        ("x.csv", "prompt,chosen\np,a\n", 2, "no column 'rejected'"),
        ("x.csv", "prompt,chosen,rejected\n", None, "the file holds no rows"),
        (
            "x.csv",
            'prompt,chosen,rejected\n"p\nq",a,b\nr,a\n',
            4,
            "2 fields for 3 columns",
        ),
        ("x.csv", 'prompt,chosen,rejected\np,"a,b\n', 2, "broken CSV"),
        ("x.csv", "prompt,prompt\np,a\n", 1, "two columns have the same name"),
        ("x.jsonl.gz", b"no gzip", None, "not a whole gzip file"),
        (
            "x.jsonl.gz",
            gzip.compress(GOOD.encode() * 99)[:-9],
            None,
            "not a whole gzip",
        ),
        ("x.parquet", b"no parquet", None, "not a Parquet file"),
        ("x.txt", GOOD, None, "unknown extension; wanted .jsonl, .jsonl.gz"),
        ("x.jsonl", GOOD, None, "1 prompts are too few for 5 folds"),
    ],
)
def test_bad_data(capfd, tmp_path, tiny, name, content, line, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    output = tmp_path / "model.skops"
    output.write_text("the old model")
    said = refused(capfd, "fit", path, "-o", output, "--force", "--model", tiny)
    where = f"{path}: " if line is None else f"{path}:{line}: "
    assert said.startswith(where), said
    assert message in said
    assert output.read_text() == "the old model"
    assert sorted(tmp_path.iterdir()) == sorted([path, output])


def test_files_that_are_not_there(capfd, tmp_path, tiny, data, model):
    out = tmp_path / "m.skops"
    said = refused(capfd, "fit", tmp_path / "no.jsonl", "-o", out)
    assert said.endswith("no.jsonl: No such file or directory")
    said = refused(capfd, "evaluate", tmp_path / "no.skops", data)
    assert said.endswith("no.skops: No such file or directory")
    said = refused(capfd, "fit", data, "-o", out, "--model", "./nowhere")
    assert "there is no folder './nowhere'" in said
    said = refused(capfd, "fit", data, "-o", tmp_path / "no" / "m.skops")
    assert "there is no folder" in said


def test_bad_usage(capfd, tmp_path, data, model):
    assert "No such command 'fix'" in refused(capfd, "fix")
    assert "Missing option '-o'" in refused(capfd, "fit", data)
    assert "--folds" in refused(capfd, "fit", data, "-o", "x.skops", "--folds", "1")
    assert "--reward" in refused(capfd, "fit", data, "-o", "x.skops", "--reward", "x")
    assert "ends in .skops" in refused(capfd, "fit", data, "-o", tmp_path / "x.pkl")
    assert "unknown extension" in refused(
        capfd, "score", model, data, "-o", tmp_path / "x.txt"
    )
    bad = ["fit", data, "-o", tmp_path / "x.skops", "--template", "{prompt}"]
    assert "must contain {response}" in refused(capfd, *bad)


def test_an_output_is_never_overwritten_unasked(capfd, tmp_path, tiny, data, model):
    old = tmp_path / "old.skops"
    old.write_text("old")
    assert "exists; --force" in refused(capfd, "fit", data, "-o", old, "--model", tiny)
    scored = tmp_path / "old.jsonl"
    scored.write_text("old")
    assert "exists; --force" in refused(capfd, "score", model, data, "-o", scored)
    assert (old.read_text(), scored.read_text()) == ("old", "old")
    assert run(capfd, "score", model, data, "-o", scored, "--force")[0] == 0
    assert len(read_table(scored).rows) == len(good_and_bad())


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harm-was-done",))


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"PK\x03\x04 broken", pickle.dumps(Harmful())]
)
def test_unreadable_models(capfd, tmp_path, monkeypatch, data, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.skops"
    path.write_bytes(content)
    assert "m.skops is no model file" in refused(capfd, "evaluate", path, data)
    assert not (tmp_path / "harm-was-done").exists()


def test_a_model_that_is_no_text_pipeline(capfd, tmp_path, data):
    path = tmp_path / "m.skops"
    skreward.save(skreward.BradleyTerryRegressor(), path)
    assert "no pipeline from texts" in refused(
        capfd, "score", path, data, "-o", "x.csv"
    )


# -- files are whole


def test_a_write_that_fails_leaves_the_old_file(tmp_path, tiny, data):
    """A limit on the size of files stands for a full disk."""

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    output = tmp_path / "model.skops"
    output.write_text("the old model")
    args = ["fit", data, "-o", output, "--force", "--model", tiny, "--reward", "linear"]
    done = subprocess.run(
        [sys.executable, "-m", "skreward", *map(str, args)],
        capture_output=True,
        text=True,
        preexec_fn=small_files,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert output.read_text() == "the old model"
    assert list(tmp_path.iterdir()) == [output]


def test_a_kill_during_a_save_leaves_the_old_or_the_new(tmp_path):
    """Two models are saved in turn until a kill; one of them must be there, whole."""
    path = tmp_path / "model.skops"
    program = textwrap.dedent(
        f"""
        import numpy as np, skreward
        from sklearn.linear_model import Ridge
        models = []
        for k in range(2):
            model = Ridge().fit(np.eye(2), [0, 1])
            model.coef_ = np.full(200_000, float(k))
            models.append(model)
        for k in range(10**6):
            skreward.save(models[k % 2], {str(path)!r})
            print(k, flush=True)
        """
    )
    for pause in (0.0, 0.007, 0.016):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3):
            process.stdout.readline()
        time.sleep(pause)
        process.kill()
        process.wait()
        process.stdout.close()
        coef = skreward.load(path).coef_
        assert coef.shape == (200_000,)
        assert len(np.unique(coef)) == 1


def test_tables_come_back_as_they_were_written(tmp_path):
    rows = [
        {"prompt": 'a "quoted"\nline', "response": "é, 東京\r\n"},
        {"prompt": "", "response": "x"},
    ]
    for suffix in (".jsonl", ".jsonl.gz", ".csv"):
        path = tmp_path / f"t{suffix}"
        write_table(path, rows)
        table = read_table(path)
        assert table.rows == rows
        assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert table.lines == [2, 5]
    huge = [{"prompt": "p", "response": "x" * 300_000}]
    write_table(tmp_path / "huge.csv", huge)
    limit = csv.field_size_limit()
    assert read_table(tmp_path / "huge.csv").rows == huge
    assert csv.field_size_limit() == limit
    with pytest.raises(DataError, match="unknown extension"):
        write_table(tmp_path / "t.xml", rows)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# -- the main job


def test_a_second_run_embeds_nothing(capfd, tmp_path, tiny, data, monkeypatch):
    args = ["fit", data, "--model", tiny, "--reward", "linear", "--json"]
    args += ["--cache-dir", tmp_path / "cache", "-o"]
    clear_memory()
    _, out, _ = run(capfd, *args, tmp_path / "1.skops")
    clear_memory()
    monkeypatch.setattr(encoders, "get_encoder", None)
    code, again, err = run(capfd, *args, tmp_path / "2.skops")
    assert code == 0, err
    one, two = (json.loads(text.splitlines()[-1]) for text in (out, again))
    assert one["order_consistency"] == two["order_consistency"]


def test_demo_beats_the_null_baselines(capfd, tmp_path):
    code, out, err = run(capfd, "demo", "-o", tmp_path / "demo", "--json")
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    null = max(report["compared"]["longer response"], report["compared"]["coin"])
    assert report["order_consistency"] > null + 5 * report["order_consistency_stderr"]
    assert report["best_of_n_improvement"] > report["best_of_n_improvement_longest"]
    picture = tmp_path / "demo" / "best_of_n.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    fitted = skreward.load(tmp_path / "demo" / "demo.skops")
    kind = "Thank you for asking, it is a lovely question."
    rude = "That is a stupid thing to ask."
    prompt = "Explain a chess opening to a beginner."
    rows = [{"prompt": prompt, "chosen": kind, "rejected": rude}]
    assert fitted.predict(rows)[0] > 0
    said = refused(capfd, "demo", "-o", tmp_path / "demo")
    assert "exists; --force replaces it" in said


@pytest.mark.realdata
def test_real_dialogues_are_ordered_better_than_by_chance(capfd, tmp_path):
    path = data_file("hh_harmless_dev.jsonl.gz")
    code, out, err = run(
        capfd, "fit", path, "-o", tmp_path / "m.skops", "--reward", "linear", "--json"
    )
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["n_pairs"] == 1700
    assert report["order_consistency"] >= 0.58
    assert report["order_consistency"] > report["compared"]["longer response"]
