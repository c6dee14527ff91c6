"""Layers give the rewards of the pipelines that they are folded from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    CalibratedReward,
    ControlledReward,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
    RewardMLPClassifier,
)
from skreward.export import Affine, fold
from skreward.export.comparison import rows_of

STEPS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    RobustScaler(),
    RobustScaler(with_centering=False),
    MaxAbsScaler(),
    MinMaxScaler((-1, 3)),
    PCA(4),
    PCA(4, whiten=True),
    TruncatedSVD(4, random_state=0),
    Normalizer("l2"),
    FunctionTransformer(),
    make_pipeline(StandardScaler(), PCA(3), Normalizer()),
    "passthrough",
]
NETWORK = BradleyTerryMLPRegressor((8, 4), max_iter=3, random_state=0)
REWARDS = [
    BradleyTerryRegressor(),
    NETWORK,
    BradleyTerryMLPRegressor((8,), activation="tanh", max_iter=3, random_state=0),
    BradleyTerryMLPRegressor((8,), activation="logistic", max_iter=3, random_state=0),
    BradleyTerryMLPRegressor((8,), activation="identity", max_iter=3, random_state=0),
    PairwiseClassifierReward(),
    PairwiseClassifierReward(make_pipeline(StandardScaler(), LogisticRegression())),
    PairwiseClassifierReward(LinearSVC()),
    PairwiseClassifierReward(RewardMLPClassifier((8, 4), max_iter=3, random_state=0)),
    PairwiseClassifierReward(
        make_pipeline(StandardScaler(), RewardMLPClassifier((), max_iter=3))
    ),
    RewardEnsemble(n_estimators=3, random_state=0),
    BradleyTerryRegressorCV(alphas=[0.01, 1.0], cv=2),
    CalibratedReward(BradleyTerryRegressor(), cv=2),
    CalibratedReward(PairwiseClassifierReward(), cv=2),
    CalibratedReward(NETWORK, cv=2),
    RewardEnsemble(PairwiseClassifierReward(), n_estimators=3, random_state=0),
]


def fitted(step, reward, preferences):
    step = step if isinstance(step, str) else ItemwiseTransformer(step)
    model = make_pipeline(step, reward)
    return model.fit(preferences.pairs, preferences.y)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_steps(step, preferences):
    model = fitted(step, BradleyTerryRegressor(), preferences)
    folded = fold(model)
    rows = preferences.embeddings
    assert_allclose(folded.predict(rows), model.predict(rows), rtol=1e-9, atol=1e-10)
    has_length = "Normalizer" in str(step)
    assert len(folded.layers) == 1 + (1 + ("PCA" in str(step))) * has_length


@pytest.mark.parametrize("reward", REWARDS, ids=str)
def test_rewards(reward, preferences):
    model = fitted(StandardScaler(), reward, preferences)
    rows = preferences.embeddings
    assert_allclose(fold(model).predict(rows), model.predict(rows), 1e-9, 1e-10)


def test_a_linear_reward_is_one_affine_layer_whatever_is_before(preferences):
    deep = make_pipeline(RobustScaler(), make_pipeline(PCA(5), MinMaxScaler()))
    (layer,) = fold(fitted(deep, BradleyTerryRegressor(), preferences)).layers
    assert isinstance(layer, Affine)
    assert layer.weight.shape == (preferences.pairs.n_features, 1)
    assert layer.weight.dtype == layer.bias.dtype == np.float64


@pytest.mark.parametrize("control", ["orthogonal", "nuisance"])
def test_a_controlled_reward(control, preferences):
    covariates = np.random.default_rng(0).normal(size=len(preferences.embeddings))
    inner = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    )
    for reward in (BradleyTerryRegressor(), inner):
        model = ControlledReward(reward, control=control)
        model.fit(preferences.pairs, preferences.y, covariates=covariates)
        rows = preferences.embeddings
        assert_allclose(fold(model).predict(rows), model.predict(rows), 1e-9, 1e-10)
        assert_allclose(
            fold(model).predict(rows_of(model)), model.predict(rows_of(model)), 1e-7
        )
    with pytest.raises(ValueError, match=r"'control'.*is not linear"):
        fold(
            ControlledReward(NETWORK, control=control).fit(
                preferences.pairs, preferences.y, covariates=covariates
            )
        )


def test_a_calibrated_pipeline_folds_as_a_whole(preferences):
    inner = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    )
    model = CalibratedReward(inner, cv=2).fit(preferences.pairs, preferences.y)
    rows = preferences.embeddings
    assert_allclose(fold(model).predict(rows), model.predict(rows), 1e-9, 1e-10)
    assert len(fold(model).layers) == 1
    assert_allclose(
        fold(model).predict(rows_of(model)), model.predict(rows_of(model)), 1e-7
    )


def test_a_search_folds_as_its_best(preferences):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), BradleyTerryRegressor()),
        {"bradleyterryregressor__alpha": [0.01, 1.0]},
        cv=2,
    )
    rows = preferences.embeddings
    search.fit(rows, preferences.rewards)
    assert_allclose(fold(search).predict(rows), search.predict(rows), 1e-9, 1e-10)


@pytest.mark.parametrize(
    ("step", "reward", "message"),
    [
        (QuantileTransformer(n_quantiles=20), None, "QuantileTransformer.*by their ra"),
        (PowerTransformer(), None, "PowerTransformer.*powers"),
        (MinMaxScaler(clip=True), None, "MinMaxScaler.*clip=True"),
        (Normalizer("l1"), None, "Normalizer.*norm='l1'"),
        (FunctionTransformer(np.tanh), None, "FunctionTransformer.*stays in Python"),
        (make_union(PCA(2), StandardScaler()), None, "FeatureUnion.*beside"),
        (
            "passthrough",
            PairwiseClassifierReward(RandomForestClassifier(5)),
            "RandomForestClassifier is no linear",
        ),
        ("passthrough", RewardEnsemble(aggregation="min"), "aggregation='min'"),
        ("passthrough", RewardEnsemble(aggregation="lcb"), "aggregation='lcb'"),
        ("passthrough", RewardEnsemble(NETWORK, n_estimators=2), "is not linear"),
        (
            "passthrough",
            CalibratedReward(BradleyTerryRegressor(), method="isotonic", cv=2),
            "method='isotonic'",
        ),
    ],
    ids=str,
)
def test_what_is_no_layer_is_refused_by_its_name(step, reward, message, preferences):
    model = fitted(step, reward or BradleyTerryRegressor(), preferences)
    with pytest.raises(ValueError, match=message):
        fold(model)


def test_a_subclass_is_not_taken_for_its_parent(preferences):
    class Shifted(StandardScaler):
        def transform(self, X, copy=None):
            return super().transform(X) ** 3

    model = fitted(Shifted(), BradleyTerryRegressor(), preferences)
    with pytest.raises(ValueError, match=r"\(Shifted\) cannot"):
        fold(model)


def test_unfitted_and_no_reward(preferences):
    with pytest.raises(NotFittedError):
        fold(make_pipeline(StandardScaler(), BradleyTerryRegressor()))
    scaler = StandardScaler().fit(preferences.embeddings)
    with pytest.raises(ValueError, match="StandardScaler gives no reward"):
        fold(make_pipeline(scaler))


def test_a_dead_feature_goes_into_the_constant(preferences):
    rng = np.random.default_rng(0)
    rows = preferences.embeddings
    noise = 1e-20 * rng.normal(size=(len(rows), 1))
    scaler = StandardScaler().fit(np.hstack([rows, noise]))
    reward = BradleyTerryRegressor().fit(rows @ np.eye(6), preferences.rewards)
    reward.coef_ = np.append(reward.coef_, 0.5)  # as if noise had been learned from
    reward.n_features_in_ = 7
    folded = fold(make_pipeline(scaler, reward))
    assert folded.layers[0].weight[6] == 0
    other = np.hstack([rows, rng.permutation(noise)])
    assert_allclose(
        folded.predict(other), folded.predict(np.hstack([rows, noise])), rtol=1e-12
    )


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_rows_of_the_training_are_kept_and_taken_back(step, preferences):
    model = fitted(step, BradleyTerryRegressor(), preferences)
    rows = rows_of(model)
    assert 1 < len(rows) <= 32
    assert_allclose(fold(model).predict(rows), model.predict(rows), 1e-7, 1e-8)
    if hasattr(step, "inverse_transform") and not isinstance(step, PCA | TruncatedSVD):
        known = {row.round(6).tobytes() for row in preferences.embeddings + 0.0}
        assert all((row + 0.0).round(6).tobytes() in known for row in rows)
