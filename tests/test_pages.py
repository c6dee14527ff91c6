"""The pages' Python and commands run as printed, block by block, page by page."""

import doctest
import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import textwrap
import urllib.request
from configparser import ConfigParser
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import pytest

import skreward
from skreward.cli.main import main
from tests.support import ROOT, needs

DOCS = ROOT / "docs"
MADE = {"_build", "generated", "gallery", "_templates"}
PAGES = {
    path.relative_to(DOCS).as_posix(): path
    for suffix in ("rst", "md")
    for path in sorted(DOCS.rglob(f"*.{suffix}"))
    if not MADE & set(path.relative_to(DOCS).parts)
}
PAGES |= {name: ROOT / name for name in ("README.md", "CONTRIBUTING.md")}
DIRECTIVE = re.compile(
    r"^\.\. code-block:: (?P<language>\w+)\n\n(?P<code>(?: +.*\n|\n)+)", re.MULTILINE
)
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
# Of the extra integrations, which the first run of the tests does without.
EXTRAS = ("onnxruntime", "starlette", "trl")
# Run by continuous integration itself, in the words that it takes from these pages.
ELSEWHERE = {"skreward demo", "pytest", "bash .ci/run", "bash .ci/matrix"}
# Started by hand where a shell is set up; completion is tested in tests/cli.
SETTING_UP = (
    "python -m venv", ". .venv", "pre-commit install",
    'eval "$(_SKREWARD_COMPLETE', "_SKREWARD_COMPLETE",
)  # fmt: skip


def blocks_of(page):
    pattern = DIRECTIVE if page.suffix == ".rst" else FENCE
    for found in pattern.finditer(page.read_text()):
        yield found["language"], textwrap.dedent(found["code"])


WITH_BLOCKS = [name for name, page in PAGES.items() if list(blocks_of(page))]


def commands_of(code):
    """Give the commands of a block, one each, without comments."""
    lines = re.sub(r"\\\n\s*", "", code).splitlines()
    for line in lines:
        line = re.sub(r"(^|\s)#.*", "", line)
        yield from filter(None, (part.strip() for part in line.split(" && ")))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what a page says that its reader has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path
    left = {p.name for p in ROOT.iterdir()} & {"model.skops", "preferences.jsonl"}
    assert not left


def give(name, folder):
    """Write what a page takes for granted."""
    from skreward.datasets import make_text_preferences
    from tests.tiny_models import save_tiny

    data = make_text_preferences(10, 6, 120, random_state=0)
    if name == "getting_started.rst":
        save_tiny(folder / "policy", bos=False)
    if name in ("guide/use.rst", "guide/best_of_n.rst"):
        write(folder / "candidates.jsonl", data.texts)
    if name == "guide/use.rst":
        give_to_use(data, folder)
    rows = [
        {**row, "label": int(label)}
        for row, label in zip(data.pairs, data.y, strict=True)
    ]
    if name in ("commands.rst", "guide/embed.rst"):
        write(folder / "pairs.jsonl", rows)
    if name == "README.md":
        write(folder / "preferences.jsonl", rows)
        write(folder / "others.jsonl", rows)
        write(folder / "candidates.jsonl", data.texts)


def give_to_use(data, folder):
    from sklearn.pipeline import make_pipeline

    from tests.tiny_models import save_tiny

    bench = [
        {"prompt": row["prompt"], "chosen": row["response_a"],
         "rejected": row["response_b"], "subset": "alpacaeval-easy", "id": k}
        for k, row in enumerate(data.pairs[:20])
    ]  # fmt: skip
    write(folder / "filtered.jsonl", bench)
    embed = skreward.LLMEmbeddingTransformer(
        save_tiny(folder / "causal", side="left"), pooling="last", dtype="float32"
    )
    causal = make_pipeline(embed, skreward.BradleyTerryRegressor())
    texts = [
        {"prompt": "a", "response_a": "b c", "response_b": "d"},
        {"prompt": "e", "response_a": "c", "response_b": "a b"},
    ]
    skreward.save(causal.fit(texts, [1, 0]), folder / "causal.skops")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lacking(code):
    """Name the extra package that a block imports and that is not installed."""
    for package in EXTRAS:
        if re.search(rf"^\s*(from|import) {package}\b", code, re.MULTILINE):
            if os.environ.get("SKREWARD_EXTRAS"):
                needs(package)
            if find_spec(package) is None:
                return package
    return None


