"""What a model file may hold, and what the worst of them may do."""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn import svm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.tree import DecisionTreeClassifier

import skreward
from skreward import BradleyTerryRegressor, LLMEmbeddingTransformer
from skreward.metrics import neg_preference_log_loss_scorer
from skreward.model_selection import PromptDisjointKFold

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.InconsistentVersionWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
rng = np.random.default_rng(0)
X = rng.uniform(0.1, 1, size=(60, 4))
Y = (X[:, 0] + X[:, 1] > 1.1).astype(int)
SCALER = "sklearn.preprocessing._data.StandardScaler"
LOADERS = (
    "ObjectNode FunctionNode TypeNode ConstructorFromReduceNode TreeNode LossNode "
    "DictNode ListNode TupleNode NdArrayNode MethodNode PartialNode"
).split()


def node(name, loader="ObjectNode", content=None, **more):
    module, _, cls = name.rpartition(".")
    return {
        "__class__": cls,
        "__module__": module,
        "__loader__": loader,
        "content": content,
        **more,
    }


def text(value):
    return node("builtins.str", "JsonNode", json.dumps(value), is_json=True)


def listed(*parts, kind="list"):
    return node(f"builtins.{kind}", f"{kind.capitalize()}Node", list(parts))


def mapping(kind="str", **parts):
    kinds = listed(*(node(f"builtins.{kind}", "TypeNode") for _ in parts))
    return node("builtins.dict", "DictNode", parts, key_types=kinds)


def model(**attributes):
    return node(
        "sklearn.preprocessing._data.StandardScaler", content=mapping(**attributes)
    )


def craft(path, schema, members=None, compression=zipfile.ZIP_STORED):
    if isinstance(schema, dict):
        schema = {"protocol": 2, "_skops_version": "0.13.0", **schema}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in (members or {}).items():
            file.writestr(name, content)
        text = schema if isinstance(schema, str) else json.dumps(schema)
        file.writestr("schema.json", text)
    return path


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def array(name="a.npy"):
    return node("numpy.ndarray", "NdArrayNode", None, type="numpy", file=name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


# What is loaded


MODELS = {
    "boosting": HistGradientBoostingClassifier(max_iter=3, early_stopping=True),
    "calibrated": CalibratedClassifierCV(
        svm.LinearSVC(), method="isotonic", cv=3, ensemble=True
    ),
    "gradient boosting": GradientBoostingClassifier(n_estimators=3),
    "forest": RandomForestClassifier(3, n_jobs=1),
    "process": GaussianProcessClassifier(RBF() + WhiteKernel()),
    "hinge": SGDClassifier(),
    "k-d tree": KNeighborsClassifier(algorithm="kd_tree"),
    "ball tree": KNeighborsClassifier(algorithm="ball_tree"),
    "network": MLPClassifier((3,), max_iter=400, tol=1e-2, early_stopping=True),
    "search": GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2),
    "scored search": GridSearchCV(
        LogisticRegression(), {"C": [1.0, 2]}, scoring="roc_auc", cv=2
    ),
    "stack": StackingClassifier([("a", LogisticRegression())], cv=2),
    "splines": make_pipeline(SplineTransformer(), LogisticRegression()),
    "sparse splines": make_pipeline(
        SplineTransformer(sparse_output=True), LogisticRegression()
    ),
    "logs": make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
    "selected": make_pipeline(SelectKBest(k=2), LogisticRegression()),
    "vector machine": svm.SVC(),
    "vote of trees": VotingClassifier([("a", DecisionTreeClassifier())]),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_scikit_learn_need_no_trust(name, path):
    fitted = MODELS[name].fit(X, Y)
    skreward.save(fitted, path)
    assert_array_equal(skreward.load(path).predict(X), fitted.predict(X))


def test_a_search_with_the_scorer_and_the_splits_of_this_package(path, preferences):
    search = GridSearchCV(
        BradleyTerryRegressor(),
        {"alpha": [0.1, 1]},
        scoring=neg_preference_log_loss_scorer,
        cv=PromptDisjointKFold(3, random_state=0),
    ).fit(preferences.pairs, preferences.y)
    skreward.save(search, path)
    again = skreward.load(path)
    assert_array_equal(
        again.predict(preferences.pairs), search.predict(preferences.pairs)
    )
    assert again.score(preferences.pairs, preferences.y) == search.score(
        preferences.pairs, preferences.y
    )


def test_words_that_are_spelt_as_the_file_spells_its_own(path):
    texts = ["__class__ __loader__ __module__ __id__ file content", "key_types type"]
    words = CountVectorizer().fit(texts)
    skreward.save(words, path)
    assert skreward.load(path).vocabulary_ == words.vocabulary_


def test_trusted_names_are_allowed_and_no_parts_of_them(path):
    import lightgbm

    fitted = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)
    skreward.save(fitted, path)
    with pytest.raises(ValueError, match=r"not trusted: .*lightgbm") as refused:
        skreward.load(path)
    names = str(refused.value).split("not trusted: ")[1].split(". Nothing")[0]
    loaded = skreward.load(path, trusted=names.split(", "))
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(TypeError, match="sequence of full names"):
        skreward.load(path, trusted=names)


