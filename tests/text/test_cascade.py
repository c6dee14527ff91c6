"""Attention to a prefix for all its texts at once: what it gives, and who takes it."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn.functional import scaled_dot_product_attention

from skreward.text import cascade, shared
from skreward.text.cascade import Run
from skreward.text.shared import CascadedStates, PrefixStates
from tests.text.test_shared_prompts import (
    GROUPED,
    MODELS,
    embedded,
    encoder_of,
    one_by_one,
    prompt_of,
    responses,
    tiny_model,
)

TEXTS = [
    text
    for seed, (length, n) in enumerate([(30, 5), (41, 2), (17, 4)])
    for text in [prompt_of(length, seed), *responses(prompt_of(length, seed), n)]
]


@pytest.fixture
def ways(monkeypatch):
    """Note in which way texts were computed after their prefixes."""
    seen = set()

    def noting(name, function):
        def noted(*args, **options):
            seen.add(name)
            return function(*args, **options)

        return noted

    monkeypatch.setattr(cascade, "_attend", noting("cascaded", cascade._attend))
    layer = shared._PrefixLayer
    monkeypatch.setattr(layer, "update", noting("copied", layer.update))
    return seen


def made(kind, **options):
    import transformers

    torch.manual_seed(0)
    return transformers.AutoModel.from_config(
        getattr(transformers, kind)(**options)
    ).eval()


def check(model, ways, wanted, texts=TEXTS):
    """Embed texts twice, the model tried the first time; compare with each alone."""
    encoder = encoder_of(model)
    embedded(encoder, texts)
    ways.clear()
    rows = embedded(encoder, texts)
    assert ways == wanted
    alone = one_by_one(encoder, texts)
    assert_allclose(rows, alone, atol=1e-5 * max(1, np.abs(alone).max()), rtol=0)


# -- what it gives


@pytest.mark.parametrize(("n_heads", "n_shared"), [(4, 1), (6, 3), (6, 6), (1, 1)])
@pytest.mark.parametrize(
    ("dtype", "atol"), [("float64", 1e-12), ("float32", 1e-5), ("bfloat16", 0.03)]
)
def test_attention_is_that_of_each_whole_text(n_heads, n_shared, dtype, atol):
    """Beside torch's own of the same numbers in float64, a text at a time."""
    dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(0)
    n_keys, width = n_heads // n_shared, 8

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    prefixes = [normal(2, n_keys, n, width) for n in (1, 13, 700)]
    lengths = [[1, 7, 33], [1], [600, 2]]
    n_tokens = sum(map(sum, lengths))
    query = normal(1, n_heads, n_tokens, width)
    key, value = normal(2, 1, n_keys, n_tokens, width)
    runs, wanted, end = [], [], 0
    for prefix, some in zip(prefixes, lengths, strict=True):
        runs.append(Run([tuple(prefix)], []))
        for n in some:
            text = slice(end, end := end + n)
            runs[-1].texts.append(text)
            keys, values = (
                torch.cat([before, own[0, :, text]], 1).repeat_interleave(n_shared, 0)
                for before, own in zip(prefix, (key, value), strict=True)
            )
            mask = torch.ones(n, keys.shape[1], dtype=torch.bool)
            whole = (query[0, :, text].double(), keys.double(), values.double())
            mask = mask.tril(keys.shape[1] - n)
            wanted.append(scaled_dot_product_attention(*whole, mask, scale=0.7))
    module = torch.nn.Module()
    module.layer_idx = 0
    out, _ = cascade._attention(module, query, key, value, None, runs=runs, scaling=0.7)
    assert out.dtype == dtype
    wanted = torch.cat(wanted, 1).transpose(0, 1)[None]
    assert_allclose(out.double(), wanted, atol=atol, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("layer", [-1, 2])
def test_texts_of_any_length_in_any_order(ways, pooling, layer):
    """One token after a prompt, and many; passes of few rows cut the groups."""
    encoder = encoder_of(tiny_model("llama"), pooling=pooling, layer=layer)
    texts = [
        f"{prompt_of(length, seed)}{' a' * n}"
        for seed, length in enumerate([20, 33, 27])
        for n in (0, 1, 2, 11, 40)
    ]
    wanted = one_by_one(encoder, texts)
    for batch_size in (1, 4, 32):
        ways.clear()
        rows = embedded(encoder, texts, batch_size)
        assert_allclose(rows, wanted, atol=1e-5, rtol=0)
        assert ways == {"cascaded"}


def test_owners_need_not_be_in_order():
    model = tiny_model("llama")
    ids = [np.arange(3, n) for n in (9, 15, 12)]
    rest = [np.array(row) for row in ([4], [5, 6], [7, 8, 9], [3, 3])]
    owners = [2, 0, 2, 1]
    with torch.no_grad():
        prefixes = CascadedStates(model, -1, ids)
        found, length = prefixes.states_after(rest, owners)
        wanted, _ = PrefixStates.states_after(prefixes, rest, owners)
    for k, n in enumerate(length.tolist()):
        assert_allclose(found[k, :n], wanted[k, :n], atol=1e-5)


# -- who goes this way

WIDE = {**GROUPED, "sliding_window": 60}
WINDOWS = {
    "gemma3": ("Gemma3TextConfig", {**MODELS["gemma3"][1], "sliding_window": 60}),
    "mistral": ("MistralConfig", WIDE),
    "phi3": ("Phi3Config", WIDE),
    "qwen2": ("Qwen2Config", {**WIDE, "use_sliding_window": True}),
}


@pytest.mark.parametrize("name", ["llama", "yarn", "qwen3", "gpt_neox", "gpt2", "opt"])
def test_models_of_plain_attention(name, ways):
    check(tiny_model(name), ways, {"cascaded"})


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_that_hold_the_texts_and_such_that_do_not(name, ways):
    kind, options = WINDOWS[name]
    model = made(kind, **options)
    check(model, ways, {"cascaded"})
    check(model, ways, {"copied"}, responses(prompt_of(59), 4))
    both = [*responses(prompt_of(59), 4), *responses(prompt_of(30), 4, 12)]
    encoder = encoder_of(model)
    rows = embedded(encoder, both, batch_size=3)
    assert_allclose(rows, one_by_one(encoder, both), atol=1e-5, rtol=0)


GPT_OSS = {**GROUPED, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("MistralConfig", {**GROUPED, "sliding_window": 8}),
        ("Gemma2Config", {**GROUPED, "head_dim": 8, "attn_logit_softcapping": 50.0}),
        ("GptOssConfig", GPT_OSS),
        ("BloomConfig", MODELS["bloom"][1]),
        ("LlamaConfig", {**GROUPED, "attn_implementation": "eager"}),
    ],
    ids=["short windows", "soft caps", "sinks", "biases", "eager"],
)
def test_attention_of_another_kind_copies_keys(kind, options, ways):
    check(made(kind, **options), ways, {"copied"})


