"""What several test files need: where things lie, and real data or a skip."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SKREWARD_DATA", ROOT.parent / "shared" / "data"))


def data_file(name):
    """Give the path of a file of real data; skips the test where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there; SKREWARD_DATA names its folder")
    return path
