"""Progress: nothing at first, a line now and then in a log, a bar on a terminal."""

import time

import pytest

from skreward.utils import progress as module
from skreward.utils.progress import Lines, Silence, progress


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "FIRST", 0.05)
    monkeypatch.setattr(module, "EVERY", 0.1)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def wait_for(capfd, n_lines):
    err = ""
    for _ in range(200):
        err += capfd.readouterr().err
        if err.count("\n") >= n_lines:
            return err
        time.sleep(0.05)
    raise AssertionError(err)


def test_lines_tell_what_is_done_and_left(quick, capfd):
    with progress(8, "embedding", "texts") as shown:
        shown.update(2)
        lines = wait_for(capfd, 2).splitlines()
    assert lines[0].startswith("skreward: embedding, 2 of 8 texts, ")
    assert lines[0].endswith(" s left")
    with progress(None, "reading x"):
        assert wait_for(capfd, 1).startswith("skreward: reading x, ")
    capfd.readouterr()
    time.sleep(0.3)
    assert capfd.readouterr().err == ""  # it ends with the work


def test_short_work_says_nothing(capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with progress(3, "embedding", "texts") as shown:
        shown.update(3)
    with pytest.raises(ZeroDivisionError), progress(None, "reading"):
        1 / 0  # noqa: B018
    assert capfd.readouterr().err == ""


def test_who_sees_what(quick, monkeypatch):
    class Terminal:
        def isatty(self):
            return True

        def write(self, text):
            return len(text)

        def flush(self):
            return None

    assert isinstance(progress(3, "a"), Lines)
    assert isinstance(progress(3, "a", kind="auto"), Silence)
    assert isinstance(progress(3, "a", kind=False), Silence)
    monkeypatch.setattr("sys.stderr", Terminal())
    for kind in ("lines", "auto", True):
        bar = progress(3, "a", kind=kind)
        assert bar.total == 3
        bar.close()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert isinstance(progress(3, "a"), Silence)
    monkeypatch.setattr("sys.stderr", None)
    assert isinstance(progress(3, "a"), Silence)


def test_a_stderr_that_is_closed_stops_the_lines_alone(quick, monkeypatch, tmp_path):
    file = (tmp_path / "x").open("w")
    file.close()
    lines = Lines(3, "a", "b")
    monkeypatch.setattr("sys.stderr", file)
    with lines:
        lines._thread.join(5)
        assert not lines._thread.is_alive()