@pytest.mark.parametrize("option", ["softcap", "s_aux", "position_bias", "unheard_of"])
def test_what_attention_does_not_know_it_refuses(option):
    with pytest.raises(cascade.Unsuited):
        cascade._attention(None, None, None, None, None, runs=[], **{option: 1.0})
    with pytest.raises(cascade.Unsuited):
        cascade._attention(None, None, None, None, torch.ones(1), runs=[])


def test_masks_that_hide_or_look_ahead_are_refused():
    from transformers.masking_utils import (
        bidirectional_mask_function,
        causal_mask_function,
        chunked_causal_mask_function,
        sliding_window_causal_mask_function,
    )

    chunked = chunked_causal_mask_function(8, torch.zeros(1, dtype=torch.long))
    window = sliding_window_causal_mask_function(8)
    for function in (causal_mask_function, chunked, window):
        cascade._mask(kv_length=8, mask_function=function)
    for function in (bidirectional_mask_function, chunked, window):
        with pytest.raises(cascade.Unsuited):
            cascade._mask(kv_length=9, mask_function=function)


def test_a_model_that_hands_nothing_on_copies_keys(ways):
    model = tiny_model("llama")
    real = model.forward

    def forward(
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        output_hidden_states=False,
        use_cache=None,
    ):
        return real(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            output_hidden_states=output_hidden_states,
            use_cache=use_cache,
        )

    model.forward = forward
    check(model, ways, {"copied"})


def test_where_torch_has_no_such_operation_keys_are_copied(ways, monkeypatch):
    def missing(*args, **options):
        raise AttributeError("no such operation")

    monkeypatch.setattr(cascade, "_attend", missing)
    check(tiny_model("llama"), ways, {"copied"})


def test_attention_that_gives_something_else_is_not_taken(ways, monkeypatch):
    real = cascade._attend

    def wrong(*args, **options):
        out, sums = real(*args, **options)
        return out, sums + 0.1 * bool(options)

    monkeypatch.setattr(cascade, "_attend", wrong)
    check(tiny_model("llama"), ways, {"copied"})


def test_devices_other_than_the_cpu():
    from types import SimpleNamespace

    config = tiny_model("llama").config
    model = SimpleNamespace(config=config, device=torch.device("cuda"))
    with pytest.raises(cascade.Unsuited), cascade.cascaded(model):
        pass


def test_the_model_is_left_as_it_was(ways, monkeypatch):
    model = tiny_model("llama")
    check(model, ways, {"cascaded"})
    assert model.config._attn_implementation == "sdpa"

    def interrupted(*args, **options):
        assert model.config._attn_implementation == cascade.ATTENTION
        raise KeyboardInterrupt

    monkeypatch.setattr(cascade, "_attend", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embedded(encoder_of(model), TEXTS)
    assert model.config._attn_implementation == "sdpa"


def test_short_texts_show_what_a_model_can():
    """A model is tried once, with whatever text comes first."""
    for n in (1, 3, 7):
        assert shared.can_share(tiny_model("llama"), np.arange(3, 3 + n))
