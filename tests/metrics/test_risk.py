"""Risk against coverage: brute force, ties, bad input, and the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skreward import BradleyTerryRegressor
from skreward.metrics import order_consistency_score, risk_coverage_curve
from skreward.plotting import RiskCoverageDisplay


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 1.0]), st.integers(-3, 3), st.integers(0, 2)
        ),
        min_size=1,
        max_size=12,
    ).filter(lambda rows: any(row[2] for row in rows))
)
def test_every_point_is_the_order_consistency_of_what_is_kept(rows):
    y, margin, weight = np.array(rows, dtype=float).T
    curve = risk_coverage_curve(y, margin, sample_weight=weight)
    assert_allclose(curve.coverage[-1], 1)
    assert (np.diff(curve.coverage) >= 0).all()
    for coverage, risk, threshold in zip(
        curve.coverage, curve.risk, curve.threshold, strict=True
    ):
        kept = np.abs(margin) >= threshold
        assert_allclose(coverage, weight[kept].sum() / weight.sum())
        score = order_consistency_score(
            y[kept], margin[kept], sample_weight=weight[kept]
        )
        assert_allclose(risk, 1 - score, atol=1e-12)
    assert 0 <= curve.area <= 1


def test_area_of_what_knows_and_of_what_does_not():
    margin, y = np.linspace(0.1, 1, 1000), np.ones(1000)
    y[:200] = 0  # wrong where the margin is small
    knows = risk_coverage_curve(y, margin)
    assert knows.area < 0.03
    against = risk_coverage_curve(y, margin, confidence=-margin)
    assert against.area > 0.4
    same = risk_coverage_curve(y, margin, confidence=np.ones(1000))
    assert_allclose([same.area, same.coverage[0]], [0.2, 1])


@pytest.mark.parametrize(
    ("arguments", "params", "words"),
    [
        (([1, 0], [1.0]), {}, "2 labels for 1 pairs"),
        (([1], [np.nan]), {}, "NaN"),
        (([1, 0], [1.0, 2.0]), {"confidence": [1.0]}, r"confidence.*\(2,\)"),
        (([1, 0], [1.0, 2.0]), {"confidence": [1.0, np.nan]}, "confidence.*finite"),
        (([1, 0], [1.0, 2.0]), {"sample_weight": [0, 0]}, "at least one non-zero"),
    ],
)
def test_bad_input(arguments, params, words):
    with pytest.raises(ValueError, match=words):
        risk_coverage_curve(*arguments, **params)


def test_display(preferences):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    model = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    display = RiskCoverageDisplay.from_estimator(
        model, preferences.pairs, preferences.y, ax=axes
    )
    assert display.ax_ is axes
    assert_allclose(display.line_.get_ydata(), display.curve.risk)
    assert axes.get_legend().get_texts()[0].get_text() == "BradleyTerryRegressor"
    assert display.plot(Figure().subplots()).ax_ is not axes
