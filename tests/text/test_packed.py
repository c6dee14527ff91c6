"""Texts in one pass without padding: the rows of padded ones, of fewer tokens."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from skreward import LLMEmbeddingTransformer
from skreward.text.encoders import CPU_TOKENS
from skreward.text.loading import get_encoder
from skreward.text.packed import ATTENTION
from tests.tiny_models import WORDS, word_tokenizer

SIZES = {
    "vocab_size": 19,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
}


def save(folder, kind=BertModel, *, pooling="mean", side="right", **options):
    """Save a sentence encoder of made-up weights; gives its folder."""
    config = BertConfig if kind is BertModel else RobertaConfig
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = kind(config(**SIZES, pad_token_id=0))
        for parameter in body.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    body.save_pretrained(folder / "body")
    word_tokenizer(side=side).save_pretrained(folder / "body")
    inner = Transformer(str(folder / "body"))
    prompt_option = {"include_prompt": False} if options else {}
    pool = Pooling(16, pooling_mode=pooling, **prompt_option)
    SentenceTransformer(modules=[inner, pool], **options).save(str(folder / "whole"))
    return str(folder / "whole")


def encoder_of(embed):
    return get_encoder(*embed._find("float32"))


@pytest.fixture(scope="module", params=["mean", "cls", "left", "prompt"])
def both(request, tmp_path_factory):
    """Ours, and the same model as its own library runs it."""
    folder = tmp_path_factory.mktemp(request.param)
    options = {}
    if request.param == "prompt":
        options = {"prompts": {"ask": "one two "}, "default_prompt_name": "ask"}
    folder = save(
        folder,
        pooling="cls" if request.param == "cls" else "mean",
        side="left" if request.param == "left" else "right",
        **options,
    )
    embed = LLMEmbeddingTransformer(folder, dtype="float32", device="cpu")
    assert encoder_of(embed).is_packing
    return embed, SentenceTransformer(folder, device="cpu")


texts = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=9
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=texts, normalize=st.booleans())
def test_packed_texts_have_the_rows_of_padded_ones(both, batch, normalize):
    embed, own = both
    embed = LLMEmbeddingTransformer(**embed.get_params()).set_params(
        normalize=normalize
    )
    rows = encoder_of(embed).encode(batch).rows
    wanted = own.encode(batch, normalize_embeddings=normalize)
    assert_allclose(rows, wanted, atol=2e-6)


def test_no_padding_goes_through_the_model(tmp_path):
    embed = LLMEmbeddingTransformer(save(tmp_path), dtype="float32", device="cpu")
    encoder = encoder_of(embed)
    shapes = []
    layer = encoder.model.transformers_model.encoder.layer[0]
    hook = layer.register_forward_hook(lambda *args: shapes.append(args[1][0].shape))
    rows = encoder.encode(["a b c d e f", "a", "b c", "d"]).rows
    hook.remove()
    assert shapes == [(1, 7 + 2 + 3 + 2, 16)]
    # Padded texts go through the same attention, as in an export.
    assert_allclose(encoder.model.encode(["d", "b c"]), rows[[3, 2]], atol=2e-6)


def test_passes_are_filled_by_the_tokens_of_all_their_texts(tmp_path):
    embed = LLMEmbeddingTransformer(save(tmp_path), dtype="float32", device="cpu")
    encoder = encoder_of(embed)
    lengths = np.random.default_rng(0).integers(1, 4000, size=300)
    strings = ["x" * n for n in lengths]
    batches = list(encoder.batches(strings, 32))
    assert_array_equal(
        [len(text) for batch in batches for text in batch], np.sort(lengths)[::-1]
    )
    guessed = [sum(map(encoder._about, batch)) for batch in batches]
    assert max(guessed) <= CPU_TOKENS
    assert max(map(len, batches)) <= 32
    assert len(list(encoder.batches(strings, 1))) == 300


def test_other_models_are_padded_as_ever(tmp_path):
    folder = save(tmp_path / "roberta", RobertaModel)
    embed = LLMEmbeddingTransformer(folder, dtype="float32", device="cpu")
    encoder = encoder_of(embed)
    assert not encoder.is_packing
    wanted = SentenceTransformer(folder, device="cpu").encode(["a b c", "d"])
    assert_allclose(encoder.encode(["a b c", "d"]).rows, wanted, atol=1e-6)
    given = SentenceTransformer(save(tmp_path / "bert"), device="cpu")
    rows = LLMEmbeddingTransformer(given).fit_transform(["a b c", "d"])
    assert_allclose(rows, given.encode(["a b c", "d"]), atol=1e-6)
    assert given.transformers_model.config._attn_implementation != ATTENTION
