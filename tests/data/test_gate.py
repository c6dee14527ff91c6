"""The one gate: what is text and what is number, who is chosen, who was seen before."""

import time
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skreward import (
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
    TextStatisticsTransformer,
)
from skreward.data.comparisons import TakenApart
from skreward.data.leaks import MAX_KEPT, remember_prompts, trained_on
from skreward.metrics import neg_preference_log_loss_scorer, order_consistency_scorer
from skreward.model_selection import PromptDisjointKFold, train_test_split_pairs
from skreward.text.tables import is_text

rng = np.random.default_rng(0)
E = rng.normal(size=(40, 3))
RATINGS = E @ [1.0, -1.0, 0.5]
NAMES = ["response", "chosen", "x"]
LEAK = "trained on prompts of the pairs it is scored on"


# Numbers in tables


TABLES = {
    "float64": lambda frame: frame,
    "float32": lambda frame: frame.astype("float32"),
    "masked": lambda frame: frame.astype("Float64"),
    "double of pyarrow": lambda frame: frame.astype("double[pyarrow]"),
    "object": lambda frame: frame.astype(object),
    "sparse": lambda frame: frame.astype(pd.SparseDtype("float64", 0.0)),
    "category": lambda frame: frame.round(1).astype("category"),
    "pyarrow": pa.Table.from_pandas,
    "columns without names": lambda frame: frame.set_axis([0, 1, 2], axis=1),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_numbers_are_numbers_whatever_their_columns_are_called(name):
    table = TABLES[name](pd.DataFrame(E, columns=NAMES))
    assert not is_text(table)
    Ridge().fit(table, RATINGS)  # the bar: what Ridge takes is taken here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names that come and go
        model = BradleyTerryRegressor().fit(table, RATINGS)
        assert model.coef_.shape == (3,)
        assert_allclose(model.score(table, RATINGS), 1.0, atol=0.05)
        assert_array_equal(model.predict_reward(table), model.predict(table))


def test_numbers_never_visit_the_text_reader(monkeypatch):
    def unwanted(*args):
        raise AssertionError("a number was read as text")

    for name in ("_column", "_text_values", "_form", "_check_value"):
        monkeypatch.setattr(f"skreward.text.tables.{name}", unwanted)
    frame = pd.DataFrame(E, columns=NAMES)
    for X in (E, E.tolist(), frame, sp.csr_array(E), frame.astype(object)):
        BradleyTerryRegressor().fit(X, RATINGS).predict(X)
    dense = E.reshape(20, 2, 3)
    BradleyTerryRegressor().fit(dense).predict(dense.tolist())


def test_sparse_float16_computes_in_float32():
    half = sp.csr_array(E).astype(np.float32)
    half.data = half.data.astype(np.float16)
    index = np.arange(40).reshape(20, 2)
    y = (RATINGS[index[:, 0]] > RATINGS[index[:, 1]]).astype(int)
    found = BradleyTerryRegressor().fit(EmbeddingPairs(half, index), y)
    whole = BradleyTerryRegressor().fit(
        EmbeddingPairs(half.astype(np.float32), index), y
    )
    assert found.coef_.dtype == np.float32
    assert_array_equal(found.coef_, whole.coef_)
    PairwiseClassifierReward().fit(EmbeddingPairs(half, index), y).predict(half)


# Who is chosen


AB = pd.DataFrame(
    {
        "prompt": [f"What is {k}?" for k in range(12)],
        "response_a": [f"It is {k}, and so on." for k in range(12)],
        "response_b": [f"It is {k}." + " No." * (k % 3) for k in range(12)],
        "label": [k % 2 for k in range(12)],
    }
)
CHOSEN = AB.rename(columns={"response_a": "chosen", "response_b": "rejected"})


def text_model():
    return make_pipeline(
        TextStatisticsTransformer(),
        ItemwiseTransformer(StandardScaler()),
        BradleyTerryRegressor(),
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (AB, "response_a and response_b, and y is None: give the labels"),
        (AB.to_dict("records"), "response_a and response_b, and y is None"),
        (CHOSEN, "column 'label' beside chosen and rejected"),
    ],
)
def test_labels_are_not_forgotten(table, message):
    with pytest.raises(ValueError, match=message):
        text_model().fit(table)
    model = text_model().fit(table, AB["label"])
    with pytest.raises(ValueError, match=message):
        model.score(table)
    assert model.score(table, AB["label"]) >= 0.5
    for scorer in (order_consistency_scorer, neg_preference_log_loss_scorer):
        with pytest.raises(ValueError, match=message):
            scorer(model, table)
    pairs = model[:-1].transform(table)
    for X in (pairs, pairs[:6], pairs.swap(), pairs.compact()):
        with pytest.raises(ValueError, match=message):
            BradleyTerryRegressor().fit(X)
        for scorer in (order_consistency_scorer, neg_preference_log_loss_scorer):
            with pytest.raises(ValueError, match=message):
                scorer(model[-1], X)


