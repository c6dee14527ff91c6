"""What every reward promises, asked of those that wrap or extend the linear one."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from skreward import (
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    CalibratedReward,
    ControlledReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    TextStatisticsTransformer,
)
from skreward.datasets import make_preferences, make_text_preferences
from skreward.model_selection import PromptDisjointKFold
from tests import test_bad_input, test_docs
from tests.models.test_common import REWARD_MODELS


class Promise(NamedTuple):
    """A reward, what its fit gets a value of for every pair, and what is searched."""

    model: Any
    given: str | None
    grid: dict
    tolerance: float = 1e-4


REWARDS = {
    "calibrated, temperature": Promise(
        CalibratedReward(BradleyTerryRegressor()), None,
        {"estimator__alpha": [1e-3, 1e-1]}, 2e-2,
    ),
    "calibrated, isotonic": Promise(
        CalibratedReward(PairwiseClassifierReward(), method="isotonic"), None,
        {"method": ["isotonic", "temperature"]},
    ),
    "controlled, orthogonal": Promise(
        ControlledReward(BradleyTerryRegressor()), "covariates",
        {"control": ["orthogonal", "nuisance"]},
    ),
    "controlled, nuisance": Promise(
        ControlledReward(BradleyTerryRegressor(), control="nuisance"), "covariates",
        {"estimator__alpha": [1e-3, 1e-1]},
    ),
    "penalty chosen": Promise(
        BradleyTerryRegressorCV(alphas=3), None, {"link": ["logistic", "probit"]},
    ),
    "reliability of annotators": Promise(
        BradleyTerryRegressor(annotator_effects="reliability"), "annotators",
        {"alpha": [1e-3, 1e-1]}, 2e-2,
    ),
    "position and reliability of annotators": Promise(
        BradleyTerryRegressor(annotator_effects="both"), "annotators",
        {"annotator_effects": ["position", "both"]}, 2e-2,
    ),
}  # fmt: skip
promised = pytest.mark.parametrize("promise", REWARDS.values(), ids=REWARDS)


@pytest.fixture(scope="module")
def data():
    data = make_preferences(40, 8, n_features=5, n_pairs=1200, beta=2, random_state=0)
    items = data.pairs.embeddings.astype(np.float64)
    data.pairs = EmbeddingPairs(items, data.pairs.index, data.pairs.prompt_ids)
    # A value for both sides of every pair, and one a pair.
    data.covariates = items[data.pairs.index, :1] ** 3
    data.annotators = np.random.default_rng(0).integers(4, size=len(data.y))
    return data


def given(promise, data, order=None, turned=False):
    """Give what fit gets besides pairs and labels."""
    if promise.given is None:
        return {}
    values = data[promise.given]
    values = values[:, ::-1] if turned and values.ndim == 3 else values
    return {promise.given: values if order is None else values[order]}


def fitted(promise, data):
    return clone(promise.model).fit(data.pairs, data.y, **given(promise, data))


@promised
def test_a_pair_turned_round_has_the_margin_turned_round(promise, data):
    model = fitted(promise, data)
    turned = EmbeddingPairs(
        data.pairs.embeddings, data.pairs.index[:, ::-1], data.pairs.prompt_ids
    )
    assert_allclose(model.predict(turned), -model.predict(data.pairs))
    if hasattr(model, "predict_preference_proba"):
        proba = model.predict_preference_proba(data.pairs)
        assert_allclose(model.predict_preference_proba(turned), 1 - proba)


@promised
def test_labels_turned_round_with_their_pairs_teach_the_same(promise, data):
    turned = EmbeddingPairs(
        data.pairs.embeddings, data.pairs.index[:, ::-1], data.pairs.prompt_ids
    )
    other = clone(promise.model)
    other.fit(turned, 1 - data.y, **given(promise, data, turned=True))
    margin = fitted(promise, data).predict(data.pairs)
    error = np.abs(other.predict(data.pairs) - margin).max()
    assert error <= promise.tolerance * np.abs(margin).max()


@promised
def test_pairs_in_another_order_and_dense_ones_teach_the_same(promise, data):
    margin = fitted(promise, data).predict(data.pairs)
    order = np.random.default_rng(0).permutation(len(data.y))
    shuffled = clone(promise.model)
    shuffled.fit(data.pairs[order], data.y[order], **given(promise, data, order))
    dense = clone(promise.model)
    dense.fit(data.pairs.to_dense(), data.y, **given(promise, data))
    for other in (shuffled, dense):
        error = np.abs(other.predict(data.pairs) - margin).max()
        assert error <= promise.tolerance * np.abs(margin).max()


@promised
def test_rewards_of_items_differ_as_margins_do(promise, data):
    model = fitted(promise, data)
    reward = model.predict_reward(data.pairs.embeddings)
    first, second = data.pairs.index.T
    assert_allclose(reward[first] - reward[second], model.predict(data.pairs),
                    rtol=1e-6, atol=1e-9)  # fmt: skip
    assert model.score(data.pairs, data.y) > 0.75


@promised
def test_it_is_saved(promise, data, tmp_path):
    model = fitted(promise, data)
    skreward.save(model, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(data.pairs), model.predict(data.pairs))
    assert_array_equal(loaded.predict(data.pairs[:7]), model.predict(data.pairs[:7]))
    assert repr(loaded) == repr(model)


@promised
def test_it_ends_a_pipeline_and_is_searched(promise, data):
    """With metadata routing, by which a search hands on what fit gets."""
    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(promise.model)
        name = type(model).__name__.lower()
        if promise.given is not None:
            model.set_fit_request(**{promise.given: True})
        pipeline = make_pipeline(ItemwiseTransformer(StandardScaler()), model)
        grid = {f"{name}__{key}": values for key, values in promise.grid.items()}
        search = GridSearchCV(
            pipeline, grid, cv=PromptDisjointKFold(3), error_score="raise"
        )
        search.fit(data.pairs, data.y, **given(promise, data))
    assert search.best_score_ > 0.75
    assert len(search.predict(data.pairs)) == len(data.y)


@promised
def test_it_is_fitted_to_nothing_that_is_wrong(promise, data):
    model = clone(promise.model)
    ok = given(promise, data)
    for X, y, words in (
        (data.pairs, np.full(len(data.y), 2.0), "y must|got 2"),
        (data.pairs, data.y[:-1], "labels|inconsistent"),
        (data.pairs.to_dense() * np.nan, data.y, "NaN"),
        (np.zeros((0, 2, 5)), [], "0 pairs|0 sample|1200|must hold"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(X, y, **ok)
    if promise.given is not None:
        with pytest.raises(ValueError, match=promise.given):
            model.fit(data.pairs, data.y, **{promise.given: ok[promise.given][:3]})


NEW = (CalibratedReward, ControlledReward, BradleyTerryRegressorCV)


@pytest.mark.parametrize("kind", NEW, ids=lambda kind: kind.__name__)
def test_it_is_in_every_list(kind):
    """Common tests, docstrings, and the table of bad inputs."""
    assert any(isinstance(model, kind) for model in REWARD_MODELS)
    assert f"skreward.{kind.__name__}.fit" in set(test_docs.documented())
    makers = {"CalibratedReward": "calibrated", "ControlledReward": "controlled",
              "BradleyTerryRegressorCV": "chosen"}  # fmt: skip
    maker = getattr(test_bad_input, makers[kind.__name__])
    rows = [
        name
        for name, (call, *_) in test_bad_input.TABLE.items()
        if call.__qualname__.startswith(maker.__name__)
    ]
    assert len(rows) >= 8


def test_statistics_keep_the_same_promises(tmp_path):
    """Of texts: in a pipeline and a search, with intervals by name, and saved."""
    import matplotlib
    import pandas as pd

    matplotlib.use("Agg")
    from skreward.plotting import CoefficientDisplay

    data = make_text_preferences(30, 4, 400, random_state=0)
    statistics = TextStatisticsTransformer(groups=["length", "words", "stance"])
    features = ItemwiseTransformer(make_pipeline(statistics, StandardScaler()))
    model = make_pipeline(features, BradleyTerryRegressor(covariance="cluster"))
    name = "itemwisetransformer__transformer__textstatisticstransformer__groups"
    search = GridSearchCV(
        model, {name: [("length",), ("length", "words")]}, cv=PromptDisjointKFold(3)
    ).fit(data.pairs, data.y)
    best = search.best_estimator_
    skreward.save(best, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(data.pairs), best.predict(data.pairs))
    names = loaded[:-1].get_feature_names_out()
    assert "log_words" in names
    frame = loaded[-1].coef_intervals(names, as_frame=True).set_index("feature")
    assert isinstance(frame, pd.DataFrame)
    assert (frame["lower"] <= frame["coef"]).all()
    display = CoefficientDisplay.from_estimator(loaded, n_features=3)
    drawn = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert set(drawn) <= set(frame.index)
    assert_allclose(display.coef, frame.loc[drawn, "coef"])
    turned = [
        row | {"response_a": row["response_b"], "response_b": row["response_a"]}
        for row in data.pairs
    ]
    assert_allclose(best.predict(turned), -best.predict(data.pairs), atol=1e-6)
