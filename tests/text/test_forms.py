"""Forms of models beside folders of hidden states: GGUF files, static vectors."""

import shutil
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skreward import LLMEmbeddingTransformer
from skreward.text import loading
from skreward.text import source as model_source
from skreward.text.cache import clear_memory
from tests.tiny_models import save_tiny_gguf, word_tokenizer

TEXTS = ["a", "ab ba", "", "something longer than the others"]


@pytest.fixture(autouse=True)
def _empty_cache():
    clear_memory()
    yield
    clear_memory()


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_gguf_file_is_a_model(gguf_file, pooling, capfd):
    from pathlib import Path

    import transformers

    embed = LLMEmbeddingTransformer(gguf_file, pooling=pooling, dtype="float32")
    rows = embed.fit_transform(TEXTS)
    assert "onverting" not in capfd.readouterr().err
    path = Path(gguf_file)
    options = {
        "gguf_file": path.name,
        "quantization_config": transformers.GgufConfig(dequantize=True),
    }
    model = transformers.AutoModel.from_pretrained(path.parent, **options).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name
    )
    for text, row in zip(TEXTS, rows, strict=True):
        ids = tokenizer(text)["input_ids"] or [tokenizer.bos_token_id]
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        wanted = states[-1] if pooling == "last" else states.mean(0)
        assert_allclose(row, wanted, atol=1e-5)


def test_a_gguf_file_is_read_without_its_neighbours(gguf_file, tmp_path):
    copy = tmp_path / "renamed.gguf"
    shutil.copyfile(gguf_file, copy)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Nonsense"}')
    (tmp_path / "config.json").write_text("{}")
    embed = LLMEmbeddingTransformer(gguf_file, dtype="float32").fit(TEXTS)
    other = LLMEmbeddingTransformer(copy, dtype="float32").fit(TEXTS)
    assert other.model_digest_ == embed.model_digest_
    assert_array_equal(other.transform(TEXTS), embed.transform(TEXTS))


def test_another_gguf_file_is_another_model(gguf_file, tmp_path):
    path = tmp_path / "tiny.gguf"
    shutil.copyfile(gguf_file, path)
    embed = LLMEmbeddingTransformer(path, dtype="float32").fit(["a"])
    save_tiny_gguf(path, seed=1)
    with pytest.raises(ValueError, match="it is another model"):
        embed.transform(["a"])


def test_what_is_no_gguf_file(tmp_path):
    with pytest.raises(OSError, match=r"there is no file '.*no\.gguf'"):
        LLMEmbeddingTransformer(tmp_path / "no.gguf").fit(["a"])
    (tmp_path / "bad.gguf").write_bytes(b"something else")
    with pytest.raises(OSError, match=r"bad\.gguf.* is no GGUF file"):
        LLMEmbeddingTransformer(tmp_path / "bad.gguf").fit(["a"])
    with pytest.raises(ValueError, match=r"revision goes with a hub id.* is a file"):
        LLMEmbeddingTransformer(tmp_path / "bad.gguf", revision="x").fit(["a"])
    with pytest.raises(
        OSError, match=r"is no model. Give the file itself: .*bad\.gguf"
    ):
        LLMEmbeddingTransformer(tmp_path).fit(["a"])


@pytest.fixture(scope="module")
def static_folder(tmp_path_factory):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    vectors = np.random.default_rng(0).normal(size=(19, 8)).astype(np.float32)
    module = StaticEmbedding(word_tokenizer(bos=False), embedding_weights=vectors)
    folder = tmp_path_factory.mktemp("static")
    SentenceTransformer(modules=[module], device="cpu").save(str(folder))
    return folder, vectors


def test_static_vectors_are_a_model(static_folder):
    folder, vectors = static_folder
    embed = LLMEmbeddingTransformer(folder, device="cpu")
    rows = embed.fit_transform(["a", "a b b", ""])
    assert embed.dtype_ == "float32"
    wanted = [vectors[7], (vectors[7] + 2 * vectors[8]) / 3, np.zeros(8)]
    assert_allclose(rows, wanted, atol=1e-6)
    assert_array_equal(embed.transform(["a b b"])[0], rows[1])
    with pytest.raises(ValueError, match="dtype='bfloat16' cannot act"):
        LLMEmbeddingTransformer(folder, dtype="bfloat16", device="cpu").fit(["a"])