def test_chosen_and_rejected_alone_need_no_labels():
    table = CHOSEN.drop(columns="label")
    assert text_model().fit(table).score(table) > 0.5


# Pairs of a text with itself


def test_equal_texts_are_left_out_of_a_fit_and_scored_as_ties():
    table = CHOSEN.drop(columns="label")
    equal = table.copy()
    equal.loc[[1, 4], "rejected"] = equal.loc[[1, 4], "chosen"]
    with pytest.warns(UserWarning, match="2 of 12 pairs compare a text with itself"):
        model = text_model().fit(equal)
    margin = model.predict(equal)
    assert (margin[[1, 4]] == 0).all()
    rest = np.delete(np.arange(12), [1, 4])
    assert (margin[rest] != 0).all()
    pairs = model[:-1].transform(equal)
    alone = BradleyTerryRegressor().fit(pairs[rest])
    assert_allclose(model[-1].coef_, alone.coef_, rtol=1e-6)
    assert model.score(equal) == pytest.approx(
        (np.sum(margin[rest] > 0) + 1) / len(equal)
    )
    ensemble = RewardEnsemble(n_estimators=2, random_state=0)
    with pytest.warns(UserWarning, match="compare a text with itself"):
        ensemble.fit(pairs)
    assert (ensemble.predict(pairs)[[1, 4]] == 0).all()
    with pytest.raises(ValueError, match="every pair of X compares a text with itself"):
        BradleyTerryRegressor().fit(pairs[[1, 4]])


# Prompts that come back


