"""Generators with a known truth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skreward.annotation import annotation_error_rate
from skreward.datasets import make_preferences


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_linear_rewards_are_a_function_of_the_embedding(dtype):
    data = make_preferences(dtype=dtype, random_state=0)
    assert data.embeddings.dtype == dtype
    assert data.embeddings is data.pairs.embeddings
    assert_allclose(
        data.embeddings.astype(np.float64) @ data.coef,
        data.rewards,
        atol=50 * np.finfo(dtype).eps,
    )
    assert_allclose(np.linalg.norm(data.coef), 1.0)


@pytest.mark.parametrize("reward", ["linear", "network"])
def test_shapes_and_prompts(reward):
    data = make_preferences(20, 5, 7, 60, reward=reward, random_state=0)
    assert data.pairs.shape == (60, 2, 7)
    assert data.rewards.shape == data.prompt_ids.shape == (100,)
    assert_array_equal(data.pairs.prompt_ids, data.prompt_ids)
    first, second = data.pairs.pair_prompt_ids.T
    assert_array_equal(first, second)
    assert set(np.unique(data.y)) == {0, 1}
    assert ("coef" in data) == (reward == "linear")
    cross = make_preferences(20, 5, 7, 60, cross_prompt=True, random_state=0)
    assert (
        cross.pairs.pair_prompt_ids[:, 0] != cross.pairs.pair_prompt_ids[:, 1]
    ).all()


def test_offset_and_spread_are_what_was_asked_for():
    data = make_preferences(
        4000, 12, 4, 10, prompt_offset=2.0, prompt_spread=0.5, random_state=0
    )
    rewards = data.rewards.reshape(4000, 12)
    assert_allclose(np.var(rewards, axis=1, ddof=1).mean(), 0.25, rtol=0.03)
    assert_allclose(np.var(rewards.mean(axis=1)), 4 + 0.25 / 12, rtol=0.08)
    none = make_preferences(500, 12, 4, 10, prompt_offset=0.0, random_state=0)
    means = none.rewards.reshape(500, 12).mean(axis=1)
    assert_allclose(np.var(means), 1 / 12, rtol=0.3)


def test_responses_of_a_prompt_resemble_each_other():
    data = make_preferences(200, 2, 64, 10, random_state=0)
    x = data.embeddings / np.linalg.norm(data.embeddings, axis=1, keepdims=True)
    same = np.mean(np.sum(x[0::2] * x[1::2], axis=1))
    other = np.mean(np.sum(x[0:-2:2] * x[3::2], axis=1))
    assert same > 0.4
    assert abs(other) < 0.1


@pytest.mark.parametrize("reward", ["linear", "network"])
def test_labels_without_noise(reward):
    data = make_preferences(reward=reward, beta=np.inf, random_state=0)
    assert annotation_error_rate(data.rewards, data.pairs.index, data.y) == 0


def test_random_state_fixes_everything():
    first, second = (make_preferences(random_state=3) for _ in range(2))
    assert_array_equal(first.embeddings, second.embeddings)
    assert_array_equal(first.pairs.index, second.pairs.index)
    assert_array_equal(first.y, second.y)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_prompts": 0}, "n_prompts must be an integer"),
        ({"n_features": 1}, "n_features must be at least 2"),
        ({"reward": "tree"}, "reward must be 'linear' or 'network'"),
        ({"prompt_offset": -1}, "prompt_offset must lie in"),
        ({"prompt_spread": (2, 1)}, "prompt_spread must lie in"),
        ({"prompt_spread": (1, 2, 3)}, "a number or a .low, high. range"),
        ({"dtype": int}, "dtype must be a floating dtype"),
        ({"n_responses": 1}, "a prompt with two items"),
        ({"beta": -1}, "beta must lie in"),
    ],
)
def test_make_preferences_refuses_bad_input(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_preferences(**kwargs)
