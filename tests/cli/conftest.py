"""Small tables, a tiny language model, a model fitted to them, and the command."""

import json
import os

import pytest

from skreward.cli.main import main
from tests.cli.tables import good_and_bad, write_jsonl
from tests.tiny_models import CHAT, save_tiny


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """On a busy machine anything takes two seconds, and lines are shown then."""
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folder of a language model that takes milliseconds."""
    return save_tiny(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """Folder of another."""
    return save_tiny(tmp_path_factory.mktemp("other"), seed=1, chat=CHAT)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """File of pairs that a reward can be learned from."""
    folder = tmp_path_factory.mktemp("data")
    return write_jsonl(folder / "pairs.jsonl", good_and_bad())


@pytest.fixture(scope="session")
def model(tmp_path_factory, tiny, data):
    """File of a linear reward fitted to them."""
    path = tmp_path_factory.mktemp("model") / "model.skops"
    args = ["fit", data, "-o", path, "--model", tiny, "--reward", "linear"]
    assert main([str(arg) for arg in args]) == 0
    return path


class Command:
    """Runs the command in this process."""

    def __init__(self, capfd):
        self.capfd = capfd

    def run(self, *args):
        """Give exit code, stdout and stderr."""
        self.capfd.readouterr()
        code = main(
            [os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in args]
        )
        return code, *self.capfd.readouterr()

    def report(self, *args):
        """Run what must go well, with --json; give the report."""
        code, out, err = self.run(*args, "--json")
        assert code == 0, err
        return json.loads(out.splitlines()[-1])

    def refused(self, *args):
        """Run what must fail; give its one line."""
        code, out, err = self.run(*args)
        assert (code, out) == (2, ""), err
        assert "Traceback" not in err
        lines = [line for line in err.splitlines() if "skreward: warning:" not in line]
        assert len(lines) == 1, err
        assert lines[0].startswith("skreward: ")
        return lines[0].removeprefix("skreward: ")


@pytest.fixture
def command(capfd):
    return Command(capfd)
