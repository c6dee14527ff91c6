"""The page on people's pairs, from the table that `human.py` fills.

    python -m benchmarks.study.human_page docs/study/human.csv

writes ``human.md`` beside the table.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.study.encoded import DATA_SETS, ENCODERS, STATISTICS
from benchmarks.study.human import BETAS, LENGTH, N_PAIRS, read

ADVERSARIAL = (
    "llmbar_neighbor",
    "llmbar_gptinst",
    "llmbar_gptout",
    "llmbar_manual",
)
GROUPS = ("plain", "adversarial", "harmless")
SHOWN_BETA = 3.0
INTRODUCTION = """# People's pairs

Reward models of the study, scored by how often they order a pair as people did. Plain:
{plain:,} pairs of Auto-J, PandaLM, MT-Bench, LLMEval2, FairEval and LLMBar's natural
part. Adversarial: {adversarial:,} pairs of LLMBar in which the more polished answer is
the wrong one. Harmless: {harmless:,} pairs of dialogues. Plus or minus one standard
error over prompts; .500 is a coin.

Models trained on judged responses learned from {pairs:,} same-prompt pairs with
simulated labels, and saw no prompt of the pairs that they are scored on. Models trained
on people learned from the same kind of pairs, by {folds} folds that share no prompt.
Both are linear, on standardised embeddings, with penalties chosen on prompts held out.
Texts of judged responses are cut at their end, of people's pairs in their middle, to
256 tokens.
"""


def group_of(row):
    """Say which group of pairs a row belongs to."""
    if row.human_set == "hh_harmless_dev":
        return "harmless"
    return "adversarial" if row.source in ADVERSARIAL else "plain"


def pooled(rows):
    """Give agreement over all sources, mean over seeds, its error, and the pairs.

    Sources are weighted by their pairs. Seeds share the test prompts: their standard
    errors are averaged, not divided by the root of their number.
    """
    values, errors, n = [], [], 0
    for seed in sorted({row.seed for row in rows}):
        mine = [row for row in rows if row.seed == seed]
        n = sum(row.n_pairs for row in mine)
        values.append(sum(row.n_pairs * row.agreement for row in mine) / n)
        total = sum((row.n_pairs * row.standard_error) ** 2 for row in mine)
        errors.append(np.sqrt(total) / n)
    return float(np.mean(values)), float(np.mean(errors)), n


def page(rows):
    """Write the page."""
    nothing = [row for row in rows if row.model == LENGTH]
    sizes = {
        group: pooled(_of(nothing, group))[2] for group in GROUPS if _of(nothing, group)
    }
    lines = [
        INTRODUCTION.format(
            **{**dict.fromkeys(GROUPS, 0), **sizes}, pairs=N_PAIRS, folds=5
        ),
        f"## Linear Bradley-Terry, labels of beta = {SHOWN_BETA:g}",
        "",
        "| trained on | encoder | " + " | ".join(GROUPS) + " |",
        "|---|---|" + "---|" * len(GROUPS),
        _line("nothing", "length alone", nothing),
    ]
    for trained_on in (*DATA_SETS, "people"):
        for encoder in (STATISTICS, *ENCODERS):
            mine = [r for r in rows if r.encoder == encoder and r.model == "bt-linear"]
            mine = [r for r in mine if _trained_on(r) == trained_on]
            mine = [r for r in mine if r.beta in (SHOWN_BETA, np.inf)]
            if mine:
                lines.append(_line(trained_on, encoder, mine))
    lines += [
        "",
        "## Classifier minus Bradley-Terry, by noise of the simulated labels",
        "",
        "Mean over encoders and both data sets of judged responses, with the smallest "
        "and the largest of them.",
        "",
        "| labels wrong | " + " | ".join(GROUPS) + " |",
        "|---|" + "---|" * len(GROUPS),
    ]
    for beta in BETAS:
        mine = [r for r in rows if r.beta == beta and r.encoder in ENCODERS]
        if mine:
            wrong = 100 * np.mean([r.error_rate for r in mine])
            cells = " | ".join(_differences(_of(mine, group)) for group in GROUPS)
            lines.append(f"| {wrong:.0f} % | {cells} |")
    return "\n".join(lines) + "\n"


def _trained_on(row):
    return "people" if row.trained_on == row.human_set else row.trained_on


def _of(rows, group):
    return [row for row in rows if group_of(row) == group]


def _line(trained_on, encoder, rows):
    cells = []
    for group in GROUPS:
        mine = _of(rows, group)
        value, error, _ = pooled(mine) if mine else (np.nan, np.nan, 0)
        cells.append(f"{value:.3f} ± {error:.3f}" if mine else "")
    return f"| {trained_on} | {encoder} | " + " | ".join(cells) + " |"


def _differences(rows):
    """Compare the two models where both were trained."""
    found = []
    for run in sorted({(r.encoder, r.trained_on) for r in rows}):
        mine = [r for r in rows if (r.encoder, r.trained_on) == run]
        by_model = [
            [r for r in mine if r.model == model]
            for model in ("clf-linear", "bt-linear")
        ]
        if all(by_model):
            classifier, bradley_terry = (pooled(each)[0] for each in by_model)
            found.append(classifier - bradley_terry)
    if not found:
        return ""
    return f"{np.mean(found):+.3f} [{min(found):+.3f}, {max(found):+.3f}]"


def main(arguments=None):
    """Write the page beside the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    path = parser.parse_args(arguments).table
    path.with_suffix(".md").write_text(page(read(path)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
