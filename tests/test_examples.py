"""The gallery's examples, as far as they can be looked at without running them.

The documentation's build runs them, and fails where one does.
"""

import ast
import re

import pytest

from tests.support import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))


def test_the_gallery_is_there():
    assert len(EXAMPLES) >= 14


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_title_prose_and_a_picture_with_a_title(path):
    code = path.read_text()
    tree = ast.parse(code)
    title, line, *prose = ast.get_docstring(tree).split("\n")
    assert line == "=" * len(title)
    assert len(" ".join(prose).split()) > 15
    # What is seen is said below the picture, which is named for who cannot see it.
    assert re.search(r"plt\.show\(\)\n\n# %%\n# \w", code)
    assert re.search(r"suptitle\(|set_title\(|\btitle=", code)
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert "show" in called


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_repeatable(path):
    """What draws is told its seed; a path of a machine or a download has no place."""
    code = path.read_text()
    assert "random_state=" in code
    assert "default_rng()" not in code
    assert not re.search(r"https?://|load_dataset|\"/|read_csv", code)
