"""What is shipped: the index page, the source archive, the versions that are told."""

import re
import runpy
import subprocess
import sys
import tarfile
from configparser import ConfigParser

import pytest

from tests.support import ROOT

CONFIG = ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
LINK = re.compile(r"!?\[[^]]*\]\(([^)]+)\)")


def required():
    """Give the packages of install_requires and of all extras."""
    lines = [CONFIG["options"]["install_requires"]]
    lines += CONFIG["options.extras_require"].values()
    return {re.match(r"[\w.-]+", line)[0] for line in " ".join(lines).split()}


def test_links_of_the_index_page_lead_to_files_that_are_there():
    page = runpy.run_path(str(ROOT / "setup.py"))["index_page"]()
    links = LINK.findall(page)
    assert links == [link for link in links if link.startswith("https://")]
    source = CONFIG["metadata"]["url"]
    inner = [link for link in links if link.startswith(source)]
    assert f"{source}/raw/main/docs/images/best_of_n.png" in inner
    relative = LINK.findall((ROOT / "README.md").read_text())
    relative = [link for link in relative if not link.startswith("https://")]
    assert len(inner) == len(relative)
    for link in inner:
        path = re.sub("^/(raw|blob)/main/", "", link.removeprefix(source))
        assert (ROOT / path).is_file(), link


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/performance.md",
        "docs/study/report.md",
        "docs/study/deviations.md",
        "docs/study/REPRODUCE.md",
    ],
)
def test_relative_links_lead_to_files_that_are_there(page):
    path = ROOT / page
    for link in LINK.findall(path.read_text()):
        if not link.startswith(("https://", "#")):
            assert (path.parent / link.split("#")[0]).exists(), link


@pytest.mark.parametrize("page", ["README.md", "docs/install.rst"])
def test_the_line_for_the_cpu_build_comes_first_and_is_of_the_pinned_version(page):
    text = (ROOT / page).read_text()
    command, index = re.search(
        r"pip install (torch\S*) --index-url (\S+)", text
    ).groups()
    assert index == "https://download.pytorch.org/whl/cpu"
    assert f"\n{command}\n" in (ROOT / "constraints.txt").read_text()
    assert text.index(command) < text.index('pip install "')


def test_what_is_cited_and_built_elsewhere_is_of_this_version():
    import skreward

    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {skreward.__version__}\n" in citation
    [torch] = re.findall(r"torch==\S+", (ROOT / ".readthedocs.yaml").read_text())
    assert f"\n{torch}\n" in (ROOT / "constraints.txt").read_text()


def test_every_requirement_is_pinned_and_every_pin_is_of_one_version():
    pins = re.findall(r"^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.M)
    pinned = {name.lower().replace("_", "-") for name in pins}
    assert len(pinned) == len(pins)
    missing = {n for n in required() if n.lower().replace("_", "-") not in pinned}
    assert not missing


def test_whoever_imports_a_package_declares_it():
    """The package's own imports, against install_requires and the extras."""
    from tests.test_imports import IMPORTS

    declared = {name.lower().replace("-", "_") for name in required()}
    declared |= {"skreward", "sklearn"}
    used = {full.split(".")[0] for found in IMPORTS.values() for full in found}
    assert used - declared - sys.stdlib_module_names == set()


def test_the_source_archive_carries_what_its_tests_need(tmp_path):
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "-e", tmp_path, "sdist",
         "-d", tmp_path],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        [info] = [m for m in file.getmembers() if m.name.count("/") == 1
                  and m.name.endswith("/PKG-INFO")]  # fmt: skip
        metadata = file.extractfile(info).read().decode()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode == 0:
        missing = set(tracked.stdout.split("\n")) - names - {"", ".gitignore"}
        assert not missing
    needed = "constraints.txt conftest.py CHANGELOG.md tests/support.py docs/api.rst"
    needed += " benchmarks/speed.py skreward/py.typed docs/images/best_of_n.png"
    assert set(needed.split()) <= names
    assert "Project-URL: Source, https://" in metadata
    assert "(docs/" not in metadata


def test_the_map_names_every_room_in_the_order_of_imports():
    from tests.test_imports import MODULES, rank

    text = (ROOT / "CONTRIBUTING.md").read_text()
    lines = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    rooms = [re.findall("`([^`]+)`", line) for line in lines]
    named = [
        room.removesuffix(".py").replace("/", ".") for line in rooms for room in line
    ]
    assert {name.split(".")[0] for name in MODULES if "_" not in name[:2]} <= set(named)
    ranks = [rank(name) for name in named if name in MODULES]
    assert ranks == sorted(ranks)


def test_what_the_extra_test_installs_is_imported_never_skipped():
    lines = CONFIG["options"]["install_requires"].split()
    lines += CONFIG["options.extras_require"]["test"].split()
    there = {re.match(r"[\w.-]+", line)[0].replace("-", "_") for line in lines}
    for path in (ROOT / "tests").rglob("*.py"):
        for name in re.findall(r"importorskip\(\s*\"(\w+)", path.read_text()):
            assert name not in there, f"{path} would skip where {name} is broken"
