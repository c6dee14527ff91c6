"""How a difference varies between encoders and data sets."""

import numpy as np

from benchmarks.study.contrasts import minus
from benchmarks.study.intervals import crossed
from benchmarks.study.scores import common


def forest(scores, classifier, metric="order_consistency"):
    """Estimate classifier minus Bradley-Terry by data set and encoder.

    Returns
    -------
    lines : list of (str, Estimate)
        One an encoder and data set, then one a data set, then the whole; all on the
        blocks that all of them have.
    """
    contrast, mine = _matched(scores, classifier)
    tasks, pools = mine.levels("task"), mine.levels("pool")
    lines = [
        (f"{task}, {pool}", contrast.estimate(mine.where(task=task, pool=pool), metric))
        for task in tasks
        for pool in pools
    ]
    if len(tasks) > 1:
        lines += [
            (f"all encoders, {task}", contrast.estimate(mine.where(task=task), metric))
            for task in tasks
        ]
    whole = [("all encoders and data sets", contrast.estimate(mine, metric))]
    return lines + whole if lines else []


def between(scores, classifier, metric="order_consistency"):
    """Estimate the standard deviation of the true difference between encoders.

    By moments: the spread of an encoder's difference about the mean of all, less what
    chance adds to that spread. Encoders share prompts, seeds and labels, so chance is
    measured on the deviations themselves.

    Returns
    -------
    deviations : dict
        By data set; 0 where the encoders differ by no more than chance. None for a
        single encoder, or without an error.
    """
    contrast, mine = _matched(scores, classifier)
    found = {}
    for task in mine.levels("task"):
        part = mine.where(task=task)
        pools = part.levels("pool")
        tables = [contrast.tables(part.where(pool=p), metric)[0][0][0] for p in pools]
        found[task] = None
        if len(pools) > 1:
            errors, means = _deviations(tables)
            if not np.isnan(errors).any():
                square = (np.sum(means**2) - np.sum(errors**2)) / (len(pools) - 1)
                found[task] = float(np.sqrt(max(square, 0.0)))
    return found


def _deviations(tables):
    together = np.mean(tables, axis=0)
    estimates = [crossed([table - together]) for table in tables]
    return (
        np.array([estimate.error for estimate in estimates]),
        np.array([estimate.mean for estimate in estimates]),
    )


def _matched(scores, classifier):
    contrast = minus(f"{classifier} minus bt-mlp", classifier, "bt-mlp")
    mine = scores.where(recipe="matched", pairing="same", model=(classifier, "bt-mlp"))
    parts = common(mine, [levels for _, levels in contrast.terms])
    return contrast, parts[0].joined(parts[1])
