"""The report: what the paper said, what came out, under which training."""

from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.study import figures, people, prose
from benchmarks.study.ablations import CHANGES, RECIPES, families
from benchmarks.study.claims import (
    CHANGE,
    CLASSIFIERS,
    MATCHED,
    METRICS,
    PAPER,
    PAPER_RECIPE,
    answer,
    under,
)
from benchmarks.study.contrasts import Contrast
from benchmarks.study.encoded import ENCODERS
from benchmarks.study.heterogeneity import between, forest
from benchmarks.study.intervals import crossed, resampled
from benchmarks.study.scores import BASELINES, NETWORKS, Scores, balanced
from benchmarks.study.settings import (
    LINEAR_MODELS,
    PAPER_MODELS,
    PAPER_RECIPES,
    WIDE,
)
from benchmarks.study.tables import (
    FAMILIES,
    NAMES,
    against_baselines,
    all_tables,
    chosen_table,
    cost_table,
    estimate_rows,
    extent,
    number,
    on_the_same,
    shared_blocks,
    table,
)

GRID = 12_960
ONE_CHANGE = FAMILIES["one change at a time"][1]


def write_report(rows, folder):
    """Write ``report.md``, ``tables.md`` and the figures; give the report's path.

    Parameters
    ----------
    rows : list of dict
        Lines of results files, in any order; a repeated line counts once.
    folder : path
        Where to write. ``convergence.md`` and ``human.csv`` in it are taken up.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    everything = Scores(rows)
    scores = of_the_grid(everything)
    if not len(scores.where(recipe="matched", model=PAPER_MODELS)):
        raise ValueError(
            "a report is on results of matched training, and there are none of "
            f"{', '.join(PAPER_MODELS)}."
        )
    answers = answer(scores)
    drawn = dict(figures.draw(scores, folder))
    text = [
        *_opening(scores),
        *_abstract(answers, scores),
        *_set_up(scores),
        *_claims(answers, scores, drawn),
        *_ablations(scores, drawn),
        *_heterogeneity(scores, drawn),
        *_by_data_set(scores, answers),
        *_baselines(scores),
        *_convergence(folder),
        *people.section(folder),
        *_robustness(scores, answers),
        *_cost(everything, rows),
    ]
    (folder / "tables.md").write_text(_tables_page(scores, everything, answers))
    path = folder / "report.md"
    path.write_text("\n".join(text).rstrip() + "\n")
    return path


def of_the_grid(scores):
    """Leave out further encoders, where those of the grid are there."""
    if not scores.mask(pool=ENCODERS).any():
        return scores
    return scores.where(pool=(*ENCODERS, "-"))


def _opening(scores):
    grid = scores.where(recipe="matched", pairing="same", model=PAPER_MODELS)
    others = len(scores) - len(grid)
    part = grid.take(balanced(grid))
    lines = [f"# The annotation study: {len(grid):,} of {GRID:,} settings\n"]
    if others:
        lines.append(f"Beside the grid: {others:,} settings of {_beside(scores)}.")
    missing = [pool for pool in ENCODERS if pool not in grid.levels("pool")]
    if grid.mask(pool=ENCODERS).any() and missing:
        lines.append(f"Not run yet: the grid by {', '.join(missing)}.")
    left = len(grid) - len(part)
    if left:
        lines.append(
            f"**The grid is not finished:** {left:,} settings are left out so that "
            f"what is compared is balanced; {len(part):,} are kept ({extent(part)})."
            if len(part)
            else "**No part of the grid is balanced yet:** nothing of it is compared."
        )
    lines.append(
        "Made by `python -m benchmarks.annotation_study report`, figures included. "
        "Behind it: [all tables](tables.md), [what differs from the "
        "paper](deviations.md), [how to run it again](REPRODUCE.md).\n"
    )
    return lines


def _beside(scores):
    """Name what there is beside the grid."""
    kinds = {
        "pairs across prompts": {"pairing": "cross"},
        "linear models": {"model": LINEAR_MODELS},
        "other trainings": {"recipe": (WIDE, *PAPER_RECIPES)},
        "baselines": {"model": BASELINES},
    }
    return ", ".join(k for k, levels in kinds.items() if scores.mask(**levels).any())


def _set_up(scores):
    pools = [pool for pool in scores.levels("pool") if pool != "-"]
    data, tasks = scores.levels("data"), scores.levels("task")
    return prose.set_up(data, pools, tasks, _is_by_paper(scores))


def _abstract(answers, scores):
    seeds = scores.where(recipe="matched", model=PAPER_MODELS).levels("seed")
    opening = prose.abstract(len(seeds), _is_by_paper(scores))
    lines = ["## In short\n", opening + "\n"]
    lines.append(f"- **Baselines.** {_baseline_sentence(scores)}{_similar(scores)}")
    for claim, findings in answers:
        lines.append(f"- **{claim.title}.** The paper says {claim.said}")
        lines += [f"  - {sentence}" for sentence in _verdicts(findings)]
    return [*lines, ""]


def _is_by_paper(scores):
    """Whether the paper's recipe was run."""
    return PAPER_RECIPE in scores.levels("recipe")


