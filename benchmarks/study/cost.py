"""What is done, and what the whole grid would cost."""

from collections import defaultdict

import numpy as np

PAPER_CORE_HOURS = 6_000


def grid_seconds(rows, table):
    """Estimate the seconds of a whole table on one core, from those measured.

    The mean over each stratum (model, recipe and number of pairs) times the number
    of its settings. A stratum without results has no estimate, nor has the table.

    Returns
    -------
    seconds, standard_error : float
        NaN where a stratum has no result; the error is NaN where one has a single
        result.
    """
    measured = defaultdict(list)
    for row in rows:
        setting = row["setting"]
        stratum = setting["model"], setting["recipe"], setting["n_pairs"]
        measured[stratum].append(row["core_seconds"])
    strata = [
        (*learner, n_pairs)
        for learner in table.learners
        for n_pairs in table.quantities
    ]
    per_stratum = len(table) / len(strata)
    total, variance = 0.0, 0.0
    for stratum in strata:
        seconds = np.array(measured.get(stratum, [np.nan]))
        total += per_stratum * seconds.mean()
        spread = np.std(seconds, ddof=1) if len(seconds) > 1 else np.nan
        variance += per_stratum**2 * spread**2 / len(seconds)
    return float(total), float(np.sqrt(variance))


def describe(rows, table):
    """Give lines on progress and on the cost of the whole grid, by width."""
    keys = {setting.key for setting in table.settings()}
    done = [row for row in rows if row["key"] in keys]
    lines = [f"{len(done)} of {len(table)} settings of this table are done."]
    by_width = defaultdict(list)
    for row in rows:
        by_width[row["n_features"]].append(row)
    for width, of_width in sorted(by_width.items()):
        lines.append(f"d = {width}: {len(of_width)} settings measured.")
        for model, recipe in table.learners:
            seconds = [
                row["core_seconds"]
                for row in of_width
                if (row["setting"]["model"], row["setting"]["recipe"])
                == (model, recipe)
            ]
            if seconds:
                lines.append(
                    f"  {model:10} {recipe:12} {np.mean(seconds):8.2f} s a setting "
                    f"({len(seconds)} settings)"
                )
        total, error = grid_seconds(of_width, table)
        if np.isnan(total):
            lines.append("  too few strata measured for an estimate of the whole.")
        else:
            share = len(table.pairings)
            spread = f" +- {1.96 * error / share / 3600:,.1f} (95 %)"
            lines.append(
                f"  all {len(table) // share} settings of one pairing: "
                f"{total / share:,.0f} s on one core, {total / share / 3600:,.1f}"
                f"{'' if np.isnan(error) else spread} core-hours; the paper reports "
                f"about {PAPER_CORE_HOURS:,} for 12,960."
            )
    return lines
