"""The annotation study's cost."""

import numpy as np
from numpy.testing import assert_allclose

from benchmarks.study import settings as grid
from benchmarks.study.cost import describe, grid_seconds


def test_the_cost_of_the_grid_is_the_sum_over_its_strata():
    whole = grid.Table(
        data="d",
        pools=tuple("abcdef"),
        tasks=("s", "t"),
        learners=grid.learners(),
        pairings=("same",),
    )
    rows = [
        {
            "key": f"{model}{n}{k}",
            "setting": {"model": model, "recipe": "package", "n_pairs": n},
            "n_features": 384,
            "core_seconds": n / 1000 + k,
        }
        for model in grid.PAPER_MODELS
        for n in grid.QUANTITIES
        for k in (0, 2)
    ]
    seconds, error = grid_seconds(rows, whole)
    assert_allclose(seconds, 12_960 * (75 / 4 + 1))
    assert_allclose(error, np.sqrt(12) * 1080 * np.sqrt(2) / np.sqrt(2))
    assert np.isnan(grid_seconds(rows[:-2], whole)[0])
    text = "\n".join(describe(rows, whole))
    assert "0 of 12960 settings" in text
    assert "d = 384" in text
    assert "255,960 s on one core, 71.1 +- 2.0 (95 %) core-hours; the paper" in text
