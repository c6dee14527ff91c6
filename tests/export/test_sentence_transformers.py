"""The folder gives the pipeline's rewards in sentence-transformers."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sentence_transformers import SentenceTransformer
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, RobustScaler, StandardScaler
from test_layers import REWARDS

from skreward import (
    BradleyTerryRegressor,
    ItemwiseTransformer,
    LLMEmbeddingTransformer,
)
from skreward.datasets import make_text_preferences
from skreward.export import ExportError, render, to_sentence_transformer
from skreward.export import sentence_transformers as room
from tests.tiny_models import CHAT, save_tiny

STEPS = [
    StandardScaler(),
    RobustScaler(),
    PCA(8, whiten=True, random_state=0),
    Normalizer(),
    "passthrough",
]


@pytest.fixture(scope="module")
def data():
    return make_text_preferences(12, 6, 150, random_state=0)


@pytest.fixture(scope="module")
def fit(data):
    """Fit a pipeline; texts are embedded once in this process."""

    def fit(encoder=None, step="passthrough", reward=None):
        encoder = encoder or LLMEmbeddingTransformer(dtype="float32")
        step = step if isinstance(step, str) else ItemwiseTransformer(step)
        model = make_pipeline(encoder, step, reward or BradleyTerryRegressor())
        return model.fit(data.pairs, data.y)

    return fit


def check(model, texts, folder):
    about = to_sentence_transformer(model, folder)
    wanted = model.predict(texts)
    encoded = SentenceTransformer(str(folder), device="cpu").encode(
        render(model, texts), show_progress_bar=False
    )
    assert encoded.shape == (len(texts), 1)
    assert_allclose(encoded[:, 0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    return about


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_steps(step, data, fit, tmp_path):
    check(fit(step=step), data.texts, tmp_path / "reward")


@pytest.mark.parametrize("reward", REWARDS, ids=str)
def test_rewards(reward, data, fit, tmp_path):
    model = fit(step=StandardScaler(), reward=reward)
    check(model, data.texts[:20], tmp_path / "reward")


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_causal_language_models(pooling, normalize, data, fit, tmp_path):
    folder = save_tiny(tmp_path / "llama")
    encoder = LLMEmbeddingTransformer(folder, pooling=pooling, normalize=normalize)
    model = fit(encoder, StandardScaler())
    texts = [{"prompt": "a b", "response": "c d e"}, {"prompt": "", "response": "f"}]
    check(model, texts, tmp_path / "reward")


def test_chat_messages_begin_once(fit, tmp_path):
    folder = save_tiny(tmp_path / "llama", chat=CHAT)
    chat = [
        {
            "prompt": [{"role": "user", "content": f"{a} one"}],
            "chosen": [{"role": "assistant", "content": "a b"}],
            "rejected": [{"role": "assistant", "content": f"{a} d"}],
        }
        for a in "abcefgh"
    ]
    model = make_pipeline(LLMEmbeddingTransformer(folder), BradleyTerryRegressor())
    model.fit(chat)
    texts = [{"prompt": row["prompt"], "response": row["chosen"]} for row in chat]
    assert render(model, texts)[0].startswith("user a one")
    check(model, texts, tmp_path / "reward")


def test_the_folder_says_what_it_is(data, fit, tmp_path):
    model = fit()
    about = check(model, data.texts[:3], tmp_path / "reward")
    assert json.loads((tmp_path / "reward/skreward.json").read_text()) == about
    assert about["encoder"]["digest"] == model[0].model_digest_
    assert about["cost_of_float32"] is None
    readme = (tmp_path / "reward/README.md").read_text()
    assert "Prompt, blank line, response" in readme
    assert not list((tmp_path / "reward").rglob("*.py"))
    assert not list((tmp_path / "reward").rglob("*.bin"))


def test_bfloat16_is_told_what_it_costs(data, fit, tmp_path):
    model = fit(LLMEmbeddingTransformer(dtype="bfloat16"))
    with pytest.warns(UserWarning, match=r"fitted in bfloat16.*move by up to.*spread"):
        about = to_sentence_transformer(model, tmp_path / "reward", data.texts[:5])
    cost = about["cost_of_float32"]
    assert 0 < cost["largest_difference"] < cost["spread"]


def test_what_differs_is_not_written(fit, tmp_path, monkeypatch):
    model = fit()
    made = room._made
    monkeypatch.setattr(room, "_made", lambda loaded, layers: made(loaded, layers[:0]))
    with pytest.raises(ExportError, match="the folder differs"):
        to_sentence_transformer(model, tmp_path / "reward")
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments(data, fit, tmp_path, preferences):
    model = fit()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for folder, message in [
        (tmp_path / "full", "not empty"),
        (tmp_path / "full" / "file", "is a file"),
        (tmp_path / "none" / "reward", "there is no folder"),
    ]:
        with pytest.raises(OSError, match=message):
            to_sentence_transformer(model, folder)
    numbers = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    with pytest.raises(ValueError, match="takes embeddings"):
        to_sentence_transformer(numbers, tmp_path / "reward")
    with pytest.raises(ValueError, match="takes no texts"):
        render(numbers, data.texts)
    tiny = save_tiny(tmp_path / "llama")
    middle = fit(LLMEmbeddingTransformer(tiny, pooling="last", layer=1))
    with pytest.raises(ValueError, match="layer=1"):
        to_sentence_transformer(middle, tmp_path / "reward")
