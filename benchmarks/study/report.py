"""The report: what the paper said, what came out, whether it holds here."""

from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.study import figures
from benchmarks.study.claims import claims
from benchmarks.study.intervals import by_prompt, estimate, mean

HEAD = (
    "model",
    "settings",
    "error rate",
    "order consistency",
    "at similar length",
    "cross-prompt",
    "Spearman",
    "best-of-N gain",
)
SECTIONS = (
    ("beta", "Annotation noise", "beta", ("same",)),
    ("n_pairs", "Number of pairs", "pairs", ("same",)),
    ("design", "Pairing design, same-prompt pairs", "design", ("same",)),
    ("design", "Pairing design, cross-prompt pairs", "design", ("cross",)),
)


def write_report(rows, folder):
    """Write ``report.md`` and its figures into a folder; give the report's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = list({row["key"]: row for row in rows}.values())
    if len(_levels(rows, "data")) != 1:
        raise ValueError(
            "a report is on the results of one data source, got those of "
            f"{', '.join(_levels(rows, 'data')) or 'none'}."
        )
    package = [row for row in rows if row["setting"]["recipe"] == "package"]
    paper = [row for row in rows if row["setting"]["recipe"] != "package"]
    text = [*_opening(rows), "## What the paper said, and what came out\n"]
    for claim in claims(rows):
        text += [
            f"### {claim.title}\n",
            f"*The paper:* {claim.said}\n",
            *_listed(claim.found),
            f"**{claim.verdict}**\n",
        ]
    text.append("## Tables\n")
    for task in _levels(rows, "task"):
        of_task = [row for row in package if row["setting"]["task"] == task]
        for axis, title, unit, pairings in SECTIONS:
            chosen = [row for row in of_task if row["setting"]["pairing"] in pairings]
            if chosen:
                text += [
                    f"### {title} (true reward: {task})\n",
                    *_table(chosen, axis, unit),
                ]
        recipes = [row for row in paper if row["setting"]["task"] == task]
        if recipes:
            text += [
                f"### The paper's recipe by validation split (true reward: {task})\n",
                *_table(recipes, "recipe", "recipe"),
            ]
    text.append("## Figures\n")
    for name, caption in figures.draw(rows, folder):
        text.append(f"![{caption}]({name})\n\n{caption}\n")
    path = folder / "report.md"
    path.write_text("\n".join(text))
    return path


def _opening(rows):
    versions = Counter(
        ", ".join(f"{name} {v}" for name, v in row["versions"].items()) for row in rows
    )
    widths = ", ".join(map(str, sorted({row["n_features"] for row in rows})))
    n_values = ", ".join(map(str, sorted({row["per_prompt"]["n"] for row in rows})))
    hours = sum(row["core_seconds"] for row in rows) / 3600
    return [
        "# The annotation study\n",
        f"{len(rows)} settings on {', '.join(_levels(rows, 'data'))} ({widths} "
        f"features), {hours:.2f} core-hours. All models of a block saw the same "
        "prompts, pairs and labels. Scores are on prompts never trained on. Best-of-N "
        f"gain is over the mean response, for N = {n_values}, in standard deviations "
        "of the true reward. Intervals are 95 %, from a bootstrap over settings (with "
        "their seeds) and over prompts; there is none for fewer than five settings. "
        "Numbers of pairs, and designs, are compared by least squares with effects of "
        "all other axes. “At similar length” counts pairs of which neither response is "
        "a tenth longer; “length alone” predicts the longer response. Verdicts go by "
        "the best-of-N gain, the paper's own measure.\n",
        "Versions: " + "; ".join(versions) + ".\n",
    ]


def _table(rows, axis, unit):
    """Give one Markdown table: levels of an axis by models, and length alone."""
    lines = [f"| {unit} | " + " | ".join(HEAD) + " |", "|---" * (len(HEAD) + 1) + "|"]
    for level in _levels(rows, axis):
        of_level = [row for row in rows if row["setting"][axis] == level]
        for model in _levels(of_level, "model"):
            mine = [row for row in of_level if row["setting"]["model"] == model]
            lines.append(_line(level, model, mine, mean(mine, "error_rate")))
        null = [
            {**row["length_only"], "setting": row["setting"]}
            for row in of_level
            if row["length_only"] is not None
        ]
        if null:
            lines.append(_line(level, "*length alone*", null, np.nan))
    return [*lines, ""]


def _line(level, model, rows, error_rate):
    cells = (
        level,
        model,
        len(rows),
        "" if np.isnan(error_rate) else f"{100 * error_rate:.1f} %",
        estimate(by_prompt(rows, "order_consistency")),
        _number(mean(rows, "order_consistency_similar_length")),
        _number(mean(rows, "order_consistency_cross")),
        _number(mean(rows, "spearman")),
        estimate(by_prompt(rows, "best_of_n")),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _number(value):
    return "" if np.isnan(value) else f"{value:.3f}"


def _levels(rows, axis):
    return sorted({row["setting"][axis] for row in rows})


def _listed(found):
    return [*(f"- {line}" for line in found), ""]