# What is refused before it is imported


def modules_of(package):
    """Every module that lies in a package's folder, found without an import."""
    root = Path(importlib.util.find_spec(package).origin).parent
    for file in root.rglob("*"):
        if file.suffix in (".py", ".so", ".pyd"):
            parts = file.relative_to(root.parent).with_name(file.name.split(".")[0])
            yield ".".join(part for part in parts.parts if part != "__init__")


SCRIPT = """
import os, sys
from pathlib import Path
import skops.io, skreward
from skreward.persistence.types import estimator_names, function_names
from tests.test_persistence import LOADERS, craft, listed, modules_of, node
estimator_names(), function_names()
folder = Path(sys.argv[1])
path = folder / "model.skops"
before, tried = set(sys.modules), 0
for package in ("sklearn", "skreward"):
    for module in modules_of(package):
        parts = [
            node(f"{module}.{name}", loader, dict(func="a"), key_types=listed())
            for loader in LOADERS for name in ("main", "EmbeddingCache", "system")
        ]
        try:
            skreward.load(craft(path, listed(*parts)))
        except ValueError as error:
            assert f"{module}.main" in str(error), error
            tried += 1
path.unlink()
print(tried, sorted(set(sys.modules) - before), os.listdir(folder))
"""


def test_no_module_of_either_package_is_imported_by_a_file(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
        check=False,
    )
    assert found.returncode == 0, found.stderr
    n_modules = sum(len(list(modules_of(name))) for name in ("sklearn", "skreward"))
    assert n_modules > 500
    assert found.stdout.split(maxsplit=1) == [str(n_modules), "[] []\n"]


