"""Differences between kinds of runs, each on the blocks that all of them have."""

from typing import NamedTuple

import numpy as np

from benchmarks.study.intervals import NOTHING, crossed
from benchmarks.study.scores import common

NOISY = 0.10
NOISE_RANGE = 0.30  # slopes are over as much: from a tenth of wrong labels to 40 %


class Contrast(NamedTuple):
    """A sum of weighted kinds of runs, over the noise it is asked for.

    Parameters
    ----------
    text : str
        What it is.
    terms : tuple of (float, dict)
        Weight, and levels of axes that name the kind; all name the same axes.
    noise : {"any", "low", "high", "slope"}, default="any"
        Over all cells of task, design, pairing and beta; those with a measured error
        rate under `NOISY`; the others; or by how much the sum grows over `NOISE_RANGE`
        of measured error rate, linearly, within task, design and pairing.
    """

    text: str
    terms: tuple
    noise: str = "any"

    def tables(self, scores, *metrics):
        """Give tables of seeds by test prompts, one a task, for each metric.

        Returns
        -------
        tables : list of list of ndarray
            For each metric; empty where no block has all terms.
        n_blocks : int
            How many blocks they are of.
        """
        parts = common(scores, [levels for _, levels in self.terms])
        weight, inside = _noise_weight(parts, self.noise)
        if not inside.any():
            return [[] for _ in metrics], 0
        weighted = [
            (factor, part.take(inside))
            for (factor, _), part in zip(self.terms, parts, strict=True)
            if factor != 0.0  # there only to say which blocks
        ]
        found = []
        for metric in metrics:
            kinds = zip(*(p.tables(metric, weight) for _, p in weighted), strict=True)
            factors = [factor for factor, _ in weighted]
            found.append([np.tensordot(factors, tables, axes=1) for tables in kinds])
        return found, int(inside.sum())

    def estimates(self, scores, *metrics):
        """Estimate it by each metric, with the settings and blocks it rests on."""
        tables, n_blocks = self.tables(scores, *metrics)
        n_kinds = sum(factor != 0.0 for factor, _ in self.terms)
        return [
            crossed(each)._replace(n_blocks=n_blocks, n_settings=n_blocks * n_kinds)
            if each
            else NOTHING
            for each in tables
        ]

    def estimate(self, scores, metric):
        """Estimate it by one metric."""
        return self.estimates(scores, metric)[0]


def minus(text, model, other, noise="any", **levels):
    """Contrast two models, or a model under other levels of axes."""
    return Contrast(
        text,
        ((1.0, {"model": model, **levels}), (-1.0, {"model": other, **levels})),
        noise,
    )


def under(contrast, recipe, other=None):
    """Ask a contrast of one recipe, or what it changes from another to this one."""
    terms = [(w, {**levels, "recipe": recipe}) for w, levels in contrast.terms]
    if other is not None:
        terms += [(-w, {**levels, "recipe": other}) for w, levels in contrast.terms]
    return contrast._replace(terms=tuple(terms))


def step(text, axis, level, other, **levels):
    """Contrast two levels of an axis for one kind of runs."""
    return Contrast(
        text, ((1.0, {axis: level, **levels}), (-1.0, {axis: other, **levels}))
    )


def _noise_weight(parts, noise):
    """Give weights of blocks, and which of them have one; None averages."""
    n = len(parts[0])
    if noise == "any" or not n:
        return None, np.ones(n, dtype=bool)
    cell = np.unique(
        parts[0].codes("task", "design", "pairing", "beta"), return_inverse=True
    )[1]
    measured = np.mean([part.plain["error_rate"] for part in parts], axis=0)
    error = (np.bincount(cell, measured) / np.bincount(cell))[cell]
    if noise != "slope":
        return None, error >= NOISY if noise == "high" else error < NOISY
    group = np.unique(parts[0].codes("task", "design", "pairing"), return_inverse=True)[
        1
    ]
    centred = error - (np.bincount(group, error) / np.bincount(group))[group]
    place = np.unique(parts[0].codes("task", "seed"), return_inverse=True)[1]
    square = np.bincount(place, centred**2)[place]
    inside = np.full(n, bool(square.all()))
    return NOISE_RANGE * centred / np.where(square, square, 1.0), inside
