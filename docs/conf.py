"""Build with ``pip install -e ".[docs]" && sphinx-build -W docs docs/_build``."""

from skreward import __version__

project = "skreward"
author = "The skreward developers"
release = version = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
autosummary_generate = True
numpydoc_show_class_members = False
default_role = "any"
exclude_patterns = ["_build"]
html_theme = "alabaster"
nitpicky = False
suppress_warnings = ["ref.any", "ref.ref"]
