"""The command line, in this process where it can be and in another where it must."""

import json
import os
import pickle
import re
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
from skreward.cli.demo import draw
from skreward.cli.features import embedding_of
from skreward.cli.files import read_table
from skreward.metrics import best_of_n_curve, order_consistency_score
from skreward.text import loading
from skreward.text.cache import clear_memory
from tests.cli.tables import good_and_bad, write_jsonl, write_rows
from tests.support import data_file
from tests.tiny_models import WORDS

# -- the commands


def test_fit_compares_and_saves(command, tmp_path, tiny, data):
    output = tmp_path / "model.skops"
    code, out, err = command.run(
        "fit", data, "-o", output, "--model", tiny, "--json", "--folds", 4
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
        "linear, embedding alone",
        "linear, statistics alone",
        "longer response",
        "coin",
    ]
    assert report["reward"] in list(report["compared"])[:3]
    assert report["order_consistency"] == report["compared"][report["reward"]]
    assert report["order_consistency"] > 0.7 > report["compared"]["coin"]
    assert 0 < report["order_consistency_std"] < 0.3
    assert report["seconds"] > 0
    for name in report["compared"]:
        assert name in out
    fitted = skreward.load(output)
    assert fitted.predict(rows).shape == (len(rows),)
    embed = embedding_of(fitted[0])
    names = fitted[0].get_feature_names_out().tolist()
    assert names[embed.n_features_out_] == "statistics__log_characters"
    assert (embed.model_name_, embed.template) == (tiny, "auto")
    assert embed.cache_dir is None
    assert "torch" in embed.versions_


def test_evaluate_and_score_agree_with_python(command, tmp_path, model):
    rows = good_and_bad(seed=5)
    unseen = write_jsonl(tmp_path / "unseen.jsonl", rows)
    code, out, _ = command.run("evaluate", model, unseen, "--json")
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
    code, out, _ = command.run("score", model, unseen, "-o", output)
    assert code == 0
    assert str(output) in out
    scored = read_table(output).rows
    assert [row["prompt"] for row in scored] == [row["prompt"] for row in rows]
    assert_allclose([row["margin"] for row in scored], margin, rtol=1e-6)
    difference = [row["reward_chosen"] - row["reward_rejected"] for row in scored]
    assert_allclose(difference, margin, rtol=1e-5, atol=1e-8)
    items = [{"prompt": row["prompt"], "response": row["chosen"]} for row in rows]
    single = write_jsonl(tmp_path / "items.jsonl", items)
    assert command.run("score", model, single, "-o", tmp_path / "items.csv")[0] == 0
    rewards = [float(row["reward"]) for row in read_table(tmp_path / "items.csv").rows]
    assert_allclose(rewards, [row["reward_chosen"] for row in scored], rtol=1e-5)


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv", ".parquet"])
def test_every_format_gives_the_same_model(command, tmp_path, tiny, model, suffix):
    path = tmp_path / f"pairs{suffix}"
    write_rows(path, good_and_bad())
    again = tmp_path / "again.skops"
    code, _, err = command.run(
        "fit", path, "-o", again, "--model", tiny, "--reward", "linear"
    )
    assert code == 0, err
    rows = good_and_bad(seed=5)
    assert_array_equal(
        skreward.load(again).predict(rows), skreward.load(model).predict(rows)
    )


def test_labels_say_which_response_is_preferred(command, tmp_path, tiny, model):
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
    _, out, _ = command.run("evaluate", model, path, "--json")
    swapped = json.loads(out.splitlines()[-1])
    plain = write_jsonl(tmp_path / "plain.jsonl", good_and_bad())
    _, out, _ = command.run("evaluate", model, plain, "--json")
    report = json.loads(out.splitlines()[-1])
    for name in ("order_consistency", "calibration_error", "n_pairs", "n_prompts"):
        assert_allclose(swapped[name], report[name], rtol=1e-6)


def test_ratings_give_best_of_n(command, tmp_path, model):
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
    code, out, err = command.run("evaluate", model, path, "--label", "stars", "--json")
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["order_consistency"] > 0.6
    assert list(report["best_of_n"]) == ["1", "2", "5"]
    assert report["best_of_n"]["1"] == 0
    assert report["best_of_n"]["5"] > 0.2


