"""The report's section on what people prefer, from the table of human pairs."""

import csv
from collections import defaultdict

import numpy as np

STATISTICS, NOTHING = "statistics", "-"
ADVERSARIAL = ("llmbar_gptinst", "llmbar_gptout", "llmbar_manual", "llmbar_neighbor")
GROUPS = ("people's pairs", "of similar length", "adversarial pairs", "harmless pairs")
TEXT = """\
## And people?

The share of pairs that people ordered which a reward orders alike: of models trained on
simulated labels of a judged data set (over noise levels and seeds), and of linear ones
trained on people's own preferences by folds that share no prompt. Adversarial pairs are
those of LLMBar whose better-looking answer is wrong. Intervals are over prompts, of a
single run. Lines compare where their features are the same. `human.csv` has every
source, encoder and noise level.
"""


def section(folder):
    """Give the lines of the section; none without ``human.csv``."""
    path = folder / "human.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    size = defaultdict(dict)
    by_line = defaultdict(lambda: defaultdict(list))
    for row in rows:
        group = _group(row)
        size[group][row["human_set"], row["source"]] = int(row["n_pairs"])
        learned = row["encoder"] not in (STATISTICS, NOTHING)
        kind = "embeddings" if learned else row["encoder"]
        by_line[row["trained_on"], row["model"], kind][group].append(row)
    total = {group: sum(sizes.values()) for group, sizes in size.items()}
    total[GROUPS[1]] = None
    groups = [group for group in GROUPS if group in total]
    heads = [f"{g} ({total[g]:,})" if total[g] else g for g in groups]
    lines = [TEXT, "| trained on | model | features | " + " | ".join(heads) + " |"]
    lines.append("|---" * (len(heads) + 3) + "|")
    # What learns nothing first, then what learns from statistics.
    order = {NOTHING: 0, STATISTICS: 1}
    for place in sorted(by_line, key=lambda p: (order.get(p[2], 2), p)):
        mine = by_line[place]
        encoders = {row["encoder"] for several in mine.values() for row in several}
        kind = place[2]
        if kind == "embeddings":
            kind = ", ".join(sorted(encoders))
        cells = [_cell(mine, group) for group in groups]
        lines.append("| " + " | ".join([*place[:2], kind, *cells]) + " |")
    return [*lines, ""]


def _group(row):
    if row["source"] in ADVERSARIAL:
        return "adversarial pairs"
    harmless = row["human_set"].startswith("hh_")
    return "harmless pairs" if harmless else "people's pairs"


def _cell(mine, group):
    """Pool the sources of a group by their pairs, runs evenly."""
    if group == "of similar length":
        rows = [row for row in mine.get("people's pairs", ()) if int(row["n_similar"])]
        if not rows:
            return ""
        n, agreement = _column(rows, "n_similar"), _column(rows, "similar")
        return f"{n @ agreement / n.sum():.3f}"
    rows = mine.get(group)
    if not rows:
        return ""
    n, agreement = _column(rows, "n_pairs"), _column(rows, "agreement")
    runs = len({_run(row) for row in rows})
    # The variance of a mean over sources, for one of the runs.
    square = np.sum((n * _column(rows, "standard_error")) ** 2) / runs
    half = 1.96 * np.sqrt(square) / (n.sum() / runs)
    return f"{n @ agreement / n.sum():.3f} ± {half:.3f}"


def _run(row):
    return row["encoder"], row["beta"], row["seed"]


def _column(rows, name):
    return np.array([float(row[name]) for row in rows])
