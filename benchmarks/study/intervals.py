"""Means over settings and prompts, with intervals over both."""

from typing import NamedTuple

import numpy as np

from benchmarks.study.settings import NAMES

N_RESAMPLES = 1000


class Estimate(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self):
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def signed(self):
        """The estimate as text, for a difference."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def by_prompt(rows, metric, apart=("model", "recipe", "pairing")):
    """Arrange a metric as settings by prompts; rows are keyed by what they share.

    Rows that differ only in ``apart`` are averaged: they saw the same prompts.

    Returns
    -------
    values : dict
        From the shared part of a setting to a dict from prompt to value.
    """
    gathered = {}
    for row in rows:
        shared = tuple(row["setting"][name] for name in NAMES if name not in apart)
        prompts = [(row["setting"]["data"], p) for p in row["per_prompt"]["prompts"]]
        values = zip(prompts, row["per_prompt"][metric], strict=True)
        known = {prompt: value for prompt, value in values if value is not None}
        gathered.setdefault(shared, []).append(known)
    return {
        shared: {p: np.mean([each[p] for each in several]) for p in several[0]}
        for shared, several in gathered.items()
    }


def difference(values, others):
    """Subtract prompt by prompt where both have a setting."""
    return {
        shared: {p: values[shared][p] - others[shared][p] for p in values[shared]}
        for shared in values
        if shared in others
    }


def estimate(*samples, seed=0):
    """Estimate a mean, or the difference of two, with a bootstrap interval.

    Settings (and with them seeds) and prompts are resampled independently of each
    other; all settings that share a prompt draw it together. With two samples the
    result is the mean of the first minus that of the second, on the same prompts.

    Parameters
    ----------
    *samples : dict
        One or two, as `by_prompt` gives them.
    seed : int, default=0
        Of the resampling.

    Returns
    -------
    estimate : Estimate
        NaN where a sample is empty.
    """
    if not all(samples):
        return Estimate(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    prompts = sorted({p for s in samples for row in s.values() for p in row})
    place = {p: k for k, p in enumerate(prompts)}
    of_prompt = rng.multinomial(
        len(prompts), np.full(len(prompts), 1 / len(prompts)), N_RESAMPLES
    )
    means, resampled = [], []
    for sample in samples:
        table = np.full((len(sample), len(prompts)), np.nan)
        for row, values in zip(table, sample.values(), strict=True):
            row[[place[p] for p in values]] = list(values.values())
        known = ~np.isnan(table)
        table = np.where(known, table, 0.0)
        n = len(table)
        of_setting = rng.multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
        weight = np.sum((of_setting @ known) * of_prompt, axis=1)
        resampled.append(np.sum((of_setting @ table) * of_prompt, axis=1) / weight)
        means.append(table.sum() / known.sum())
    sign = np.array([1.0, -1.0])[: len(samples)]
    low, high = np.nanquantile(sign @ np.array(resampled), [0.025, 0.975])
    return Estimate(float(sign @ means), float(low), float(high))


def mean(rows, name):
    """Average a plain number over rows that have it; NaN if none has."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else np.nan
