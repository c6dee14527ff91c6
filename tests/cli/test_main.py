"""The command as a process: how it starts, and how it ends."""

import signal
import subprocess
import sys
import time

import pytest

from skreward.cli import ending, main
from tests.cli.tables import good_and_bad, write_jsonl


def start(*args, **options):
    """Start the command; `ready` on stdout says that Python runs it now."""
    code = (
        "import sys, skreward.__main__ as entry\n"
        "print('ready', flush=True)\n"
        "sys.exit(entry.main())\n"
    )
    command = [sys.executable, "-c", code, *map(str, args)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, text=True, **options)


def test_help_imports_no_science():
    code = (
        "import sys\n"
        "from skreward.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'numpy', 'sklearn', 'torch', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("seconds", [0.02, 0.4, 1.5])
def test_an_interrupt_while_libraries_are_imported(tmp_path, tiny, seconds):
    path = write_jsonl(tmp_path / "x.jsonl", good_and_bad())
    args = ["fit", path, "-o", tmp_path / "m.skops", "--model", tiny]
    process = start(*args)
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "skreward: interrupted\n")
    assert not (tmp_path / "m.skops").exists()


def test_an_interrupt_that_an_import_turns_into_another_error():
    """C extensions report an interrupted import as an ImportError."""
    failed = ImportError("numpy cannot be imported")
    failed.__context__ = KeyboardInterrupt()
    assert ending._is_interrupt(failed)
    assert not ending._is_interrupt(ImportError("no such package"))


def test_an_interrupt_that_falls_into_a_finalizer(command, tmp_path, monkeypatch):
    class Finalized:
        def __del__(self):
            raise KeyboardInterrupt

    def work(*args, **options):
        del args, options
        Finalized()
        for _ in range(1000):
            time.sleep(0.01)

    monkeypatch.setattr("skreward.cli.fitting.make_embedding", work)
    before = sys.unraisablehook
    # What runs in the background is started with interrupts ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, out, err = command.run("fit", "x.jsonl", "-o", tmp_path / "m.skops")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (code, out, err) == (130, "", "skreward: interrupted\n")
    assert sys.unraisablehook is before


def test_a_stdout_that_is_full(tmp_path, tiny, model):
    data = write_jsonl(tmp_path / "x.jsonl", good_and_bad())
    out = tmp_path / "m.skops"
    fit = ["fit", data, "-o", out, "--model", tiny, "--reward", "linear"]
    scored = tmp_path / "scored.csv"
    for args, written in (
        (fit, f"; {out} was written"),
        (["score", model, data, "-o", scored], f"; {scored} was written"),
        (["evaluate", model, data], ""),
        (["--help"], ""),
    ):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "skreward", *map(str, args)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        said = f"stdout cannot be written to (No space left on device){written}"
        assert (done.returncode, done.stderr) == (2, f"skreward: {said}\n")
    assert out.exists()
    assert scored.exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\nb"), "a b"),
        (RuntimeError("CUDA error: no device"), "CUDA error: no device"),
        (ImportError("no package"), "no package"),
        (MemoryError(), "the memory is full"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("gone"), "gone"),
        (FileNotFoundError(2, "No such file", "x"), "x: No such file"),
        (KeyError("a"), "KeyError: 'a' (skreward --traceback ... shows where)"),
        (RecursionError("too deep"), "too deep"),
        (OverflowError(), "OverflowError: (skreward --traceback ... shows where)"),
        (AssertionError(), "AssertionError: (skreward --traceback ... shows where)"),
        (type("Panic", (BaseException,), {})("boo"), "Panic: boo (skreward --trace"),
        (ValueError("x" * 10**6), "x" * 997 + "..."),
    ],
)
def test_every_error_ends_in_one_line(capfd, tmp_path, monkeypatch, error, line):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr("skreward.cli.fitting.make_embedding", fail)
    args = ["fit", "x.jsonl", "-o", str(tmp_path / "m.skops")]
    assert main.main(args) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"skreward: {line}")
    assert err.count("\n") == 1
    assert main.main(["--traceback", *args]) == 2
    assert "Traceback" in capfd.readouterr().err


def test_nothing_of_the_process_stays_changed(capfd):
    import warnings

    before = warnings.showwarning
    assert main.main(["--version"]) == 0
    assert warnings.showwarning is before
