"""Calibrated probabilities: against scikit-learn's, and on pairs not trained on."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import skreward
from benchmarks.calibration import calibrate, draw, network
from skreward import (
    BradleyTerryRegressor,
    CalibratedReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.datasets import load_judged, make_preferences
from skreward.metrics import expected_calibration_error, neg_preference_log_loss_scorer
from skreward.model_selection import PromptDisjointKFold
from skreward.models.calibrated import best_temperature, rising_curve
from tests.support import data_file

METHODS = ("temperature", "isotonic")


class Spy(BradleyTerryRegressor):
    """Keeps the prompts it has seen."""

    seen = []  # noqa: RUF012

    def fit(self, X, y=None, sample_weight=None):
        Spy.seen.append(("fit", set(X.pair_prompt_ids.ravel().tolist())))
        return super().fit(X, y, sample_weight)

    def predict(self, X):
        Spy.seen.append(("predict", set(X.pair_prompt_ids.ravel().tolist())))
        return super().predict(X)


@pytest.fixture(scope="module")
def data():
    return make_preferences(
        n_prompts=60, n_responses=6, n_features=8, n_pairs=3000, random_state=0
    )


@pytest.fixture(scope="module", params=METHODS)
def model(request, data):
    reward = PairwiseClassifierReward(LogisticRegression(C=10))
    return CalibratedReward(reward, method=request.param).fit(data.pairs, data.y)


def search_over(model):
    return GridSearchCV(model, {"alpha": [1e-3]}, cv=2)


def swapped(pairs):
    return EmbeddingPairs(pairs.embeddings, pairs.index[:, ::-1], pairs.prompt_ids)


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline, search_over])
def test_rewards_come_through_a_pipeline_or_a_search(wrap, data):
    model = CalibratedReward(wrap(BradleyTerryRegressor()), cv=2)
    model.fit(data.pairs, data.y)
    candidates = data.embeddings[:40].reshape(20, 2, -1)
    wanted = model.predict(data.embeddings[:40]).reshape(20, 2)
    assert_array_equal(model.predict_reward(candidates), wanted)


def test_the_temperature_is_that_of_scikit_learn(data):
    """On differences in both orders, without an intercept, it is the same problem."""
    folds = list(PromptDisjointKFold(5, shuffle=False).split(data.pairs, data.y))
    model = CalibratedReward(BradleyTerryRegressor(alpha=1e-9, tol=1e-10), cv=folds)
    model.fit(data.pairs, data.y)
    n = len(data.y)
    first, second = data.pairs.embeddings[data.pairs.index.T]
    differences = np.concatenate([first - second, second - first])
    labels = np.concatenate([data.y, 1 - data.y])
    peer = CalibratedClassifierCV(
        LogisticRegression(C=1e6, fit_intercept=False, tol=1e-10),
        method="temperature",
        ensemble=False,
        cv=[tuple(np.concatenate([part, part + n]) for part in fold) for fold in folds],
    ).fit(differences, labels)
    ours = model.predict_preference_proba(data.pairs)
    assert_allclose(ours, peer.predict_proba(differences[:n])[:, 1], atol=1e-4)


def test_the_temperature_minimises_the_log_loss():
    rng = np.random.default_rng(0)
    margin = 3 * rng.normal(size=500)
    y = (rng.uniform(size=500) < 1 / (1 + np.exp(-margin / 5))).astype(float)
    weight = rng.uniform(0.5, 2, size=500)
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    peer.fit(margin[:, None], y, weight)
    assert_allclose(1 / best_temperature(margin, y, weight), peer.coef_[0, 0], 1e-5)


def test_the_curve_is_isotonic_regression_of_both_orders():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=400).round(1)
    y = (rng.uniform(size=400) < 1 / (1 + np.exp(-3 * margin))).astype(float)
    weight = rng.integers(1, 4, size=400).astype(float)
    knots, proba = rising_curve(margin, y, weight)
    peer = IsotonicRegression().fit(
        np.concatenate([margin, -margin]),
        np.concatenate([y, 1 - y]),
        np.concatenate([weight, weight]),
    )
    # Where there are data: between them a clipped end bends the line.
    grid = np.abs(margin)
    expected = np.clip(peer.predict(grid), 0.001, 0.999)
    assert_allclose(np.interp(grid, knots, proba), expected, atol=1e-12)
    assert knots[0] == 0
    assert proba[0] == 0.5


@given(st.data())
def test_integer_weights_are_repetitions(data):
    n = data.draw(st.integers(4, 12))
    margin = np.array(data.draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    times = np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fit in (best_temperature, rising_curve):
            weighted = fit(margin.astype(float), y, times)
            repeated = fit(
                np.repeat(margin, times).astype(float),
                np.repeat(y, times),
                np.ones(times.sum()),
            )
            for ours, theirs in zip(
                np.atleast_1d(weighted), np.atleast_1d(repeated), strict=True
            ):
                assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_order_within_a_pair_does_not_matter(model, data):
    turned = swapped(data.pairs)
    assert_array_equal(model.predict(turned), -model.predict(data.pairs))
    proba = model.predict_preference_proba(data.pairs)
    assert_allclose(model.predict_preference_proba(turned), 1 - proba, atol=1e-15)
    again = clone(model).fit(turned, 1 - data.y)
    assert_allclose(again.predict_preference_proba(data.pairs), proba, atol=1e-6)


def test_dense_pairs_and_container_agree(model, data):
    dense = data.pairs.to_dense()
    assert_allclose(model.predict(dense), model.predict(data.pairs), atol=1e-12)
    reward = model.predict_reward(data.pairs)
    assert reward.shape == (len(data.y), 2)
    assert_allclose(reward[:, 0] - reward[:, 1], model.predict(data.pairs))
    assert_allclose(model.predict(data.embeddings)[data.pairs.index], reward)


def test_the_reward_keeps_its_order(model, data):
    plain = clone(model.estimator).fit(data.pairs, data.y)
    ours, theirs = model.predict(data.pairs), plain.predict(data.pairs)
    assert_array_equal(np.sign(ours), np.sign(theirs))
    assert model.score(data.pairs, data.y) == plain.score(data.pairs, data.y)
    if model.method == "isotonic":
        assert_array_equal(ours, theirs)
    else:
        assert_allclose(ours * model.temperature_, theirs)


def test_the_model_of_a_fold_knows_no_prompt_of_it(data):
    Spy.seen.clear()
    CalibratedReward(Spy(), cv=3).fit(data.pairs, data.y)
    everything, *folds = Spy.seen
    assert [kind for kind, _ in folds] == ["fit", "predict"] * 3
    tested = set()
    for (_, trained), (_, held) in zip(folds[::2], folds[1::2], strict=True):
        assert not trained & held
        tested |= held
    assert tested == everything[1]


@pytest.mark.parametrize("method", METHODS)
def test_what_a_model_has_learned_by_heart_counts_for_nothing(method, data):
    """A full tree knows every training label; these are coins."""
    coin = np.random.default_rng(0).integers(0, 2, size=1000)
    pairs = data.pairs[:1000]
    tree = PairwiseClassifierReward(DecisionTreeClassifier(random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CalibratedReward(tree, method=method).fit(pairs, coin)
    certainty = np.abs(model.predict_preference_proba(pairs) - 0.5)
    assert certainty.max() < 0.1
    assert tree.fit(pairs, coin).score(pairs, coin) > 0.7


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "reward",
    [
        PairwiseClassifierReward(LogisticRegression(C=10)),
        RewardEnsemble(n_estimators=3, random_state=0),
        BradleyTerryRegressor(alpha=1),
    ],
    ids=lambda reward: type(reward).__name__,
)
def test_it_is_calibrated_on_other_prompts(reward, method, data):
    new = make_preferences(
        n_prompts=200, n_responses=6, n_features=8, n_pairs=8000, random_state=0
    )
    is_new = (new.pairs.pair_prompt_ids >= 60).all(axis=1)
    pairs, y = new.pairs[is_new], new.y[is_new]
    train, y_train = new.pairs[~is_new], new.y[~is_new]
    model = CalibratedReward(reward, method=method).fit(train, y_train)
    ours = expected_calibration_error(y, model.predict_preference_proba(pairs))
    raw = 1 / (1 + np.exp(-model.estimator_.predict(pairs)))
    assert ours < 0.04
    assert ours < expected_calibration_error(y, raw)


def test_without_prompts_folds_are_components_or_items(data):
    reward = BradleyTerryRegressor()
    no_prompts = EmbeddingPairs(data.pairs.embeddings, data.pairs.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        components = CalibratedReward(reward).fit(no_prompts, data.y)
    known = CalibratedReward(reward).fit(data.pairs, data.y)
    # The components here are the prompts.
    assert_allclose(components.temperature_, known.temperature_, rtol=0.05)
    rng = np.random.default_rng(0)
    index = np.array([rng.choice(360, 2, replace=False) for _ in range(2000)])
    tangled = EmbeddingPairs(data.pairs.embeddings, index)
    margin = data.rewards.ravel()[index]
    y = (margin[:, 0] > margin[:, 1]).astype(int)
    flipped = rng.uniform(size=len(y)) < 0.2
    with pytest.warns(UserWarning, match=r"no prompts.*left out.*prompt ids"):
        model = CalibratedReward(reward).fit(tangled, np.where(flipped, 1 - y, y))
    assert np.isfinite(model.temperature_)


def test_margins_that_tell_nothing_or_all_are_said(data):
    reward = BradleyTerryRegressor()
    upside = data.rewards.ravel()[data.pairs.index]
    certain = (upside[:, 0] > upside[:, 1]).astype(int)
    with pytest.warns(UserWarning, match="as labelled"):
        model = CalibratedReward(reward).fit(data.pairs, certain)
    assert model.predict_preference_proba(data.pairs).max() > 0.99
    frozen = FrozenEstimator(clone(reward).fit(data.pairs, certain))
    with pytest.warns(UserWarning, match="no better than a coin"):
        model = CalibratedReward(frozen).fit(data.pairs, 1 - certain)
    assert np.abs(model.predict_preference_proba(data.pairs) - 0.5).max() < 0.01
    assert model.score(data.pairs, certain) > 0.9


def test_a_frozen_model_is_calibrated_as_it_is(data):
    fitted = BradleyTerryRegressor().fit(data.pairs[:1000], data.y[:1000])
    new, y = data.pairs[1000:], data.y[1000:]
    model = CalibratedReward(FrozenEstimator(fitted)).fit(new, y)
    expected = best_temperature(fitted.predict(new), y, np.ones(len(y)))
    assert_allclose(model.temperature_, expected, rtol=1e-9)


def test_weights_reach_the_reward_and_the_calibration(data):
    weight = np.random.default_rng(0).integers(0, 3, size=len(data.y))
    repeated = np.repeat(np.arange(len(data.y)), weight)
    pipeline = make_pipeline(
        ItemwiseTransformer(StandardScaler(with_std=False)),
        BradleyTerryRegressor(tol=1e-10),
    )
    prompts = data.pairs.pair_prompt_ids[:, 0]

    def folds(ids):
        return [(np.flatnonzero(ids % 2 != k), np.flatnonzero(ids % 2 == k))
                for k in (0, 1)]  # fmt: skip

    weighted = CalibratedReward(pipeline, cv=folds(prompts))
    weighted.fit(data.pairs, data.y, weight)
    copies = CalibratedReward(pipeline, cv=folds(prompts[repeated]))
    copies.fit(data.pairs[repeated], data.y[repeated])
    assert_allclose(weighted.temperature_, copies.temperature_, rtol=1e-5)


def test_metadata_is_routed_to_the_reward(data):
    weight = np.random.default_rng(0).uniform(size=len(data.y))
    plain = CalibratedReward(BradleyTerryRegressor()).fit(data.pairs, data.y, weight)
    with config_context(enable_metadata_routing=True):
        reward = BradleyTerryRegressor().set_fit_request(sample_weight=True)
        model = CalibratedReward(reward).fit(data.pairs, data.y, sample_weight=weight)
    assert model.temperature_ == plain.temperature_


def test_parameters_of_fit_go_along_with_the_folds(data):
    class Tagged(BaseEstimator):
        def fit(self, X, y, tags=None, whole=None):
            assert len(tags) == len(X)
            assert_array_equal(tags, X.index[:, 0])
            assert whole == "as it is"
            self.model_ = BradleyTerryRegressor().fit(X, y)
            return self

        def predict(self, X):
            return self.model_.predict(X)

    tags = data.pairs.index[:, 0]
    model = CalibratedReward(Tagged()).fit(
        data.pairs, data.y, tags=tags, whole="as it is"
    )
    assert model.temperature_ > 0


def test_it_is_searched_saved_and_run_in_threads(data, tmp_path):
    folds = PromptDisjointKFold(3, shuffle=False)
    pipeline = make_pipeline(
        ItemwiseTransformer(StandardScaler()),
        CalibratedReward(BradleyTerryRegressor()),
    )
    grid = {"calibratedreward__method": METHODS,
            "calibratedreward__estimator__alpha": [1e-4, 1e-1]}  # fmt: skip
    search = GridSearchCV(
        pipeline, grid, cv=folds, scoring=neg_preference_log_loss_scorer
    ).fit(data.pairs, data.y)
    best = search.best_estimator_
    skreward.save(best, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(data.pairs), best.predict(data.pairs))
    threads = clone(best).set_params(calibratedreward__n_jobs=2)
    threads.fit(data.pairs, data.y)
    assert_array_equal(threads.predict(data.pairs), best.predict(data.pairs))


def test_texts_go_to_a_pipeline_that_reads_them():
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import FunctionTransformer

    rng = np.random.default_rng(0)
    table = [
        {"prompt": f"question {k % 30}",
         "chosen": "good " * rng.integers(1, 4) + f"answer {k}",
         "rejected": "bad " * rng.integers(1, 4) + f"answer {k}"}
        for k in range(240)
    ]  # fmt: skip
    responses = FunctionTransformer(lambda items: items["response"])
    pipeline = make_pipeline(
        ItemwiseTransformer(
            make_pipeline(responses, HashingVectorizer(n_features=32, norm=None))
        ),
        BradleyTerryRegressor(),
    )
    with pytest.warns(UserWarning, match="as labelled"):
        model = CalibratedReward(pipeline).fit(table)
    assert (model.predict_preference_proba(table) > 0.9).all()


def test_the_display_takes_it(model, data):
    import matplotlib

    matplotlib.use("Agg")
    from skreward.plotting import CalibrationDisplay

    display = CalibrationDisplay.from_estimator(model, data.pairs, data.y)
    assert_allclose(display.prob_true, display.prob_pred, atol=0.15)


@pytest.mark.realdata
def test_the_classifier_is_calibrated_on_judged_responses():
    data = load_judged(data_file("judged_dev_minilm.npz"))
    task = draw(data, seed=0, n_pairs=8000)
    raw, calibrated = calibrate(PairwiseClassifierReward(), "temperature", task)
    assert calibrated.ece < 0.03 < raw.ece
    assert calibrated.log_loss < raw.log_loss - 0.01


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:Adam stopped")
def test_a_network_that_nothing_stops_is_calibrated_on_judged_responses():
    data = load_judged(data_file("judged_dev_minilm.npz"))
    task = draw(data, seed=0, n_pairs=8000)
    raw, calibrated = calibrate(network(0, 2), "temperature", task)
    assert calibrated.ece < 0.03 < raw.ece
    assert calibrated.log_loss < raw.log_loss


def test_ratings_are_calibrated_within_their_prompt(data):
    items, prompts = data.pairs.embeddings, data.pairs.prompt_ids
    rng = np.random.default_rng(0)
    taste = rng.normal(scale=10, size=prompts.max() + 1)[prompts]
    ratings = data.rewards.ravel() + 0.5 * rng.normal(size=len(items)) + taste
    pipeline = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    )
    models = [
        CalibratedReward(reward).fit(items, ratings, prompt_ids=prompts)
        for reward in (BradleyTerryRegressor(), pipeline)
    ]
    first, second = data.pairs.index.T
    y = (ratings[first] > ratings[second]).astype(int)
    for model in models:
        proba = model.predict_preference_proba(data.pairs)
        assert expected_calibration_error(y, proba) < 0.04
        assert model.score(items, ratings, prompt_ids=prompts) > 0.75