def _similar(scores):
    """Say what is learned from pairs of similar responses alone."""
    terms = tuple((0.5, {"model": model, "design": "similar"}) for model in NETWORKS)
    matched = scores.where(recipe="matched", pairing="same")
    estimate = Contrast("", terms).estimate(matched, METRICS[0])
    if np.isnan(estimate.mean):
        return ""
    return (
        " Trained on pairs of similar responses, the two networks order "
        f"{estimate} of unseen pairs; a coin orders 0.5."
    )


def _verdicts(findings):
    """Say what came out of each headline, under each training, in a sentence."""
    for says in dict.fromkeys(f.question.says for f in findings if f.question.says):
        mine = {f.training: f for f in findings if f.question.says == says}
        words = [
            f"{opening} **{mine[training].verdict}** ({_first(mine[training]).signed})"
            for training, opening in (
                (PAPER, "under the paper's recipe, it"),
                (MATCHED, "under matched training, it"),
            )
            if training in mine
        ]
        change = mine.get(CHANGE)
        if change is not None and change.verdict.startswith("differs"):
            words.append(f"the training changes it ({_first(change).signed})")
        yield f"That {says}: {'; '.join(words)}."


def _first(finding):
    return finding.estimates[METRICS[0]]


def _claims(answers, scores, drawn):
    shown = {
        "Under noise": "noise.png",
        "More labels": "quantity.png",
        "Cross-prompt or same-prompt pairs": "pairing.png",
    }
    tested = sum(bool(f.verdict) for _, findings in answers for f in findings)
    lines = ["## What the paper said, and what came out\n"]
    how = prose.claims(_is_by_paper(scores))
    lines.append(f"{how} P-values are corrected for {tested} tests.\n")
    for claim, findings in answers:
        lines += [f"### {claim.title}\n", *_figure(shown.get(claim.title), drawn)]
        lines += _findings([f for f in findings if f.question.says])
    return lines


def _findings(findings):
    """Give the table of answers."""
    return [
        "| difference | training | settings | order consistency | p, corrected "
        "| best-of-N gain | p, corrected | verdict |",
        "|---|---|---|---|---|---|---|---|",
        *map(_finding_line, findings),
        "",
    ]


def _finding_line(finding):
    cells = [finding.question.contrast.text, finding.training]
    cells.append(f"{_first(finding).n_settings:,}")
    for metric in METRICS:
        estimate = finding.estimates[metric]
        both = f"{_p(estimate.p_value)}, {_p(finding.corrected[metric])}"
        cells += [estimate.signed, both if finding.verdict else ""]
    return "| " + " | ".join([*cells, finding.verdict]) + " |"


