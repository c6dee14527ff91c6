"""The ground of the common checks, covered again on pairs, dense and container."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
)
from skreward.metrics import (
    expected_calibration_error,
    neg_expected_calibration_error_scorer,
    neg_preference_log_loss_scorer,
    order_consistency_score,
    order_consistency_scorer,
)
from skreward.model_selection import PromptDisjointKFold

pytestmark = pytest.mark.filterwarnings("ignore:Adam stopped", "ignore:early_stopping")
MODELS = {
    "linear": BradleyTerryRegressor(),
    "network": BradleyTerryMLPRegressor(
        (8,), max_iter=8, learning_rate_init=1e-2, random_state=0
    ),
    "classifier": PairwiseClassifierReward(),
}


@pytest.fixture(params=["container", "dense"])
def data(request, preferences):
    pairs = preferences.pairs
    prompts = pairs.pair_prompt_ids[:, 0]
    X = pairs if request.param == "container" else pairs.to_dense()
    return X, preferences.y, prompts


@pytest.fixture(params=MODELS)
def model(request):
    return clone(MODELS[request.param])


def test_clone_and_parameters(model, data):
    X, y, _ = data
    fitted = clone(model).fit(X, y)
    again = clone(fitted)
    assert again.get_params() == model.get_params()
    assert not hasattr(again, "offset_")
    assert_array_equal(again.fit(X, y).predict(X), fitted.predict(X))
    before = dict(model.get_params())
    model.fit(X, y)
    assert model.get_params() == before
    assert model.n_features_in_ == 6


def test_fit_changes_no_input(model, data):
    X, y, _ = data
    items = X.embeddings if isinstance(X, EmbeddingPairs) else X
    kept, labels = items.copy(), y.copy()
    model.fit(X, y, np.ones(len(y)))
    assert_array_equal(items, kept)
    assert_array_equal(y, labels)


def test_cross_validate_by_hand_and_by_tool(model, data):
    X, y, prompts = data
    cv = PromptDisjointKFold(3, random_state=0)
    scoring = {"oc": order_consistency_scorer}
    if hasattr(model, "predict_preference_proba"):
        scoring |= {
            "ll": neg_preference_log_loss_scorer,
            "ece": neg_expected_calibration_error_scorer,
        }
    tool = cross_validate(
        model, X, y, cv=cv, groups=prompts, scoring=scoring, error_score="raise"
    )
    for k, (train, test) in enumerate(cv.split(X, y, prompts)):
        fitted = clone(model).fit(X[train], y[train])
        right = (fitted.predict(X[test]) > 0) == (y[test] == 1)
        assert_allclose(tool["test_oc"][k], right.mean())
        if "ll" in scoring:
            proba = fitted.predict_preference_proba(X[test])
            assert_allclose(tool["test_ll"][k], -log_loss(y[test], proba))
            gap = expected_calibration_error(y[test], proba)
            assert_allclose(tool["test_ece"][k], -gap)
            assert gap > 0
    default = cross_val_score(model, X, y, cv=cv, groups=prompts)
    assert_allclose(default, tool["test_oc"])


def test_prompt_ids_of_the_container_are_found(model, preferences):
    scores = cross_val_score(
        model, preferences.pairs, preferences.y,
        cv=PromptDisjointKFold(3, random_state=0), error_score="raise",
    )  # fmt: skip
    groups = preferences.pairs.pair_prompt_ids[:, 0]
    same = cross_val_score(
        model, preferences.pairs, preferences.y, groups=groups,
        cv=PromptDisjointKFold(3, random_state=0), error_score="raise",
    )  # fmt: skip
    assert_array_equal(scores, same)


def test_cross_val_predict(model, data):
    X, y, prompts = data
    margins = cross_val_predict(model, X, y, groups=prompts, cv=GroupKFold(3))
    assert margins.shape == (len(y),)
    assert order_consistency_score(y, margins) > 0.6


def test_grid_search_in_two_processes(data):
    X, y, prompts = data
    pipeline = Pipeline(
        [
            ("scale", ItemwiseTransformer(StandardScaler())),
            ("reduce", ItemwiseTransformer(PCA(random_state=0))),
            ("reward", BradleyTerryRegressor()),
        ]
    )
    grid = {
        "reduce__transformer__n_components": [2, 6],
        "reward__alpha": [1e-3, 1e-1],
    }
    search = GridSearchCV(
        pipeline, grid, cv=PromptDisjointKFold(3, random_state=0), n_jobs=2,
        scoring=order_consistency_scorer, error_score="raise",
    )  # fmt: skip
    search.fit(X, y, groups=prompts)
    assert search.best_score_ > 0.6
    assert search.best_params_["reduce__transformer__n_components"] == 6
    one = GridSearchCV(pipeline, grid, cv=PromptDisjointKFold(3, random_state=0))
    one.fit(X, y, groups=prompts)
    assert_array_equal(
        one.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )


def test_the_reward_model_itself_in_a_grid(data):
    X, y, prompts = data
    pipeline = Pipeline(
        [
            ("scale", ItemwiseTransformer(StandardScaler())),
            ("reward", BradleyTerryRegressor()),
        ]
    )
    grid = [
        {"reward": [BradleyTerryRegressor()], "reward__alpha": [1e-4, 1e-2]},
        {
            "reward": [PairwiseClassifierReward(LogisticRegression())],
            "reward__estimator__C": [0.1, 1.0],
        },
        {"reward": [PairwiseClassifierReward(HistGradientBoostingClassifier())]},
        {"scale": ["passthrough"]},
    ]
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(2), error_score="raise")
    search.fit(X, y, groups=prompts)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 6
    assert scores.min() > 0.6


def test_halving_grid_search(data):
    X, y, _ = data
    search = HalvingGridSearchCV(
        BradleyTerryRegressor(), {"alpha": [1e-4, 1e-3, 1e-2, 1e-1]}, cv=KFold(3),
        random_state=0, min_resources=50, error_score="raise",
    )  # fmt: skip
    search.fit(X, y)
    results = search.cv_results_
    assert (results["n_resources"] > 50).any()
    assert results["mean_test_score"].min() > 0.6


def test_curves(model, data):
    X, y, prompts = data
    cv = GroupKFold(3)
    sizes, train, test = learning_curve(
        model, X, y, groups=prompts, cv=cv, train_sizes=[0.3, 1.0], error_score="raise"
    )
    folds = list(cv.split(X, y, prompts))
    for k, (kept, held) in enumerate(folds):
        for n, size in enumerate(sizes):
            part = kept[:size]
            fitted = clone(model).fit(X[part], y[part])
            assert_allclose(train[n, k], fitted.score(X[part], y[part]))
            assert_allclose(test[n, k], fitted.score(X[held], y[held]))


@pytest.mark.parametrize(
    ("name", "parameter", "values"),
    [
        ("linear", "alpha", [1e-3, 3.0]),
        ("network", "learning_rate_init", [1e-4, 1e-2]),
        ("classifier", "estimator", [LogisticRegression(C=c) for c in (1e-4, 1.0)]),
    ],
)
def test_a_validation_curve_sets_the_parameter(name, parameter, values, data):
    X, y, prompts = data
    model, cv = MODELS[name], GroupKFold(3)
    _, scores = validation_curve(
        model, X, y, groups=prompts, cv=cv, param_name=parameter, param_range=values,
        error_score="raise",
    )  # fmt: skip
    for value, row in zip(values, scores, strict=True):
        one = clone(model).set_params(**{parameter: value})
        by_hand = [
            one.fit(X[a], y[a]).score(X[b], y[b]) for a, b in cv.split(X, y, prompts)
        ]
        assert_allclose(row, by_hand)
    assert (scores[0] != scores[1]).any()


def test_permutation_test(data):
    X, y, _ = data
    score, permuted, p_value = permutation_test_score(
        BradleyTerryRegressor(), X, y, n_permutations=19, cv=3, random_state=0
    )
    assert p_value == 0.05
    assert abs(permuted.mean() - 0.5) < 0.1
    assert score > 0.6


@pytest.mark.parametrize("transformer", [StandardScaler(), PCA(3, random_state=0)])
def test_itemwise_transformers_see_distinct_items(transformer, data):
    X, _, _ = data
    pairs = X if isinstance(X, EmbeddingPairs) else EmbeddingPairs.from_dense(X)
    items = pairs.compact().embeddings
    wrapped = ItemwiseTransformer(transformer)
    out = wrapped.fit_transform(X)
    assert type(out) is type(X)
    dense = out.to_dense() if isinstance(out, EmbeddingPairs) else out
    alone = clone(transformer).fit(items)
    wanted = alone.transform(pairs.to_dense().reshape(-1, 6)).reshape(len(X), 2, -1)
    assert_allclose(dense, wanted, atol=1e-9)
    assert_allclose(wrapped.transform(items), alone.transform(items), atol=1e-9)
    names = wrapped.get_feature_names_out()
    assert_array_equal(names, alone.get_feature_names_out())
    assert wrapped.n_features_in_ == 6


def test_itemwise_transformer_keeps_prompts_and_learns_from_its_fold_alone():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(8, 2))
    items[6:] = 1e6
    pairs = EmbeddingPairs(items, [[0, 1], [2, 3], [4, 5], [6, 7]], np.arange(8) // 2)
    scaler = ItemwiseTransformer(StandardScaler()).fit(pairs[:3])
    assert_allclose(scaler.transformer_.mean_, items[:6].mean(axis=0))
    out = scaler.transform(pairs)
    assert_array_equal(out.pair_prompt_ids, pairs.pair_prompt_ids)


def test_pandas_output_is_left_alone(data):
    X, y, _ = data
    names = list("abcdef")
    rows = X.embeddings if isinstance(X, EmbeddingPairs) else X[:, 0]
    frame = pd.DataFrame(rows, columns=names)
    model = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    )
    model.set_output(transform="pandas")
    model.fit(X, y)
    assert isinstance(model[:-1].transform(X), type(X))
    assert isinstance(model.predict(X), np.ndarray)
    scaler = clone(model[0]).fit(frame)
    assert isinstance(scaler.transform(frame), pd.DataFrame)
    assert list(scaler.get_feature_names_out()) == names
    with sklearn.config_context(transform_output="pandas"):
        plain = make_pipeline(ItemwiseTransformer(PCA(2)), BradleyTerryRegressor())
        assert isinstance(plain.fit(X, y).predict(X), np.ndarray)
        assert isinstance(plain[:-1].transform(X), type(X))


def test_items_as_a_data_frame_carry_their_names(preferences):
    names = [f"x{k}" for k in range(6)]
    frame = pd.DataFrame(preferences.embeddings, columns=names)
    model = BradleyTerryRegressor().fit(frame, pd.Series(preferences.rewards))
    assert list(model.feature_names_in_) == names
    assert model.score(frame, preferences.rewards) > 0.95
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[names[::-1]])


def test_labels_and_weights_as_series(model, preferences):
    pairs, y = preferences.pairs, preferences.y
    series = pd.Series(y, index=np.arange(len(y))[::-1])
    weight = pd.Series(np.ones(len(y)))
    one, other = clone(model).fit(pairs, y), clone(model).fit(pairs, series, weight)
    assert_array_equal(one.predict(pairs), other.predict(pairs))


def test_sample_weight_is_routed(data):
    X, y, prompts = data
    weight = np.where(np.arange(len(y)) % 3 == 0, 0.0, 1.0)
    kept = weight > 0
    with sklearn.config_context(enable_metadata_routing=True):
        model = BradleyTerryRegressor().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(model)
        scorer = order_consistency_scorer.set_score_request(sample_weight=True)
        routed = cross_validate(
            pipeline, X, y, scoring=scorer, cv=PromptDisjointKFold(3, random_state=0),
            params={"sample_weight": weight, "groups": prompts}, error_score="raise",
        )["test_score"]  # fmt: skip
    expected = []
    for train, test in PromptDisjointKFold(3, random_state=0).split(X, y, prompts):
        train, test = train[kept[train]], test[kept[test]]
        expected.append(
            BradleyTerryRegressor().fit(X[train], y[train]).score(X[test], y[test])
        )
    assert_allclose(routed, expected, atol=1e-9)


def test_unrouted_weights_are_refused(preferences):
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(sklearn.exceptions.UnsetMetadataPassedError),
    ):
        cross_val_score(
            BradleyTerryRegressor(), preferences.pairs, preferences.y, cv=2,
            params={"sample_weight": np.ones(len(preferences.y))}, error_score="raise",
        )  # fmt: skip


def test_classifiers_of_every_kind(preferences):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC

    for classifier in (
        RandomForestClassifier(random_state=0),
        GaussianNB(),
        KNeighborsClassifier(25),
        LinearSVC(),
        MLPClassifier((8,), max_iter=300, random_state=0),
        CalibratedClassifierCV(LinearSVC(), cv=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PairwiseClassifierReward(classifier)
            model.fit(preferences.pairs, preferences.y)
        assert model.score(preferences.pairs, preferences.y) > 0.65, classifier
        assert model.predict(preferences.pairs).shape == (400,)


def test_probabilities_of_zero_and_one_make_no_new_ties(preferences):
    class Saturated(LogisticRegression):
        """Probabilities that reach 1 while their complements still differ."""

        @property
        def decision_function(self):
            raise AttributeError

        def predict_proba(self, X):
            loss = np.exp(-50.0 * (1 + np.arange(len(X))))
            return np.column_stack([loss, 1 - loss])

    model = PairwiseClassifierReward(Saturated()).fit(preferences.pairs, preferences.y)
    proba = model.estimator_.predict_proba(np.zeros((10, 6)))
    assert (proba[:, 1] == 1).all()
    reward = model.predict(np.zeros((10, 6)))
    assert (np.diff(reward) > 0).all()
    assert np.isfinite(model.predict(np.zeros((20, 6)))).all()


def test_a_transformer_of_float16_items_computes_in_float32(preferences):
    # Squares of small numbers are no float16: a scaler would divide by zero.
    items = (1e-5 * preferences.embeddings).astype(np.float16)
    pairs = EmbeddingPairs(items, preferences.pairs.index)
    scaler = ItemwiseTransformer(StandardScaler()).fit(pairs)
    scaled = scaler.transform(pairs).embeddings
    assert scaled.dtype == np.float32
    assert_allclose(scaled.std(axis=0), 1, rtol=1e-3)
    assert_allclose(scaler.transform(items), scaled, atol=1e-5)
