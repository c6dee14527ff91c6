"""Clustered intervals: brute force, statsmodels, and how often they cover."""

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.stats import t as student

from skreward.report.intervals import Clusters


def draw(n_prompts, n_each, seed, spread=1.0):
    """Shares of right pairs that differ by prompt."""
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(n_prompts), n_each)
    share = 1 / (1 + np.exp(-0.8 - spread * rng.normal(size=n_prompts)))
    right = (rng.random(len(prompt)) < share[prompt]).astype(float)
    return right, np.column_stack([prompt, prompt]), share


def test_the_variance_is_brute_force_over_pairs_that_share_a_prompt():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, size=(80, 2))
    terms = rng.normal(size=80)
    clusters = Clusters(groups, np.ones(80))
    total = sum(
        terms[k] * terms[m]
        for k in range(80)
        for m in range(80)
        if set(groups[k]) & set(groups[m])
    )
    n = len(np.unique(groups))
    expected = max(total * n / (n - 1), terms @ terms)
    assert_allclose(clusters._error(terms), np.sqrt(expected))
    assert total * n / (n - 1) != pytest.approx(terms @ terms)


def test_a_mean_has_the_error_of_statsmodels():
    right, groups, _ = draw(40, 6, 0)
    found = Clusters(groups, np.ones(len(right)), 0.95).mean(right)
    model = sm.OLS(right, np.ones(len(right)))
    fit = model.fit(
        cov_type="cluster", cov_kwds={"groups": groups[:, 0], "df_correction": False}
    )
    # Theirs is of G / (G - 1) (N - 1) / (N - K), which is the same for K = 1.
    reach = student.ppf(0.975, 39) * fit.bse[0]
    assert_allclose([found.lower, found.upper], found.value + reach * np.array([-1, 1]))
    assert (found.n_pairs, found.n_groups) == (240, 40)


@pytest.mark.parametrize(("n_prompts", "n_each"), [(20, 10), (60, 4), (200, 1)])
def test_intervals_of_shares_cover(n_prompts, n_each):
    """The truth is the share over all prompts there could be."""
    truth = np.mean(
        1 / (1 + np.exp(-0.8 - np.random.default_rng(9).normal(size=10**6)))
    )
    n_draws, hits, naive = 400, 0, 0
    for seed in range(n_draws):
        right, groups, _ = draw(n_prompts, n_each, seed)
        found = Clusters(groups, np.ones(len(right))).share(right)
        hits += found.lower <= truth <= found.upper
        half = 1.96 * np.sqrt(found.value * (1 - found.value) / len(right))
        naive += abs(found.value - truth) <= half
    assert 0.93 <= hits / n_draws <= 0.99
    if n_each > 4:
        assert naive < hits - 0.05 * n_draws


def test_a_share_stays_within_0_and_1_and_is_never_certain_for_few():
    groups = np.column_stack([np.arange(10), np.arange(10)])
    perfect = Clusters(groups, np.ones(10)).share(np.ones(10))
    assert perfect.upper == 1
    assert 0.6 < perfect.lower < 0.75
    ties = Clusters(groups, np.ones(10)).share(np.full(10, 0.5))
    assert (ties.lower, ties.upper) == (0.5, 0.5)


def test_one_prompt_shows_no_spread():
    clusters = Clusters(np.zeros((5, 2), dtype=int), np.ones(5))
    values = np.array([0.0, 1, 1, 1, 0])
    for found in (clusters.share(values), clusters.mean(values)):
        assert (found.value, found.lower, found.upper) == (0.6, None, None)


def test_integer_weights_are_repetition():
    right, groups, _ = draw(15, 4, 3)
    weight = np.random.default_rng(0).integers(0, 3, len(right))
    repeated = np.repeat(np.arange(len(right)), weight)
    weighted = Clusters(groups, weight.astype(float)).mean(right)
    plain = Clusters(groups[repeated], np.ones(len(repeated))).mean(right[repeated])
    assert_allclose(weighted.value, plain.value)
    assert_allclose([weighted.lower, weighted.upper], [plain.lower, plain.upper])
    assert weighted.n_groups == plain.n_groups


def test_a_correlation_turns_with_its_pairs_and_covers():
    rng = np.random.default_rng(1)
    hits, rho = 0, 0.4
    for _ in range(300):
        prompt = np.repeat(np.arange(40), 5)
        scale = np.sqrt(rng.chisquare(6, 40) / 6)[prompt]
        first = rng.normal(size=200)
        second = rho * first + np.sqrt(1 - rho**2) * rng.normal(size=200)
        clusters = Clusters(np.column_stack([prompt, prompt]), np.ones(200))
        found = clusters.correlation(scale * first, scale * second)
        hits += found.lower <= rho <= found.upper
        sign = rng.choice([-1, 1], 200)
        turned = clusters.correlation(sign * scale * first, sign * scale * second)
        assert_allclose(turned.value, found.value)
        assert_allclose(turned.upper, found.upper)
    assert 0.92 <= hits / 300 <= 0.98
    assert clusters.correlation(first, np.zeros(200)) is None
    same = clusters.correlation(first, 2 * first)
    assert (same.value, same.lower) == (pytest.approx(1), pytest.approx(1))