def leaks(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return sum(LEAK in str(warning.message) for warning in caught)


@pytest.fixture
def splits(preferences):
    return train_test_split_pairs(preferences.pairs, preferences.y, random_state=0)


def test_rows_that_share_prompts_with_the_training_are_told_of(preferences, splits):
    pairs, y = preferences.pairs, preferences.y
    train, test, y_train, y_test = splits
    model = BradleyTerryRegressor().fit(train, y_train)
    assert leaks(lambda: model.score(test, y_test)) == 0
    assert leaks(lambda: model.score(train, y_train)) == 0  # the training score
    assert leaks(lambda: model.score(train[:20], y_train[:20])) == 1
    by_prompt, by_row = PromptDisjointKFold(3, random_state=0), KFold(3, shuffle=True)
    for scoring in (None, order_consistency_scorer, neg_preference_log_loss_scorer):
        for cv, n_wanted in ((by_prompt, 0), (by_row, 3)):
            found = leaks(
                lambda cv=cv, scoring=scoring: cross_val_score(
                    BradleyTerryRegressor(), pairs, y, cv=cv, scoring=scoring
                )
            )
            assert found == n_wanted


def test_whatever_the_model_stands_in(splits):
    train, test, y_train, y_test = splits
    itself = ItemwiseTransformer(FunctionTransformer())
    for model in (
        make_pipeline(itself, BradleyTerryRegressor()),
        GridSearchCV(BradleyTerryRegressor(), {}, cv=PromptDisjointKFold(2)),
        make_pipeline(itself, RewardEnsemble(n_estimators=2)),
        PairwiseClassifierReward(),
    ):
        model.fit(train, y_train)
        for score in (
            model.score,
            lambda X, y, m=model: order_consistency_scorer(m, X, y),
        ):
            assert leaks(lambda score=score: score(test, y_test)) == 0
            assert leaks(lambda score=score: score(train[:9], y_train[:9])) == 1


def test_texts_have_prompts_too():
    table = pd.concat([CHOSEN.drop(columns="label")] * 2, ignore_index=True)
    table.loc[12:, "rejected"] += " Or not."
    model = text_model().fit(table[:12])
    for score in (model.score, lambda X: order_consistency_scorer(model, X)):
        assert leaks(lambda score=score: score(table[12:20])) == 1
    other = table[12:].assign(prompt="Another?")
    assert leaks(lambda: model.score(other)) == 0


@pytest.mark.parametrize("kind", [str, float, "object"])
def test_ids_of_any_kind(kind, splits):
    train, test, y_train, y_test = splits

    def of_kind(pairs):
        ids = pairs.prompt_ids.astype(object if kind == "object" else kind)
        return EmbeddingPairs(pairs.embeddings, pairs.index, ids)

    model = BradleyTerryRegressor().fit(of_kind(train), y_train)
    assert leaks(lambda: model.score(of_kind(test), y_test)) == 0
    assert leaks(lambda: model.score(of_kind(train[:9]), y_train[:9])) == 1


def test_a_million_pairs_cost_little_and_leave_little():
    """A sample of the prompts is kept: the same ones in training and test."""
    n = 10**6
    prompt_ids = np.repeat(np.arange(n // 4), 4)
    index = np.arange(2 * n).reshape(n, 2) % n
    model = BradleyTerryRegressor()
    started = time.perf_counter()
    remember_prompts(model, TakenApart(None, index, prompt_ids), index, reset=True)
    assert time.perf_counter() - started < 2
    kept = model._known_prompts["hashes"]
    assert len(kept) == MAX_KEPT
    assert kept.nbytes <= 2**17
    assert (np.diff(kept.astype(float)) > 0).all()


@pytest.mark.parametrize("kind", [int, str])
def test_what_a_sample_of_the_prompts_does_not_tell_is_neither_known_nor_new(kind):
    n = 2 * MAX_KEPT
    prompt_ids = np.arange(n).astype(kind)
    index = np.arange(n).reshape(-1, 2)
    model = BradleyTerryRegressor()
    remember_prompts(model, TakenApart(None, index, prompt_ids), index, reset=True)
    asked = np.arange(2 * n).astype(kind)
    is_known, is_new = trained_on(model._known_prompts, asked)
    assert is_known[:n].sum() == MAX_KEPT
    assert not is_known[n:].any()
    assert not is_new[:n].any()
    # As many of the new ones are told as of the known ones, but for chance.
    assert abs(is_new[n:].sum() - MAX_KEPT) < 5 * MAX_KEPT**0.5
    remember_prompts(model, TakenApart(None, index[:9], prompt_ids), index[:9],
                     reset=True)  # fmt: skip
    is_known, is_new = trained_on(model._known_prompts, asked)
    assert is_known.sum() == 18
    assert (is_known ^ is_new).all()


@pytest.mark.torch
def test_batches_of_partial_fit_add_up(preferences):
    from skreward import BradleyTerryMLPRegressor

    pairs, y = preferences.pairs, preferences.y
    one, other = np.flatnonzero(pairs.pair_prompt_ids[:, 0] < 10), np.arange(400)
    other = other[pairs.pair_prompt_ids[:, 0] >= 10]
    model = BradleyTerryMLPRegressor((4,), random_state=0)
    model.partial_fit(pairs[one], y[one])
    assert leaks(lambda: model.score(pairs[other[:50]], y[other[:50]])) == 0
    model.partial_fit(pairs[other], y[other])
    for part in (one[:50], other[:50]):
        assert leaks(lambda part=part: model.score(pairs[part], y[part])) == 1
