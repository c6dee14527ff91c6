"""Ratings that stay within their prompt, and rankings as pairs."""

import itertools

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import ratings as bench
from benchmarks.order_consistency import make_task
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.annotation import pairs_from_rankings
from skreward.data.targets import rated_pairs
from skreward.datasets import load_judged
from skreward.metrics import order_consistency_scorer
from tests.support import data_file

MODELS = [
    BradleyTerryRegressor(alpha=0.1, max_pairs=None),
    PairwiseClassifierReward(max_pairs=None),
    BradleyTerryMLPRegressor((4,), max_iter=5, early_stopping=False, random_state=0),
    RewardEnsemble(
        BradleyTerryRegressor(alpha=0.1, max_pairs=None),
        n_estimators=3,
        random_state=0,
    ),
    RewardEnsemble(
        BradleyTerryMLPRegressor((4,), max_iter=3, early_stopping=False),
        n_estimators=2,
        random_state=0,
    ),
]
ids = [f"{type(m).__name__}-{k}" for k, m in enumerate(MODELS)]


@pytest.fixture
def rated():
    """Rewards of a prompt differ by what no feature tells: by its level."""
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(30), 6)
    items = rng.normal(size=(180, 5)) + rng.normal(size=(30, 5))[prompts]
    level = 30 * rng.normal(size=30)
    return items, items @ np.arange(5.0) + level[prompts], prompts


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_only_order_within_prompts_counts(model, rated):
    items, ratings, prompts = rated
    fitted = sklearn.clone(model).fit(items, ratings, prompt_ids=prompts)
    moved = sklearn.clone(model).fit(
        items, ratings + 1e3 * prompts, prompt_ids=[f"p{k}" for k in prompts]
    )
    if isinstance(model, BradleyTerryMLPRegressor | RewardEnsemble):
        # Their draws follow the order of prompts, which names do not keep.
        moved = sklearn.clone(model).fit(
            items, ratings + 1e3 * prompts, prompt_ids=prompts + 7
        )
    assert_allclose(moved.predict(items), fitted.predict(items), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", MODELS[:2], ids=ids[:2])
def test_it_is_the_fit_on_the_pairs_of_each_prompt(model, rated):
    items, ratings, prompts = rated
    index = np.array(
        [
            (i, j)
            for i, j in itertools.permutations(range(len(items)), 2)
            if prompts[i] == prompts[j] and ratings[i] > ratings[j]
        ]
    )
    pairs = EmbeddingPairs(items, index, prompts)
    by_pairs = sklearn.clone(model).fit(pairs, np.ones(len(index)))
    by_ratings = sklearn.clone(model).fit(items, ratings, prompt_ids=prompts)
    assert_allclose(by_ratings.predict(pairs), by_pairs.predict(pairs), atol=1e-5)


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_unknown_prompts_are_warned_of_and_one_prompt_is_not(model, rated, recwarn):
    items, ratings, _ = rated
    with pytest.warns(UserWarning, match="across prompts.*prompt_ids"):
        loose = sklearn.clone(model).fit(items, ratings)
    recwarn.clear()
    one = sklearn.clone(model).fit(items, ratings, prompt_ids=np.zeros(len(items)))
    assert not [w for w in recwarn if "across prompts" in str(w.message)]
    if not isinstance(model, RewardEnsemble):  # which draws prompts, or items
        assert_allclose(one.predict(items), loose.predict(items), atol=1e-6)


def test_within_prompts_is_better_where_levels_hide_the_rest(rated):
    items, ratings, prompts = rated
    with pytest.warns(UserWarning, match="across prompts"):
        loose = BradleyTerryRegressor().fit(items, ratings)
    within = BradleyTerryRegressor().fit(items, ratings, prompt_ids=prompts)
    index = rated_pairs(ratings, None, None, prompts)
    pairs = EmbeddingPairs(items, index)
    assert within.score(pairs) > 0.99 > loose.score(pairs)


def test_ensemble_draws_prompts(rated):
    items, ratings, prompts = rated
    model = RewardEnsemble(random_state=0)
    sample = model._check_sample(items, ratings, None, prompts)
    weight = sample.draw(np.random.RandomState(0))
    for prompt in np.unique(prompts):
        assert len(np.unique(weight[prompts == prompt])) == 1
    assert len(np.unique(weight)) > 1


def test_networks_hold_out_whole_prompts(rated, monkeypatch):
    items, ratings, prompts = rated
    from skreward.models import network

    seen = []
    real = network.validation_split

    def spy(index, prompt_ids, fraction, rng):
        seen.append(prompt_ids)
        return real(index, prompt_ids, fraction, rng)

    monkeypatch.setattr(network, "validation_split", spy)
    BradleyTerryMLPRegressor((4,), max_iter=2).fit(items, ratings, prompt_ids=prompts)
    assert_array_equal(seen[0], prompts)


def test_prompt_ids_reach_the_last_step_by_routing_and_without(rated):
    items, ratings, prompts = rated
    plain = BradleyTerryRegressor(max_pairs=None)
    expected = make_pipeline(StandardScaler(), plain).fit(
        items, ratings, bradleyterryregressor__prompt_ids=prompts
    )
    with sklearn.config_context(enable_metadata_routing=True):
        asking = sklearn.clone(plain).set_fit_request(prompt_ids=True)
        asking.set_score_request(prompt_ids=True)
        pipeline = make_pipeline(ItemwiseTransformer(StandardScaler()), asking)
        pipeline.fit(items, ratings, prompt_ids=prompts)
        assert_allclose(pipeline[-1].coef_, expected[-1].coef_, atol=1e-8)
        search = GridSearchCV(
            pipeline,
            {"bradleyterryregressor__alpha": [0.1, 1.0]},
            cv=GroupKFold(3),
        )
        search.fit(items, ratings, prompt_ids=prompts, groups=prompts)
    assert search.best_score_ > 0.5


@pytest.mark.parametrize("seed", range(10))
def test_score_is_the_share_of_pairs_of_a_prompt(seed):
    rng = np.random.default_rng(seed)
    n = 40
    items = np.round(rng.normal(size=(n, 2)), 1)
    ratings, prompts = rng.integers(0, 4, n).astype(float), rng.integers(-2, 3, n)
    weight = rng.integers(0, 3, n)
    model = BradleyTerryRegressor().fit(items, ratings, prompt_ids=prompts)
    reward = np.round(model.predict(items))
    model.predict = lambda X: reward
    right = total = 0.0
    for i, j in itertools.permutations(range(n), 2):
        if prompts[i] == prompts[j] and ratings[i] > ratings[j]:
            pair = weight[i] * weight[j]
            total += pair
            right += pair * (np.sign(reward[i] - reward[j]) + 1) / 2
    score = model.score(items, ratings, weight, prompt_ids=prompts)
    assert_allclose(score, right / total)


def test_a_scorer_asks_for_prompts(rated):
    items, ratings, prompts = rated
    with sklearn.config_context(enable_metadata_routing=True):
        model = BradleyTerryRegressor().set_fit_request(prompt_ids=True)
        scorer = order_consistency_scorer.set_score_request(prompt_ids=True)
        result = cross_validate(
            model,
            items,
            ratings,
            params={"prompt_ids": prompts},
            scoring=scorer,
            cv=GroupKFold(3).split(items, groups=prompts),
        )
    assert result["test_score"].mean() > 0.95
    with pytest.raises(TypeError, match="takes sample_weight and prompt_ids, not y"):
        order_consistency_scorer.set_score_request(y=True)


@pytest.mark.parametrize(
    ("prompt_ids", "words"),
    [
        ([0, 1], r"shape \(180,\), got \(2,\)"),
        (np.zeros((180, 1)), r"shape \(180,\)"),
        ([None] * 180, "missing value at item 0"),
        (np.arange(180), "every item of a prompt the same"),
    ],
)
@pytest.mark.parametrize("model", MODELS[:4], ids=ids[:4])
def test_bad_prompt_ids(model, prompt_ids, words, rated):
    with pytest.raises(ValueError, match=words):
        sklearn.clone(model).fit(*rated[:2], prompt_ids=prompt_ids)


def test_pairs_carry_their_own_prompts(preferences):
    with pytest.raises(ValueError, match="pairs, which carry theirs"):
        BradleyTerryRegressor().fit(
            preferences.pairs, preferences.y, prompt_ids=np.zeros(400)
        )
    model = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    with pytest.raises(ValueError, match="pairs, which carry theirs"):
        model.score(preferences.pairs, preferences.y, prompt_ids=np.zeros(400))


@pytest.mark.parametrize("seed", range(20))
def test_rated_pairs_are_all_pairs_of_a_group(seed):
    rng = np.random.default_rng(seed)
    ratings, groups = rng.integers(0, 4, 30).astype(float), rng.integers(0, 5, 30)
    wanted = {
        (i, j)
        for i, j in itertools.permutations(range(30), 2)
        if groups[i] == groups[j] and ratings[i] > ratings[j]
    }
    index = rated_pairs(ratings, None, None, groups)
    assert len(index) == len(wanted)
    assert set(map(tuple, index.tolist())) == wanted
    some = rated_pairs(ratings, 7, seed, groups)
    assert len(set(map(tuple, some.tolist())) & wanted) == 7


def better_first(index, y):
    return {tuple(p if won else p[::-1]) for p, won in zip(index.tolist(), y, strict=1)}


def test_pairs_of_rankings():
    ranks = [3, 1, 2, 2, 1, 1, 1]
    prompts = list("aaabbcc")
    index, y = pairs_from_rankings(ranks, prompts, random_state=0)
    assert better_first(index, y) == {(1, 2), (1, 0), (2, 0), (4, 3)}
    index, y = pairs_from_rankings(ranks, prompts, which="extremes", random_state=0)
    assert better_first(index, y) == {(1, 0), (4, 3)}
    index, y = pairs_from_rankings([2, 2, 1, 2], [0] * 4, random_state=0)
    assert better_first(index, y) == {(2, 0), (2, 1), (2, 3)}
    assert len(pairs_from_rankings(ranks, prompts, max_pairs=2)[1]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2], [0]), "prompt_ids"),
        (([1, np.nan], [0, 0]), "ranks must be finite"),
        ((["a", "b"], [0, 0]), "ranks must be real"),
        (([], []), "ranks is empty"),
        (([1, 1], [0, 0]), "ranks must differ"),
        (([1, 2], [0, 1]), "ranks must differ"),
    ],
)
def test_bad_rankings(arguments, words):
    with pytest.raises(ValueError, match=words):
        pairs_from_rankings(*arguments)
    with pytest.raises(ValueError, match=r"which must be.*'some'"):
        pairs_from_rankings([1, 2], [0, 0], which="some")


@pytest.mark.realdata
def test_within_prompts_is_better_on_judged_responses():
    data = load_judged(data_file("judged_dev_minilm.npz"))
    data.embeddings = data.embeddings.astype(np.float32)
    task, given = make_task(data, 0), bench.make_ratings(data, 3.0, 0)
    with pytest.warns(UserWarning, match="across prompts"):
        across, within = (
            bench.rated(
                bench.MODELS["BradleyTerryRegressor()"],
                data,
                task,
                given,
                with_prompts=with_prompts,
                seed=0,
            )[0]
            for with_prompts in (False, True)
        )
    assert within >= across + 0.02
