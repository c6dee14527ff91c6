"""How long things are: a fit reads validate, build, solve, set; files can be read."""

import ast
import inspect
import textwrap

import pytest
from sklearn.base import BaseEstimator

from tests.support import ROOT
from tests.test_docs import public_names

FIT_LINES, FILE_LINES = 15, 450
ESTIMATORS = {
    path: thing
    for path, thing in public_names()
    if inspect.isclass(thing) and issubclass(thing, BaseEstimator)
}
FILES = sorted((ROOT / "skreward").rglob("*.py"))
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(node):
    """Count the lines of a node's own docstring."""
    if not isinstance(node, DOCUMENTED) or ast.get_docstring(node) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


def test_every_estimator_is_counted():
    assert len(ESTIMATORS) >= 12
    assert "skreward.BradleyTerryRegressorCV" in ESTIMATORS


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit_is_short(name):
    """Whoever wrote it: a ``fit`` that is inherited from ours counts too."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(ESTIMATORS[name].fit)))
    (fit,) = ast.parse(source).body
    body = fit.body[1:] if docstring_lines(fit) else fit.body
    n_lines = body[-1].end_lineno - body[0].lineno + 1
    assert n_lines <= FIT_LINES, f"{name}.fit has {n_lines} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    source = path.read_text(encoding="utf-8")
    texts = sum(docstring_lines(node) for node in ast.walk(ast.parse(source)))
    n_lines = len(source.splitlines()) - texts
    assert n_lines <= FILE_LINES, f"{n_lines} lines without docstrings"