def _p(value):
    if np.isnan(value):
        return "none"
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _ablations(scores, drawn):
    lines = []
    for title, family, found in families(scores):
        lines += [
            f"**{title[0].upper()}{title[1:]}**, on the same "
            f"{found[0].n_settings:,} blocks for every line; “moved” is against the "
            "first line.\n",
            "| training | bt-mlp | clf-mlp | clf-mlp minus bt-mlp | moved "
            "| growth of that from 10 % to 40 % of wrong labels | moved |",
            "|---|---|---|---|---|---|---|",
        ]
        for one in found:
            estimates = one.bradley_terry, one.classifier, *(e.signed for e in one[4:])
            cells = map(str, (RECIPES[one.recipe], *estimates))
            lines.append("| " + " | ".join(cells) + " |")
        lines += [*_nulls(scores, family), ""]
        if family == ONE_CHANGE:
            lines.append(f"**{_why(found)}**\n")
    if lines:
        head = "### Why: what each part of a recipe does\n"
        lines = [head, *_figure("recipes.png", drawn), *lines]
    return lines


def _nulls(scores, family):
    """Give lines of the baselines on the blocks of a family of recipes."""
    networks = scores.where(pairing="same", recipe=family)
    mine = next(iter(shared_blocks(networks, "recipe", NETWORKS).values()))[NETWORKS[0]]
    for name in BASELINES:
        value = estimate_rows(on_the_same(scores.where(model=name), mine), METRICS[0])
        if not np.isnan(value.mean):
            yield f"| *{NAMES[name]}*, on the same labels | {value} | | | | | |"


def _why(found):
    """Name the single change that moves the difference the most."""
    single = [one for one in found if one.recipe in CHANGES]
    known = [one for one in single if not np.isnan(one.moved.error)]
    if not known:
        return "No change was run alone."
    most = max(known, key=lambda one: abs(one.moved.mean))
    low, high = most.moved.interval
    words = (
        "moves the comparison of classifier and Bradley-Terry the most"
        if low > 0 or high < 0
        else "moves the comparison the most, but not beyond its interval"
    )
    return f"Of single changes, “{RECIPES[most.recipe]}” {words} ({most.moved.signed})."


def _heterogeneity(scores, drawn):
    lines = ["## Do encoders and data sets agree?\n", *_figure("encoders.png", drawn)]
    for classifier in CLASSIFIERS:
        found = forest(scores, classifier)
        cells = [e for text, e in found if not text.startswith("all")]
        if not cells or np.isnan(cells[0].error):
            continue
        above = sum(e.interval[0] > 0 for e in cells)
        below = sum(e.interval[1] < 0 for e in cells)
        spread = ", ".join(
            f"{deviation:.3f} on {task}"
            for task, deviation in between(scores, classifier).items()
            if deviation is not None
        )
        lines.append(
            f"{classifier} minus bt-mlp: of {len(cells)} intervals {above} are above "
            f"zero and {below} below; the standard deviation between encoders, less "
            f"what chance adds, is {spread or 'not known'}.\n"
        )
    return lines


