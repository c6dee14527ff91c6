"""Files that appear whole or not at all."""

import contextlib
import errno
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give the name of a draft beside ``path``, which it replaces when written.

    The draft is on the disk before it takes the name: a crash, a full disk or a kill
    leaves the old file or the new one. An error removes the draft; what a kill left
    is removed by the next who writes the same name. The new file has the permissions
    of the old one. A link stays, and the file that it names is replaced. Errors name
    ``path``, never the draft. What is no file (a pipe, ``/dev/stdout``) is written as
    it is.
    """
    target = Path(os.path.realpath(path))
    _check_target(path, target)
    if target.exists() and not target.is_file():
        yield str(target)
        return
    with _named(path):
        _remove_left_drafts(target)
        lock, draft = _locked_draft(target)
    try:
        with _named(path, draft):
            yield draft
            with open(draft, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(draft, _mode(target))
            os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    finally:
        os.close(lock)


def _check_target(path, target):
    """Raise where it can be known that nothing can be written."""
    if not target.parent.is_dir():
        message = f"there is no folder {target.parent}"
        raise FileNotFoundError(errno.ENOENT, message, str(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@contextmanager
def _named(path, draft=None):
    """Let errors of the draft, or of any file, name the path instead."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (draft is not None and error.filename != draft):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _locked_draft(target):
    """Make a draft that tells by its lock that somebody still writes it."""
    while True:
        lock, draft = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
        if fcntl is None:
            return lock, draft
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another may have taken it for left between the two steps.
        if os.path.exists(draft):
            return lock, draft
        os.close(lock)


def _remove_left_drafts(target):
    """Remove drafts of this name that no process holds."""
    for draft in glob.glob(
        f".{glob.escape(target.name)}.*.part", root_dir=target.parent
    ):
        left = target.parent / draft
        with contextlib.suppress(OSError):
            if fcntl is not None:
                with open(left, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    left.unlink()
            else:
                left.unlink()


def _mode(target):
    """Permissions of the file that is replaced, or what ``open`` would give."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