def run_python(code, names, where):
    if lacking(code):
        return
    if ">>>" not in code:
        exec(compile(code, where, "exec"), names)
        return
    parsed = doctest.DocTestParser().get_doctest(code, names, where, where, 0)
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(parsed, out=told.append, clear_globs=False)
    names.update(parsed.globs)
    assert runner.failures == 0, "".join(told)


def run_command(command, capsys):
    words = shlex.split(command)
    if command in ELSEWHERE or command.startswith(SETTING_UP):
        return
    if words[0] == "pip":
        check_install(words[2:])
    elif words[:2] == ["skreward", "serve"]:
        serve_for_a_moment(words[1:])
    elif words[0] == "skreward":
        *before, out = words if words[-2] == ">" else [*words, ">", None]
        code = main(before[1:-1])
        said = capsys.readouterr()
        assert code == 0, (command, said.err)
        if out is not None:
            Path(out).write_text(said.out)
    elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
        check_benchmark(words[2], words[3:])
    elif words[0] == "sphinx-build":
        assert (ROOT / words[-2] / "conf.py").is_file()
        assert "sphinx-build" in (ROOT / ".ci/run").read_text()
    else:
        raise AssertionError(f"no test runs {command!r}")


def check_install(words):
    """Look at what is named; continuous integration installs."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    known = set(config["options.extras_require"])
    for word in words:
        extras = re.fullmatch(r"(?:\.|skreward)\[(.+)\]", word)
        assert not extras or set(extras[1].split(",")) <= known, word
    for flag, file in pairwise(words):
        assert flag != "-c" or (ROOT / file).is_file(), file


def check_benchmark(module, options):
    """Let the benchmark read its options; none of them takes seconds."""
    assert find_spec(module) is not None, module
    text = (ROOT / (module.replace(".", "/") + ".py")).read_text()
    for option in options:
        assert not option.startswith("--") or f'"{option}"' in text, (module, option)


def serve_for_a_moment(words):
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        if os.environ.get("SKREWARD_EXTRAS"):
            needs("uvicorn")
        return
    with socket.socket() as free:  # the port that the page names may be taken
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words[words.index("--port") + 1] = port
    process = subprocess.Popen(
        [sys.executable, "-m", "skreward", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        until = monotonic() + 120
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None
            assert monotonic() < until
            sleep(0.2)
    finally:
        process.terminate()
        process.wait()


def answers(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_blocks_run_in_order(name, folder, capsys):
    give(name, folder)
    names = {"__name__": "page"}
    for number, (language, code) in enumerate(blocks_of(PAGES[name])):
        where = f"{name}, block {number}"
        if language == "python":
            if name != "README.md":  # tests/test_readme.py looks at what it prints
                run_python(code, names, where)
        elif language == "sh":
            for command in commands_of(code):
                run_command(command, capsys)
        else:
            raise AssertionError(f"{where} is neither Python nor a command")


def test_the_pages_have_blocks_to_run():
    wanted = {"getting_started.rst", "guide/use.rst", "guide/splits.rst", "README.md"}
    assert wanted <= set(WITH_BLOCKS)
    assert len(WITH_BLOCKS) >= 15
    assert importlib.util.find_spec("skreward") is not None


@pytest.mark.parametrize("name", PAGES)
def test_benchmarks_that_the_prose_names_take_the_options_it_gives(name):
    text = re.sub(r"\s+", " ", PAGES[name].read_text())
    for command in re.findall(r"`(python -m benchmarks[^`]*)`", text):
        _, _, module, *options = shlex.split(command)
        check_benchmark(module, options)


def test_no_block_hides_in_a_form_that_is_not_run():
    for name, page in PAGES.items():
        if page.suffix == ".rst":
            hidden = re.findall(r"^.*::\n\n +(?:>>>|\$|skreward|pip|python) .*$",
                                page.read_text(), re.MULTILINE)  # fmt: skip
            hidden = [h for h in hidden if "code-block:: " not in h]
            assert not hidden, (name, hidden)


def test_every_consumer_takes_less_than_ten_lines():
    fit, *blocks = [code for _, code in blocks_of(PAGES["guide/use.rst"])]
    assert "make_pipeline" in fit
    assert max(block.strip().count("\n") + 1 for block in blocks) < 10
