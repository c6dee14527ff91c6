"""Methods of a reward model, through what it stands in."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from skreward import BradleyTerryRegressor, CalibratedReward, ItemwiseTransformer
from skreward.data.leaks import known_prompts
from skreward.export import fold
from skreward.export.layers import flat_steps
from skreward.plotting import CoefficientDisplay


@pytest.fixture
def models():
    scaler = ItemwiseTransformer(StandardScaler())
    pipeline = make_pipeline(scaler, BradleyTerryRegressor())
    grid = {"bradleyterryregressor__alpha": [0.1]}
    return {
        "model": BradleyTerryRegressor(),
        "one step": make_pipeline(BradleyTerryRegressor()),
        "pipeline": pipeline,
        "search": GridSearchCV(pipeline, grid, cv=2),
        "search in a pipeline": make_pipeline(
            scaler, GridSearchCV(pipeline, grid, cv=2)
        ),
        "pipeline in a pipeline": make_pipeline(scaler, pipeline),
    }


def test_every_way_in_gives_what_the_model_gives(models, preferences):
    pairs, y = preferences.pairs, preferences.y
    candidates = preferences.embeddings[:40].reshape(4, 5, 2, -1)
    for name, model in models.items():
        model.fit(pairs, y)
        rewards = skreward.predict_reward(model, pairs)
        assert rewards.shape == (len(pairs), 2), name
        margins = rewards[:, 0] - rewards[:, 1]
        assert_array_equal(margins, model.predict(pairs))
        items = skreward.predict_reward(model, preferences.embeddings[:40])
        assert_array_equal(items, model.predict(preferences.embeddings[:40]))
        # Two candidates a prompt are no pairs here.
        for shape in ((20, 2, -1), (4, 5, 2, -1)):
            X = candidates.reshape(shape)
            found = skreward.predict_reward(model, X)
            assert_array_equal(found, items.reshape(X.shape[:-1]))
        proba = skreward.predict_preference_proba(model, pairs)
        np.testing.assert_allclose(proba, 1 / (1 + np.exp(-margins)))


def test_what_has_no_such_method_is_named(preferences):
    ridge = make_pipeline(Ridge()).fit(preferences.embeddings, preferences.rewards)
    with pytest.raises(TypeError, match=r"Ridge has no predict_reward; .* no reward"):
        skreward.predict_reward(ridge, preferences.embeddings)
    search = GridSearchCV(BradleyTerryRegressor(), {"alpha": [1.0]}, refit=False, cv=2)
    search.fit(preferences.pairs, preferences.y)
    with pytest.raises(TypeError, match="GridSearchCV has no best estimator"):
        skreward.predict_preference_proba(search, preferences.pairs)


def test_what_a_model_stands_in_is_walked_in_one_way(models, preferences):
    """The prompts it knows, its layers and its methods are found in the same place."""
    pairs, y = preferences.pairs, preferences.y
    alone = models["model"].fit(pairs, y)
    wrapped = {name: CalibratedReward(model, cv=2) for name, model in models.items()}
    for name, model in {**models, **wrapped}.items():
        model.fit(pairs, y)
        known = known_prompts(model)
        assert known is not None, name
        assert_array_equal(known["hashes"], alone._known_prompts["hashes"])
        *scalers, reward = [step for _, step in flat_steps(model)]
        if isinstance(model, CalibratedReward):
            *scalers, calibrated = scalers
            assert isinstance(calibrated, BradleyTerryRegressor), name
        else:
            assert isinstance(reward, BradleyTerryRegressor), name
        assert all(isinstance(scaler, StandardScaler) for scaler in scalers)
        folded = fold(model).predict(preferences.embeddings[:40])
        given = model.predict(preferences.embeddings[:40])
        np.testing.assert_allclose(folded, given, atol=1e-6)


def test_intervals_are_drawn_through_a_search(preferences):
    matplotlib.use("Agg")
    names = pd.Series([f"n{k}" for k in range(preferences.embeddings.shape[1])])
    model = BradleyTerryRegressor(covariance="laplace")
    search = GridSearchCV(model, {"alpha": [0.1]}, cv=2)
    search.fit(preferences.pairs, preferences.y)
    display = CoefficientDisplay.from_estimator(search, feature_names=names)
    assert set(display.feature) <= set(names)
