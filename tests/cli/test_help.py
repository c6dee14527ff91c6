"""What the command says of itself: options, examples, exit codes, completion."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys

import click
import pytest

import skreward
from skreward.cli.main import cli, main
from skreward.cli.options import LAYOUTS
from tests.cli.tables import good_and_bad, write_jsonl
from tests.support import ROOT, needs

COMMANDS = sorted(cli.commands)


def options_of(name):
    return [p for p in cli.commands[name].params if isinstance(p, click.Option)]


def help_of(name):
    command = cli.commands[name]
    with click.Context(command, info_name=f"skreward {name}") as context:
        return command.get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_a_sentence_with_its_default(name):
    assert options_of(name)
    for option in options_of(name):
        said = option.help or ""
        text = said.split("[default:")[0].strip()
        where = f"{name} {option.opts[-1]}: {said!r}"
        assert text.endswith("."), where
        assert text[0].isupper(), where
        assert len(text.split()) >= 2, where
        told = option.is_flag or option.required or "[default:" in said
        assert told or (option.show_default and option.default is not None), where


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_sections_and_an_example(name):
    said = help_of(name)
    assert "Options:" not in said
    assert re.search(r"\n(Data|Model|Output|General):\n", said)
    assert f"Example: skreward {name} " in said
    assert "..." not in cli.commands[name].get_short_help_str(100)


@pytest.fixture
def folder(tmp_path, monkeypatch, model):
    """A folder with the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    rows = good_and_bad()[:40]
    write_jsonl(tmp_path / "pairs.jsonl", rows)
    write_jsonl(tmp_path / "others.jsonl", good_and_bad(12, seed=3))
    items = [{"prompt": r["prompt"], "response": r["chosen"]} for r in rows]
    write_jsonl(tmp_path / "answers.jsonl", items)
    bench = [row | {"subset": "hep-go"} for row in rows[:2]]
    write_jsonl(tmp_path / "filtered.jsonl", bench)
    (tmp_path / "model.skops").write_bytes(model.read_bytes())
    return tmp_path


def example_of(name):
    (line,) = re.findall(r"^ *Example: (skreward .*)$", help_of(name), re.MULTILINE)
    return shlex.split(line)[1:]


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("demo", "serve")])
def test_the_example_in_the_help_runs(folder, name, tiny, capsys):
    args = example_of(name)
    if name == "export":
        needs("onnx")
        # What ONNX can hold: a reward on an embedding alone.
        fit = ["fit", "pairs.jsonl", "-o", "model.skops", "--force", "--model", tiny]
        assert main([*fit, "--features", "embedding", "--reward", "linear"]) == 0
    if name == "fit":
        (folder / "model.skops").unlink()
        args += ["--model", tiny]
    assert main(args) == 0, capsys.readouterr().err
    if "-o" in args:
        assert (folder / args[args.index("-o") + 1]).exists()


@pytest.mark.parametrize("name", ["demo", "serve"])
def test_the_example_of_what_takes_long_is_read(name):
    """Both are run by tests of their own."""
    group = click.Context(cli, info_name="skreward")
    command = cli.commands[name]
    context = command.make_context(name, example_of(name)[1:], parent=group)
    assert context.params


def test_exit_codes_are_told(command):
    _, out, _ = command.run("--help")
    for code in (0, 2, 130, 141):
        assert re.search(rf"\b{code} ", out)
    page = (ROOT / "docs" / "commands.rst").read_text()
    for code in (0, 2, 130, 141):
        assert re.search(rf"^{code} ", page, re.MULTILINE)


# -- a terminal and a pipe


def run(args, **options):
    return subprocess.run(
        [sys.executable, "-m", "skreward", *map(str, args)],
        capture_output=True, text=True, timeout=300, **options,
    )  # fmt: skip


def test_who_goes_away_ends_it_quietly(tmp_path, model, data):
    """As ``skreward evaluate ... | head`` does, whose head has ended."""
    reading, writing = os.pipe()
    os.close(reading)
    args = [sys.executable, "-m", "skreward", "evaluate", str(model), str(data)]
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [*args, "-o", str(tmp_path / "o.csv")], stdout=gone, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (141, b"")
    assert (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}]
)
def test_nothing_is_coloured(model, data, environment):
    master, slave = pty.openpty()
    with os.fdopen(slave, "wb") as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "skreward", "evaluate", str(model), str(data)],
            stdout=terminal, stderr=terminal, env={**os.environ, **environment},
        )  # fmt: skip
    said = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0
    assert "order consistency" in said
    assert "\x1b" not in said


def test_the_table_says_what_its_marks_mean(command, model, data):
    _, out, _ = command.run("evaluate", model, data)
    assert "* what is evaluated." in out
    assert "share of pairs put in the order of their labels, 0.5 is a coin" in out
    assert "- where there is none" in out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("skreward ins", {"inspect"}),
        ("skreward fit --rew", {"--reward"}),
        ("skreward fit --reward cl", {"classifier"}),
        ("skreward fit --layout hel", {n for n in LAYOUTS if n.startswith("hel")}),
        ("skreward fit --features emb", {"embedding", "embedding,statistics"}),
    ],
)
def test_the_shell_completes(words, wanted):
    count = len(words.split()) - 1
    environment = os.environ | {
        "_SKREWARD_COMPLETE": "bash_complete", "COMP_WORDS": words,
        "COMP_CWORD": str(count),
    }  # fmt: skip
    done = run([], env=environment)
    assert done.returncode == 0, done.stderr
    given = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert given == wanted


def test_the_shell_gets_its_lines():
    for shell in ("bash", "zsh", "fish"):
        environment = os.environ | {"_SKREWARD_COMPLETE": f"{shell}_source"}
        done = run([], env=environment)
        assert done.returncode == 0
        assert "_SKREWARD_COMPLETE" in done.stdout


def test_the_report_of_fit_is_kept_with_the_model(model):
    kept = skreward.load(model).fit_report_
    assert json.loads(json.dumps(kept)) == kept
    assert kept["reward"] == "linear"