def test_another_embedding_model_or_template_is_refused(
    command, tmp_path, model, data, tiny, other
):
    line = command.refused("evaluate", model, data, "--model", other)
    assert "it is another model" in line
    out = tmp_path / "out.jsonl"
    line = command.refused(
        "score", model, data, "-o", out, "--template", "{prompt}{response}"
    )
    assert "fitted with template 'auto'" in line
    assert not out.exists()
    assert command.run("evaluate", model, data, "--model", tiny)[0] == 0


def test_texts_that_are_cut_are_told_of(command, tmp_path, tiny, data):
    args = ["fit", data, "-o", tmp_path / "m.skops", "--model", tiny, "--force"]
    args += ["--reward", "linear", "--max-length", 5, "--truncation-side"]
    clear_memory()
    code, _, err = command.run(*args, "right")
    assert code == 0
    n_texts = len({row[side] for row in good_and_bad() for side in list(row)[1:]})
    assert f"{n_texts} of {n_texts} texts were cut to 5 tokens" in err
    assert "pairs have equal embeddings" in err
    embed = embedding_of(skreward.load(tmp_path / "m.skops")[0])
    assert embed.truncation_side == "right"
    clear_memory()
    code, _, err = command.run(*args, "left")
    assert code == 0
    assert "pairs have equal embeddings" not in err


def test_help_and_version(command):
    for args in (["--help"], ["fit", "-h"], ["evaluate", "--help"], ["--version"], []):
        code, out, err = command.run(*args)
        assert (code, err) == (0, "")
        assert "skreward" in out


# -- what is wrong is said on one line


def test_files_that_are_not_there(command, tmp_path, tiny, data, model):
    out = tmp_path / "m.skops"
    said = command.refused("fit", tmp_path / "no.jsonl", "-o", out)
    assert said.endswith("no.jsonl: No such file or directory")
    said = command.refused("evaluate", tmp_path / "no.skops", data)
    assert said.endswith("no.skops: No such file or directory")
    said = command.refused("fit", data, "-o", out, "--model", "./nowhere")
    assert "there is no folder './nowhere'" in said
    said = command.refused("fit", data, "-o", tmp_path / "no" / "m.skops")
    assert "there is no folder" in said


def test_bad_usage(command, tmp_path, data, model):
    assert "No such command 'fix'" in command.refused("fix")
    assert "Missing option '-o'" in command.refused("fit", data)
    assert "--folds" in command.refused("fit", data, "-o", "x.skops", "--folds", "1")
    assert "--reward" in command.refused("fit", data, "-o", "x.skops", "--reward", "x")
    assert "ends in .skops" in command.refused("fit", data, "-o", tmp_path / "x.pkl")
    assert "unknown extension" in command.refused(
        "score", model, data, "-o", tmp_path / "x.txt"
    )
    bad = ["fit", data, "-o", tmp_path / "x.skops", "--template", "{prompt}"]
    assert "must contain {response}" in command.refused(*bad)


