"""Standard errors that cover, and what a fitted reward says it pays for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from benchmarks.coverage import coverage
from skreward import BradleyTerryRegressor, EmbeddingPairs, ItemwiseTransformer
from skreward.datasets import make_preferences

N_DRAWS = 40


@pytest.fixture(scope="module")
def data():
    return make_preferences(
        n_prompts=60, n_responses=6, n_features=5, n_pairs=2000, random_state=0
    )


@pytest.fixture(scope="module")
def model(data):
    return BradleyTerryRegressor(covariance="cluster").fit(data.pairs, data.y)


@pytest.mark.parametrize("setting", ["items", "slopes", "tripled"])
def test_clustered_intervals_cover_what_laplace_misses(setting):
    assert 0.92 <= coverage(setting, "cluster", N_DRAWS) <= 0.97
    laplace = coverage(setting, "laplace", N_DRAWS)
    assert laplace < (0.92 if setting == "items" else 0.85)


def test_both_cover_where_the_model_is_true():
    for covariance in ("cluster", "laplace"):
        assert 0.92 <= coverage("model", covariance, N_DRAWS) <= 0.97


def test_intervals_are_around_debiased_margins(data):
    """A strong penalty halves the margins; intervals must not follow."""
    strong = BradleyTerryRegressor(alpha=0.05, covariance="cluster")
    strong.fit(data.pairs, data.y)
    free = BradleyTerryRegressor(alpha=0).fit(data.pairs, data.y)
    margin, std = strong.predict(data.pairs, return_std=True)
    plain, wanted = strong.predict(data.pairs), free.predict(data.pairs)
    is_far = np.abs(wanted) > 1
    shrunk, debiased = ((m / wanted)[is_far].mean() for m in (plain, margin))
    assert shrunk < 0.8
    assert abs(debiased - 1) < abs(shrunk - 1) / 2
    assert (std > 0).all()


def test_tripled_labels_change_no_clustered_error(data, model):
    times = np.tile(np.arange(len(data.y)), 3)
    for covariance, share in (("cluster", 1), ("laplace", 3)):
        once = BradleyTerryRegressor(covariance=covariance, tol=1e-10)
        thrice = BradleyTerryRegressor(covariance=covariance, tol=1e-10)
        weighted = BradleyTerryRegressor(covariance=covariance, tol=1e-10)
        once.fit(data.pairs, data.y)
        thrice.fit(data.pairs[times], data.y[times])
        weighted.fit(data.pairs, data.y, np.full(len(data.y), 3))
        for other in (thrice, weighted):
            assert_allclose(
                other.coef_covariance_ * share, once.coef_covariance_, rtol=1e-5
            )


def test_swapping_a_pair_turns_its_margin_alone(data, model):
    turned = EmbeddingPairs(
        data.pairs.embeddings, data.pairs.index[:, ::-1], data.pairs.prompt_ids
    )
    margin, std = model.predict(data.pairs, return_std=True)
    other, other_std = model.predict(turned, return_std=True)
    assert_array_equal(other, -margin)
    assert_array_equal(other_std, std)
    again = BradleyTerryRegressor(covariance="cluster").fit(turned, 1 - data.y)
    assert_allclose(again.coef_covariance_, model.coef_covariance_, rtol=1e-6)
    dense, dense_std = model.predict(data.pairs.to_dense(), return_std=True)
    assert_allclose(dense, margin, rtol=1e-10)
    assert_allclose(dense_std, std, rtol=1e-10)


def test_items_are_centred_and_differ_as_pairs_do(data, model):
    reward, std = model.predict(data.pairs.embeddings, return_std=True)
    margin, _ = model.predict(data.pairs, return_std=True)
    first, second = data.pairs.index.T
    assert_allclose(reward[first] - reward[second], margin, atol=1e-10)
    occurs = np.unique(data.pairs.index)
    assert_allclose(reward[occurs].mean(), 0, atol=1e-10)
    assert std.shape == reward.shape


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dtypes(dtype, data, model):
    small = EmbeddingPairs(
        data.pairs.embeddings.astype(dtype), data.pairs.index, data.pairs.prompt_ids
    )
    other = BradleyTerryRegressor(covariance="cluster").fit(small, data.y)
    margin, std = other.predict(small, return_std=True)
    assert margin.dtype == std.dtype == np.float32
    assert_allclose(std, model.predict(data.pairs, return_std=True)[1], rtol=0.05)


def test_without_prompts_components_or_items_are_groups(data, model):
    no_prompts = EmbeddingPairs(data.pairs.embeddings, data.pairs.index)
    same = BradleyTerryRegressor(covariance="cluster").fit(no_prompts, data.y)
    # The components here are the prompts.
    assert_allclose(same.coef_covariance_, model.coef_covariance_, rtol=1e-8)
    items, ratings = data.pairs.embeddings[:60], data.rewards.ravel()[:60]
    rated = BradleyTerryRegressor(alpha=0.1, covariance="cluster").fit(items, ratings)
    assert np.isfinite(rated.predict(items, return_std=True)[1]).all()


def test_a_direction_without_pairs_has_no_error_bar(data):
    constant = np.column_stack([data.pairs.embeddings, np.ones(360)])
    pairs = EmbeddingPairs(constant, data.pairs.index, data.pairs.prompt_ids)
    model = BradleyTerryRegressor(covariance="cluster").fit(pairs, data.y)
    assert np.isfinite(model.predict(pairs, return_std=True)[1]).all()
    table = model.coef_intervals()
    assert_array_equal(np.isinf(table["std"]), [False] * 5 + [True])
    other = constant[:2].copy()
    other[0, -1] = 2.0
    _, std = model.predict(other[np.newaxis], return_std=True)
    assert np.isinf(std).all()


def test_too_few_pairs_are_said(data):
    with pytest.warns(UserWarning, match="4 pairs cannot tell 5 coefficients"):
        BradleyTerryRegressor(covariance="laplace").fit(data.pairs[:4], data.y[:4])


def test_a_fit_without_covariance_forgets_it(data):
    model = BradleyTerryRegressor(covariance="cluster").fit(data.pairs, data.y)
    model.set_params(covariance=None).fit(data.pairs, data.y)
    assert not hasattr(model, "coef_covariance_")
    with pytest.raises(ValueError, match=r'return_std.*covariance="cluster"'):
        model.predict(data.pairs, return_std=True)


def test_every_model_of_a_path_has_its_own(data):
    model = BradleyTerryRegressor(covariance="cluster")
    path = model.fit_path(data.pairs, data.y, alphas=[1e-3, 1e-1])
    for alpha, one in zip((1e-3, 1e-1), path, strict=True):
        single = BradleyTerryRegressor(alpha=alpha, covariance="cluster")
        single.fit(data.pairs, data.y)
        assert_allclose(one.coef_covariance_, single.coef_covariance_, rtol=1e-3)


def test_intervals_are_a_table_and_a_frame(data, model, tmp_path):
    import pandas as pd

    names = [f"feature {k}" for k in range(5)]
    table = model.coef_intervals(names, confidence_level=0.9)
    assert list(table) == ["feature", "coef", "std", "lower", "upper"]
    assert_allclose(table["upper"] - table["coef"], 1.6448536 * table["std"])
    frame = model.coef_intervals(names, confidence_level=0.9, as_frame=True)
    pd.testing.assert_frame_equal(frame, pd.DataFrame(table))
    skreward.save(model, tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops")
    assert_array_equal(loaded.coef_intervals()["std"], table["std"])
    items = pd.DataFrame(data.pairs.embeddings[:60], columns=names)
    rated = BradleyTerryRegressor(covariance="cluster")
    rated.fit(items, data.rewards.ravel()[:60])
    assert_array_equal(rated.coef_intervals()["feature"], names)


def test_the_display_shows_what_a_pipeline_pays_for(data):
    import matplotlib

    matplotlib.use("Agg")
    from skreward.plotting import CoefficientDisplay

    class Named(StandardScaler):
        def get_feature_names_out(self, input_features=None):
            return np.array([f"feature {k}" for k in range(5)], dtype=object)

    pipeline = make_pipeline(
        ItemwiseTransformer(Named()), BradleyTerryRegressor(covariance="cluster")
    ).fit(data.pairs, data.y)
    display = CoefficientDisplay.from_estimator(pipeline, n_features=3)
    table = pipeline[-1].coef_intervals()
    strongest = np.argsort(-np.abs(table["coef"] / table["std"]))[:3]
    assert set(display.feature) == {f"feature {k}" for k in strongest}
    assert_array_equal(np.sort(display.coef), display.coef)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == list(display.feature)
    with pytest.raises(TypeError, match="no coef_intervals"):
        CoefficientDisplay.from_estimator(StandardScaler())


def test_the_default_fit_does_not_pay_for_it(data, monkeypatch):
    """Counted, not timed: without ``covariance`` no further pass over the pairs."""
    from skreward.models import linear

    called, real = [], linear.coef_covariance
    monkeypatch.setattr(
        linear, "coef_covariance", lambda *args: called.append(1) or real(*args)
    )
    BradleyTerryRegressor().fit(data.pairs, data.y)
    assert not called
    BradleyTerryRegressor(covariance="laplace").fit(data.pairs, data.y)
    assert called
