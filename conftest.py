"""Run tests on one thread: their problems are small, and busy cores spin on more.

With ``--without-torch``, as on a machine where torch is broken: rooms that need it are
left out, tests of rooms that may need it skip where they do, all others run or fail.
"""

import os
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

NEED_TORCH = {"torch", "transformers", "sentence_transformers"}
ROOMS_OF_TORCH = {"benchmarks", "cli", "networks"}
FILES_OF_TORCH = {"test_device.py", "test_transformer.py", "tiny_models.py"}
MAY_NEED_TORCH = {"models", "test_bad_input.py", "test_readme.py"}
TESTS = Path(__file__).parent / "tests"


class BrokenTorch(Loader):
    """Finds the packages that `NEED_TORCH` names, and fails to import them."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in NEED_TORCH else None

    def exec_module(self, module):
        name = module.__name__
        raise ImportError(f"{name} is left out", name=name)


def pytest_addoption(parser):
    parser.addoption(
        "--without-torch", action="store_true", help="Run as where torch is broken."
    )


def pytest_configure(config):
    if config.getoption("--without-torch"):
        sys.meta_path.insert(0, BrokenTorch())


def pytest_ignore_collect(collection_path, config):
    if not config.getoption("--without-torch"):
        return None
    needs_it = collection_path.name in FILES_OF_TORCH or (
        collection_path.parent == TESTS and collection_path.name in ROOMS_OF_TORCH
    )
    return needs_it or None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.config.getoption("--without-torch") and needs_torch(call.excinfo):
        room = item.path.relative_to(TESTS).parts[0]
        if room in MAY_NEED_TORCH:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), None, "needs torch")
    return report


def needs_torch(excinfo):
    error = excinfo.value if excinfo is not None else None
    while error is not None:
        if isinstance(error, ImportError) and error.name in NEED_TORCH:
            return True
        error = error.__cause__ or error.__context__
    return False
