"""The figures of the report."""

from functools import reduce

import matplotlib
import numpy as np

from benchmarks.study.ablations import RECIPES, families
from benchmarks.study.claims import CLASSIFIERS
from benchmarks.study.contrasts import minus
from benchmarks.study.heterogeneity import forest
from benchmarks.study.intervals import MATTERS
from benchmarks.study.scores import BASELINES, Scores
from benchmarks.study.settings import PAPER_MODELS
from benchmarks.study.tables import DESIGNS, NAMES, estimate_rows, shared_blocks

# Dark, middle and light, so that they differ in grey too; markers say it once more.
STYLES = {
    "bt-mlp": {"color": "#2b2259", "marker": "o", "linestyle": "-"},
    "clf-mlp": {"color": "#c4552d", "marker": "s", "linestyle": "--"},
    "clf-lgbm": {"color": "#7fb069", "marker": "^", "linestyle": "-."},
    "length": {"color": "0.25", "linestyle": ":"},
    "statistics": {"color": "0.55", "linestyle": (0, (5, 1))},
}
CONSISTENCY = "Order consistency, unseen prompts"
DIFFERENCE = "Classifier minus bt-mlp"


def draw(scores, folder):
    """Write the figures that the results allow; give their names and captions."""
    matplotlib.use("Agg")
    with matplotlib.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        drawn = []
        for name, make, caption in FIGURES:
            figure = make(scores)
            if figure is not None:
                figure.savefig(folder / name, dpi=120, metadata={"Software": None})
                matplotlib.pyplot.close(figure)
                drawn.append((name, caption))
    return drawn


def _panels(rows, columns, width, height, **options):
    from matplotlib import pyplot as plt

    return plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        layout="constrained",
        squeeze=False,
        **options,
    )


def _points(axes, at, estimates, name, label=None, **style):
    """Draw estimates with their intervals, up the page, or across it by ``across``."""
    style = {**STYLES.get(name, {}), "markersize": 4.5, "capsize": 2, **style}
    across = style.pop("across", False)
    means = np.array([e.mean for e in estimates])
    ends = np.nan_to_num(np.abs([np.subtract(e.interval, e.mean) for e in estimates]).T)
    places = (means, at) if across else (at, means)
    errors = {"xerr" if across else "yerr": ends}
    axes.errorbar(*places, **errors, label=label or NAMES.get(name, name), **style)


def _band(axes, across=False):
    """Mark the differences that do not matter."""
    span, line = (
        (axes.axvspan, axes.axvline) if across else (axes.axhspan, axes.axhline)
    )
    span(-MATTERS, MATTERS, color="0.9", zorder=0)
    line(0.0, color="0.4", linewidth=0.8)


def _legend(figure, axes, n_columns):
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=n_columns, frameon=False
    )


def _baselines(axes, part, at, levels):
    """Draw the orders by length, and by statistics of the text, beside models."""
    for name in BASELINES:
        values = [
            estimate_rows(part[level].get(name), "order_consistency").mean
            for level in levels
        ]
        if not np.isnan(values).all():
            axes.plot(at, values, label=NAMES[name], **STYLES[name])


def _panel_of_designs(scores):
    """Cut the grid to the blocks that all designs have: panels can be compared."""
    matched = scores.where(recipe=("matched", "baseline"), pairing=("same", "-"))
    part = shared_blocks(matched, "design", PAPER_MODELS)
    if not part:
        return matched, []
    learned = [by_model[model] for by_model in part.values() for model in PAPER_MODELS]
    even = reduce(Scores.joined, learned).joined(matched.where(model=BASELINES))
    return even, [design for design in DESIGNS if design in part]


def _noise(scores):
    matched, designs = _panel_of_designs(scores)
    if not designs:
        return None
    figure, panels = _panels(
        2, len(designs), 3.6 * len(designs), 6.0, sharex="col", sharey="row"
    )
    for (top, bottom), design in zip(panels.T, designs, strict=True):
        mine = matched.where(design=(design, "-"))
        part = shared_blocks(mine, "beta", PAPER_MODELS)
        betas = sorted(part)
        if not betas:
            return None
        at = [100 * part[b]["bt-mlp"].mean("error_rate") for b in betas]
        for k, model in enumerate(PAPER_MODELS):
            estimates = [
                estimate_rows(part[b][model], "order_consistency") for b in betas
            ]
            _points(top, np.add(at, 0.35 * (k - 1)), estimates, model)
        _baselines(top, part, at, betas)
        for k, classifier in enumerate(CLASSIFIERS):
            differences = [
                minus("", classifier, "bt-mlp", beta=b).estimate(
                    mine, "order_consistency"
                )
                for b in betas
            ]
            shifted = np.add(at, 0.35 * k)
            _points(bottom, shifted, differences, classifier)
        _band(bottom)
        top.set_title(f"{design} pairs")
        bottom.set_xlabel("Wrong labels, measured (%)")
    panels[0, 0].set_ylabel(CONSISTENCY)
    panels[1, 0].set_ylabel(DIFFERENCE)
    _legend(figure, panels[0, 0], 5)
    return figure


