"""Means over crossed clusters, seeds and test prompts, with intervals over both.

A seed draws the training prompts, the pairs, the labels and the weights at the start; a
test prompt is tested under some of the seeds. Both vary, and every value shares its
seed with other prompts and its prompt with other seeds. Encoders, data sets, designs,
noise and quantities are the same for every seed: they are averaged over, and are no
sample of anything.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
POWER = 0.80
MATTERS = 0.01  # differences of order consistency within this do not matter
N_RESAMPLES = 2000
TRAINED = 0.75  # the share of prompts that a seed trains on


class Estimate(NamedTuple):
    """A mean, its standard error and degrees of freedom, and what it rests on.

    The error is NaN where fewer than two prompts show how values vary. Of one seed it
    is over prompts alone: it holds for what that seed drew. ``seed_share`` is the part
    of the variance that comes from seeds.
    """

    mean: float
    error: float
    freedom: float
    n_settings: int = 0
    n_blocks: int = 0
    seed_share: float = np.nan
    n_seeds: int = 0

    @property
    def interval(self):
        """Lower and upper end of the 95 % interval."""
        half = stats.t.ppf(0.5 + LEVEL / 2, self.freedom) * self.error
        return self.mean - half, self.mean + half

    @property
    def p_value(self):
        """Two-sided, of no difference; NaN without an error."""
        if self.error == 0.0:
            return float(self.mean == 0.0)
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.freedom))

    @property
    def p_value_matters(self):
        """Of a difference of at least `MATTERS`: the larger of two one-sided tests."""
        if self.error == 0.0:
            return float(abs(self.mean) >= MATTERS)
        nearest = (MATTERS - abs(self.mean)) / self.error
        return float(stats.t.sf(nearest, self.freedom))

    @property
    def detectable(self):
        """The difference that would be found (at 5 %) in four of five repetitions."""
        quantiles = stats.t.ppf([0.5 + LEVEL / 2, POWER], self.freedom)
        return float(self.error * quantiles.sum())

    def __str__(self):
        return self._text("{:.3f}")

    @property
    def signed(self):
        """The estimate as text, for a difference."""
        return self._text("{:+.3f}")

    def _text(self, number):
        if np.isnan(self.mean):
            return ""
        text = number.format(self.mean)
        if np.isnan(self.error):
            return text
        low, high = (number.format(end) for end in self.interval)
        return f"{text} [{low}, {high}]" + " (one seed)" * (self.n_seeds == 1)


NOTHING = Estimate(np.nan, np.nan, np.nan)


def crossed(tables, overlap=False):
    """Estimate the mean of several tables of seeds by test prompts.

    The variance of a table's mean is that of resampling seeds, plus that of resampling
    prompts, less that of resampling single values, which both of the others contain
    (Cameron, Gelbach and Miller, 2011); it is never less than either of the first two.
    Tables are independent of each other: other data sets have other prompts and other
    splits. Degrees of freedom are Satterthwaite's.

    Parameters
    ----------
    tables : list of ndarray of shape (n_seeds, n_prompts)
        One a data set; NaN where a seed does not test a prompt.
    overlap : bool, default=False
        Whether to count all that varies between seeds as the training prompts' doing.
        Seeds share most of those, and so vary less than new prompts would: the part
        of the mean's variance that is theirs is larger by 1 + n_seeds t / (1 - t), if
        what is learned is a mean over training prompts, of which a seed has the share
        t. An upper bound: labels and first weights are drawn anew for each seed.

    Returns
    -------
    estimate : Estimate
        The mean of the tables' means.
    """
    if not tables:
        return NOTHING
    parts = [_components(table) for table in tables]
    mean = float(np.mean([part.mean for part in parts]))
    seeds, prompts = (np.array([part[k] for part in parts]) for k in (1, 2))
    if overlap:
        seeds = seeds * [1 + p.n_seeds * TRAINED / (1 - TRAINED) for p in parts]
    variance = seeds + prompts
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = seeds**2 / [max(part.n_seeds - 1, 1) for part in parts]
        spread += prompts**2 / [part.n_prompts - 1 for part in parts]
        freedom = variance.sum() ** 2 / spread.sum()
        share = seeds.sum() / variance.sum()
    if variance.sum() == 0.0:
        freedom, share = np.inf, 0.0
    error = np.sqrt(variance.sum()) / len(parts)
    return Estimate(
        mean,
        float(error),
        float(freedom),
        seed_share=float(share),
        n_seeds=min(part.n_seeds for part in parts),
    )


class Components(NamedTuple):
    """A mean and the parts of its variance that come from seeds and from prompts."""

    mean: float
    seeds: float
    prompts: float
    n_seeds: int
    n_prompts: int


def _components(table):
    table = table[:, ~np.isnan(table).all(axis=0)]
    known = ~np.isnan(table)
    n, (n_seeds, n_prompts) = known.sum(), table.shape
    mean = table[known].mean()
    rest = np.where(known, table - mean, 0.0)

    def clustered(sums):
        with np.errstate(invalid="ignore", divide="ignore"):
            return len(sums) / np.float64(len(sums) - 1) * np.sum(sums**2) / n**2

    by_seed, by_prompt = clustered(rest.sum(axis=1)), clustered(rest.sum(axis=0))
    by_value = clustered(rest[known])
    # What prompts and values do not explain is the seeds'.
    seeds = 0.0
    if n_seeds > 1:
        seeds = max(by_seed - by_value, by_seed - by_prompt, 0.0)
    return Components(mean, seeds, by_prompt, n_seeds, n_prompts)


def resampled(tables, seed=0):
    """Give the 95 % interval of the pigeonhole bootstrap, as a check on `crossed`.

    Seeds and prompts are drawn with replacement, independently of each other, and all
    values of a prompt drawn twice count twice. It counts the variation of single
    values three times (Owen, 2007), so it is the wider of the two.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros(N_RESAMPLES)
    for table in tables:
        known = ~np.isnan(table)
        values = np.where(known, table, 0.0)
        n_seeds, n_prompts = table.shape
        # One draw fewer than seeds: the variance of so few is not underestimated.
        drawn = rng.multinomial(n_seeds - 1, np.full(n_seeds, 1 / n_seeds), N_RESAMPLES)
        weight = rng.multinomial(
            n_prompts, np.full(n_prompts, 1 / n_prompts), N_RESAMPLES
        )
        total = np.sum((drawn @ values) * weight, axis=1)
        means += total / np.sum((drawn @ known) * weight, axis=1) / len(tables)
    return tuple(np.quantile(means, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]))
