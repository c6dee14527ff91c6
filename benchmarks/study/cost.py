"""What is done, and what the whole grid would cost."""

from collections import defaultdict

import numpy as np

PAPER_CORE_HOURS = 6_000


def grid_seconds(rows, table):
    """Estimate the seconds of a whole table on one core, from those measured.

    The mean over each stratum (pool, model, recipe and number of pairs) times the
    number of its settings. A stratum without results has no estimate, nor has the
    table.

    Returns
    -------
    seconds : float
        NaN where a stratum has no result.
    """
    measured = defaultdict(list)
    for row in rows:
        setting = row["setting"]
        stratum = setting["pool"], setting["model"], setting["recipe"]
        measured[*stratum, setting["n_pairs"]].append(row["core_seconds"])
    strata = [
        (pool, *learner, n_pairs)
        for pool in table.pools
        for learner in table.learners
        for n_pairs in table.quantities
    ]
    means = [np.mean(measured.get(stratum, np.nan)) for stratum in strata]
    return float(len(table) / len(strata) * np.sum(means))


def describe(rows, table):
    """Give lines on progress, and on the cost by model and width."""
    keys = {setting.key for setting in table.settings()}
    done = [row for row in rows if row["key"] in keys]
    lines = [f"{len(done):,} of {len(table):,} settings of this table are done."]
    for model, recipe in table.learners:
        mine = [row for row in done if _learner(row) == (model, recipe)]
        if not mine:
            continue
        widths = defaultdict(list)
        for row in mine:
            widths[row["n_features"]].append(row["core_seconds"])
        by_width = ", ".join(
            f"d = {width} {np.mean(seconds):.2f} ({len(seconds):,})"
            for width, seconds in sorted(widths.items())
        )
        mean = np.mean([row["core_seconds"] for row in mine])
        lines.append(
            f"  {model:10} {recipe:12} {mean:6.2f} core-seconds a setting: {by_width}"
        )
    spent = sum(row["core_seconds"] for row in done) / 3600
    lines.append(f"They took {spent:.2f} core-hours.")
    total = grid_seconds(done, table) / 3600
    lines.append(
        "Too few are done for an estimate of the whole."
        if np.isnan(total)
        else f"All {len(table):,} take {total:.1f} core-hours by these; the paper "
        f"reports about {PAPER_CORE_HOURS:,} for its 12,960."
    )
    return lines


def _learner(row):
    return row["setting"]["model"], row["setting"]["recipe"]