def _quantity(scores):
    matched, designs = _panel_of_designs(scores)
    if not designs:
        return None
    figure, panels = _panels(1, len(designs), 3.6 * len(designs), 3.6, sharey=True)
    for axes, design in zip(panels[0], designs, strict=True):
        part = shared_blocks(
            matched.where(design=(design, "-")), "n_pairs", PAPER_MODELS
        )
        quantities = sorted(part)
        if not quantities:
            return None
        for k, model in enumerate(PAPER_MODELS):
            estimates = [
                estimate_rows(part[n][model], "order_consistency") for n in quantities
            ]
            # A small shift keeps intervals of the same quantity apart.
            _points(axes, np.array(quantities) * 1.03 ** (k - 1), estimates, model)
        _baselines(axes, part, quantities, quantities)
        labels = [
            f"{n:,}\n({part[n]['bt-mlp'].mean('n_distinct'):,.0f})" for n in quantities
        ]
        axes.set_xscale("log")
        axes.set_xticks(quantities, labels=labels)
        axes.minorticks_off()
        axes.set(title=f"{design} pairs", xlabel="Labels (distinct pairs)")
    panels[0, 0].set_ylabel(CONSISTENCY)
    _legend(figure, panels[0, 0], 5)
    return figure


def _pairing(scores):
    matched = scores.where(recipe="matched")
    pairings = [p for p in ("same", "cross") if p in matched.levels("pairing")]
    metrics = {
        "order_consistency": CONSISTENCY,
        "best_of_n": "Best-of-N gain (sd of reward)",
    }
    part = shared_blocks(matched, "design", PAPER_MODELS, pairings)
    if len(pairings) < 2 or not part:
        return None
    designs = [d for d in DESIGNS if d in part]
    figure, panels = _panels(1, 2, 9.5, 3.8)
    for axes, (metric, label) in zip(panels[0], metrics.items(), strict=True):
        for k, model in enumerate(PAPER_MODELS):
            for shift, pairing in ((-0.05, "same"), (0.05, "cross")):
                at = np.arange(len(designs)) + 0.26 * (k - 1) + shift
                estimates = [
                    estimate_rows(part[d][model].where(pairing=pairing), metric)
                    for d in designs
                ]
                fill = {} if pairing == "same" else {"markerfacecolor": "white"}
                name = f"{model}, {pairing}-prompt"
                _points(
                    axes, at, estimates, model, name, **{**fill, "linestyle": "none"}
                )
        axes.set_xticks(range(len(designs)), labels=designs)
        axes.set(xlabel="Which responses are compared", ylabel=label)
        axes.grid(axis="x", visible=False)
    _legend(figure, panels[0, 0], 3)
    return figure


def _forest(scores):
    found = {c: forest(scores, c) for c in CLASSIFIERS}
    found = {c: lines for c, lines in found.items() if lines}
    if not found:
        return None
    most = max(map(len, found.values()))
    figure, panels = _panels(
        1, len(found), 4.9 * len(found), 1.3 + 0.27 * most, sharey=True
    )
    for axes, (classifier, lines) in zip(panels[0], found.items(), strict=True):
        at = np.arange(len(lines))[::-1]
        for place, (text, estimate) in zip(at, lines, strict=True):
            together = text.startswith("all")
            _points(
                axes,
                [place],
                [estimate],
                classifier,
                across=True,
                linestyle="none",
                **(
                    {"marker": "D", "markersize": 7, "color": "black"}
                    if together
                    else {}
                ),
            )
        _band(axes, across=True)
        axes.set_yticks(at, labels=[text for text, _ in lines])
        axes.set(title=f"{classifier} minus bt-mlp", xlabel="Order consistency")
        axes.locator_params(axis="x", nbins=6)
    return figure


def _recipes(scores):
    found = families(scores)
    if not found:
        return None
    _, _, found = found[0]
    at = np.arange(len(found))[::-1]
    figure, panels = _panels(1, 2, 9.8, 1.5 + 0.42 * len(found), sharey=True)
    values, differences = panels[0]
    for shift, name in ((0.1, "bt-mlp"), (-0.1, "clf-mlp")):
        estimates = [
            getattr(one, "bradley_terry" if name == "bt-mlp" else "classifier")
            for one in found
        ]
        _points(values, at + shift, estimates, name, across=True, linestyle="none")
    _points(
        differences,
        at,
        [one.difference for one in found],
        "clf-mlp",
        "clf-mlp minus bt-mlp",
        across=True,
        linestyle="none",
    )
    _band(differences, across=True)
    values.set_yticks(at, labels=[RECIPES[one.recipe] for one in found])
    values.set(xlabel=CONSISTENCY)
    values.locator_params(axis="x", nbins=5)
    differences.set(xlabel="clf-mlp minus bt-mlp")
    differences.locator_params(axis="x", nbins=6)
    _legend(figure, values, 2)
    return figure


FIGURES = (
    (
        "noise.png",
        _noise,
        "Order consistency against the measured share of wrong labels (top), and what "
        "the classifiers order better than Bradley-Terry on the same pairs and labels "
        "(bottom; grey: differences that do not matter). Same-prompt pairs, matched "
        "training, 95 % intervals.",
    ),
    (
        "quantity.png",
        _quantity,
        "Order consistency against the number of labels; in brackets how many distinct "
        "pairs they are of. Same-prompt pairs, matched training.",
    ),
    (
        "pairing.png",
        _pairing,
        "Pairs within prompts (filled) and across prompts (open), by which responses "
        "are compared. Matched training, common blocks.",
    ),
    (
        "encoders.png",
        _forest,
        "The classifiers against Bradley-Terry, by encoder and data set. Same-prompt "
        "pairs, matched training; grey: differences that do not matter.",
    ),
    (
        "recipes.png",
        _recipes,
        "The paper's networks as its code trains them, with one thing changed at a "
        "time, with all, and under matched training, on the same pairs and labels.",
    ),
)
