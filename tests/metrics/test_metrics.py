import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit
from scipy.stats import kendalltau, norm
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skreward import (
    BradleyTerryRegressor,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.metrics import (
    expected_calibration_error,
    neg_expected_calibration_error_scorer,
    neg_preference_log_loss_scorer,
    order_consistency_score,
    order_consistency_scorer,
    preference_log_loss,
)
from skreward.metrics.pairs import pair_agreement


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=500)
    y = (rng.random(500) < 1 / (1 + np.exp(-margin))).astype(int)
    return y, margin, rng.exponential(size=500)


def test_order_consistency_is_the_accuracy_of_the_sign(labelled):
    y, margin, weight = labelled
    accuracy = accuracy_score(y, margin > 0, sample_weight=weight)
    assert_allclose(order_consistency_score(y, margin, sample_weight=weight), accuracy)
    assert_allclose(
        order_consistency_score(2 * y - 1, margin), np.mean(y == (margin > 0))
    )


def test_ties_and_soft_labels():
    assert order_consistency_score([1, 0], [0.0, 0.0]) == 0.5
    assert order_consistency_score([0.8], [3.0]) == 0.8
    assert order_consistency_score([0.5, 0.5], [3.0, -2.0]) == 0.5
    assert order_consistency_score(None, [1.0, 2.0, -1.0, 0.0]) == 0.625


def test_log_loss_is_that_of_scikit_learn(labelled):
    y, margin, weight = labelled
    proba = 1 / (1 + np.exp(-margin))
    assert_allclose(
        preference_log_loss(y, margin, sample_weight=weight),
        log_loss(y, proba, sample_weight=weight),
    )
    assert_allclose(preference_log_loss(None, [0.0]), np.log(2))
    assert_allclose(preference_log_loss([0.5], [0.0], link="probit"), np.log(2))
    assert_allclose(preference_log_loss([1], [-1000.0]), 1000)


def brute_force_calibration_error(y, proba, n_bins, weight):
    p = np.concatenate([proba, 1 - proba])
    t, w = np.concatenate([y, 1 - y]), np.concatenate([weight, weight])
    bins = np.minimum((p * n_bins).astype(int), n_bins - 1)
    gaps = [
        w[bins == b].sum()
        * abs(np.average(t[bins == b] - p[bins == b], weights=w[bins == b]))
        for b in np.unique(bins)
    ]
    return sum(gaps) / w.sum()


@pytest.mark.parametrize("n_bins", [1, 2, 7, 10, 15])
def test_calibration_error_on_the_symmetrised_data(labelled, n_bins):
    y, margin, weight = labelled
    proba = 1 / (1 + np.exp(-2 * margin))
    assert_allclose(
        expected_calibration_error(y, proba, n_bins=n_bins, sample_weight=weight),
        brute_force_calibration_error(y, proba, n_bins, weight),
        atol=1e-12,
    )


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(-20, 20)), min_size=1, max_size=30),
    st.integers(1, 12),
)
def test_calibration_error_does_not_depend_on_the_order_of_a_pair(pairs, n_bins):
    y, margin = np.array(pairs).T
    proba = 1 / (1 + np.exp(-margin))
    one = expected_calibration_error(y, proba, n_bins=n_bins)
    # Mirrored to the bit: 1 - p itself rounds differently.
    mirrored = expected_calibration_error(
        1 - y, np.where(proba == 0.5, 0.5, 1 - proba), n_bins=n_bins
    )
    if not np.isclose(proba * n_bins, np.rint(proba * n_bins)).any():
        assert_allclose(one, mirrored, atol=1e-9)
    assert 0 <= one <= 1


def test_calibration_of_a_calibrated_and_of_an_overconfident_model():
    rng = np.random.default_rng(0)
    proba = rng.random(100_000)
    y = rng.random(100_000) < proba
    assert expected_calibration_error(y, proba) < 0.01
    assert expected_calibration_error(y, np.round(proba)) > 0.2


