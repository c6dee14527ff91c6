"""The page on a package index: the README, with links that lead to the repository."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def index_page() -> str:
    """Give README.md with absolute links: an index shows the page without its files."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    source = config["metadata"]["url"]

    def absolute(match):
        mark, text, path = match.groups()
        view = "raw" if mark else "blob"
        return f"{mark}[{text}]({source}/{view}/main/{path})"

    link = r"(!?)\[([^]]*)\]\((?!https?://|#)([^)]+)\)"
    return re.sub(link, absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    setup(long_description=index_page(), long_description_content_type="text/markdown")
