"""The figures of the report."""

import matplotlib
import numpy as np

from benchmarks.study.claims import beside_the_paper, where
from benchmarks.study.intervals import by_prompt, estimate

AXES = {
    "beta": ("Annotation reliability beta", "noise"),
    "n_pairs": ("Annotated pairs", "quantity"),
}
METRICS = {
    "order_consistency": "Order consistency on unseen prompts",
    "best_of_n": "Best-of-N gain",
}


def draw(rows, folder):
    """Write the figures; give their file names and captions."""
    matplotlib.use("Agg")
    package = where(rows, recipe="package")
    drawn = []
    for axis, (label, name) in AXES.items():
        _lines(package, axis, label).savefig(folder / f"{name}.png", dpi=110)
        drawn.append(
            (
                f"{name}.png",
                f"Scores by {label.lower()}, same-prompt pairs, with 95 % intervals.",
            )
        )
    _pairings(package).savefig(folder / "pairing.png", dpi=110)
    drawn.append(("pairing.png", "Same-prompt and cross-prompt pairs by design."))
    _best_of_n(package).savefig(folder / "best_of_n.png", dpi=110)
    drawn.append(
        ("best_of_n.png", "Mean best-of-N gain; dotted: choosing by the true reward.")
    )
    if len({row["setting"]["recipe"] for row in rows}) > 1:
        _recipes(rows).savefig(folder / "validation_split.png", dpi=110)
        drawn.append(
            (
                "validation_split.png",
                "The paper's recipe by its validation split, and this package's "
                "training, on the same pairs and labels.",
            )
        )
    matplotlib.pyplot.close("all")
    return drawn


def _panels(n):
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, n, figsize=(4.6 * n, 3.6), layout="constrained")
    return figure, np.atleast_1d(axes)


def _levels(rows, axis):
    return sorted({row["setting"][axis] for row in rows})


def _errorbar(axes, at, estimates, **style):
    mean, low, high = np.array(estimates).T
    axes.errorbar(at, mean, yerr=[mean - low, high - mean], capsize=3, **style)


def _lines(rows, axis, label):
    figure, panels = _panels(len(METRICS))
    rows = where(rows, pairing="same")
    for axes, (metric, name) in zip(panels, METRICS.items(), strict=True):
        for shift, model in enumerate(_levels(rows, "model")):
            mine = where(rows, model=model)
            levels = _levels(mine, axis)
            estimates = [
                estimate(by_prompt(where(mine, **{axis: level}), metric))
                for level in levels
            ]
            # A small shift keeps intervals of the same level apart.
            at = np.array(levels) * 1.02 ** (shift - 1)
            _errorbar(axes, at, estimates, marker="o", label=model)
        axes.set(xscale="log", xlabel=label, ylabel=name)
        axes.set_xticks(
            _levels(rows, axis), labels=[f"{v:g}" for v in _levels(rows, axis)]
        )
        axes.minorticks_off()
    panels[0].legend()
    return figure


def _pairings(rows):
    figure, panels = _panels(len(METRICS))
    models, designs = _levels(rows, "model"), ("similar", "random", "diverse")
    for axes, (metric, name) in zip(panels, METRICS.items(), strict=True):
        for k, model in enumerate(models):
            for pairing, marker in ("same", "o"), ("cross", "s"):
                estimates = [
                    estimate(
                        by_prompt(
                            where(rows, model=model, design=design, pairing=pairing),
                            metric,
                        )
                    )
                    for design in designs
                ]
                at = np.arange(3) + 0.22 * (k - (len(models) - 1) / 2)
                at = at + (0.04 if pairing == "cross" else -0.04)
                _errorbar(
                    axes,
                    at,
                    estimates,
                    marker=marker,
                    linestyle="",
                    color=f"C{k}",
                    markerfacecolor="white" if pairing == "cross" else None,
                    label=f"{model}, {pairing}",
                )
        axes.set_xticks(range(3), labels=designs)
        axes.set(ylabel=name)
    panels[0].legend(fontsize=7)
    return figure


def _best_of_n(rows):
    tasks = _levels(rows, "task")
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        mine = where(rows, task=task, pairing="same")
        for model in _levels(mine, "model"):
            _curve(axes, where(mine, model=model), "best_of_n", marker="o", label=model)
        _curve(axes, mine, "best_of_n_oracle", color="k", linestyle=":")
        nulls = [row["length_only"] for row in mine if row["length_only"] is not None]
        if nulls:
            _curve(axes, nulls, "best_of_n", color="grey", label="length alone")
        axes.set(xscale="log", xlabel="N", ylabel="Best-of-N gain", title=task)
        ticks = _shared_n(mine, "best_of_n")
        axes.set_xticks(ticks, labels=map(str, ticks))
        axes.minorticks_off()
    panels[0].legend(fontsize=7)
    return figure


def _curve(axes, rows, name, **style):
    """Draw the mean over the rows of the N that all of them have."""
    shared = _shared_n(rows, name)
    means = [np.mean([row[name][str(n)] for row in rows]) for n in shared]
    axes.plot(shared, means, **style)


def _shared_n(rows, name):
    known = [set(map(int, row[name])) for row in rows]
    return sorted(set.intersection(*known)) if known else []


def _recipes(rows):
    figure, panels = _panels(len(METRICS))
    rows = beside_the_paper(rows)
    recipes = _levels(rows, "recipe")
    for axes, (metric, name) in zip(panels, METRICS.items(), strict=True):
        for k, model in enumerate(("bt-mlp", "clf-mlp")):
            estimates = [
                estimate(by_prompt(where(rows, model=model, recipe=recipe), metric))
                for recipe in recipes
            ]
            at = np.arange(len(recipes)) + 0.1 * (k - 0.5)
            _errorbar(axes, at, estimates, marker="o", linestyle="", label=model)
        axes.set_xticks(range(len(recipes)), labels=recipes, fontsize=8)
        axes.set(ylabel=name)
    panels[0].legend()
    return figure
