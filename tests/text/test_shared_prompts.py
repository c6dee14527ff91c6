"""Prompts computed once for their responses: the same rows, fewer tokens."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skreward import LLMEmbeddingTransformer
from skreward.text import encoders, prefixes, shared
from skreward.text.cache import clear_memory
from skreward.text.encoders import StateEncoder
from skreward.text.plan import Plan
from tests.tiny_models import CHAT, WORDS, save_tiny, word_tokenizer

SIZES = {
    "vocab_size": 19,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
GPT2 = {"vocab_size": 19, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 128}
OPT = {**SIZES, "ffn_dim": 32, "word_embed_proj_dim": 16}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}
MODELS = {
    "llama": ("LlamaConfig", GROUPED),
    "yarn": (
        "LlamaConfig",
        {
            **GROUPED,
            "rope_parameters": {**YARN, "original_max_position_embeddings": 32},
        },
    ),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 8}),
    "gemma3": (
        "Gemma3TextConfig",
        {**GROUPED, "head_dim": 8, "sliding_window": 8, "layer_types": SLIDING},
    ),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 8}),
    "phi3": ("Phi3Config", {**GROUPED, "sliding_window": 20}),
    "gpt_neox": ("GPTNeoXConfig", SIZES),
    "gpt2": ("GPT2Config", GPT2),
    "opt": ("OPTConfig", OPT),
    "bloom": (
        "BloomConfig",
        {"vocab_size": 19, "hidden_size": 16, "n_layer": 3, "n_head": 4},
    ),
}
REFUSED = {
    "bert": ("BertConfig", SIZES),
    "mamba": (
        "MambaConfig",
        {"vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    ),
    "jamba": (
        "JambaConfig",
        {
            **GROUPED,
            "num_experts": 2,
            "mamba_d_state": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
        },
    ),
    "llama4": (
        "Llama4TextConfig",
        {
            **GROUPED,
            "head_dim": 8,
            "intermediate_size_mlp": 32,
            "num_local_experts": 2,
            "attention_chunk_size": 8,
        },
    ),
}


def tiny_model(name, attention=None, std=0.3):
    import transformers

    kind, options = {**MODELS, **REFUSED}[name]
    config = getattr(transformers, kind)(**options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(
            config, attn_implementation=attention
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def encoder_of(model, **options):
    plan = {
        "pooling": "mean",
        "layer": -1,
        "max_length": None,
        "truncation_side": "middle",
        "dtype": "float32",
        "normalize": False,
        "device": "cpu",
    }
    tokenizer = word_tokenizer()
    tokenizer.model_max_length = 128
    return StateEncoder(model, tokenizer, Plan(**{**plan, **options}))


def embedded(encoder, texts, batch_size=32):
    """Give the rows of texts, each of which is embedded once."""
    rows, n_seen = {}, 0
    for some, (new, cuts) in encoder.passes(texts, batch_size):
        assert len(some) == len(new) == len(cuts)
        rows.update(zip(some, new, strict=True))
        n_seen += len(some)
    assert n_seen == len(rows) == len(texts)
    return np.array([rows[text] for text in texts])


def one_by_one(encoder, texts):
    """Embed each text by itself, the model called by hand."""
    model, plan, rows = encoder.model, encoder.plan, []
    for text in texts:
        ids = torch.from_numpy(encoder._token_ids(text)[0])[None]
        with torch.no_grad():
            out = model(input_ids=ids, output_hidden_states=True)
        states = out.hidden_states[plan.layer][0]
        rows.append(states[-1] if plan.pooling == "last" else states.mean(0))
    return torch.stack(rows).numpy()


@pytest.fixture
def n_positions(monkeypatch):
    """Count the places of tokens, padding included, that went through models."""
    seen = []
    real = shared.run

    def counting(model, layer, **inputs):
        seen.append(inputs["input_ids"].numel())
        return real(model, layer, **inputs)

    for module in (shared, encoders):
        monkeypatch.setattr(module, "run", counting)
    return seen


def responses(prompt, n, length=8, seed=0):
    rng = np.random.default_rng(seed)
    return [f"{prompt} {' '.join(rng.choice(WORDS, length))}" for _ in range(n)]


def prompt_of(length, seed=0):
    return " ".join(np.random.default_rng(seed).choice(WORDS, length))


# -- the same rows


@pytest.fixture(scope="module")
def encoder_for():
    models = {}

    def make(name, attention, **options):
        if (name, attention) not in models:
            models[name, attention] = tiny_model(name, attention)
        return encoder_of(models[name, attention], **options)

    return make


word_lists = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)
tables = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(" ".join),
        st.lists(word_lists, min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", MODELS)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_rows_are_those_of_each_text_alone(name, encoder_for, monkeypatch, data):
    monkeypatch.setattr(prefixes, "PASS_TOKENS", 0)
    monkeypatch.setattr(encoders, "CPU_TOKENS", data.draw(st.integers(1, 300)))
    attentions = ["eager"] if name == "bloom" else ["sdpa", "eager"]
    table = data.draw(tables)
    texts = {f"{prompt} {text}" for prompt, some in table for text in some}
    encoder = encoder_for(
        name,
        data.draw(st.sampled_from(attentions)),
        pooling=data.draw(st.sampled_from(["mean", "last"])),
        layer=data.draw(st.sampled_from([-1, 0, 1, 2, 3, -2])),
        max_length=data.draw(st.sampled_from([None, 12, 50])),
        truncation_side=data.draw(st.sampled_from(["middle", "left", "right"])),
    )
    texts = sorted(texts)
    wanted = one_by_one(encoder, texts)
    rows = embedded(encoder, texts, data.draw(st.integers(1, 9)))
    scale = max(1.0, float(np.abs(wanted).max()))
    assert_allclose(rows, wanted, atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_prompts_share_in_every_architecture(name, n_positions):
    """Of several prompts, each in the window and beyond it, in one batch."""
    encoder = encoder_of(tiny_model(name))
    texts = [
        text
        for seed, length in enumerate((60, 40, 90, 41))
        for n in (3,)
        for text in responses(prompt_of(length, seed), n, 5 + 3 * seed, seed)
    ]
    embedded(encoder, texts)  # the model is tried
    n_positions.clear()
    rows = embedded(encoder, texts)
    assert_allclose(rows, one_by_one(encoder, texts), atol=2e-5, rtol=0)
    assert sum(n_positions) < 4 * 90 + 12 * 14 + 20


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_cannot_share_compute_every_text(name, n_positions):
    encoder = encoder_of(tiny_model(name))
    texts = responses(prompt_of(60), 8)
    rows = embedded(encoder, texts, batch_size=1)
    assert_allclose(rows, one_by_one(encoder, texts), atol=2e-5, rtol=0)
    n_positions.clear()
    embedded(encoder, texts)
    assert sum(n_positions) == 8 * 69


def test_a_cache_that_is_not_understood_is_refused(n_positions):
    """The model is asked, not its configuration: any error means no sharing."""
    model = tiny_model("llama")
    real = model.forward

    def forward(input_ids=None, past_key_values=None, **options):
        if past_key_values is not None and past_key_values.get_seq_length():
            raise AttributeError("a cache of another kind")
        return real(input_ids=input_ids, past_key_values=past_key_values, **options)

    model.forward = forward
    encoder = encoder_of(model)
    texts = responses(prompt_of(60), 8)
    rows = embedded(encoder, texts)
    assert_allclose(rows, one_by_one(encoder, texts), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_model_in_bfloat16(pooling):
    model = tiny_model("llama", std=0.1)
    texts = responses(prompt_of(60), 6)
    wanted = one_by_one(encoder_of(model, pooling=pooling), texts)
    rows = embedded(
        encoder_of(model.bfloat16(), pooling=pooling, dtype="bfloat16"), texts
    )
    cosine = (rows * wanted).sum(1) / np.linalg.norm(rows, axis=1)
    assert (cosine / np.linalg.norm(wanted, axis=1)).min() > 0.999


# -- how much is computed


def test_tokens_through_the_model(n_positions):
    """A prompt of 50 and the beginning once, 10 times 8 tokens after it."""
    encoder = encoder_of(tiny_model("llama"))
    texts = responses(prompt_of(50), 10)
    embedded(encoder, texts)
    tried, n_positions[:] = sum(n_positions), []
    embedded(encoder, texts)
    # Responses may begin with the same word.
    assert 51 + 80 - 9 <= sum(n_positions) <= 51 + 80
    assert tried <= sum(n_positions) + 2 * 12 + 2 * 7 + 2 * 5
    assert len(n_positions) == 2


def test_texts_cut_to_the_same_tokens_are_computed_once(n_positions):
    encoder = encoder_of(tiny_model("llama"), max_length=40, truncation_side="right")
    texts = responses(prompt_of(60), 10)
    rows = embedded(encoder, texts)
    assert_array_equal(rows, np.repeat(rows[:1], 10, axis=0))
    assert n_positions == [40]


def test_the_prompt_alone_and_texts_without_prompt():
    encoder = encoder_of(tiny_model("llama"))
    prompt = prompt_of(60)
    texts = ["", prompt, *responses(prompt, 5), "a", f"{prompt} a"]
    wanted = one_by_one(encoder, texts)
    assert_allclose(embedded(encoder, texts), wanted, atol=1e-5, rtol=0)


def test_nothing_in_common_is_one_pass_as_before(n_positions):
    encoder = encoder_of(tiny_model("llama"))
    texts = [prompt_of(30, seed) for seed in range(10)]
    embedded(encoder, texts)
    assert n_positions == [310]


def test_positions_stay_within_those_the_model_has():
    """Padding after a short response to a long prompt has no position of its own."""
    encoder = encoder_of(tiny_model("gpt2"))
    long, short = prompt_of(120, 0), prompt_of(90, 1)
    texts = [f"{long} {word}" for word in WORDS[:4]] + responses(short, 4, 30)
    wanted = one_by_one(encoder, texts)
    assert_allclose(embedded(encoder, texts), wanted, atol=2e-5, rtol=0)


def test_frequencies_that_depend_on_the_length(n_positions):
    """Texts longer than the model was trained for are not computed in two parts."""
    from transformers import Phi3Config, Phi3Model

    rope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0, 1.0],
        "long_factor": [3.0, 9.0],
        "original_max_position_embeddings": 64,
    }
    config = Phi3Config(
        **GROUPED, original_max_position_embeddings=64, rope_parameters=rope
    )
    torch.manual_seed(0)
    encoder = encoder_of(Phi3Model(config).eval())
    short, long = responses(prompt_of(50), 5), responses(prompt_of(60), 5)
    for texts in (short, long):
        embedded(encoder, texts)
        n_positions.clear()
        rows = embedded(encoder, texts, batch_size=32)
        wanted = one_by_one(encoder, texts)
        assert_allclose(rows, wanted, atol=1e-5, rtol=0)
        assert (sum(n_positions) == 5 * 69) == (texts is long)


# -- through the front door


@pytest.fixture(autouse=True)
def _empty_cache():
    clear_memory()
    yield
    clear_memory()


def test_a_table_of_chats_with_a_cache_on_disk(tmp_path, n_positions):
    """A system message, a prompt and its responses, written by the chat template."""
    folder = save_tiny(tmp_path / "model", chat=CHAT)
    rows = [
        {
            "prompt": [
                {"role": "system", "content": prompt_of(10)},
                {"role": "user", "content": prompt_of(12, seed)},
            ],
            "response": [{"role": "assistant", "content": answer}],
        }
        for seed in range(3)
        for answer in ("a", "b c", "d e f", "", "a b", "h", "g")
    ]
    embed = LLMEmbeddingTransformer(
        folder, cache_dir=tmp_path / "cache", template="auto"
    )
    found = embed.fit_transform(rows)
    n_alone = sum(n_positions[-2:])
    assert n_alone < 21 * 20
    clear_memory()
    n_positions.clear()
    assert_array_equal(embed.transform(rows), found)
    assert n_positions == []
    clear_memory()
    alone = embed.set_params(cache_dir=None)
    wanted = [alone.transform([row])[0] for row in rows]
    assert_allclose(found, wanted, atol=1e-5)


def test_windows_of_texts(monkeypatch, n_positions):
    """More texts than are looked through at once: every one is embedded, once."""
    encoder = encoder_of(tiny_model("llama"))
    texts = [t for s in range(5) for t in responses(prompt_of(45, s), 4, 8, s)]
    wanted = embedded(encoder, texts)
    monkeypatch.setattr(encoders, "WINDOW_TEXTS", 3)
    assert_allclose(embedded(encoder, texts), wanted, atol=1e-5, rtol=0)
    monkeypatch.setattr(encoders, "WINDOW_CHARACTERS", 1)
    assert_allclose(embedded(encoder, texts), wanted, atol=1e-5, rtol=0)
