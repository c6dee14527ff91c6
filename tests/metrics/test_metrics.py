import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import kendalltau
from sklearn.metrics import accuracy_score, log_loss

from skreward import BradleyTerryRegressor
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


def test_scorers_need_predict_alone(preferences):
    class Margins:
        def predict(self, X):
            return np.linspace(-1, 2, len(X))

    pairs, y = preferences.pairs, preferences.y
    margin = Margins().predict(pairs)
    for X in (pairs, pairs.to_dense()):
        assert order_consistency_scorer(Margins(), X, y) == order_consistency_score(
            y, margin
        )
        assert neg_preference_log_loss_scorer(Margins(), X, y) == -preference_log_loss(
            y, margin
        )
        proba = 1 / (1 + np.exp(-margin))
        assert_allclose(
            neg_expected_calibration_error_scorer(Margins(), X, y),
            -expected_calibration_error(y, proba),
        )
    assert repr(order_consistency_scorer) == "order_consistency_scorer"


def test_agreement_of_pairs_is_what_order_consistency_averages():
    y, margin = [1, 0, 0.5, 1, 0.25], [2.0, 3.0, -1.0, 0.0, -1.0]
    agreement = pair_agreement(y, margin)
    assert agreement.tolist() == [1.0, 0.0, 0.5, 0.5, 0.75]
    assert agreement.mean() == order_consistency_score(y, margin)
