"""The report's section on what people prefer, from the table of human pairs."""

import csv
from collections import defaultdict

import numpy as np

STATISTICS = "statistics"
TEXT = """\
## And people?

Linear rewards trained on simulated labels of a judged data set, and on people's own
preferences by folds that share no prompt, against pairs that people ordered: the share
in their order, over encoders and noise levels (the interval is over the test's prompts,
for a single run). The adversarial part of LLMBar is made so that the better-looking
answer is wrong.
"""


def section(folder):
    """Give the lines of the section; none without ``human.csv``."""
    path = folder / "human.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    size = {(row["human_set"], row["source"]): int(row["n_pairs"]) for row in rows}
    sources = sorted(size)
    heads = [f"{source} ({size[name, source]:,})" for name, source in sources]
    lines = [TEXT, "| trained on | model | encoders | " + " | ".join(heads) + " |"]
    lines.append("|---" * (len(heads) + 3) + "|")
    by_line = defaultdict(lambda: defaultdict(list))
    encoders = defaultdict(set)
    for row in rows:
        learned = row["encoder"] not in (STATISTICS, "-", "")
        kind = "embeddings" if learned else row["encoder"]
        place = row["trained_on"], row["model"], kind
        by_line[place][row["human_set"], row["source"]].append(row)
        encoders[place].add(row["encoder"])
    for place, mine in sorted(by_line.items()):
        trained_on, model, kind = place
        n = str(len(encoders[place])) if kind == "embeddings" else kind
        cells = [_cell(mine[source]) if source in mine else "" for source in sources]
        lines.append("| " + " | ".join([trained_on, model, n, *cells]) + " |")
    return [*lines, ""]


def _cell(rows):
    agreement, error = (
        np.mean([float(row[name]) for row in rows])
        for name in ("agreement", "standard_error")
    )
    return f"{agreement:.3f} ± {1.96 * error:.3f}"
