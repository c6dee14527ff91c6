"""Build with ``pip install -e ".[docs]" && sphinx-build -W docs docs/_build/html``."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a page that downloads is a mistake

from skreward import __version__  # noqa: E402

project = "skreward"
author = "The skreward developers"
copyright = "The skreward developers"
release = version = __version__
repository = "https://github.com/skreward/skreward"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "elsewhere",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}

# A name in single backticks is a link, and one that leads nowhere fails the build.
default_role = "py:name"
nitpicky = True

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings say what is wanted, and how
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["config.cache", "toc.empty_glob"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# MathJax from a package, so that formulas need no network: one file with its fonts.
mathjax_folder = Path(find_spec("mathjax").submodule_search_locations[0])
mathjax_path = "tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/uses",
    "doc_module": ("skreward",),
    "reference_url": {"skreward": None},
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "remove_config_comments": True,
    "image_srcset": ["2x"],
}

html_theme = "pydata_sphinx_theme"
html_title = "skreward"
html_static_path = [
    "_static",
    str(mathjax_folder / "static/mathjax/es5/tex-svg-full.js"),
]
html_css_files = ["site.css"]
html_sidebars = {"index": [], "install": [], "changelog": []}
html_show_sourcelink = False
html_theme_options = {
    "github_url": repository,
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
linkcheck_timeout = 20
linkcheck_retries = 2
# Addresses of services that a reader starts, and of a page that wants a browser.
linkcheck_ignore = [r"http://127\.0\.0\.1.*", r"https://github\.com/skreward/.*"]
