"""Every public name has a numpydoc docstring that holds water."""

import inspect
import io
import pkgutil
import re

import docutils.core
import pytest
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

import skreward
from tests.support import ROOT

# Sections in order, a summary in one line that ends, parameters all there and typed.
CHECKED = ["GL06", "GL07", "GL09", "SS01", "SS02", "SS03", "SS04"]
CHECKED += ["PR01", "PR02", "PR03", "PR04"]
MODULES = ["metrics", "model_selection", "annotation", "datasets", "plotting", "report"]


def public_names():
    for name in skreward.__all__:
        thing = getattr(skreward, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield f"skreward.{name}", thing
    for module in MODULES:
        for name in getattr(skreward, module).__all__:
            thing = getattr(getattr(skreward, module), name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"skreward.{module}.{name}", thing


def documented():
    for path, thing in public_names():
        yield path
        if inspect.isclass(thing):
            ours = [c for c in thing.__mro__ if c.__module__.startswith("skreward")]
            for name in {name for c in ours for name in vars(c)}:
                if not name.startswith("_") and inspect.isroutine(getattr(thing, name)):
                    yield f"{path}.{name}"


# Whose ``fit`` takes pairs and says itself how; others refer to one of these.
PAIRED = (
    skreward.BradleyTerryRegressor,
    skreward.BradleyTerryMLPRegressor,
    skreward.PairwiseClassifierReward,
    skreward.RewardEnsemble,
)


@pytest.mark.parametrize("name", ["X", "y"])
def test_texts_that_stand_more_than_once_are_the_same(name):
    texts = {
        (parameter.type, *parameter.desc)
        for estimator in PAIRED
        for parameter in FunctionDoc(estimator.fit)["Parameters"]
        if parameter.name == name
    }
    assert len(texts) == 1


@pytest.mark.parametrize("path", sorted(set(documented())))
def test_docstring(path):
    found = validate(path)
    errors = [f"{code}: {text}" for code, text in found["errors"] if code in CHECKED]
    assert not errors, errors


def test_every_module_says_what_it_is_for():
    for module in pkgutil.walk_packages(skreward.__path__, "skreward."):
        spec = module.module_finder.find_spec(module.name)
        source = spec.loader.get_source(module.name)
        assert source.lstrip("r").startswith('"""'), module.name


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.rst")), ids=lambda p: p.name)
def test_pages_are_well_formed(page):
    """Tables and lists alone: roles and directives are Sphinx's to know."""
    told = io.StringIO()
    docutils.core.publish_doctree(
        page.read_text(), settings_overrides={"warning_stream": told}
    )
    wrong = re.findall("Malformed|Unexpected indentation|ends without", told.getvalue())
    assert not wrong, told.getvalue()
