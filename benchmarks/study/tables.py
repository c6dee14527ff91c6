"""Tables of the results; every line of a table is on the same blocks."""

from functools import reduce

import numpy as np

from benchmarks.study import choices
from benchmarks.study.intervals import NOTHING, crossed
from benchmarks.study.scores import BASELINES, CUT_BY, NETWORKS, Scores, common
from benchmarks.study.settings import LINEAR_MODELS, PAIRINGS, PAPER_MODELS

NAMES = {"length": "length alone", "statistics": "text statistics"}
HEAD = (
    "model",
    "wrong labels",
    "equal rewards",
    "distinct pairs",
    "order consistency",
    "at similar length",
    "across prompts",
    "Spearman",
    "best-of-N gain",
)
LABELS = ("design", "pairing", "beta", "n_pairs")
# Recipes that are compared with each other, each family on its own blocks: first those
# without which it is not there.
FAMILIES = {
    "one change at a time": (
        ("paper-row+best", "paper-row+scaled", "paper-prompt+best+scaled"),
        (
            "paper-row",
            "paper-prompt",
            "paper-row+best",
            "paper-row+scaled",
            "paper-prompt+best+scaled",
            "matched",
        ),
    ),
    "validation splits": (
        ("paper-pair", "paper-prompt"),
        ("paper-row", "paper-pair", "paper-prompt", "matched"),
    ),
    "wider networks": (
        ("matched+wide", "paper-row+wide", "paper-prompt+wide"),
        (
            "paper-row",
            "paper-row+wide",
            "paper-prompt",
            "paper-prompt+wide",
            "matched",
            "matched+wide",
        ),
    ),
}
DESIGNS = ("similar", "random", "diverse")  # from the hardest to the easiest


def shared_blocks(scores, axis, models, pairings=None):
    """Give results by level and model, on the blocks that all of them have.

    Baselines are given too where they ran on the same labels.

    Parameters
    ----------
    scores : Scores
        Results, with the lines of baselines.
    axis : str
        Whose levels are compared.
    models : sequence of str
        Models that are compared.
    pairings : sequence of str, default=None
        Pairings that a block has all of; None tells blocks of one pairing apart.

    Returns
    -------
    parts : dict
        From level to model to `Scores`; empty where no block has all.
    """
    learned = scores.where(model=models)
    levels = learned.levels(axis)
    kinds = [(level, model) for level in levels for model in models]
    more = [{"pairing": p} for p in pairings] if pairings else [{}]
    terms = [{axis: n, "model": m, **extra} for n, m in kinds for extra in more]
    if not terms:
        return {}
    parts = common(learned, terms)
    if not len(parts[0]):
        return {}
    found = {level: {} for level in levels}
    for k, (level, model) in enumerate(kinds):
        mine = parts[k * len(more) : (k + 1) * len(more)]
        found[level][model] = reduce(Scores.joined, mine)
    for level in levels:
        mine = found[level][models[0]]
        for name in BASELINES:
            null = on_the_same(scores.where(model=name), mine)
            if null is not None:
                found[level][name] = null
    return found


def on_the_same(null, mine):
    """Give the lines of a baseline on the tasks, seeds and labels of some results."""
    names = ("task", "seed")
    if len(null) and null.axes["design"][0] != "-":
        names += LABELS
    keys = [
        set(zip(*(part.axes[n].tolist() for n in names), strict=True))
        for part in (null, mine)
    ]
    if not keys[1] <= keys[0]:
        return None
    lines = zip(*(null.axes[n].tolist() for n in names), strict=True)
    return null.take(np.array([line in keys[1] for line in lines], dtype=bool))


def estimate_rows(scores, metric):
    """Estimate a mean over settings; nothing without any."""
    if scores is None or not len(scores):
        return NOTHING
    return crossed(scores.tables(metric))


def against_baselines(scores, metric):
    """Estimate what models order better than baselines, by design, on common blocks.

    Returns
    -------
    found : list of (str, str, str, Estimate)
        Model, baseline, design, and the estimate.
    """
    part = with_linear(scores, "design", PAPER_MODELS)
    found = []
    for design in (d for d in DESIGNS if d in part):
        nulls = {name: part[design].get(name) for name in BASELINES}
        for model, mine in part[design].items():
            for name, null in nulls.items():
                if model in BASELINES or null is None:
                    continue
                both = zip(mine.tables(metric), null.tables(metric), strict=True)
                estimate = crossed([ours - theirs for ours, theirs in both])
                n = len(mine)
                estimate = estimate._replace(n_settings=n, n_blocks=n)
                found.append((model, name, design, estimate))
    return found


def with_linear(scores, axis, models):
    """Give `shared_blocks`, of linear models too where they ran on all of them."""
    part = shared_blocks(scores, axis, models)
    linear = [m for m in LINEAR_MODELS if m in scores.levels("model")]
    if part and linear and models == PAPER_MODELS:
        wider = shared_blocks(scores, axis, (*models, *linear))
        if wider and n_settings(wider) == n_settings(part):
            return wider
    return part


def table(scores, axis, unit, models=PAPER_MODELS, name=str):
    """Give lines of a Markdown table of the levels of an axis by models.

    Linear models are in it where they ran on all blocks that the others share.
    """
    part = with_linear(scores, axis, models)
    if not part:
        return []
    first = next(iter(next(iter(part.values())).values()))
    lines = [
        f"Every line of a model: {len(first):,} settings, of the same {len(first):,} "
        f"blocks ({extent(first, axis)}).\n",
        f"| {unit} | " + " | ".join(HEAD) + " |",
        "|---" * (len(HEAD) + 1) + "|",
    ]
    for level, by_model in part.items():
        lines += [_line(name(level), model, mine) for model, mine in by_model.items()]
    return [*lines, ""]


