"""Displays draw what the metrics compute, by scikit-learn's convention."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import calibration_curve
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreward import BradleyTerryRegressor, ItemwiseTransformer
from skreward.annotation import annotation_curve
from skreward.datasets import make_preferences
from skreward.metrics import best_of_n_curve
from skreward.plotting import (
    AnnotationDesignDisplay,
    BestOfNDisplay,
    CalibrationDisplay,
)

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    y_true = rng.normal(size=600)
    return y_true, y_true + rng.normal(size=600), np.repeat(np.arange(60), 10)


class PairRidge(Ridge):
    """A reward model of a few lines: ridge regression of labels on differences."""

    def fit(self, X, y):
        dense = X.to_dense()
        super().fit(dense[:, 0] - dense[:, 1], np.asarray(y) - 0.5)
        self.coef_ = self.coef_.ravel()
        return self

    def predict(self, X):
        rewards = X.embeddings @ self.coef_
        return rewards[X.index[:, 0]] - rewards[X.index[:, 1]]


def test_best_of_n_draws_the_curve_its_band_and_the_oracle(items):
    curve = best_of_n_curve(*items)
    display = BestOfNDisplay.from_predictions(*items, name="noisy", color="red")
    assert_array_equal(display.line_.get_xdata(), curve.n)
    assert_allclose(display.line_.get_ydata(), curve.improvement)
    assert display.line_.get_color() == "red"
    assert_allclose(
        display.oracle_.get_ydata()[-1] - curve.improvement[-1], curve.regret[-1]
    )
    band = display.band_.get_paths()[0].vertices[:, 1]
    assert_allclose(
        band.max(), np.max(curve.improvement + 1.96 * curve.improvement_stderr)
    )
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "noisy",
        "Best by true reward",
    ]


def test_best_of_n_draws_on_given_axes_once_per_oracle(items):
    _, ax = plt.subplots()
    first = BestOfNDisplay.from_predictions(*items, ax=ax, x="kl")
    second = BestOfNDisplay.from_predictions(*items, ax=ax, x="kl")
    assert first.ax_ is ax
    assert second.figure_ is ax.figure
    assert second.oracle_ is None
    assert_allclose(first.line_.get_xdata(), first.curve.kl)
    assert first.plot() is first
    assert first.ax_ is not ax


def test_best_of_n_from_estimator_predicts(items):
    y_true, y_pred, groups = items
    X = y_pred[:, np.newaxis]
    model = Ridge().fit(X, y_true)
    display = BestOfNDisplay.from_estimator(model, X, y_true, groups, n_values=[2, 5])
    expected = best_of_n_curve(y_true, model.predict(X), groups, n_values=[2, 5])
    assert_allclose(display.line_.get_ydata(), expected.improvement)
    assert display.line_.get_label() == "Ridge"


def test_annotation_display_draws_mean_and_spread():
    scores = np.array([[0.5, 0.6], [0.7, 0.7], [0.8, 0.9]])
    display = AnnotationDesignDisplay(
        param_name="beta", param_range=[0.5, 1, 3], scores=scores, estimator_name="a"
    ).plot()
    assert_allclose(display.line_.get_ydata(), scores.mean(axis=1))
    band = display.band_.get_paths()[0].vertices[:, 1]
    assert_allclose(band.min(), 0.5)
    assert_allclose(band.max(), 0.9)
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "Order consistency"
    again = AnnotationDesignDisplay(
        param_name="beta", param_range=[0.5, 1, 3], scores=scores, estimator_name="b"
    ).plot(display.ax_)
    assert [text.get_text() for text in again.ax_.get_legend().get_texts()] == [
        "a",
        "b",
    ]


def test_annotation_display_from_estimator_is_the_curve():
    data = make_preferences(40, 6, 5, random_state=0)
    arguments = (PairRidge(), data.embeddings, data.rewards, data.prompt_ids)
    params = {
        "param_name": "error_rate",
        "param_range": [0.0, 0.45],
        "n_pairs": 60,
        "n_repeats": 3,
        "random_state": 0,
    }
    curve = annotation_curve(*arguments, **params)
    display = AnnotationDesignDisplay.from_estimator(*arguments, **params)
    assert curve.scores.shape == (2, 3)
    assert_array_equal(display.scores, curve.scores)
    assert_allclose(display.line_.get_ydata(), curve.scores.mean(axis=1))
    assert display.line_.get_label() == "PairRidge"
    assert_array_equal(curve.error_rates[0], 0)
    assert_allclose(curve.error_rates[1].mean(), 0.45, atol=0.12)
    assert curve.scores[0].mean() > curve.scores[1].mean() + 0.1


def test_more_pairs_score_better_on_held_out_prompts():
    data = make_preferences(60, 6, 20, random_state=0)
    seen = []

    class Spy(PairRidge):
        def predict(self, X):
            seen.append(
                set(self.trained_) & set(X.prompt_ids[X.index].ravel().tolist())
            )
            return super().predict(X)

        def fit(self, X, y):
            self.trained_ = set(X.prompt_ids[X.index].ravel().tolist())
            return super().fit(X, y)

    curve = annotation_curve(
        Spy(),
        data.embeddings,
        data.rewards,
        data.prompt_ids,
        param_name="n_pairs",
        param_range=[15, 500],
        cross_prompt=True,
        random_state=0,
    )
    low, high = curve.scores.mean(axis=1)
    assert high > low + 0.05
    assert len(seen) == 10
    assert seen == [set()] * 10


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"param_name": "alpha"}, "param_name must be one of"),
        ({"param_range": []}, "param_range must be a list of values"),
        ({"n_repeats": 0}, "n_repeats must be an integer"),
        ({"param_range": [-1.0]}, "beta must lie in"),
        ({"groups": [0]}, "groups must hold one id per item"),
        ({"y": np.zeros(12)}, "scale='std'|nothing to score"),
    ],
)
def test_annotation_curve_refuses_bad_input(kwargs, message):
    arguments = {
        "X": np.eye(12),
        "y": np.arange(12.0),
        "groups": np.repeat(range(4), 3),
        **kwargs,
    }
    with pytest.raises(ValueError, match=message):
        annotation_curve(PairRidge(), **arguments)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"param_name": "gamma"}, "param_name must be one of"),
        ({"scores": [0.5, 0.6]}, r"scores must have shape \(2, n_repeats\)"),
        ({"param_range": [1, np.inf]}, "drawn on a logarithmic axis"),
    ],
)
def test_annotation_display_refuses_bad_input(kwargs, message):
    arguments = {
        "param_name": "beta",
        "param_range": [1, 2],
        "scores": [[0.5], [0.6]],
        **kwargs,
    }
    with pytest.raises(ValueError, match=message):
        AnnotationDesignDisplay(**arguments).plot()


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_equals_scikit_learn_on_both_orders(strategy):
    rng = np.random.default_rng(0)
    proba = rng.uniform(size=2000)
    y = (rng.uniform(size=2000) < proba).astype(int)
    both_y, both_proba = np.concatenate([y, 1 - y]), np.concatenate([proba, 1 - proba])
    prob_true, prob_pred = calibration_curve(
        both_y, both_proba, n_bins=8, strategy=strategy
    )
    display = CalibrationDisplay.from_predictions(
        y, proba, n_bins=8, strategy=strategy, name="model"
    )
    assert_allclose(display.prob_true, prob_true)
    assert_allclose(display.prob_pred, prob_pred)
    swapped = CalibrationDisplay.from_predictions(
        1 - y, 1 - proba, n_bins=8, strategy=strategy
    )
    assert_allclose(swapped.prob_true, display.prob_true)
    assert_allclose(display.prob_true + display.prob_true[::-1], 1.0)
    assert display.line_.get_label() == "model"


def test_calibration_of_soft_labels_and_of_chosen_first_pairs():
    proba = np.array([0.1, 0.7, 0.9])
    soft = CalibrationDisplay.from_predictions(proba, proba, n_bins=5)
    assert_allclose(soft.prob_true, soft.prob_pred)
    chosen = CalibrationDisplay.from_predictions(None, proba, n_bins=2)
    assert_allclose(chosen.prob_true, [1 / 3, 2 / 3])


def test_calibration_of_a_model_and_of_a_pipeline_around_it():
    data = make_preferences(random_state=0)
    model = BradleyTerryRegressor().fit(data.pairs, data.y)
    display = CalibrationDisplay.from_estimator(model, data.pairs, data.y)
    expected = CalibrationDisplay.from_predictions(
        data.y, model.predict_preference_proba(data.pairs)
    )
    assert_allclose(display.prob_true, expected.prob_true)
    assert display.line_.get_label() == "BradleyTerryRegressor"
    scaler = ItemwiseTransformer(StandardScaler())
    pipeline = make_pipeline(scaler, BradleyTerryRegressor(alpha=0.0))
    pipeline.fit(data.pairs, data.y)
    through = CalibrationDisplay.from_estimator(pipeline, data.pairs, data.y)
    scaled = scaler.transform(data.pairs)
    assert_allclose(through.y_prob, pipeline[-1].predict_preference_proba(scaled))
    assert np.abs(through.prob_true - through.prob_pred).max() < 0.12


def test_calibration_asks_for_probabilities(items):
    with pytest.raises(TypeError, match="Ridge has no predict_preference_proba"):
        CalibrationDisplay.from_estimator(Ridge(), None)
    with pytest.raises(ValueError, match="y_prob must be a probability"):
        CalibrationDisplay.from_predictions([1], [1.2])
    with pytest.raises(ValueError, match="strategy must be"):
        CalibrationDisplay.from_predictions([1], [0.2], strategy="kmeans")
    with pytest.raises(ValueError, match="y_true must hold"):
        CalibrationDisplay.from_predictions([3], [0.2])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, items):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        BestOfNDisplay.from_predictions(*items)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        CalibrationDisplay.from_predictions([1], [0.2])
    with pytest.raises(ImportError, match="pip install matplotlib"):
        AnnotationDesignDisplay.from_estimator(None, None, None, None)


def test_importing_the_room_does_not_load_matplotlib():
    code = "import sys, skreward.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
