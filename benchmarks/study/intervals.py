"""Means over settings and prompts, with intervals over both."""

from typing import NamedTuple

import numpy as np

from benchmarks.study.settings import NAMES

N_RESAMPLES = 1000
FEWEST_SETTINGS = 5
APART = ("model", "recipe", "pairing")
BLOCK_NAMES = tuple(name for name in NAMES if name not in APART)


class Estimate(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self):
        if np.isnan(self.mean):
            return ""
        interval = f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.mean:.3f}" + ("" if np.isnan(self.low) else interval)

    @property
    def signed(self):
        """The estimate as text, for a difference."""
        if np.isnan(self.low):
            return "too few settings"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def by_prompt(rows, metric, apart=APART):
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


def estimate(sample, seed=0):
    """Estimate a mean with a bootstrap interval.

    Settings (and with them seeds) and prompts are resampled independently of each
    other; all settings that share a prompt draw it together.

    Parameters
    ----------
    sample : dict
        As `by_prompt` gives it.
    seed : int, default=0
        Of the resampling.

    Returns
    -------
    estimate : Estimate
        NaN for an empty sample. Without an interval for fewer than five settings:
        they do not show how much settings differ.
    """
    if not sample:
        return Estimate(np.nan, np.nan, np.nan)
    table, known = _as_table(sample)
    resampled = [
        np.average((table @ w_prompt) / (known @ w_prompt), weights=w_setting)
        for w_setting, w_prompt in _resamples(known.shape, seed)
    ]
    return _with_interval(np.mean(table.sum(1) / known.sum(1)), resampled, len(table))


def contrast(sample, axis, level, other, seed=0):
    """Estimate what one level of an axis is better than another.

    Least squares with an effect for every level of every axis that occurs, so that
    levels are compared as if the other axes were the same; with a bootstrap interval
    over settings and prompts, as in `estimate`.

    Parameters
    ----------
    sample : dict
        As `by_prompt` gives it.
    axis : str
        An axis of the settings.
    level, other
        Two of its levels.
    seed : int, default=0
        Of the resampling.

    Returns
    -------
    estimate : Estimate
        NaN where a level does not occur; without an interval for fewer than five
        settings at either level.
    """
    settings = [dict(zip(BLOCK_NAMES, shared, strict=True)) for shared in sample]
    counts = [sum(s[axis] == wanted for s in settings) for wanted in (level, other)]
    if not all(counts):
        return Estimate(np.nan, np.nan, np.nan)
    table, known = _as_table(sample)
    design, position = _dummies(settings, axis, level, other)

    def effect(w_setting, w_prompt):
        root = np.sqrt(w_setting)
        values = (table @ w_prompt) / (known @ w_prompt)
        return np.linalg.lstsq(design * root[:, np.newaxis], values * root)[0][position]

    resampled = [effect(*weights) for weights in _resamples(known.shape, seed)]
    mean = effect(np.ones(len(table)), np.ones(known.shape[1]))
    return _with_interval(mean, resampled, min(counts))


def _as_table(sample):
    """Give values as settings by prompts, zero where not known, and what is known."""
    prompts = sorted({prompt for values in sample.values() for prompt in values})
    place = {prompt: k for k, prompt in enumerate(prompts)}
    table = np.zeros((len(sample), len(prompts)))
    known = np.zeros_like(table)
    for k, values in enumerate(sample.values()):
        columns = [place[prompt] for prompt in values]
        table[k, columns], known[k, columns] = list(values.values()), 1.0
    return table, known


def _resamples(shape, seed):
    """Draw weights of settings and of prompts, as if drawn with replacement.

    A prompt that is not drawn keeps a negligible weight: a setting might otherwise
    lose all its prompts.
    """
    rng = np.random.default_rng(seed)
    for _ in range(N_RESAMPLES):
        yield tuple(
            np.maximum(rng.multinomial(n, np.full(n, 1 / n)), 1e-9) for n in shape
        )


def _with_interval(mean, resampled, n_settings):
    if n_settings < FEWEST_SETTINGS:
        return Estimate(float(mean), np.nan, np.nan)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(float(mean), float(low), float(high))


def _dummies(settings, axis, level, other):
    """Give a design matrix and the column that holds ``level`` minus ``other``."""
    columns, position = [np.ones(len(settings))], None
    for name in BLOCK_NAMES:
        values = [s[name] for s in settings]
        reference = other if name == axis else values[0]
        for value in dict.fromkeys(values):
            if value != reference:
                if name == axis and value == level:
                    position = len(columns)
                columns.append(np.array([v == value for v in values], dtype=float))
    return np.column_stack(columns), position


def mean(rows, name):
    """Average a plain number over rows that have it; NaN if none has."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else np.nan
