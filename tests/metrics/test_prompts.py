"""Best-of-N against brute force, rank correlation against scipy, their scorers."""

import pickle
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kendalltau, spearmanr
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_score

from skreward.metrics import (
    best_of_n_curve,
    best_of_n_score,
    make_best_of_n_scorer,
    prompt_rank_correlation,
    prompt_rank_correlation_scorer,
)

small_items = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=7
)


def brute_force(y_true, y_pred, n):
    """Mean over all subsets of the mean true reward of the predicted best."""
    values = []
    for subset in combinations(range(len(y_true)), n):
        best = max(y_pred[i] for i in subset)
        values.append(np.mean([y_true[i] for i in subset if y_pred[i] == best]))
    return np.mean(values)


@settings(max_examples=150, deadline=None)
@given(prompts=st.lists(small_items, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_best_of_n_equals_brute_force_for_every_n(prompts, seed):
    rows = [(p, t, q) for p, items in enumerate(prompts) for t, q in items]
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    groups, y_true, y_pred = map(np.array, zip(*rows, strict=True))
    for n in range(1, min(map(len, prompts)) + 1):
        expected = np.mean(
            [
                brute_force(y_true[groups == p], y_pred[groups == p], n)
                for p in range(len(prompts))
            ]
        )
        assert_allclose(
            best_of_n_score(y_true, y_pred, groups, n=n), expected, atol=1e-10
        )


def test_curve_is_the_score_at_every_n_with_oracle_and_kl():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 12)
    y_true = rng.normal(size=360) + groups
    y_pred = y_true + rng.normal(size=360)
    curve = best_of_n_curve(y_true, y_pred, groups, n_values=range(1, 13))
    for k, n in enumerate(range(1, 13)):
        reward = best_of_n_score(y_true, y_pred, groups, n=n)
        oracle = best_of_n_score(y_true, y_true, groups, n=n)
        assert_allclose(curve.reward[k], reward)
        assert_allclose(curve.oracle[k], oracle)
        assert_allclose(curve.regret[k], oracle - reward)
        assert_allclose(curve.improvement[k], reward - y_true.mean(), atol=1e-12)
    assert (curve.regret >= 0).all()
    chosen = np.array(
        [y_true[groups == p][np.argmax(y_pred[groups == p])] for p in range(30)]
    )
    gain = chosen - y_true.reshape(30, 12).mean(axis=1)
    assert_allclose(curve.reward[-1], chosen.mean())
    assert_array_equal(curve.prompts, np.arange(30))
    assert_allclose(curve.prompt_improvement[-1], gain)
    assert_allclose(curve.stderr[-1], chosen.std(ddof=1) / np.sqrt(30))
    assert_allclose(curve.improvement_stderr[-1], gain.std(ddof=1) / np.sqrt(30))


def test_kl_values():
    curve = best_of_n_curve(
        np.arange(500), np.arange(500), np.zeros(500), n_values=[2, 4, 8, 16, 64, 500]
    )
    assert_allclose(
        curve.kl, [0.1931, 0.6363, 1.2044, 1.8351, 3.1745, 5.2166], atol=5e-5
    )
    assert np.isnan(curve.stderr).all()


def test_default_n_values_stop_at_the_smallest_prompt():
    groups = [0] * 58 + [1] * 57
    curve = best_of_n_curve(np.arange(115), np.arange(115), groups)
    assert_array_equal(curve.n, [1, 2, 5, 10, 20, 50])
    assert_array_equal(best_of_n_curve([1], [2], [0]).n, [1])


def test_a_constant_prediction_gains_nothing():
    rng = np.random.default_rng(0)
    y_true, groups = rng.normal(size=60), np.repeat(np.arange(6), 10)
    curve = best_of_n_curve(y_true, np.zeros(60), groups)
    assert_allclose(curve.improvement, 0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(prompts=st.lists(small_items, min_size=1, max_size=5))
@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_rank_correlation_equals_scipy(prompts):
    groups = np.concatenate([[p] * len(items) for p, items in enumerate(prompts)])
    y_true, y_pred = np.array([row for items in prompts for row in items]).T
    for method, reference in ("spearman", spearmanr), ("kendall", kendalltau):
        expected = []
        for p in range(len(prompts)):
            mine = groups == p
            expected.append(
                reference(y_true[mine], y_pred[mine]).statistic
                if mine.sum() > 1
                else np.nan
            )
        details = prompt_rank_correlation(
            y_true, y_pred, groups, method=method, return_details=True
        )
        assert_allclose(details.correlation, expected, atol=1e-12)
        assert details.n_nan == np.isnan(expected).sum()
        assert_allclose(details.score, np.nan_to_num(expected).mean(), atol=1e-12)
        score = prompt_rank_correlation(y_true, y_pred, groups, method=method)
        assert isinstance(score, float)
        assert score == details.score


def test_a_large_common_reward_costs_no_accuracy():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.normal(size=5000), rng.integers(0, 5, size=5000)
    groups = np.repeat(np.arange(500), 10)
    assert_allclose(
        best_of_n_score(y_true + 1e6, y_pred, groups, n=3) - 1e6,
        best_of_n_score(y_true, y_pred, groups, n=3),
        atol=1e-8,
    )


def test_string_groups_in_any_order():
    groups = np.array(["b", "a", "b", "a"])
    details = prompt_rank_correlation(
        [1, 2, 3, 4], [1, 9, 2, 3], groups, return_details=True
    )
    assert details.prompts.tolist() == ["a", "b"]
    assert_allclose(details.correlation, [-1, 1])
    assert_allclose(details.stderr, 1.0)
    assert best_of_n_score([1, 2, 3, 4], [1, 9, 2, 3], groups, n=2) == (2 + 3) / 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n": 0}, "n must be an integer of at least 1"),
        ({"n": 4}, "n asks for the best of 4, and prompt 'b' has 3 responses"),
        ({"y_true": [1, 2]}, r"y_pred must have shape \(2,\), got \(7,\)"),
        ({"y_pred": [np.nan] + [0] * 6}, "y_pred must be finite, got nan at item 0"),
        ({"y_pred": np.zeros((7, 1))}, "y_pred must have shape"),
        ({"groups": list("aaa")}, r"groups must hold one id per item, shape \(7,\)"),
        ({"groups": [1.0, np.nan] + [1.0] * 5}, "groups has a missing value at item 1"),
        ({"y_true": []}, "y_true is empty"),
    ],
)
def test_bad_input_is_refused(kwargs, message):
    arguments = {
        "y_true": np.arange(7),
        "y_pred": np.arange(7),
        "groups": list("aaaabbb"),
        "n": 2,
        **kwargs,
    }
    with pytest.raises(ValueError, match=message):
        best_of_n_score(**arguments)