def test_an_output_is_never_overwritten_unasked(command, tmp_path, tiny, data, model):
    old = tmp_path / "old.skops"
    old.write_text("old")
    assert "exists; --force" in command.refused("fit", data, "-o", old, "--model", tiny)
    scored = tmp_path / "old.jsonl"
    scored.write_text("old")
    assert "exists; --force" in command.refused("score", model, data, "-o", scored)
    assert (old.read_text(), scored.read_text()) == ("old", "old")
    assert command.run("score", model, data, "-o", scored, "--force")[0] == 0
    assert len(read_table(scored).rows) == len(good_and_bad())


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harm-was-done",))


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"PK\x03\x04 broken", pickle.dumps(Harmful())]
)
def test_unreadable_models(command, tmp_path, monkeypatch, data, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.skops"
    path.write_bytes(content)
    assert "m.skops is no model file" in command.refused("evaluate", path, data)
    assert not (tmp_path / "harm-was-done").exists()


def test_a_model_that_is_no_text_pipeline(command, tmp_path, data):
    path = tmp_path / "m.skops"
    skreward.save(skreward.BradleyTerryRegressor(), path)
    assert "no pipeline from texts" in command.refused(
        "score", path, data, "-o", "x.csv"
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


# -- the main job


def test_threads_of_torch_are_limited_too_where_they_would_wait(tmp_path, data):
    """Torch is loaded when a network is trained, and its threads with it."""
    program = textwrap.dedent(
        """
        import sys
        from skreward.cli import comparison
        from skreward.cli.main import main

        def told(models, X, y):
            import torch
            print("threads:", torch.get_num_threads())
            sys.exit()

        comparison.fit_together = told
        main()
        """
    )
    args = ["fit", data, "-o", tmp_path / "model.skops", "--features", "statistics"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        capture_output=True,
        text=True,
        # As many as there are cores: tests themselves run with one.
        env={k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")},
    )
    assert "threads: 1" in done.stdout, done.stderr


def test_a_second_run_embeds_nothing(command, tmp_path, tiny, data, monkeypatch):
    args = ["fit", data, "--model", tiny, "--reward", "linear", "--json"]
    args += ["--cache-dir", tmp_path / "cache", "-o"]
    clear_memory()
    _, out, _ = command.run(*args, tmp_path / "1.skops")
    clear_memory()
    monkeypatch.setattr(loading, "get_encoder", None)
    code, again, err = command.run(*args, tmp_path / "2.skops")
    assert code == 0, err
    one, two = (json.loads(text.splitlines()[-1]) for text in (out, again))
    assert one["order_consistency"] == two["order_consistency"]


def test_demo_beats_the_null_baselines(command, tmp_path):
    code, out, err = command.run("demo", "-o", tmp_path / "demo", "--json")
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    null = max(report["compared"]["longer response"], report["compared"]["coin"])
    assert report["order_consistency"] > null + 5 * report["order_consistency_stderr"]
    assert report["best_of_n_improvement"] > report["best_of_n_improvement_longest"]
    # Labels are noisy: what made them orders no better than they allow.
    assert report["order_consistency"] < report["compared"]["true reward"] + 0.02 < 1
    assert "the rest are the annotator's errors" in out
    assert "of what can be gained" in out
    assert re.search(r"whose true reward is \d\.\d\d above a random one's", out)
    picture = tmp_path / "demo" / "best_of_n.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    fitted = skreward.load(tmp_path / "demo" / "demo.skops")
    kind = "Thank you for asking, it is a lovely question."
    rude = "That is a stupid thing to ask."
    prompt = "Explain a chess opening to a beginner."
    rows = [{"prompt": prompt, "chosen": kind, "rejected": rude}]
    assert fitted.predict(rows)[0] > 0
    said = command.refused("demo", "-o", tmp_path / "demo")
    assert "exists; --force replaces it" in said


def test_nothing_in_the_picture_crosses_the_bound():
    rng = np.random.default_rng(0)
    true, prompts = rng.normal(size=160), np.repeat(range(10), 16)
    curves = [
        best_of_n_curve(true, chosen, prompts, n_values=(1, 2, 4, 8, 16))
        for chosen in (true + rng.normal(size=160) / 9, rng.normal(size=160), true)
    ]
    (axes,) = draw(*curves).axes
    bound, *lines = [line.get_ydata() for line in axes.get_lines()]
    assert_allclose(bound, curves[2].improvement)
    bands = [path.vertices for c in axes.collections for path in c.get_paths()]
    assert (len(lines), len(bands)) == (2, 2)
    for line in lines:
        assert (line <= bound + 1e-12).all()
    for band in bands:
        most = np.interp(band[:, 0], curves[2].n, bound)
        assert (band[:, 1] <= most + 1e-12).all()
    for line, band in zip(lines, bands, strict=True):
        assert band[:, 1].min() <= line.min()
        assert np.ptp(band[:, 1]) > np.ptp(line) * 0.9
    assert "10 prompts it was not trained on" in axes.get_title()
    assert "95 % interval over prompts" in axes.get_legend().get_title().get_text()


@pytest.mark.realdata
def test_real_dialogues_are_ordered_better_than_by_chance(command, tmp_path):
    path = data_file("hh_harmless_dev.jsonl.gz")
    code, out, err = command.run(
        "fit", path, "-o", tmp_path / "m.skops", "--reward", "linear", "--json"
    )
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["n_pairs"] == 1700
    assert report["order_consistency"] >= 0.58
    assert report["order_consistency"] > report["compared"]["longer response"]


def test_code_beside_a_model_runs_for_who_says_so(command, tmp_path, model, data):
    fitted = skreward.load(model)
    embedding_of(fitted[0]).trust_remote_code = True
    path = tmp_path / "remote.skops"
    skreward.save(fitted, path)
    assert "--trust-remote-code" in command.refused("evaluate", path, data)
    assert command.run("evaluate", path, data, "--trust-remote-code")[0] == 0
