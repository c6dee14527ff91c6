"""Folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


def free_folder(folder: str | PathLike[str]) -> Path:
    """Give a folder that is not there yet, or empty; its parent can be written."""
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise FileExistsError(f"folder: {str(folder)!r} is a file.")
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"folder: {str(folder)!r} is there, and not empty.")
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"folder: there is no folder {str(folder.parent)!r}.")
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"folder: {str(folder.parent)!r} cannot be written.")
    return folder


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """Give a folder beside, which takes the name when all went well."""
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield draft
        # mkdtemp gives its owner alone access.
        mask = os.umask(0)
        os.umask(mask)
        draft.chmod(0o777 & ~mask)
        if folder.is_dir():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
