"""The folder gives the pipeline's rewards in transformers, and in TRL's way there."""

import json
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    ItemwiseTransformer,
    LLMEmbeddingTransformer,
    PairwiseClassifierReward,
)
from skreward.export import ExportError, render, to_sequence_classifier
from tests.support import needs
from tests.tiny_models import CHAT, WORDS, word_tokenizer

SIZES = {
    "vocab_size": 19,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OTHER = {
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "gpt2": {"n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 4},
}
FAMILIES = [
    "llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text", "phi3",
    "gpt_neox", "opt",
]  # fmt: skip
JOINED = "{prompt}{response}"


def save(folder, family, **tokenizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **SIZES | OTHER.get(family, {}))
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    word_tokenizer(**tokenizer).save_pretrained(folder)
    return str(folder)


def texts(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {
            "prompt": " ".join(rng.choice(WORDS, 3)) + " ",
            "response": " ".join(rng.choice(WORDS, rng.integers(1, 9))),
        }
        for _ in range(n)
    ]


def pairs():
    rows = texts(60, seed=1)
    return [
        {
            "prompt": a["prompt"],
            "chosen": a["response"] + " a",
            "rejected": b["response"] + " b",
        }
        for a, b in zip(rows[::2], rows[1::2], strict=True)
    ]


def fit(folder, *steps, **encoder):
    options = {"pooling": "last", "template": JOINED} | encoder
    steps = steps or (BradleyTerryRegressor(),)
    model = make_pipeline(LLMEmbeddingTransformer(folder, **options), *steps)
    return model.fit(pairs())


def logits(folder, strings, side="right", size=16, **options):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    given = []
    for start in range(0, len(strings), size):
        batch = tokenizer(
            strings[start : start + size],
            padding=True, padding_side=side, return_tensors="pt", **options,
        )  # fmt: skip
        with torch.inference_mode():
            given.append(model(**batch).logits[:, 0].numpy())
    return np.concatenate(given)


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tmp_path):
    model = fit(
        save(tmp_path / "model", family, bos=False),
        ItemwiseTransformer(StandardScaler()),
        BradleyTerryRegressor(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        about = to_sequence_classifier(model, tmp_path / "reward", X=texts())
    wanted = model.predict(texts())
    atol = 1e-4 * np.abs(wanted).max()
    strings = render(model, texts())
    for side in ("left", "right"):
        for size in (1, 16):
            given = logits(tmp_path / "reward", strings, side, size) + about["shift"]
            assert_allclose(given, wanted, rtol=0, atol=atol)
    classify = pipeline("text-classification", model=str(tmp_path / "reward"))
    given = [row["score"] for row in classify(strings)]
    assert_allclose(np.add(given, about["shift"]), wanted, rtol=0, atol=atol)
    config = json.loads((tmp_path / "reward/config.json").read_text())
    assert config["problem_type"] == "regression"


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_trl_calls_it_the_same(tmp_path):
    needs("trl")
    from trl import GRPOConfig, GRPOTrainer

    rows, models, shifts = texts(8), [], []
    for family in FAMILIES:
        model = fit(save(tmp_path / family, family, bos=False))
        about = to_sequence_classifier(model, tmp_path / f"{family}-reward", X=texts())
        models.append(model)
        shifts.append(about["shift"])
    trainer = GRPOTrainer(
        model=str(tmp_path / "llama"),
        reward_funcs=[str(tmp_path / f"{family}-reward") for family in FAMILIES],
        args=GRPOConfig(str(tmp_path / "run"), report_to=[], use_cpu=True, bf16=False),
        train_dataset=_dataset([{"prompt": row["prompt"]} for row in rows]),
    )
    given = trainer._calculate_rewards(
        [{"prompt": row["prompt"]} for row in rows],
        [row["prompt"] for row in rows],
        [row["response"] for row in rows],
        [[0]] * len(rows),
    )
    given = given.cpu().numpy() + shifts
    for family, model, column in zip(FAMILIES, models, given.T, strict=True):
        wanted = model.predict(rows)
        atol = 1e-4 * np.abs(wanted).max()
        assert_allclose(column, wanted, rtol=0, atol=atol, err_msg=family)


def _dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(rows)


def test_a_linear_classifier_and_bfloat16(tmp_path):
    model = fit(
        save(tmp_path / "model", "llama", bos=False), PairwiseClassifierReward()
    )
    with pytest.warns(UserWarning, match="weights in bfloat16 move rewards by up to"):
        about = to_sequence_classifier(model, tmp_path / "reward", dtype="bfloat16")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    assert loaded.dtype == torch.bfloat16
    assert 0 < about["cost_of_dtype"]["largest_difference"]


def test_chat_messages(tmp_path):
    folder = save(tmp_path / "model", "llama", chat=CHAT)
    chat = [
        {
            "prompt": [{"role": "user", "content": f"{a} one"}],
            "chosen": [{"role": "assistant", "content": "a b"}],
            "rejected": [{"role": "assistant", "content": f"{a} d"}],
        }
        for a in "abcefgh"
    ]
    model = make_pipeline(
        LLMEmbeddingTransformer(folder, pooling="last"), BradleyTerryRegressor()
    ).fit(chat)
    items = [{"prompt": row["prompt"], "response": row["chosen"]} for row in chat]
    about = to_sequence_classifier(model, tmp_path / "reward", X=items)
    # As TRL: the template writes the beginning, the tokenizer does not.
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "reward")
    strings = [
        tokenizer.apply_chat_template(row["prompt"] + row["chosen"], tokenize=False)
        for row in chat
    ]
    given = logits(tmp_path / "reward", strings, add_special_tokens=False)
    assert_allclose(given + about["shift"], model.predict(items), rtol=0, atol=1e-4)


def test_trl_mismatches_are_warned_of(tmp_path):
    model = fit(save(tmp_path / "model", "llama", bos=True), template="auto")
    with pytest.warns(UserWarning, match="TRL") as caught:
        to_sequence_classifier(model, tmp_path / "reward")
    said = " ".join(str(warning.message) for warning in caught)
    assert "TRL joins prompt and completion without anything" in said
    assert "adds special tokens" in said


@pytest.mark.parametrize(
    ("steps", "encoder", "message"),
    [
        ((BradleyTerryMLPRegressor((4,), max_iter=2),), {}, "linear head alone"),
        (
            (ItemwiseTransformer(Normalizer()), BradleyTerryRegressor()),
            {},
            "more than one affine",
        ),
        ((), {"pooling": "mean"}, "pooling='mean'"),
        ((), {"layer": 1}, "layer=1"),
        ((), {"normalize": True}, "normalize=True"),
    ],
)
def test_what_it_cannot_be_is_refused(steps, encoder, message, tmp_path):
    model = fit(save(tmp_path / "model", "llama", bos=False), *steps, **encoder)
    with pytest.raises(ValueError, match=message):
        to_sequence_classifier(model, tmp_path / "reward")
    assert not (tmp_path / "reward").exists()


def test_sentence_encoders_and_embeddings_are_refused(preferences, tmp_path):
    numbers = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    with pytest.raises(ValueError, match="takes embeddings"):
        to_sequence_classifier(numbers, tmp_path / "reward")
    model = make_pipeline(
        LLMEmbeddingTransformer(), ItemwiseTransformer(PCA(4)), BradleyTerryRegressor()
    ).fit(pairs())
    with pytest.raises(ValueError, match="sentence encoder"):
        to_sequence_classifier(model, tmp_path / "reward")
    with pytest.raises(ValueError, match="dtype must be"):
        to_sequence_classifier(model, tmp_path / "reward", dtype="int8")


def test_positions_that_padding_shifts_are_refused(tmp_path):
    left = fit(save(tmp_path / "left", "gpt2", bos=False, side="left"))
    with pytest.raises(ExportError, match="padded on the left"):
        to_sequence_classifier(left, tmp_path / "reward")
    right = fit(save(tmp_path / "right", "gpt2", bos=False))
    to_sequence_classifier(right, tmp_path / "reward")


def test_texts_that_end_with_the_padding_token_are_refused(tmp_path):
    folder = save(tmp_path / "model", "llama", bos=False)
    model = fit(folder, template="{prompt}{response} <pad>")
    with pytest.raises(ValueError, match="end with '<pad>', the token that pads"):
        to_sequence_classifier(model, tmp_path / "reward")
    bare = save(tmp_path / "bare", "llama", bos=False, pad=False)
    about = to_sequence_classifier(fit(bare), tmp_path / "reward")
    wanted = fit(bare).predict(texts())
    given = logits(tmp_path / "reward", render(fit(bare), texts()))
    assert_allclose(given + about["shift"], wanted, rtol=0, atol=1e-3)
