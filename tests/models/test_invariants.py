"""What must hold for every input, by hypothesis."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
    RewardMLPClassifier,
)
from skreward.metrics import order_consistency_score
from tests.support import problems

LINEAR = BradleyTerryRegressor(alpha=1e-2)
NETWORK = BradleyTerryMLPRegressor(
    (8,), max_iter=3, early_stopping=False, batch_size=16, random_state=0
)
CLASSIFIER = PairwiseClassifierReward(LogisticRegression(tol=1e-10, max_iter=1000))
CLASSIFIER_NETWORK = PairwiseClassifierReward(
    RewardMLPClassifier(
        (8,), max_iter=3, early_stopping=False, batch_size=16, random_state=0
    )
)
FOREST = PairwiseClassifierReward(RandomForestClassifier(5, random_state=0))
MODELS = [LINEAR, NETWORK, CLASSIFIER, CLASSIFIER_NETWORK, FOREST]
pytestmark = pytest.mark.filterwarnings("ignore:Adam stopped")
each_model = pytest.mark.parametrize("model", MODELS, ids=str)
few = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


def fit(model, *args):
    return clone(model).fit(*args)


def tolerance(pairs):
    return {"rtol": 1e-3, "atol": 1e-3} if pairs.dtype == np.float32 else {
        "rtol": 1e-6, "atol": 1e-8
    }  # fmt: skip


@few
@each_model
@given(problem=problems())
def test_swapping_a_pair_negates_its_margin(model, problem):
    pairs, y = problem
    fitted = fit(model, pairs, y)
    assert_array_equal(fitted.predict(pairs.swap()), -fitted.predict(pairs))
    dense = pairs.to_dense()
    assert_array_equal(fitted.predict(dense[:, ::-1]), -fitted.predict(dense))


@few
@each_model
@given(problem=problems(dtype=np.float64), seed=st.integers(0, 1000))
def test_dense_container_and_shuffled_container_fit_the_same(model, problem, seed):
    pairs, y = problem
    order = np.random.default_rng(seed).permutation(pairs.n_items)
    shuffled = EmbeddingPairs(pairs.embeddings[order], np.argsort(order)[pairs.index])
    assert_array_equal(shuffled.to_dense(), pairs.to_dense())
    from_container = fit(model, pairs, y)
    others = [fit(model, shuffled, y), fit(model, pairs.to_dense(), y)]
    # A forest draws bootstraps of rows, so it sees the order of the items.
    if model is FOREST:
        others = []
    for other in others:
        assert_allclose(other.predict(pairs), from_container.predict(pairs), **tol())


def tol():
    return {"rtol": 1e-5, "atol": 1e-7}


@few
@pytest.mark.parametrize("model", [LINEAR, CLASSIFIER], ids=str)
@given(problem=problems(dtype=np.float64), data=st.data())
def test_integer_weights_are_repetitions(model, problem, data):
    pairs, y = problem
    n = len(y)
    weight = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    if weight.sum() == 0:
        weight[0] = 1
    repeated = np.repeat(np.arange(n), weight)
    by_weight = fit(model, pairs, y, weight)
    by_repetition = fit(model, pairs[repeated], y[repeated])
    items = pairs.embeddings
    assert_allclose(by_weight.predict(items), by_repetition.predict(items), **tol())


@few
@each_model
@given(problem=problems(dtype=np.float64))
def test_flipped_labels_of_swapped_pairs_are_the_same_preferences(model, problem):
    pairs, y = problem
    one, other = fit(model, pairs, y), fit(model, pairs.swap(), 1 - y)
    assert_allclose(other.predict(pairs), one.predict(pairs), **tol())


@few
@pytest.mark.parametrize("model", [LINEAR, NETWORK, CLASSIFIER], ids=str)
@given(problem=problems(dtype=np.float64))
def test_label_conventions_agree(model, problem):
    pairs, y = problem
    margins = fit(model, pairs, y).predict(pairs)
    for same in (2 * y - 1, y.astype(bool), y.astype(float), list(y)):
        assert_array_equal(fit(model, pairs, same).predict(pairs), margins)
    chosen_first = EmbeddingPairs(
        pairs.embeddings, np.where(y[:, None] == 1, pairs.index, pairs.index[:, ::-1])
    )
    assert_allclose(fit(model, chosen_first).predict(pairs), margins, **tol())


@few
@given(problem=problems(dtype=np.float64), shift=st.floats(-100, 100))
def test_a_constant_added_to_every_item_changes_no_linear_margin(problem, shift):
    pairs, y = problem
    moved = EmbeddingPairs(pairs.embeddings + shift, pairs.index)
    one, other = fit(LINEAR, pairs, y), fit(LINEAR, moved, y)
    assert_allclose(other.predict(moved), one.predict(pairs), rtol=1e-5, atol=1e-6)
    assert_allclose(
        other.predict(moved.embeddings), one.predict(pairs.embeddings), atol=1e-6
    )


@few
@each_model
@given(problem=problems())
def test_rewards_explain_margins_and_are_centred(model, problem):
    pairs, y = problem
    fitted = fit(model, pairs, y)
    reward = fitted.predict(pairs.embeddings)
    sides = fitted.predict_reward(pairs)
    assert_allclose(sides, reward[pairs.index], **tolerance(pairs))
    assert_allclose(sides[:, 0] - sides[:, 1], fitted.predict(pairs), atol=1e-5)
    assert_allclose(fitted.predict_reward(pairs.to_dense()), sides, **tolerance(pairs))
    assert_allclose(reward[np.unique(pairs.index)].mean(), 0, atol=1e-4)
    assert fitted.score(pairs, y) == order_consistency_score(y, fitted.predict(pairs))


@few
@each_model
@given(problem=problems())
def test_pickle_predicts_bit_for_bit(model, problem):
    pairs, y = problem
    fitted = fit(model, pairs, y)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict(pairs), fitted.predict(pairs))


@given(data=st.data(), n=st.integers(1, 20))
def test_order_consistency_of_a_label_and_its_opposite_sum_to_one(data, n):
    y = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    margin = data.draw(
        st.lists(st.floats(-1e3, 1e3) | st.just(0.0), min_size=n, max_size=n)
    )
    weight = data.draw(st.lists(st.floats(0.1, 10), min_size=n, max_size=n))
    y = np.array(y)
    score = order_consistency_score(y, margin, sample_weight=weight)
    opposite = order_consistency_score(1 - y, margin, sample_weight=weight)
    assert_allclose(score + opposite, 1)
