"""Rewards without what covariates explain: by algebra, and on judged responses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skreward
from benchmarks.length import measure, rewards
from benchmarks.order_consistency import make_task
from skreward import (
    BradleyTerryRegressor,
    CalibratedReward,
    ControlledReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.datasets import load_judged, make_preferences
from skreward.model_selection import PromptDisjointKFold
from tests.support import data_file


@pytest.fixture(scope="module")
def data():
    data = make_preferences(
        n_prompts=60, n_responses=6, n_features=5, n_pairs=2000, random_state=0
    )
    rng = np.random.default_rng(0)
    items = data.pairs.embeddings
    length = items @ [1.0, 0.5, 0, 0, 0] + rng.normal(size=len(items))
    liked = data.rewards.ravel() + length
    first, second = data.pairs.index.T
    proba = 1 / (1 + np.exp(-3 * (liked[first] - liked[second])))
    data.y = (rng.uniform(size=len(proba)) < proba).astype(int)
    data.length = length
    return data


@pytest.fixture(scope="module", params=["orthogonal", "nuisance"])
def model(request, data):
    model = ControlledReward(BradleyTerryRegressor(), control=request.param)
    return model.fit(data.pairs, data.y, covariates=data.length)


def within(values, data):
    prompts = data.pairs.prompt_ids
    used = np.zeros(len(prompts), bool)
    used[data.pairs.index] = True
    values = np.asarray(values, dtype=float).copy()
    for prompt in np.unique(prompts):
        here = prompts == prompt
        values[here] -= values[here & used].mean(axis=0)
    return values[used]


@pytest.mark.parametrize(
    "estimator",
    [
        BradleyTerryRegressor(),
        PairwiseClassifierReward(),
        PairwiseClassifierReward(HistGradientBoostingClassifier(max_iter=10)),
        RewardEnsemble(n_estimators=2, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_nothing_of_the_covariates_is_left(estimator, data):
    both = np.column_stack([data.length, data.pairs.embeddings[:, 2]])
    model = ControlledReward(estimator).fit(data.pairs, data.y, covariates=both)
    reward = within(model.predict(data.pairs.embeddings), data)
    plain = within(model.estimator_.predict(data.pairs.embeddings), data)
    for k, covariate in enumerate(within(both, data).T):
        assert abs(np.corrcoef(reward, covariate)[0, 1]) < 1e-8
        before = np.corrcoef(plain, covariate)[0, 1]
        assert_allclose(model.report_["correlation"][k], before, atol=1e-8)
    assert_allclose(model.report_["controlled_correlation"], 0, atol=1e-8)


def test_it_is_the_projection_that_erases_a_linear_trace(data):
    """Against the oblique projection of the items themselves, in their metric."""
    model = ControlledReward(BradleyTerryRegressor())
    model.fit(data.pairs, data.y, covariates=data.length)
    X, c = within(data.pairs.embeddings, data), within(data.length, data)
    cross = X.T @ c
    erase = (
        np.linalg.solve(X.T @ X, cross)[:, None]
        @ cross[None]
        / (cross @ np.linalg.solve(X.T @ X, cross))
    )
    # Items x become x - E'x, in which no linear function has a covariance with c.
    assert_allclose((X - X @ erase).T @ c, 0, atol=1e-8)
    plain = BradleyTerryRegressor().fit(data.pairs, data.y)
    wanted = within(data.pairs.embeddings @ (plain.coef_ - erase @ plain.coef_), data)
    # The package's regression has a ridge of a thousandth.
    found = within(model.predict(data.pairs.embeddings), data)
    assert_allclose(found, wanted, atol=5e-3 * np.abs(wanted).max())


def test_a_nuisance_is_fitted_beside_and_dropped(data):
    model = ControlledReward(BradleyTerryRegressor(tol=1e-8), control="nuisance")
    model.fit(data.pairs, data.y, covariates=data.length)
    spread = np.sqrt(np.mean(within(data.length, data) ** 2))
    wider = np.column_stack([data.pairs.embeddings, data.length / spread])
    pairs = EmbeddingPairs(wider, data.pairs.index, data.pairs.prompt_ids)
    peer = BradleyTerryRegressor(tol=1e-8).fit(pairs, data.y)
    first, second = data.pairs.embeddings[data.pairs.index.T]
    assert_allclose(
        model.predict(data.pairs), (first - second) @ peer.coef_[:-1], rtol=1e-5
    )
    # What items tell of the length stays.
    assert abs(model.report_["controlled_correlation"][0]) > 0.05


def test_the_truth_without_length_is_found_and_the_labels_pay(data, model):
    truth = np.sign(data.rewards.ravel()[data.pairs.index] @ [1, -1])
    plain = BradleyTerryRegressor().fit(data.pairs, data.y)
    assert model.score(data.pairs, truth) > plain.score(data.pairs, truth) + 0.02
    report = model.report_
    assert report["controlled_order_consistency"] < report["order_consistency"]
    assert_allclose(
        model.score(data.pairs, data.y), report["controlled_order_consistency"]
    )


def test_invariants(data, model):
    turned = EmbeddingPairs(
        data.pairs.embeddings, data.pairs.index[:, ::-1], data.pairs.prompt_ids
    )
    margin = model.predict(data.pairs)
    assert_array_equal(model.predict(turned), -margin)
    order = np.random.default_rng(0).permutation(len(data.y))
    for pairs, y in (
        (turned, 1 - data.y),
        (data.pairs[order], data.y[order]),
    ):
        other = clone(model).fit(pairs, y, covariates=data.length)
        assert_allclose(other.predict(data.pairs), margin, rtol=1e-3, atol=1e-4)
    moved = clone(model).fit(data.pairs, data.y, covariates=-3 * data.length + 7)
    assert_allclose(moved.predict(data.pairs), margin, rtol=1e-3, atol=1e-4)


def test_covariates_of_items_and_of_sides_are_the_same(data, model):
    margin = model.predict(data.pairs)
    sides = data.length[data.pairs.index]
    dense = data.pairs.to_dense()
    for X, covariates in (
        (data.pairs, data.length[:, None]),
        (data.pairs, sides[:, :, None]),
        (dense, sides),
        (dense, sides[:, :, None]),
    ):
        other = clone(model).fit(X, data.y, covariates=covariates)
        assert_allclose(other.predict(data.pairs), margin, rtol=1e-3, atol=1e-4)


def test_float16_and_sparse_items(data, model):
    from scipy import sparse

    margin = model.predict(data.pairs)
    for items in (
        data.pairs.embeddings.astype(np.float16),
        sparse.csr_array(data.pairs.embeddings),
    ):
        pairs = EmbeddingPairs(items, data.pairs.index, data.pairs.prompt_ids)
        other = clone(model).fit(pairs, data.y, covariates=data.length)
        assert_allclose(other.predict(pairs), margin, rtol=0.05, atol=0.02)


def test_rated_items_within_their_prompts(data):
    items, prompts = data.pairs.embeddings, data.pairs.prompt_ids
    ratings = data.rewards.ravel() + data.length
    model = ControlledReward(BradleyTerryRegressor())
    model.fit(items, ratings, covariates=data.length, prompt_ids=prompts)
    reward, length = model.predict(items), data.length.copy()
    for prompt in np.unique(prompts):
        here = prompts == prompt
        reward[here] -= reward[here].mean()
        length[here] -= length[here].mean()
    assert abs(np.corrcoef(reward, length)[0, 1]) < 1e-8


def texts(rng, n=300):
    """Good answers are preferred, and so are long ones."""
    rows = []
    for k in range(n):
        quality, words = rng.normal(size=2), rng.integers(1, 30, size=2)
        first_wins = quality[0] + words[0] / 10 > quality[1] + words[1] / 10
        sides = [
            ("good " if q > 0 else "bad ") + "word " * w
            for q, w in zip(quality, words, strict=True)
        ]
        chosen, rejected = sides if first_wins else sides[::-1]
        rows.append(
            {"prompt": f"p{k % 40}", "chosen": chosen + f"{k}", "rejected": rejected}
        )
    return rows


@pytest.mark.parametrize("control", ["orthogonal", "nuisance"])
def test_the_length_of_texts_needs_no_telling(control):
    table = texts(np.random.default_rng(0))
    vectors = make_pipeline(
        FunctionTransformer(lambda items: items["response"]),
        HashingVectorizer(n_features=64, norm=None, alternate_sign=False),
    )
    pipeline = make_pipeline(ItemwiseTransformer(vectors), BradleyTerryRegressor())
    model = ControlledReward(pipeline, control=control).fit(table)
    told = ControlledReward(pipeline, control=control).fit(
        table,
        covariates=[
            [np.log1p(len(row[side])) for side in ("chosen", "rejected")]
            for row in table
        ],
    )
    assert_allclose(model.predict(table), told.predict(table), rtol=1e-6)
    assert model.report_["correlation"][0] > 0.5
    if control == "nuisance":
        # The words that make a text long tell its length to the reward all the same.
        assert model.report_["controlled_correlation"][0] > 0.1
        return
    assert abs(model.report_["controlled_correlation"][0]) < 1e-6
    short, long = (
        [{"prompt": "p", "response": f"{word} " + "word " * n}]
        for word, n in (("good", 2), ("bad", 25))
    )
    plain = clone(pipeline).fit(table)
    assert plain.predict(short) < plain.predict(long)
    assert model.predict(short) > model.predict(long)


def test_it_is_calibrated_searched_and_saved(data, tmp_path):
    """Covariates of items are no samples: folds of pairs leave them whole."""
    folds = PromptDisjointKFold(3, random_state=0)
    search = GridSearchCV(
        ControlledReward(BradleyTerryRegressor()),
        {"control": ["orthogonal", "nuisance"], "estimator__alpha": [1e-3]},
        cv=folds,
    ).fit(data.pairs, data.y, covariates=data.length)
    best = search.best_estimator_
    skreward.save(best, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(data.pairs), best.predict(data.pairs))
    calibrated = CalibratedReward(best).fit(data.pairs, data.y, covariates=data.length)
    assert calibrated.temperature_ > 0
    pipeline = make_pipeline(
        ItemwiseTransformer(StandardScaler()), ControlledReward(BradleyTerryRegressor())
    ).fit(data.pairs, data.y, controlledreward__covariates=data.length)
    assert pipeline.predict(data.pairs).shape == data.y.shape


def test_covariates_are_routed(data):
    with config_context(enable_metadata_routing=True):
        controlled = ControlledReward(BradleyTerryRegressor())
        controlled.set_fit_request(covariates=True)
        routed = CalibratedReward(controlled).fit(
            data.pairs, data.y, covariates=data.length
        )
    plain = CalibratedReward(ControlledReward(BradleyTerryRegressor())).fit(
        data.pairs, data.y, covariates=data.length
    )
    assert routed.temperature_ == plain.temperature_


@pytest.mark.realdata
def test_length_is_gone_on_held_out_prompts():
    data = load_judged(data_file("judged_dev_minilm.npz"))
    found = {"plain": [], "orthogonal": [], "nuisance": []}
    for seed in range(2):
        task = make_task(data, seed, n_pairs=20_000)
        for name, measured in found.items():
            control = None if name == "plain" else name
            reward = rewards(data, task, BradleyTerryRegressor(), control)
            measured.append(measure(data, task, reward))
    plain, orthogonal, nuisance = (np.mean(rows, axis=0) for rows in found.values())
    assert plain[0] > 0.4
    assert abs(orthogonal[0]) < 0.05
    assert 0.1 < nuisance[0] < 0.4
    assert orthogonal[2] > plain[2] + 0.03
    assert orthogonal[1] < plain[1] - 0.05
