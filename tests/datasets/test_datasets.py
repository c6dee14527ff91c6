"""Generators with a known truth, and loaders that copy and execute nothing."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
)
from skreward.annotation import annotate, annotation_error_rate, sample_pairs
from skreward.datasets import (
    gaussian_annotation_quality,
    load_judged,
    load_released_embeddings,
    make_gaussian_rewards,
    make_local_pairs,
    make_preferences,
)
from tests.support import DATA


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


# --- the Gaussian prompt model ---------------------------------------------


@pytest.mark.parametrize("link", ["logistic", "probit"])
@pytest.mark.parametrize(
    ("prompt_offset", "prompt_spread", "beta"),
    [(1.0, (0.5, 1.5), 1.0), (2.0, 0.3, 1.0), (0.0, (0.0, 2.0), 3.0), (1.0, 1.0, 0.5)],
)
def test_simulated_quality_equals_the_closed_form(
    prompt_offset, prompt_spread, beta, link
):
    model = {"prompt_offset": prompt_offset, "prompt_spread": prompt_spread}
    expected = gaussian_annotation_quality(**model, beta=beta, link=link)
    n_prompts = 40_000
    data = make_gaussian_rewards(n_prompts, 2, **model, random_state=0)
    # One pair a prompt, and prompts two by two: all pairs are independent.
    first = 2 * np.arange(n_prompts)
    same = np.column_stack([first, first + 1])
    cross = first.reshape(-1, 2)
    for index, quality in (same, expected.same_prompt), (cross, expected.cross_prompt):
        y = annotate(
            data.rewards, index, beta=beta, link=link, scale=1.0, random_state=1
        )
        right = 1 - annotation_error_rate(data.rewards, index, y)
        standard_error = np.sqrt(quality * (1 - quality) / len(index))
        assert abs(right - quality) < 3 * standard_error
    assert expected.cross_prompt >= expected.same_prompt - 1e-12


def test_cross_prompt_pairs_are_never_labelled_worse():
    for link in "logistic", "probit":
        for beta in 0.1, 0.5, 1.0, 3.0, 10.0, np.inf:
            for offset in 0.0, 0.5, 2.0:
                for spread in 0.0, 0.3, (0.2, 1.5), (0.0, 3.0):
                    quality = gaussian_annotation_quality(
                        prompt_offset=offset, prompt_spread=spread, beta=beta, link=link
                    )
                    assert quality.cross_prompt >= quality.same_prompt - 1e-12


def test_known_qualities():
    # Integrated by others to three digits, in the model of one spread or a range.
    for offset, spread, same, cross in (
        (1, (0.5, 1.5), 0.720, 0.779),
        (
            2,
            0.3,
            0.582,
            0.830,
        ),
    ):
        quality = gaussian_annotation_quality(
            prompt_offset=offset, prompt_spread=spread
        )
        assert_allclose(quality.same_prompt, same, atol=1e-3)
        assert_allclose(quality.cross_prompt, cross, atol=1e-3)


def test_gaussian_rewards_have_the_moments_they_name():
    data = make_gaussian_rewards(
        5000, 10, prompt_offset=2.0, prompt_spread=(0.5, 1.5), random_state=0
    )
    rewards = data.rewards.reshape(5000, 10)
    assert_allclose(data.means.std(), 2.0, rtol=0.05)
    assert data.spreads.min() > 0.5
    assert data.spreads.max() < 1.5
    standardised = (rewards - data.means[:, None]) / data.spreads[:, None]
    assert_allclose(standardised.std(), 1.0, rtol=0.02)
    assert_array_equal(data.prompt_ids, np.repeat(np.arange(5000), 10))


# --- the one-dimensional task ----------------------------------------------


@pytest.mark.parametrize("max_distance", [0.05, 0.5, 1.0])
def test_local_pairs_are_local_and_distinct(max_distance):
    data = make_local_pairs(400, 2000, max_distance=max_distance, random_state=0)
    distance = np.abs(np.diff(data.embeddings[data.pairs.index, 0], axis=1))
    assert distance.max() <= max_distance
    assert distance.max() > 0.9 * max_distance
    assert len(np.unique(np.sort(data.pairs.index, axis=1), axis=0)) == 2000
    x = data.embeddings[:, 0]
    assert_allclose(data.rewards, np.cos(7 * x + 0.5) + 3 * x - 0.4 * (x + 0.5) ** 3)


def splines():
    return ItemwiseTransformer(SplineTransformer(n_knots=15))


@pytest.mark.parametrize("seed", range(3))
def test_a_classifier_fails_on_local_pairs_and_recovers_with_global_ones(seed):
    correlation = {}
    for max_distance in 0.1, 1.0:
        data = make_local_pairs(max_distance=max_distance, random_state=seed)
        for name, model in {
            "bradley-terry": BradleyTerryRegressor(alpha=1e-4),
            "classifier": PairwiseClassifierReward(LogisticRegression(C=100)),
        }.items():
            pipeline = make_pipeline(splines(), model).fit(data.pairs, data.y)
            reward = pipeline.predict(data.embeddings)
            correlation[name, max_distance] = spearmanr(reward, data.rewards).statistic
    assert correlation["classifier", 0.1] < 0.6
    assert correlation["bradley-terry", 0.1] > 0.85
    assert correlation["classifier", 1.0] > 0.9
    assert correlation["bradley-terry", 1.0] > 0.9


@pytest.mark.torch
def test_trees_fail_on_local_pairs_and_a_network_does_not():
    local, anywhere = (
        make_local_pairs(max_distance=d, random_state=0) for d in (0.1, 1)
    )
    trees = PairwiseClassifierReward(HistGradientBoostingClassifier(random_state=0))

    def correlation(model, data):
        reward = model.fit(data.pairs, data.y).predict(data.embeddings)
        return spearmanr(reward, data.rewards).statistic

    assert correlation(trees, local) < 0.6
    assert correlation(trees, anywhere) > 0.9
    network = BradleyTerryMLPRegressor(
        (64,),
        "tanh",
        max_iter=60,
        learning_rate_init=1e-2,
        device="cpu",
        random_state=0,
    )
    assert correlation(network, local) > 0.85


def test_local_pairs_refuse_bad_input():
    with pytest.raises(ValueError, match="max_distance must lie in"):
        make_local_pairs(max_distance=2)
    with pytest.raises(ValueError, match="leaves no two of 3 items"):
        make_local_pairs(3, max_distance=1e-9, random_state=0)


# --- published files -------------------------------------------------------


@pytest.fixture(params=[1, 0])
def released(request, tmp_path):
    rng = np.random.default_rng(0)
    shape = (6, 3, 4) if request.param == 1 else (3, 6, 4)
    embeddings = rng.normal(size=shape).astype(np.float32)
    rewards = rng.normal(size=shape[:2])
    np.save(tmp_path / "EMBD-TRAIN-gemma.npy", embeddings)
    np.save(
        tmp_path / "REWARD-TRAIN-gemma.npy",
        rewards[..., np.newaxis] if request.param == 1 else rewards,
    )
    return tmp_path, embeddings, rewards, request.param


def test_released_embeddings_are_viewed_not_copied(released):
    folder, embeddings, rewards, response_axis = released
    data = load_released_embeddings(folder, response_axis=response_axis)
    owner = data.embeddings
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap)
    assert owner.nbytes == data.embeddings.nbytes == embeddings.nbytes
    assert not data.embeddings.flags.writeable
    assert data.embeddings.dtype == np.float32
    assert (data.n_prompts, data.n_responses) == (6, 3)
    for item in range(18):
        prompt = data.prompt_ids[item]
        if response_axis == 1:
            where = (prompt, item % 3)
        else:
            where = (item // 6, prompt)
        assert_array_equal(data.embeddings[item], embeddings[where])
        assert data.rewards[item] == rewards[where]


def test_released_items_are_ordered_like_from_candidates(released):
    folder, embeddings, _, response_axis = released
    data = load_released_embeddings(
        folder / "EMBD-TRAIN-gemma.npy",
        folder / "REWARD-TRAIN-gemma.npy",
        response_axis=response_axis,
    )
    index = sample_pairs(data.prompt_ids, 10, random_state=0)
    pairs = EmbeddingPairs(data.embeddings, index, data.prompt_ids)
    other = EmbeddingPairs.from_candidates(
        embeddings, [[0, 0, 1]], response_axis=response_axis
    )
    assert_array_equal(other.prompt_ids, data.prompt_ids)
    assert_array_equal(other.embeddings, pairs.embeddings)


def test_a_folder_of_several_sets_is_narrowed(released):
    folder, embeddings, rewards, response_axis = released
    np.save(folder / "embd_other_TRAIN.npy", embeddings)
    np.save(folder / "reward_other_TRAIN.npy", rewards)
    np.save(folder / "embd_other_test.npy", embeddings[:, :2])
    np.save(folder / "reward_other_test.npy", rewards[:, :2])
    kwargs = {"response_axis": response_axis}
    with pytest.raises(ValueError, match="several sets: narrow contains= to one of"):
        load_released_embeddings(folder, **kwargs)
    assert load_released_embeddings(folder, contains="gemma", **kwargs)
    with pytest.raises(FileNotFoundError, match="split='validation'"):
        load_released_embeddings(folder, split="validation", **kwargs)


def test_released_files_that_do_not_fit_are_refused(tmp_path):
    def files(embeddings, rewards=None):
        np.save(tmp_path / "e.npy", embeddings)
        np.save(tmp_path / "r.npy", np.zeros((5, 3)) if rewards is None else rewards)
        return tmp_path / "e.npy", tmp_path / "r.npy"

    good = np.zeros((5, 3, 2))
    for embeddings, rewards, message in (
        (good[0], None, "must hold a floating array over prompts"),
        (good.astype(int), None, "must hold a floating array"),
        (np.asfortranarray(good), None, "Fortran order"),
        (good, np.zeros((3, 5)), r"must have shape \(5, 3\) like the embeddings"),
    ):
        with pytest.raises(ValueError, match=message):
            load_released_embeddings(*files(embeddings, rewards))
    with pytest.raises(ValueError, match="rewards is needed"):
        load_released_embeddings(files(good)[0])
    with pytest.raises(ValueError, match="response_axis must be 0 or 1"):
        load_released_embeddings(*files(good), response_axis=2)
    with pytest.raises(ValueError, match="give it with a file"):
        load_released_embeddings(tmp_path, tmp_path / "r.npy")
    with pytest.warns(UserWarning, match="is it response_axis=1"):
        load_released_embeddings(*files(good), response_axis=0)


def test_files_that_hold_objects_are_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    np.save(tmp_path / "e.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Bomb()))
    np.savez(
        tmp_path / "objects.npz",
        **dict.fromkeys(
            [
                "embeddings",
                "prompt_id",
                "generator",
                "golden_reward",
                "response_chars",
            ],
            np.array([Bomb()], dtype=object),
        ),
    )
    with pytest.raises(ValueError, match="Python objects"):
        load_released_embeddings(tmp_path / "e.npy", tmp_path / "e.npy")
    for name in "plain.npz", "objects.npz":
        with pytest.raises(ValueError, match="pickle"):
            load_judged(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def judged_fields(**changes):
    return {
        "embeddings": np.ones((4, 3), dtype=np.float16),
        "prompt_id": [1, 1, 2, 2],
        "generator": list("abab"),
        "golden_reward": np.array([0.5, 1, 2, 3], dtype=np.float32),
        "response_chars": [10, 20, 30, 40],
        **changes,
    }


def test_judged_responses_keep_their_dtype(tmp_path):
    np.savez(tmp_path / "j.npz", **judged_fields())
    data = load_judged(tmp_path / "j.npz")
    assert data.embeddings.dtype == np.float16
    assert data.rewards.dtype == np.float64
    assert_array_equal(data.rewards, [0.5, 1, 2, 3])
    assert_array_equal(data.prompt_ids, [1, 1, 2, 2])
    assert_array_equal(data.generators, list("abab"))
    assert_array_equal(data.response_chars, [10, 20, 30, 40])


def test_judged_files_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "j.npz"
    fields = judged_fields()
    del fields["generator"]
    np.savez(path, **fields)
    with pytest.raises(ValueError, match="lacks the arrays generator"):
        load_judged(path)
    np.savez(path, **judged_fields(prompt_id=[1, 2]))
    with pytest.raises(ValueError, match=r"prompt_id must have shape \(4,\)"):
        load_judged(path)
    np.savez(path, **judged_fields(embeddings=np.ones(4)))
    with pytest.raises(ValueError, match="embeddings must be a floating array"):
        load_judged(path)
    np.save(tmp_path / "j.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"is no \.npz file"):
        load_judged(tmp_path / "j.npy")
    with pytest.raises(FileNotFoundError):
        load_judged(tmp_path / "absent.npz")


@pytest.mark.realdata
def test_the_published_judgements():
    path = DATA / "judged_dev_minilm.npz"
    if not path.exists():
        pytest.skip(f"no judged responses in {DATA}")
    data = load_judged(path)
    assert data.embeddings.shape == (23481, 384)
    assert data.embeddings.dtype == np.float16
    assert len(np.unique(data.prompt_ids)) == 405
    index = sample_pairs(data.prompt_ids, 20_000, random_state=0)
    y = annotate(data.rewards, index, beta=3.0, random_state=0)
    assert 0.15 < annotation_error_rate(data.rewards, index, y) < 0.23
