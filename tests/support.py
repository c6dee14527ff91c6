"""What several test files need: data, leaves of models, interpreters of their own."""

import importlib
import os
import subprocess
import sys
import unittest
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import estimator_checks_generator

from skreward import EmbeddingPairs

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SKREWARD_DATA", ROOT.parent / "shared" / "data"))


def data_file(name):
    """Give the path of a file of real data; skips the test where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there; SKREWARD_DATA names its folder")
    return path


# Pairs


def random_pairs(n_items, n_features, n_pairs, seed=0):
    """Draw pairs of different items, labelled without noise by a linear reward."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(n_items, n_features))
    first = rng.integers(n_items, size=n_pairs)
    second = (first + rng.integers(1, n_items, n_pairs)) % n_items
    pairs = EmbeddingPairs(items, np.column_stack([first, second]))
    margin = np.diff(items[pairs.index[:, ::-1]] @ rng.normal(size=n_features))[:, 0]
    return pairs, (margin > 0).astype(int)


@st.composite
def problems(draw, *, dtype=None):
    """Distinct items, pairs of them, and hard labels of both kinds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_items, n_features = draw(st.integers(3, 12)), draw(st.integers(1, 5))
    n_pairs = draw(st.integers(2, 30))
    items = rng.normal(size=(n_items, n_features))
    items = items.astype(dtype or draw(st.sampled_from([np.float64, np.float32])))
    first = rng.integers(n_items, size=n_pairs)
    second = (first + rng.integers(1, n_items, n_pairs)) % n_items
    y = rng.integers(0, 2, n_pairs)
    return EmbeddingPairs(items, np.column_stack([first, second])), y


def true_labels(data):
    """Give the labels of generated pairs without the annotator's errors."""
    first, second = data.rewards[data.pairs.index].T
    return (first > second).astype(int)


# Estimators


def leaves(model, path=""):
    """Give (path, value) of all that fitting left in a model, down to what it holds."""
    if isinstance(model, BaseEstimator):
        for key, value in vars(model).items():
            if key.endswith("_"):
                yield from leaves(value, f"{path}.{key}")
    elif is_dataclass(model):
        for field in fields(model):
            yield from leaves(getattr(model, field.name), f"{path}.{field.name}")
    elif isinstance(model, dict):
        for key, value in model.items():
            yield from leaves(value, f"{path}[{key!r}]")
    elif isinstance(model, list | tuple):
        for k, value in enumerate(model):
            yield from leaves(value, f"{path}[{k}]")
    else:
        yield path, model


def run_common_check(estimator, check):
    """Run one of scikit-learn's checks; none may skip, but for the array API."""
    try:
        check(estimator)
    except unittest.SkipTest as reason:
        if "SCIPY_ARRAY_API" not in str(reason):
            raise AssertionError(f"skipped: {reason}") from reason
        raise


def assert_many_common_checks(estimator, least=56):
    """Fail where few checks are run: an estimator of 3-D input alone has one."""
    checks = list(estimator_checks_generator(estimator))
    assert len(checks) >= least, [check.func.__name__ for _, check in checks]


# Interpreters


def run_python(code, **environment):
    """Run Python code in an interpreter of its own and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def needs(package):
    """Import a package of the extra ``integrations``; skips a module without it.

    Where SKREWARD_EXTRAS is set, as in continuous integration, it must be there.
    """
    if os.environ.get("SKREWARD_EXTRAS"):
        return importlib.import_module(package)
    return pytest.importorskip(package, reason="the extra integrations has it")