def test_an_onnx_file_alone_is_refused(static_folder, tmp_path):
    folder, _ = static_folder
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "onnx").mkdir()
    (copy / "onnx" / "model.onnx").write_bytes(b"graph")
    LLMEmbeddingTransformer(copy, device="cpu").fit(TEXTS)
    (copy / "model.safetensors").unlink()
    with pytest.raises(
        OSError, match=r"as model\.onnx alone, and .* safetensors or GGUF"
    ):
        LLMEmbeddingTransformer(copy, device="cpu").fit(TEXTS)


def test_a_loaded_model_without_weights_in_torch_is_refused():
    """Two of ``backend="onnx"`` would share one place in the cache."""
    from sentence_transformers import SentenceTransformer

    class Elsewhere(torch.nn.Module):
        def forward(self, features):
            return features

    model = SentenceTransformer(modules=[Elsewhere()], device="cpu")
    with pytest.raises(ValueError, match="without weights in torch, such as one with"):
        LLMEmbeddingTransformer(model).fit(TEXTS)


@pytest.mark.parametrize("name", ["MPNet", "Bert"])
def test_bfloat16_suits_attention_that_mixes_it_with_float32(tmp_path, name):
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    sizes = {
        "vocab_size": 19,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }
    config = getattr(transformers, f"{name}Config")(**sizes)
    getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path / "body")
    word_tokenizer().save_pretrained(tmp_path / "body")
    modules = [Transformer(str(tmp_path / "body")), Pooling(16, "mean")]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "model"))
    rows, wanted = (
        LLMEmbeddingTransformer(
            tmp_path / "model", dtype=dtype, device="cpu"
        ).fit_transform(["a b", "one two three four", "e"])
        for dtype in ("bfloat16", "float32")
    )
    cosine = (rows * wanted).sum(1)
    cosine /= np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted, axis=1)
    assert cosine.min() > 0.999
    assert (rows != wanted).any()


@pytest.mark.parametrize(("side", "kept"), [("right", "a b"), ("left", "c d")])
def test_static_vectors_are_cut_where_it_is_asked_for(static_folder, side, kept):
    folder, _ = static_folder
    embed = LLMEmbeddingTransformer(
        folder, max_length=2, truncation_side=side, device="cpu"
    )
    with pytest.warns(UserWarning, match="1 of 2 texts were cut to 2 tokens"):
        rows = embed.fit_transform(["a b c d", kept])
    assert_allclose(rows[0], rows[1], atol=1e-6)


def test_a_package_that_is_missing_is_named(monkeypatch, static_folder, gguf_file):
    folder, _ = static_folder
    loading._loaded.clear()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(
        ImportError,
        match=r"LLMEmbeddingTransformer needs sentence-transformers, which is not "
        r"installed.*pip install sentence-transformers",
    ):
        LLMEmbeddingTransformer(folder).fit(["a"])
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(
        ImportError, match=r"\.gguf file needs gguf, .*pip install gguf"
    ):
        LLMEmbeddingTransformer(gguf_file, dtype="float32").fit(["a"])


def test_the_default_is_looked_for_here_first(monkeypatch, tmp_path):
    asked = []

    def download(name, **options):
        asked.append(options.get("local_files_only", False))
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(model_source, "_packaged_default", lambda: str(tmp_path))
    assert model_source._fetch(model_source.DEFAULT_MODEL, None, False)[0] == str(
        tmp_path
    )
    assert asked == [True]
    monkeypatch.setattr(model_source, "_packaged_default", lambda: None)
    with pytest.raises(OSError, match="cannot be had"):
        model_source._fetch(model_source.DEFAULT_MODEL, None, False)
    assert asked == [True, True, False]


def test_a_half_downloaded_default_is_asked_for_again(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    asked = []

    def download(name, **options):
        asked.append(options.get("local_files_only", False))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(model_source, "_packaged_default", lambda: None)
    model_source._fetch(model_source.DEFAULT_MODEL, None, False)
    assert asked == [True, False]