def test_no_n_at_all_is_refused():
    with pytest.raises(ValueError, match="n_values is empty"):
        best_of_n_curve([1], [1], [1], n_values=[])


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be 'spearman' or 'kendall'"):
        prompt_rank_correlation([1], [1], [1], method="pearson")


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    y = X @ rng.normal(size=5) + rng.normal(size=200)
    return X, y, rng.permutation(np.repeat(np.arange(20), 10))


def test_scorers_score_what_the_estimator_predicts(items):
    X, y, groups = items
    model = Ridge().fit(X, y)
    scorer = pickle.loads(pickle.dumps(make_best_of_n_scorer(3)))
    assert repr(scorer) == "make_best_of_n_scorer(3)"
    assert scorer(model, X, y, groups=groups) == best_of_n_score(
        y, model.predict(X), groups, n=3
    )
    assert prompt_rank_correlation_scorer(
        model, X, y, groups=groups
    ) == prompt_rank_correlation(y, model.predict(X), groups)


def test_scorers_take_groups_through_metadata_routing(items):
    X, y, groups = items
    cv = GroupKFold(4)
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            Ridge(),
            X,
            y,
            cv=cv,
            scoring=make_best_of_n_scorer(3),
            params={"groups": groups},
        )
    expected = [
        best_of_n_score(
            y[test], Ridge().fit(X[train], y[train]).predict(X[test]), groups[test], n=3
        )
        for train, test in cv.split(X, y, groups)
    ]
    assert_allclose(scores, expected)


def test_a_request_can_be_named_otherwise(items):
    X, y, groups = items
    scorer = make_best_of_n_scorer(3)
    other = scorer.set_score_request(groups="prompts")
    with config_context(enable_metadata_routing=True):
        cv = GroupKFold(4).set_split_request(groups="prompts")
        scores = cross_val_score(
            Ridge(), X, y, cv=cv, scoring=other, params={"prompts": groups}
        )
    assert np.isfinite(scores).all()
    assert scorer.groups_request is True


def test_a_list_of_dicts_brings_its_prompts(items):
    X, y, groups = items
    model = Ridge().fit(X, y)
    rows = [{"x": x, "prompt": p} for x, p in zip(X, groups, strict=True)]

    class OnRows:
        def predict(self, rows):
            return model.predict(np.array([row["x"] for row in rows]))

    score = make_best_of_n_scorer(3)(OnRows(), rows, y)
    assert score == best_of_n_score(y, model.predict(X), groups, n=3)


def test_a_table_brings_its_prompts(items):
    X, y, groups = items
    table = pd.DataFrame(X, columns=list("abcde"))
    model = Ridge().fit(table, y)

    class OnFeatures:
        def predict(self, X):
            return model.predict(X.drop(columns="prompt"))

    score = make_best_of_n_scorer(3)(OnFeatures(), table.assign(prompt=groups), y)
    assert score == best_of_n_score(y, model.predict(table), groups, n=3)


def test_a_scorer_without_prompts_says_what_it_needs(items):
    X, y, _ = items
    with pytest.raises(ValueError, match="groups is needed"):
        make_best_of_n_scorer(3)(Ridge().fit(X, y), X, y)
    with pytest.raises(ValueError, match="n must be an integer"):
        make_best_of_n_scorer(0)
