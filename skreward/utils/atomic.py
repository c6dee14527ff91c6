"""Files that appear whole or not at all."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Give the name of a draft beside ``path``, which it replaces when written.

    The draft is on the disk before it takes the name: a crash, a full disk or a kill
    leaves the old file or the new one. An error removes the draft.
    """
    path = Path(path)
    handle, draft = tempfile.mkstemp(
        prefix=f".{path.name}.", suffix=".part", dir=path.parent
    )
    os.close(handle)
    try:
        yield draft
        with open(draft, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(draft, _mode_of_new_files())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _mode_of_new_files():
    """What ``open`` would give a new file; mkstemp gives its owner alone access."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