def n_settings(part):
    """Count the settings of a level and model."""
    return len(next(iter(next(iter(part.values())).values())))


def extent(scores, *apart):
    """Say how many levels of the axes results have."""
    plural = {
        "task": "data set",
        "pool": "encoder",
        "design": "design",
        "seed": "seed",
        "beta": "noise level",
        "n_pairs": "quantity",
    }
    words = []
    for axis in (*CUT_BY, "beta", "n_pairs"):
        n = len(scores.levels(axis))
        if axis not in apart:
            word = plural[axis] if n == 1 else plural[axis].removesuffix("y")
            ending = "" if n == 1 else "ies" if axis == "n_pairs" else "s"
            words.append(f"{n} {word}{ending}")
    return ", ".join(words)


def _line(level, model, scores):
    baseline = model in BASELINES
    cells = (
        level,
        f"*{NAMES[model]}*" if baseline else model,
        percent(scores.mean("error_rate")),
        percent(scores.mean("share_equal")),
        number(scores.mean("n_distinct") or np.nan, ",.0f"),
        estimate_rows(scores, "order_consistency"),
        number(scores.mean("order_consistency_similar_length")),
        number(scores.mean("order_consistency_cross")),
        number(scores.mean("spearman")),
        estimate_rows(scores, "best_of_n"),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def number(value, form=".3f"):
    """Give a number as text, nothing for NaN."""
    return "" if np.isnan(value) else f"{value:{form}}"


def percent(share):
    """Give a share as text, nothing for NaN."""
    return "" if np.isnan(share) else f"{100 * share:.1f} %"


def all_tables(scores):
    """Give the lines of all tables, under their headings."""
    matched = scores.where(recipe=("matched", "baseline"))
    same = matched.where(pairing=("same", "-"))
    cross = matched.where(pairing=("cross", "-"))
    wanted = [
        (
            f"Noise, {design} pairs within prompts",
            same.where(design=(design, "-")),
            "beta",
            "beta",
        )
        for design in DESIGNS
    ]
    wanted += [
        ("Number of labels, pairs within prompts", same, "n_pairs", "labels"),
        (
            "Which responses are compared, pairs within prompts",
            same,
            "design",
            "design",
        ),
        (
            "Which responses are compared, pairs across prompts",
            cross,
            "design",
            "design",
        ),
        ("Encoders, pairs within prompts", same, "pool", "encoder"),
        ("Data sets, pairs within prompts", same, "task", "data set"),
    ]
    lines = []
    for title, part, axis, unit in wanted:
        found = table(part, axis, unit)
        lines += [f"## {title}\n", *found] if found else []
    paper = scores.where(model=(*NETWORKS, *BASELINES), pairing=("same", "-"))
    known = paper.levels("recipe")
    for title, (own, family) in FAMILIES.items():
        if any(recipe in known for recipe in own):
            found = recipe_table(paper.where(recipe=(*family, "baseline")))
            title = f"## Recipes of the networks, {title}, pairs within prompts\n"
            lines += [title, *found] if found else []
    return lines


def recipe_table(scores):
    """Give the table of the networks by recipe, with baselines of the same labels."""
    learned = scores.where(model=NETWORKS)
    nulls = scores.where(model=BASELINES)
    found = table(learned, "recipe", "recipe", NETWORKS)
    if not found:
        return []
    part = shared_blocks(learned, "recipe", NETWORKS)
    mine = next(iter(part.values()))[NETWORKS[0]]
    for name in BASELINES:
        null = on_the_same(nulls.where(model=name), mine)
        if null is not None and len(null):
            found.insert(-1, _line("none", name, null))
    return found


def chosen_table(scores):
    """Give the table of what was chosen for the models, and what is at an edge."""
    places = [
        (task, pool, pairing)
        for task in scores.levels("task")
        for pool in scores.levels("pool")
        for pairing in PAIRINGS
        if choices.name_of(task, pool, pairing, PAPER_MODELS[0]) in choices.read()
    ]
    if not places:
        return []
    lines = [
        "| data set | encoder | pairs | " + " | ".join(PAPER_MODELS) + " |",
        "|---" * (len(PAPER_MODELS) + 3) + "|",
    ]
    for place in places:
        cells = [_choice(choices.name_of(*place, model)) for model in PAPER_MODELS]
        lines.append("| " + " | ".join([*place, *cells]) + " |")
    return [*lines, ""]


def _choice(name):
    known = choices.read().get(name)
    if known is None:
        return ""
    words = []
    for parameter, value in known["chosen"].items():
        tried = [candidate[parameter] for candidate in known["tried"]]
        edge = "*" if value in (min(tried), max(tried)) else ""
        words.append(f"{parameter} {value:g}{edge}")
    return ", ".join(words)


def cost_table(scores, *figures):
    """Give the table of what settings cost by model and recipe, and plain figures."""
    heads = ["model", "training", *(f.replace("n_", "") for f in figures)]
    heads += ["settings", "core-seconds each", "core-hours"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    kinds = zip(
        scores.axes["model"].tolist(),
        scores.axes["recipe"].tolist(),
        *(scores.plain[figure].tolist() for figure in figures),
        strict=True,
    )
    spent = {}
    for kind, seconds in zip(kinds, scores.plain["core_seconds"], strict=True):
        spent.setdefault(kind, []).append(seconds)
    for (model, recipe, *values), seconds in sorted(spent.items()):
        total = np.sum(seconds)
        cells = [NAMES.get(model, model), recipe, *(f"{value:.0f}" for value in values)]
        cells += [f"{len(seconds):,}", f"{total / len(seconds):.2f}"]
        lines.append("| " + " | ".join(cells) + f" | {total / 3600:.2f} |")
    return [*lines, ""]
