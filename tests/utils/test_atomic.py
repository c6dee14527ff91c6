"""Files that appear whole or not at all: permissions, links, what a kill leaves."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from skreward.utils.atomic import replacing


def write(path, text="new"):
    with replacing(path) as draft, open(draft, "w") as file:
        file.write(text)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_permissions_are_kept(tmp_path):
    path = tmp_path / "model"
    mask = os.umask(0o027)
    try:
        write(path)
    finally:
        os.umask(mask)
    assert mode(path) == 0o640
    for kept in (0o600, 0o664):
        path.chmod(kept)
        write(path, "newer")
        assert (mode(path), path.read_text()) == (kept, "newer")


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "model", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path / "there") == ["model"]
    missing = tmp_path / "to nothing"
    missing.symlink_to(tmp_path / "there" / "second")
    write(missing)
    assert (tmp_path / "there" / "second").read_text() == "new"


KILLED = """
import sys
from skreward.utils.atomic import replacing
with replacing(sys.argv[1]) as draft:
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_what_a_kill_leaves_is_removed_and_what_lives_is_not(tmp_path):
    path = tmp_path / "model[1]"
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", KILLED, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(2)
    )
    for process in (first, second):
        assert process.stdout.readline() == b"writing\n"
    # Of another name, though it begins alike: not ours to remove.
    other = tmp_path / ".model.abc.part"
    other.write_text("other")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(os.listdir(tmp_path)) == 3
    write(path)
    assert len(os.listdir(tmp_path)) == 3  # the file, the other, the second's draft
    second.communicate()
    assert sorted(os.listdir(tmp_path)) == [".model.abc.part", "model[1]"]


def test_errors_name_the_file_and_no_draft(tmp_path, monkeypatch):
    missing = tmp_path / "no" / "model"
    with pytest.raises(FileNotFoundError, match="there is no folder") as error:
        write(missing)
    assert error.value.filename == str(missing)
    with pytest.raises(IsADirectoryError) as error:
        write(tmp_path)
    assert error.value.filename == str(tmp_path)

    def refused(prefix, suffix, dir):
        raise PermissionError(13, "Permission denied", f"{dir}/{prefix}x{suffix}")

    path = tmp_path / "model"
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.mkstemp", refused)
        with pytest.raises(PermissionError) as error:
            write(path)
    assert error.value.filename == str(path)
    with pytest.raises(OSError, match="No space") as error, replacing(path) as draft:
        raise OSError(28, "No space left on device", draft)
    assert error.value.filename == str(path)
    with pytest.raises(OSError, match="other") as error, replacing(path):
        raise OSError(28, "No space left on device", "other")
    assert os.listdir(tmp_path) == []


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(PermissionError):
        write(path)
    assert path.read_text() == "old"


def test_what_is_no_file_is_written_and_not_replaced(tmp_path):
    write("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
