"""Whoever calls a public function is told by its signature what goes in and out."""

import inspect

import pytest

from tests.test_docs import public_names


def public_callables():
    """Give (path, function) of public functions, and of public methods of ours."""
    for path, thing in public_names():
        if inspect.isfunction(thing):
            yield path, thing
            continue
        ours = [c for c in thing.__mro__ if c.__module__.startswith("skreward")]
        for name in sorted({name for c in ours for name in vars(c)}):
            found = inspect.getattr_static(thing, name)
            if isinstance(found, property):
                found = found.fget
            elif isinstance(found, classmethod | staticmethod):
                found = found.__func__
            if inspect.isfunction(found) and found.__module__.startswith("skreward"):
                if name == "__init__" or not name.startswith("_"):
                    yield f"{path}.{name}", found


@pytest.mark.parametrize(
    ("path", "function"),
    [pytest.param(*case, id=case[0]) for case in public_callables()],
)
def test_signature(path, function):
    signature = inspect.signature(function)
    bare = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is inspect.Parameter.empty
        and name not in ("self", "cls")
    ]
    if signature.return_annotation is inspect.Signature.empty:
        bare.append("return")
    assert not bare, f"{path} gives no type of {bare}"
