"""The study's convergence experiment."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from benchmarks.study import convergence
from benchmarks.study.convergence import (
    MarginError,
    Risk,
    SmoothReward,
    margin_errors,
    margin_slope,
    measure,
    risk_slope,
    theorem_slope,
    truncated_risk,
)


def test_the_risk_is_the_truncated_divergence_of_two_coins():
    margin, fitted = np.array([0.3, -4.0]), np.array([-0.2, 9.0])
    risks = []
    for p, q in zip(expit(margin), expit(fitted), strict=True):
        won = p * min(2.0, np.log(p / q))
        risks.append(won + (1 - p) * min(2.0, np.log((1 - p) / (1 - q))))
    assert_allclose(truncated_risk(margin, fitted, bound=2.0), np.mean(risks))
    # The second pair is beyond the bound.
    assert truncated_risk(margin, fitted, bound=9.0) > np.mean(risks) + 1
    assert truncated_risk(margin, margin) == 0
    # A coin's log-loss beyond its entropy, where nothing is truncated.
    p, q = expit(margin), expit(margin + 0.1)
    loss = -p * np.log(q) - (1 - p) * np.log(1 - q)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert_allclose(truncated_risk(margin, margin + 0.1), np.mean(loss - entropy))


def test_the_reward_is_smooth_and_of_the_spread_that_is_said():
    rng = np.random.default_rng(0)
    reward = SmoothReward(3, rng)
    items = rng.uniform(size=(50_000, 3))
    assert np.std(reward(items)) == pytest.approx(convergence.SPREAD, rel=0.05)
    step = 1e-4 * rng.normal(size=3)
    first = reward(items + step) - reward(items)
    second = reward(items + 2 * step) - 2 * reward(items + step) + reward(items)
    assert np.abs(second).max() < 0.01 * np.abs(first).max()


def test_errors_of_margins_are_sorted_by_the_rarer_outcome():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=20_000) * 3
    rare = expit(-np.abs(margin))
    fitted = margin + 0.2 / (rare * (1 - rare)) * rng.choice([-1, 1], size=20_000)
    bands = list(margin_errors(margin, fitted))
    assert len(bands) == len(convergence.EDGES) - 1
    for low, high, factor, error in bands:
        assert 1 / (high * (1 - high)) <= factor <= 1 / (low * (1 - low))
        assert_allclose(error, 0.2 * factor)


def test_slopes_and_their_intervals_are_those_of_made_up_risks():
    risks = [
        Risk(4, n, seed, 3 * n ** -(0.5 + 0.1 * seed), 0.9, 1, 0.0)
        for seed in range(3)
        for n in (100, 1000, 10_000)
    ]
    middle, half = risk_slope(risks, 4)
    assert_allclose(middle, -0.6)
    assert_allclose(half, 4.302653 * 0.1 / 3**0.5, rtol=1e-5)
    margins = [
        MarginError(4, 100, seed, low, 1.0, 1 / low, (1 + seed) * low**-0.7)
        for seed in range(2)
        for low in (0.01, 0.1, 0.3)
    ]
    assert_allclose(margin_slope(margins, 4, 100), (0.7, 0), atol=1e-9)


@pytest.mark.parametrize(("d", "b", "slope"), [(2, 1, -0.5), (8, 2, -1 / 3)])
def test_the_theorem_s_exponent(d, b, slope):
    assert_allclose(theorem_slope(d, b), slope)


def test_more_pairs_bring_less_risk():
    options = {"test_pairs": 5000, "hidden": (32, 32)}
    small, large = (measure(2, n, 0, **options)[0] for n in (500, 4000))
    assert large.risk < 0.4 * small.risk
    assert large.order_consistency > 0.9


def test_the_command_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    fitted = []

    def quick(features, n_pairs, seed):
        fitted.append((features, n_pairs, seed))
        key = (features, n_pairs, seed)
        bands = [MarginError(*key, low, 1.0, 1 / low, low**-0.5) for low in (0.1, 0.3)]
        return Risk(*key, n_pairs**-0.5, 0.8, 3, 1.0), bands

    monkeypatch.setattr(convergence, "measure", quick)
    arguments = ["--out", str(tmp_path), "--dimensions", "2", "4", "--pairs", "500",
                 "8000", "16000", "--seeds"]  # fmt: skip
    convergence.main([*arguments, "0"])
    assert len(fitted) == 6
    convergence.main([*arguments, "0", "1", "2"])
    assert len(fitted) == len(set(fitted)) == 18
    text = (tmp_path / "convergence.md").read_text()
    assert "-0.50 ± 0.00" in text
    assert "+0.50 ± 0.00" in text
    # -.50 beside -.50 and -.33, then beside -.67 and -.50.
    one, two, margins = text.splitlines()[-3:]
    assert one.endswith("faster for d = 4.")
    assert "more slowly for d = 2" in two
    assert margins.endswith("2 of 2 dimensions.")
    assert "3 seeds of 5" in text
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    convergence.main([*arguments, "0", "1", "2"])
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == {"convergence.csv", "convergence_margins.csv",
                           "convergence.md", "convergence.png"}  # fmt: skip


def test_a_seed_that_is_not_whole_stays_out_of_the_page():
    risks = [Risk(d, n, seed, 0.1, 0.8, 3, 1.0)
             for d in (2, 4) for n in (500, 1000) for seed in (0, 2, 3)]  # fmt: skip
    assert convergence.whole(risks) == [0, 2, 3]
    assert convergence.whole([r for r in risks if r != risks[-2]]) == [0, 3]