def _by_data_set(scores, answers):
    """Give the headlines under matched training, each data set by itself."""
    tasks = scores.where(model=PAPER_MODELS).levels("task")
    if len(tasks) < 2:
        return []
    lines = [
        "| difference, matched training | " + " | ".join(tasks) + " |",
        "|---" * (len(tasks) + 1) + "|",
    ]
    for claim, findings in answers:
        part = scores.where(pairing=claim.pairing)
        for finding in findings:
            if finding.training == MATCHED and finding.question.says:
                contrast = under(finding.question.contrast, "matched")
                cells = [
                    contrast.estimate(part.where(task=task), METRICS[0]).signed
                    for task in tasks
                ]
                lines.append(f"| {contrast.text} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _baseline_estimates(scores):
    same = scores.where(recipe=("matched", "baseline"), pairing=("same", "-"))
    return against_baselines(same, METRICS[0])


def _baselines(scores):
    found = _baseline_estimates(scores)
    if not found:
        return []
    lines = [
        "## Against length and statistics of the text\n",
        prose.BASELINES + "\n",
        "| model | design | settings | minus length alone | minus text statistics |",
        "|---|---|---|---|---|",
    ]
    cells = {(m, d): {} for m, _, d, _ in found}
    for model, baseline, design, estimate in found:
        cells[model, design][baseline] = estimate
    for (model, design), mine in cells.items():
        texts = [mine[b].signed if b in mine else "" for b in BASELINES]
        n = next(iter(mine.values())).n_settings
        lines.append(f"| {model} | {design} | {n:,} | {' | '.join(texts)} |")
    return [*lines, ""]


def _baseline_sentence(scores):
    found = [
        each
        for each in _baseline_estimates(scores)
        if each[0] in PAPER_MODELS and not np.isnan(each[-1].error)
    ]
    if not found:
        return "They are not run yet."
    words = []
    for baseline in BASELINES:
        mine = [e for e in found if e[1] == baseline]
        above = sum(e.interval[0] > 0 for *_, e in mine)
        below = sum(e.interval[1] < 0 for *_, e in mine)
        words.append(
            f"against {NAMES[baseline]}, {above} of {len(mine)} are better and {below} "
            "worse beyond their intervals"
        )
    return "Of the three models under three designs, " + "; ".join(words) + "."


def _convergence(folder):
    page = folder / "convergence.md"
    if not page.exists():
        return []
    lines = page.read_text().splitlines()
    return ["## " + lines[0].lstrip("# "), *lines[1:], ""]


def _robustness(scores, answers):
    """Give headline intervals by other ways of counting what varies."""
    head = [
        "## Do the verdicts depend on the intervals?\n",
        prose.ROBUSTNESS + "\n",
        "| difference | here | bootstrap of seeds and prompts | seeds counted as "
        "training prompts | share of seeds in the variance |",
        "|---|---|---|---|---|",
    ]
    lines = []
    for claim, findings in answers:
        part = scores.where(pairing=claim.pairing)
        for finding in findings:
            headline = finding.training == MATCHED and finding.question.says
            if not headline or _first(finding).n_seeds < 2:
                continue
            contrast = under(finding.question.contrast, "matched")
            (tables,), _ = contrast.tables(part, METRICS[0])
            cautious = crossed(tables, overlap=True)
            low, high = resampled(tables)
            cells = (
                contrast.text,
                finding.estimates[METRICS[0]].signed,
                f"[{low:+.3f}, {high:+.3f}]",
                "[{:+.3f}, {:+.3f}]".format(*cautious.interval),
                number(crossed(tables).seed_share, ".0%"),
            )
            lines.append("| " + " | ".join(cells) + " |")
    return [*head, *lines, ""] if lines else []


def _cost(everything, rows):
    versions = Counter(
        ", ".join(f"{name} {v}" for name, v in sorted(row["versions"].items()))
        for row in rows
    )
    listed = "; ".join(sorted(versions))
    hours = np.nansum(everything.plain["core_seconds"]) / 3600
    return [
        "## Cost and versions\n",
        f"{hours:.1f} core-hours for {len(everything):,} settings.\n",
        *cost_table(everything),
        f"Versions: {listed}.",
        "",
    ]


def _tables_page(scores, everything, answers):
    lines = ["# Tables of the annotation study\n", prose.TABLES + "\n"]
    lines += ["## All differences\n", prose.claims(_is_by_paper(scores)) + "\n"]
    for claim, findings in answers:
        lines += [f"### {claim.title}\n", *_findings(findings)]
    lines += all_tables(scores)
    lines += ["## Cost by width\n", *cost_table(everything, "n_features")]
    chosen = chosen_table(scores)
    if chosen:
        lines += [
            "## Chosen rates, penalties and trees\n",
            prose.CHOSEN + "\n",
            *chosen,
        ]
    if len(everything) > len(scores):
        same = everything.where(recipe=("matched", "baseline"), pairing=("same", "-"))
        found = table(same, "pool", "encoder")
        if found:
            lines += ["## Further encoders, pairs within prompts\n", *found]
    return "\n".join(lines).rstrip() + "\n"


def _figure(name, drawn):
    return [f"![{drawn[name]}]({name})\n\n{drawn[name]}\n"] if name in drawn else []
