"""Run tests on one thread: their problems are small, and busy cores spin on more.

With ``--without-torch``, as on a machine where torch is broken: tests of rooms that may
need it skip where they do, tests of the other rooms fail.
"""

import os
import sys
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

NEED_TORCH = {"torch", "transformers", "sentence_transformers"}
MAY_NEED_TORCH = {
    "benchmarks",
    "cli",
    "models",
    "networks",
    "text",
    "test_bad_input.py",
}
TESTS = Path(__file__).parent / "tests"


class NoTorch:
    """Finds none of the packages that `NEED_TORCH` names."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NEED_TORCH:
            raise ImportError(f"{name} is left out", name=name)


def pytest_addoption(parser):
    parser.addoption(
        "--without-torch", action="store_true", help="Run as where torch is broken."
    )


def pytest_configure(config):
    if config.getoption("--without-torch"):
        sys.meta_path.insert(0, NoTorch())


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
