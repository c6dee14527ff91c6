"""The penalty that cross-validation chooses, against doing it by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from benchmarks.penalty import compare
from skreward import (
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    EmbeddingPairs,
    ItemwiseTransformer,
    RewardEnsemble,
)
from skreward.datasets import load_judged, make_preferences
from skreward.metrics import order_consistency_scorer
from skreward.model_selection import PromptDisjointKFold
from tests.support import data_file

ALPHAS = [1e-4, 1e-2, 1.0]


@pytest.fixture(scope="module")
def data():
    return make_preferences(
        n_prompts=60, n_responses=6, n_features=8, n_pairs=2000, random_state=0
    )


@pytest.fixture(scope="module")
def noisy():
    """Few pairs, many features, 40 % of the labels turned round."""
    data = make_preferences(
        n_prompts=200, n_responses=6, n_features=60, n_pairs=3000, random_state=1
    )
    margin = data.rewards.ravel()[data.pairs.index]
    truth = (margin[:, 0] > margin[:, 1]).astype(int)
    wrong = np.random.default_rng(0).uniform(size=len(truth)) < 0.4
    is_test = (data.pairs.pair_prompt_ids >= 60).all(axis=1)
    y = np.where(wrong, 1 - truth, truth)
    return (
        data.pairs[~is_test], y[~is_test], data.pairs[is_test], truth[is_test]
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(data):
    return BradleyTerryRegressorCV(covariance="cluster").fit(data.pairs, data.y)


def test_scores_are_those_of_a_grid_search(data):
    """With the same folds, fits and scores; the paths are fitted only so far."""
    folds = PromptDisjointKFold(4, random_state=0)
    search = GridSearchCV(
        BradleyTerryRegressor(), {"alpha": ALPHAS}, cv=folds,
        scoring=order_consistency_scorer,
    ).fit(data.pairs, data.y)  # fmt: skip
    model = BradleyTerryRegressorCV(
        alphas=ALPHAS, cv=folds, scoring=order_consistency_scorer
    ).fit(data.pairs, data.y)
    wanted = [search.cv_results_[f"split{k}_test_score"] for k in range(4)]
    assert_allclose(model.scores_, wanted, atol=0.01)
    assert_array_equal(model.alphas_, ALPHAS)
    assert model.alpha_ == ALPHAS[int(np.argmax(model.scores_.mean(axis=0)))]


def test_default_scores_are_log_likelihoods_at_the_best_factor(data):
    folds = list(PromptDisjointKFold(3, random_state=0).split(data.pairs))
    model = BradleyTerryRegressorCV(alphas=ALPHAS, cv=folds, tol=1e-2)
    model.fit(data.pairs, data.y)
    for k, alpha in enumerate(ALPHAS):
        margins = [
            BradleyTerryRegressor(alpha=alpha, tol=1e-8)
            .fit(data.pairs[train], data.y[train])
            .predict(data.pairs[test])
            for train, test in folds
        ]
        labels = [2 * data.y[test] - 1 for _, test in folds]
        losses = [
            [np.mean(np.logaddexp(0, -f * m * s))
             for m, s in zip(margins, labels, strict=True)]
            for f in np.geomspace(0.1, 1000, 4000)
        ]  # fmt: skip
        best = min(losses, key=np.mean)
        assert_allclose(model.scores_[:, k], -np.array(best), atol=2e-3)


@pytest.mark.parametrize("kind", ["pairs", "dense", "float32", "sparse", "ratings"])
def test_fits_of_folds_are_fits_of_their_samples_alone(kind, data, monkeypatch):
    monkeypatch.setattr("skreward.models.bradley_terry_cv.FOLD_TOL", 1e-7)
    X, y = data.pairs, data.y
    if kind == "dense":
        X = X.to_dense()
    elif kind == "float32":
        X = EmbeddingPairs(X.embeddings.astype(np.float32), X.index, X.prompt_ids)
    elif kind == "sparse":
        X = EmbeddingPairs(sp.csr_array(X.embeddings), X.index, X.prompt_ids)
    elif kind == "ratings":
        X, y = X.embeddings, data.rewards.ravel()
    rng = np.random.default_rng(0)
    folds = [np.split(rng.permutation(len(y)), [len(y) // 2]) for _ in range(2)]
    # A sample twice counts as two.
    folds[0][0] = np.append(folds[0][0], folds[0][0][:50])
    weight = rng.exponential(size=len(y))
    seen = []

    def scoring(model, X, y, sample_weight):
        seen.append(clone(model).set_params(alpha=model.alpha))
        seen[-1].coef, seen[-1].offset = model.coef_, model.offset_
        return model.score(X, y, sample_weight)

    BradleyTerryRegressorCV(
        alphas=ALPHAS, cv=folds, scoring=scoring, tol=1e-7, max_pairs=3000,
        random_state=0,
    ).fit(X, y, weight)  # fmt: skip
    rtol = 1e-3 if kind == "float32" else 1e-5
    for k, model in enumerate(seen):
        train, _ = folds[k % 2]
        coef, offset = model.coef, model.offset
        model.fit(X[train], y[train], weight[train])
        assert_allclose(coef, model.coef_, rtol=rtol, atol=rtol)
        assert_allclose(offset, model.offset_, rtol=rtol, atol=rtol)
    assert len(seen) == 2 * len(ALPHAS)


def test_labels_of_a_fold_do_not_leak_into_its_fit(data):
    train, test = next(PromptDisjointKFold(4, random_state=0).split(data.pairs))
    turned = data.y.copy()
    turned[test] = 1 - turned[test]
    coefs = []

    def scoring(model, X, y):
        coefs.append(model.coef_)
        return model.score(X, y)

    for y in (data.y, turned):
        BradleyTerryRegressorCV(
            alphas=ALPHAS, cv=[(train, test)], scoring=scoring
        ).fit(data.pairs, y)  # fmt: skip
    assert_array_equal(coefs[: len(ALPHAS)], coefs[len(ALPHAS) :])


def test_what_is_kept_is_fitted_on_everything(data, model):
    single = BradleyTerryRegressor(alpha=model.alpha_, covariance="cluster")
    single.fit(data.pairs, data.y)
    assert_array_equal(model.coef_, single.coef_)
    assert_array_equal(model.coef_covariance_, single.coef_covariance_)
    for method in ("predict", "predict_reward", "predict_preference_proba"):
        assert_array_equal(
            getattr(model, method)(data.pairs), getattr(single, method)(data.pairs)
        )
    for ours, theirs in zip(
        model.predict(data.pairs, return_std=True),
        single.predict(data.pairs, return_std=True),
        strict=True,
    ):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("scoring", [None, order_consistency_scorer])
def test_noise_is_shrunk_more_than_by_default(noisy, scoring):
    pairs, y, unseen, truth = noisy
    chosen = BradleyTerryRegressorCV(scoring=scoring).fit(pairs, y)
    default = BradleyTerryRegressor().fit(pairs, y)
    assert chosen.alpha_ > 10 * default.alpha
    assert chosen.score(unseen, truth) > default.score(unseen, truth)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_the_items_does_not_matter(noisy, scale):
    pairs, y, unseen, _ = noisy

    def scaled(some):
        return EmbeddingPairs(some.embeddings * scale, some.index, some.prompt_ids)

    plain = BradleyTerryRegressorCV().fit(pairs, y)
    other = BradleyTerryRegressorCV().fit(scaled(pairs), y)
    assert_allclose(other.alpha_, plain.alpha_ * scale**2)
    assert_allclose(
        other.predict(scaled(unseen)), plain.predict(unseen), rtol=1e-3, atol=1e-4
    )


def test_equal_scores_choose_the_largest_penalty(data):
    model = BradleyTerryRegressorCV(
        alphas=[1e-2, 1.0, 1e-4], scoring=lambda model, X, y: 0.5
    ).fit(data.pairs, data.y)
    assert model.alpha_ == 1.0


def test_labels_turned_round_with_their_pairs_change_nothing(data, model):
    turned = EmbeddingPairs(
        data.pairs.embeddings, data.pairs.index[:, ::-1], data.pairs.prompt_ids
    )
    other = BradleyTerryRegressorCV().fit(turned, 1 - data.y)
    assert other.alpha_ == model.alpha_
    assert_allclose(other.coef_, model.coef_, rtol=1e-5)
    assert_array_equal(model.predict(turned), -model.predict(data.pairs))


def test_shuffled_pairs_and_dense_ones_choose_alike(data, model):
    order = np.random.default_rng(0).permutation(len(data.y))
    shuffled = BradleyTerryRegressorCV().fit(data.pairs[order], data.y[order])
    assert shuffled.alpha_ == model.alpha_
    assert_allclose(shuffled.scores_, model.scores_, atol=1e-4)
    assert_allclose(shuffled.coef_, model.coef_, rtol=1e-5)
    # The components of these pairs are the prompts.
    dense = BradleyTerryRegressorCV().fit(data.pairs.to_dense(), data.y)
    assert dense.alpha_ == model.alpha_
    assert_allclose(dense.coef_, model.coef_, rtol=1e-5)


def test_integer_weights_are_repetitions(data):
    weight = np.random.default_rng(0).integers(0, 3, size=len(data.y))
    times = np.repeat(np.arange(len(data.y)), weight)
    prompts = data.pairs.pair_prompt_ids[:, 0]

    def folds(ids):
        return [(np.flatnonzero(ids % 3 != k), np.flatnonzero(ids % 3 == k))
                for k in range(3)]  # fmt: skip

    weighted = BradleyTerryRegressorCV(cv=folds(prompts), alphas=ALPHAS)
    weighted.fit(data.pairs, data.y, weight)
    copies = BradleyTerryRegressorCV(cv=folds(prompts[times]), alphas=ALPHAS)
    copies.fit(data.pairs[times], data.y[times])
    assert weighted.alpha_ == copies.alpha_
    assert_allclose(weighted.scores_, copies.scores_, atol=1e-3)
    assert_allclose(weighted.coef_, copies.coef_, rtol=1e-5)


def test_a_scorer_gets_the_weights(data):
    seen = []

    def scoring(model, X, y, sample_weight=None):
        seen.append(sample_weight)
        return model.score(X, y, sample_weight)

    weight = np.linspace(0.5, 2, len(data.y))
    BradleyTerryRegressorCV(scoring=scoring, alphas=[1.0]).fit(
        data.pairs, data.y, weight
    )
    assert sum(map(len, seen)) == len(weight)


def test_rated_items_have_folds_of_items(data):
    items, ratings = data.pairs.embeddings, data.rewards.ravel()
    model = BradleyTerryRegressorCV(random_state=0).fit(items, ratings)
    assert model.scores_.shape == (5, 9)
    assert model.score(items, ratings) > 0.9
    again = clone(model).fit(items, ratings)
    assert_array_equal(again.coef_, model.coef_)


def test_a_second_fit_forgets_the_first(data, model):
    other = clone(model).fit(data.pairs, data.y)
    other.set_params(covariance=None, alphas=ALPHAS).fit(data.pairs, data.y)
    assert not hasattr(other, "coef_covariance_")
    assert len(other.alphas_) == 3


def test_it_is_saved_searched_and_a_member(data, model, tmp_path):
    skreward.save(model, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(data.pairs), model.predict(data.pairs))
    pipeline = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressorCV(alphas=ALPHAS)
    )
    search = GridSearchCV(
        pipeline,
        {"bradleyterryregressorcv__link": ["logistic", "probit"]},
        cv=PromptDisjointKFold(3, random_state=0),
    ).fit(data.pairs, data.y)
    assert search.best_score_ > 0.7
    ensemble = RewardEnsemble(BradleyTerryRegressorCV(alphas=ALPHAS), n_estimators=2)
    assert ensemble.fit(data.pairs, data.y).score(data.pairs, data.y) > 0.7


@pytest.mark.realdata
def test_the_chosen_penalty_is_better_on_judged_responses():
    data = load_judged(data_file("judged_dev_minilm.npz"))
    items = data.embeddings.astype(np.float32)
    results = np.array([compare(data, items, seed, 5000, 0.4) for seed in range(3)])
    default, chosen, best, alpha = results.mean(axis=0)
    assert chosen > default + 0.015
    assert best - 0.01 < chosen <= best + 1e-9
    assert alpha > 1e-3


def test_ratings_stay_within_their_prompt(data):
    """Ratings that differ by prompt, and folds that share none."""
    items, prompts = data.pairs.embeddings, data.pairs.prompt_ids
    rng = np.random.default_rng(0)
    taste = rng.normal(scale=10, size=prompts.max() + 1)[prompts]
    ratings = data.rewards.ravel() + rng.normal(size=len(items)) + taste
    seen = []

    def scoring(model, X, y, prompt_ids):
        seen.append(set(prompt_ids.tolist()))
        return model.score(X, y, prompt_ids=prompt_ids)

    BradleyTerryRegressorCV(alphas=[1.0], scoring=scoring).fit(
        items, ratings, prompt_ids=prompts
    )
    assert len(seen) == 5
    assert sum(map(len, seen)) == len(set(prompts.tolist()))
    model = BradleyTerryRegressorCV(random_state=0).fit(
        items, ratings, prompt_ids=prompts
    )
    peer = BradleyTerryRegressor(alpha=model.alpha_, random_state=0)
    peer.fit(items, ratings, prompt_ids=prompts)
    assert_allclose(model.coef_, peer.coef_, rtol=1e-6)
    truth = data.rewards.ravel()
    assert model.score(items, truth, prompt_ids=prompts) > 0.75
