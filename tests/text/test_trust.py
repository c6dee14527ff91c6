"""What a model's folder asks to run is refused before any of it is touched."""

import json
import sys

import pytest

from skreward import LLMEmbeddingTransformer
from skreward.text.trust import refuse_code

TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"


def write(folder, name, value):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A folder with a module that leaves a trace when it is imported."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "trap_of_tests.py").write_text(
        f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n"
        "class Evil:\n    def __init__(self, *a, **k): pass\n"
    )
    write(folder, "config.json", {"model_type": "bert"})
    # An installed package is as much code as one in the folder.
    monkeypatch.syspath_prepend(folder)
    yield folder
    assert not (tmp_path / "sprung").exists()
    assert "trap_of_tests" not in sys.modules


def module(kind, path=""):
    return [{"idx": 0, "name": "0", "path": path, "type": kind}]


CODE = {
    "a module": ("modules.json", module("trap_of_tests.Evil")),
    "an installed module": ("modules.json", module("os.path.join")),
    "a function of the library": (
        "modules.json",
        module("sentence_transformers.util.import_from_string"),
    ),
    "a look-alike": ("modules.json", module("sentence_transformers.models.evil.x")),
    "a route": (
        "0_Router/router_config.json",
        {"types": {"query_0": "trap_of_tests.Evil"}, "structure": {}},
    ),
    "an old route": ("0_Asym/config.json", {"types": {"a": "trap_of_tests.Evil"}}),
    "a tokenizer": (
        "0_Words/wordembedding_config.json",
        {"tokenizer_class": "trap_of_tests.Evil"},
    ),
    "an activation": (
        "2_Dense/config.json",
        {"activation_function": "torch.hub.load"},
    ),
    "another activation": (
        "2_Dense/config.json",
        {"activation_function": "trap_of_tests.Evil"},
    ),
    "trust in itself": (
        "sentence_bert_config.json",
        {"model_args": {"trust_remote_code": True}},
    ),
    "a kernel": ("config.json", {"attn_implementation": "somebody/attention"}),
    "a place outside": ("modules.json", module(TRANSFORMER, "../other")),
    "an absolute place": ("modules.json", module(TRANSFORMER, "/etc")),
    "a route outside": (
        "0_Router/router_config.json",
        {"types": {"../../other": TRANSFORMER}},
    ),
    "deep nesting": ("modules.json", None),
}


@pytest.mark.parametrize("what", CODE)
def test_code_is_refused_by_name_and_not_run(trap, what):
    name, value = CODE[what]
    write(trap, "modules.json", module(TRANSFORMER))
    write(trap, name, value)
    if what == "deep nesting":
        (trap / name).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        LLMEmbeddingTransformer(trap).fit(["a"])
    assert what == "deep nesting" or "trust_remote_code=True" in str(caught.value)


@pytest.mark.parametrize("key", ["AutoConfig", "AutoModel", "AutoTokenizer"])
def test_code_of_transformers_is_refused(trap, key):
    value = {"auto_map": {key: "trap_of_tests.Evil"}, "model_type": "unheard-of"}
    write(trap, "config.json", value)
    with pytest.raises((ValueError, OSError)):
        LLMEmbeddingTransformer(trap).fit(["a"])


def test_a_link_to_a_folder_is_refused(trap, tmp_path):
    other = tmp_path / "other"
    write(other, "router_config.json", {"types": {"a": "trap_of_tests.Evil"}})
    write(trap, "modules.json", module(TRANSFORMER, "0_Router"))
    (trap / "0_Router").symlink_to(other)
    with pytest.raises(ValueError, match="0_Router: a link to a folder"):
        LLMEmbeddingTransformer(trap).fit(["a"])


def test_an_adapter_is_refused(trap):
    write(trap, "adapter_config.json", {"base_model_name_or_path": "some/model"})
    with pytest.raises(OSError, match="is an adapter of another model"):
        LLMEmbeddingTransformer(trap).fit(["a"])


def test_what_the_libraries_write_themselves_is_taken(tmp_path):
    write(tmp_path, "modules.json", module(TRANSFORMER) + module(POOLING, "1_Pooling"))
    write(tmp_path, "2_Dense/config.json", {"activation_function": "torch.nn.Tanh"})
    write(
        tmp_path,
        "3_Dense/config.json",
        {"activation_function": "torch.nn.modules.activation.Tanh"},
    )
    write(
        tmp_path,
        "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "added": {"type": "AddedToken"}},
    )
    write(tmp_path, "config.json", {"hidden_act": "gelu", "rope": {"type": "linear"}})
    refuse_code(tmp_path)


def test_every_module_of_the_library_is_known():
    """Those in the list exist, and those it saves as are taken."""
    from sentence_transformers.sentence_transformer import modules

    from skreward.text.trust import OWN_MODULE

    known = [
        getattr(modules, name)
        for name in ("Transformer", "Pooling", "Normalize", "Dense", "StaticEmbedding")
    ]
    for kind in known:
        assert OWN_MODULE.fullmatch(f"{kind.__module__}.{kind.__qualname__}")
