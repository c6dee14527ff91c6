"""Intervals over crossed clusters, against simulations and against statsmodels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from benchmarks.study.intervals import (
    MATTERS,
    NOTHING,
    Estimate,
    crossed,
    resampled,
)


def draw(rng, seeds, prompts, values, n_prompts=200, n_seeds=5):
    """Make a table with variance components; a seed tests a quarter of the prompts."""
    table = np.full((n_seeds, n_prompts), np.nan)
    difficulty = prompts * rng.normal(size=n_prompts)
    for line in table:
        tested = rng.permutation(n_prompts)[: n_prompts // 4]
        line[tested] = seeds * rng.normal() + difficulty[tested]
        line[tested] += values * rng.normal(size=len(tested))
    return table


@pytest.mark.parametrize(
    "spread",
    [(0, 0, 1), (0, 1, 0), (0.3, 0, 0.01), (0, 1, 1), (0.05, 0.5, 0.5), (0.3, 0.3, 1)],
    ids=["values", "prompts", "seeds", "prompts and values", "little of seeds", "all"],
)
def test_intervals_cover_the_mean_as_often_as_they_say(spread):
    rng = np.random.default_rng(0)
    n_trials, covered, freedom = 300, 0, []
    for _ in range(n_trials):
        tables = [draw(rng, *spread), draw(rng, *spread, n_prompts=160)]
        estimate = crossed(tables)
        covered += estimate.interval[0] < 0.0 < estimate.interval[1]
        freedom.append(estimate.freedom)
    # Four standard errors of a share of 300; wider is allowed up to .99.
    assert 0.90 < covered / n_trials < 0.995
    if spread == (0.3, 0, 0.01):
        assert np.median(freedom) < 12  # two times four degrees of freedom, not more


def test_counting_prompts_or_seeds_alone_would_not_cover():
    # What the intervals are for: leaving one of the clusters out is too narrow.
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(200):
        table = draw(rng, 0.3, 0.3, 1.0)
        by_value = np.nanstd(table) / np.sqrt((~np.isnan(table)).sum())
        tested = ~np.isnan(table).all(axis=0)
        prompts = np.nanmean(table[:, tested], axis=0)
        errors = by_value, np.std(prompts) / np.sqrt(len(prompts))
        covered += np.abs(np.nanmean(table)) < 1.96 * np.array(errors)
    assert np.all(covered / 200 < 0.8)


def test_the_variance_is_that_of_statsmodels_for_two_groups():
    table = draw(np.random.default_rng(2), 0.5, 1.0, 0.3)
    seed, prompt = np.nonzero(~np.isnan(table))
    values = table[seed, prompt]
    fit = OLS(values, np.ones(len(values))).fit()
    both, first, second = cov_cluster_2groups(fit, seed, prompt)
    estimate = crossed([table])
    assert_allclose(estimate.mean, fit.params[0])
    assert_allclose(estimate.error**2, both[0, 0], rtol=1e-10)
    assert estimate.error**2 < first[0, 0] + second[0, 0]
    assert_allclose(crossed([table, table]).error, estimate.error / np.sqrt(2))


def test_the_bootstrap_has_the_same_middle_and_is_wider():
    rng = np.random.default_rng(0)
    tables = [draw(rng, 0.05, 0.5, 0.5), draw(rng, 0.05, 0.5, 0.5)]
    low, high = resampled(tables)
    estimate = crossed(tables)
    ends = estimate.interval
    assert_allclose((low + high) / 2, estimate.mean, atol=0.2 * (high - low))
    assert ends[1] - ends[0] < high - low < 2 * (ends[1] - ends[0])
    assert resampled(tables) == (low, high)


def test_counting_overlap_covers_what_new_training_prompts_would_give():
    # What a seed learns is a mean over the prompts that it trains on, and every data
    # set of prompts has its own: the mean over all prompts there could be is 0.
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(150):
        teaches = rng.normal(size=80)
        table = np.full((5, 80), np.nan)
        for line in table:
            order = rng.permutation(80)
            line[order[:20]] = teaches[order[20:]].mean() + 1e-3 * rng.normal(size=20)
        for k, overlap in enumerate((False, True)):
            low, high = crossed([table], overlap=overlap).interval
            covered[k] += low < 0.0 < high
    assert covered[0] / 150 < 0.75
    assert 0.88 < covered[1] / 150


def test_one_seed_has_an_interval_over_prompts_and_says_so():
    table = draw(np.random.default_rng(0), 0.1, 0.1, 0.1, n_seeds=1)
    estimate = crossed([table])
    tested = table[~np.isnan(table)]
    assert_allclose(estimate.mean, tested.mean())
    assert_allclose(estimate.error, stats.sem(tested))
    assert_allclose(estimate.freedom, len(tested) - 1)
    assert str(estimate).endswith("] (one seed)")
    assert estimate.signed.startswith(f"{estimate.mean:+.3f} [")
    alone = crossed([table[:, ~np.isnan(table[0])][:, :1]])
    assert np.isnan(alone.error)
    assert np.isnan(alone.p_value)
    assert str(NOTHING) == NOTHING.signed == ""
    assert np.isnan(crossed([]).mean)


def test_p_values_are_those_of_one_and_two_sided_t_tests():
    estimate = Estimate(0.004, 0.002, 12.0)
    assert_allclose(estimate.p_value, 2 * stats.t.sf(2.0, 12))
    above = stats.t.cdf((0.004 - MATTERS) / 0.002, 12)
    below = stats.t.sf((0.004 + MATTERS) / 0.002, 12)
    assert_allclose(estimate.p_value_matters, max(above, below))
    assert Estimate(0.02, 0.002, 12.0).p_value_matters > 0.99
    nothing_varies = Estimate(0.0, 0.0, np.inf)
    assert (nothing_varies.p_value, nothing_varies.p_value_matters) == (1.0, 0.0)
    always = Estimate(0.02, 0.0, np.inf)
    assert (always.p_value, always.p_value_matters) == (0.0, 1.0)


def test_a_detectable_difference_is_found_in_four_of_five_studies():
    rng = np.random.default_rng(0)
    truth = Estimate(0.0, 0.01, 20.0).detectable
    error = 0.01 * np.sqrt(rng.chisquare(20, size=20_000) / 20)
    found = np.abs(truth + 0.01 * rng.normal(size=20_000)) / error
    assert abs(np.mean(found > stats.t.ppf(0.975, 20)) - 0.80) < 0.02