CACHE = "skreward.text.cache.EmbeddingCache"
CALLS = {
    "constructor": lambda folder: node(
        CACHE, "ConstructorFromReduceNode", listed(text(folder), kind="tuple")
    ),
    "key of a dict": lambda folder: node(
        "builtins.dict",
        "DictNode",
        {folder: text(1)},
        key_types=listed(node(CACHE, "TypeNode")),
    ),
    "loss": lambda folder: node(
        CACHE, "LossNode", mapping(), __reduce__={"args": listed(text(folder))}
    ),
    "list": lambda folder: node(CACHE, "ListNode", [text(folder)]),
    "array": lambda folder: node(
        CACHE, "NdArrayNode", None, type="numpy", file="a.npy"
    ),
    "object": lambda folder: node(CACHE, content=mapping(folder=text(folder))),
    "method": lambda folder: node(
        "sklearn.preprocessing._data.StandardScaler",
        "MethodNode",
        {"func": "fit", "obj": model()},
    ),
    "system": lambda folder: node(
        "os.mkdir", "ConstructorFromReduceNode", listed(text(folder), kind="tuple")
    ),
    "getter": lambda folder: node(
        "operator.attrgetter", "OperatorFuncNode", attrs=listed(text("a"))
    ),
    "partial": lambda folder: node("functools.partial", "PartialNode", {}),
    "generator": lambda folder: node(
        "sklearn.utils.validation.check_is_fitted", "FunctionNode"
    ),
    "frozen": lambda folder: node(
        "scipy.stats._distn_infrastructure.rv_continuous_frozen"
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_called_that_a_file_names(name, path, tmp_path):
    made = tmp_path / "made"
    craft(path, model(a=CALLS[name](str(made))), {"a.npy": npy(np.zeros(1))})
    with pytest.raises(ValueError, match="not trusted"):
        skreward.load(path)
    assert os.listdir(tmp_path) == ["model.skops"]


def test_a_dict_makes_its_keys_of_plain_types_alone(path):
    keys = node("builtins.dict", "DictNode", {"a": text(1)}, key_types=model())
    with pytest.raises(ValueError, match="no model file"):
        skreward.load(craft(path, keys))


def test_one_id_is_built_once_and_read_once(path):
    """skops builds the first of an id: the second must not be read instead."""
    first = mapping(trust_remote_code=text(True))
    second = mapping(trust_remote_code=text(False))
    embed = node("skreward.text.transformer.LLMEmbeddingTransformer", content=second)
    first["__id__"] = second["__id__"] = 7
    with pytest.raises(ValueError, match="no model file"):
        skreward.load(craft(path, model(a=first, b=embed)))
    arrays = {"a.npy": npy(np.zeros(1)), "b.npy": npy(np.ones(1))}
    parts = {"a": {**array("a.npy"), "__id__": 3}, "b": {**array("b.npy"), "__id__": 3}}
    with pytest.raises(ValueError, match="no model file"):
        skreward.load(craft(path, model(**parts), arrays))
    arrays["b.npy"] = arrays["a.npy"]
    assert skreward.load(craft(path, model(**parts), arrays)).a == 0


def test_code_beside_a_language_model_runs_for_a_loader_that_says_so(path):
    def saved(**params):
        skreward.save(make_pipeline(LLMEmbeddingTransformer(**params)), path)

    saved(model="somebody/model", trust_remote_code=True)
    with pytest.raises(ValueError, match=r"LLMEmbedd.*trust_remote_code"):
        skreward.load(path)
    loaded = skreward.load(path, trust_remote_code=True)
    assert loaded[0].trust_remote_code is True
    saved()
    assert skreward.load(path)[0].trust_remote_code is False


# What is too much


BOMBS = {
    "zeros": (array(), np.zeros(1 << 23)),
    "many of one": (listed(*([array()] * 2000)), np.zeros(1 << 13)),
    "bytes": (node("builtins.bytes", "BytesNode", file="a.npy"), np.zeros(1 << 23)),
    "integers": (
        node("builtins.bytearray", "BytearrayNode", file="a.npy"), np.zeros(1 << 18),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_sizes_are_read_before_arrays(name, path):
    part, content = BOMBS[name]
    content = {"a.npy": npy(content)}
    craft(path, model(a=part), content, zipfile.ZIP_DEFLATED)
    del content
    with pytest.raises(ValueError, match="not trusted"):
        skreward.load(craft(path.with_name("other"), node("a.b")))  # imports
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"max_bytes=10,000,000 bytes.*raise max_byt"):
        skreward.load(path, max_bytes=10**7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 10**6


def test_a_limit_can_be_raised(path, preferences):
    fitted = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    skreward.save(fitted, path)
    with pytest.raises(ValueError, match="max_bytes=1,000"):
        skreward.load(path, max_bytes=1000)
    skreward.load(path, max_bytes=10**6)


def header(shape, descr="<f8"):
    return npy(np.zeros(1)).replace(
        b"'descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
        f"'descr': '{descr}', 'fortran_order': False, 'shape': ({shape},), }}".encode(),
    )


def sparse(matrix, **replaced):
    buffer = io.BytesIO()
    sp.save_npz(buffer, matrix)
    buffer.seek(0)
    with np.load(buffer) as parts:
        parts = {**parts, **replaced}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **parts)
    return buffer.getvalue()


SPARSE = node(
    "scipy.sparse._csr.csr_array", "SparseMatrixNode", type="scipy", file="a.npy"
)
EYE = sp.csr_array(np.eye(3))
POOL = node(
    "numpy.random._generator.Generator",
    "RandomGeneratorNode",
    {
        "bit_generator": mapping(bit_generator=text("PCG64")),
        "seed_seq": mapping(pool_size=text(10**9)),
    },
)
SHARED = {**listed(*[text(0)] * 10), "__id__": 1}
for level in range(2, 10):
    SHARED = {**listed(SHARED, *[{**SHARED, "content": []}] * 9), "__id__": level}
DEEP = model()
for _ in range(300):
    DEEP = listed(DEEP)
BROKEN = {
    "schema is a list": ([1], None),
    "schema is a number": ("1", None),
    "schema is empty": ("", None),
    "schema is deep": ("[" * 10**6, None),
    "nodes are deep": (DEEP, None),
    "text is deep": (
        model(a=node("builtins.str", "JsonNode", "[" * 10**6)), None,
    ),
    "no protocol": (json.dumps(model()), None),
    "old protocol": ({**model(), "protocol": 0}, None),
    "new protocol": ({**model(), "protocol": 99}, None),
    "protocol is a word": ({**model(), "protocol": "2"}, None),
    "a node without a loader": (model(a={"__class__": "a", "__module__": "b"}), None),
    "a node of nothing": (model(a=node("a.b", "CachedNode")), None),
    "a module that is none": (model(a={**text(1), "__module__": None}), None),
    "array of 1e12": (model(a=array()), header(10**12)),
    "array of 1e30": (model(a=array()), header(10**30)),
    "array of 1e30, as a float": (model(a=array()), header("1e30")),
    "array below zero": (model(a=array()), header(-1)),
    "array of nothings": (model(a=array()), header(10**12, "|V0")),
    "array of objects": (model(a=array()), header(1, "|O")),
    "array cut": (model(a=array()), header(1)[:-4]),
    "array of words": (model(a=array()), b"hello"),
    "array missing": (model(a=array("b.npy")), b""),
    "sparse outside": (
        model(a=SPARSE), sparse(EYE, indices=np.array([0, 1, 99], dtype=np.int32)),
    ),
    "sparse of another kind": (model(a=SPARSE), sparse(sp.coo_array(np.eye(3)))),
    "a large pool": (model(a=POOL), None),
    "lists within lists": (
        model(
            a=node(
                "numpy.ndarray", "NdArrayNode", [SHARED], type="json",
                shape=listed(text(1), text(1), kind="tuple"),
            )
        ),
        None,
    ),
    "not the state of its class": (
        node("sklearn.pipeline.Pipeline", content=text([1, 2])), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_a_file_holds_is_one_kind_of_error(name, path):
    schema, content = BROKEN[name]
    craft(path, schema, {} if content is None else {"a.npy": content})
    with pytest.raises(ValueError, match=r"model\.skops is no model file"):
        skreward.load(path)


def test_two_members_of_one_name(path):
    craft(path, model())
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(path, "a") as file,
    ):
        file.writestr("schema.json", json.dumps(model()))
    with pytest.raises(ValueError, match="no model file"):
        skreward.load(path)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The bytes of a real model."""
    path = tmp_path_factory.mktemp("real") / "model.skops"
    skreward.save(make_pipeline(MODELS["forest"].fit(X, Y)), path)
    return path.read_bytes()


def load_or_refuse(path):
    """Load a file that may be broken; anything but a ValueError fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ValueError):
            skreward.load(path)


@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
        min_size=1, max_size=8,
    ),
    cut=st.floats(0.5, 1.5),
)  # fmt: skip
def test_changed_bytes_are_a_model_or_a_value_error(
    real, tmp_path_factory, changes, cut
):
    content = bytearray(real)
    for place, byte in changes:
        content[int(place * len(content))] = byte
    path = tmp_path_factory.getbasetemp() / "changed.skops"
    path.write_bytes(content[: int(cut * len(content))])
    load_or_refuse(path)


@given(place=st.floats(0, 1, exclude_max=True), swap=st.sampled_from('01{}[]",:aN'))
def test_a_changed_schema_is_a_model_or_a_value_error(
    real, tmp_path_factory, place, swap
):
    path = tmp_path_factory.getbasetemp() / "schema.skops"
    with zipfile.ZipFile(io.BytesIO(real)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    schema = members.pop("schema.json").decode()
    k = int(place * len(schema))
    load_or_refuse(craft(path, schema[:k] + swap + schema[k + 1 :], members))


# Trees lead nowhere but into themselves


def changed_member(path, field, row, value):
    """Change a field of the first array of nodes that has it."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name, content in members.items():
        if name.endswith(".npy"):
            nodes = np.load(io.BytesIO(content))
            if nodes.dtype.names and field in nodes.dtype.names:
                nodes[field][row] = value
                members[name] = npy(nodes)
                break
    else:
        raise AssertionError(f"no array has a field {field!r}")
    schema = members.pop("schema.json").decode()
    craft(path, schema, members)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("forest", "left_child", 10**6),
        ("forest", "right_child", 0),
        ("forest", "feature", 4),
        ("gradient boosting", "feature", -7),
        ("boosting", "left", 10**6),
        ("boosting", "feature_idx", 4),
        ("k-d tree", "idx_end", 10**6),
        ("ball tree", "is_leaf", 0),
    ],
)
def test_trees_lead_nowhere_outside(name, field, value, path):
    skreward.save(MODELS[name].fit(X, Y), path)
    skreward.load(path)
    changed_member(path, field, -1 if field == "is_leaf" else 0, value)
    with pytest.raises(ValueError, match="no model file"):
        skreward.load(path)