@given(data=st.data(), n=st.integers(2, 15))
def test_items_are_scored_over_all_their_pairs(data, n):
    levels = st.integers(0, 5).map(float)
    ratings = np.array(data.draw(st.lists(levels, min_size=n, max_size=n)))
    rewards = np.array(data.draw(st.lists(levels, min_size=n, max_size=n)))
    weight = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    i, j = np.nonzero(ratings[:, None] > ratings)
    pair_weight = weight[i] * weight[j]
    if pair_weight.sum() == 0:
        return
    wanted = order_consistency_score(
        None, rewards[i] - rewards[j], sample_weight=pair_weight
    )

    class Fixed:
        def predict(self, X):
            return rewards

    score = order_consistency_scorer(Fixed(), np.zeros((n, 1)), ratings, weight)
    assert_allclose(score, wanted)


def test_items_are_scored_as_kendall_does():
    rng = np.random.default_rng(0)
    ratings, noise = rng.normal(size=(2, 2000))
    model = BradleyTerryRegressor().fit(ratings[:, None], ratings)
    X = (ratings + noise)[:, None]
    tau = kendalltau(ratings, X[:, 0]).statistic
    assert_allclose(model.score(X, ratings), (tau + 1) / 2)


def test_a_scorer_of_order_needs_predict_alone(preferences):
    class Margins:
        def predict(self, X):
            return np.linspace(-1, 2, len(X))

    pairs, y = preferences.pairs, preferences.y
    for X in (pairs, pairs.to_dense()):
        assert order_consistency_scorer(Margins(), X, y) == order_consistency_score(
            y, Margins().predict(pairs)
        )
    assert repr(order_consistency_scorer) == "order_consistency_scorer"


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_scorers_of_probabilities_ask_the_estimator(link, preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryRegressor(link=link).fit(pairs, y)
    margin = model.predict(pairs)
    proba = norm.cdf(margin) if link == "probit" else expit(margin)
    scaler = ItemwiseTransformer(FunctionTransformer())
    pipeline = make_pipeline(scaler, model).fit(pairs, y)
    search = GridSearchCV(pipeline, {}, cv=2).fit(pairs, y)
    nested = make_pipeline(scaler, search).fit(pairs, y)
    for estimator in (model, pipeline, search, nested):
        assert_allclose(
            neg_preference_log_loss_scorer(estimator, pairs, y),
            -preference_log_loss(y, margin, link=link),
        )
        assert_allclose(
            neg_expected_calibration_error_scorer(estimator, pairs, y),
            -expected_calibration_error(y, proba),
        )


def test_the_loss_of_a_probability_is_that_of_scikit_learn(labelled):
    y, margin, weight = labelled

    class Sure:
        def predict_preference_proba(self, X):
            return expit(30 * margin).astype(np.float32)

    found = neg_preference_log_loss_scorer(Sure(), np.zeros((500, 2, 1)), y, weight)
    wanted = -log_loss(y, Sure().predict_preference_proba(None), sample_weight=weight)
    assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "scorer", [neg_preference_log_loss_scorer, neg_expected_calibration_error_scorer]
)
def test_margins_that_are_no_log_odds_have_no_such_score(scorer, preferences):
    pairs, y = preferences.pairs, preferences.y
    for model in (PairwiseClassifierReward(), RewardEnsemble(n_estimators=2)):
        name = type(model).__name__
        with pytest.raises(TypeError, match=rf"{name} has no predict_pref.*Calibrated"):
            scorer(make_pipeline(model).fit(pairs, y), pairs, y)


@pytest.mark.parametrize("largest", [1e308, 1e-300])
def test_only_proportions_of_weights_count(largest, labelled):
    y, margin, weight = labelled
    scale = largest / weight.max()
    proba = expit(margin)
    for score, predicted in (
        (order_consistency_score, margin),
        (preference_log_loss, margin),
        (expected_calibration_error, proba),
    ):
        assert_allclose(
            score(y, predicted, sample_weight=weight * scale),
            score(y, predicted, sample_weight=weight),
        )

    class Fixed:
        def predict(self, X):
            return margin

    X = np.zeros((500, 1))
    assert_allclose(
        order_consistency_scorer(Fixed(), X, margin + y, weight * scale),
        order_consistency_scorer(Fixed(), X, margin + y, weight),
    )


def test_agreement_of_pairs_is_what_order_consistency_averages():
    y, margin = [1, 0, 0.5, 1, 0.25], [2.0, 3.0, -1.0, 0.0, -1.0]
    agreement = pair_agreement(y, margin)
    assert agreement.tolist() == [1.0, 0.0, 0.5, 0.5, 0.75]
    assert agreement.mean() == order_consistency_score(y, margin)
