"""How the time of a fit grows with pairs, items and features.

    python -m benchmarks.growth --figure docs/images/growth.png

Around one shape each size grows alone, by doubling. The slope of time against size on
logarithmic axes is the exponent: 0 is no growth, 1 is growth in proportion. Same-prompt
pairs, ten responses a prompt. The network trains for two epochs.
"""

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.speed import fastest, made_up
from skreward import BradleyTerryMLPRegressor, BradleyTerryRegressor

CENTRE = {"items": 20_000, "features": 512, "pairs": 100_000}
SIZES = {
    "pairs": [25_000, 50_000, 100_000, 200_000, 400_000],
    "items": [5_000, 10_000, 20_000, 40_000, 80_000],
    "features": [128, 256, 512, 1024, 2048],
}


def models():
    """Name the models, with what they are fitted by."""
    return {
        "linear": BradleyTerryRegressor(),
        "network (256, 128)": BradleyTerryMLPRegressor(
            (256, 128), max_iter=2, device="cpu", random_state=0
        ),
    }


def measure(axis, repeats):
    """Give the seconds of every model at every size of an axis."""
    seconds = {name: [] for name in models()}
    for size in SIZES[axis]:
        shape = CENTRE | {axis: size}
        pairs, y = made_up(shape["items"], shape["features"], shape["pairs"])
        for name, model in models().items():
            (took,), _ = fastest([lambda m=model: m.fit(pairs, y)], repeats)  # noqa: B023
            seconds[name].append(took)
    return seconds


def main():
    """Print the slopes, and draw the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--figure", help="where to draw the lines, .png")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    measured = {axis: measure(axis, options.repeats) for axis in SIZES}
    print("| size | model | seconds | slope |\n|---|---|---|---|")
    for axis, seconds in measured.items():
        for name, took in seconds.items():
            slope = np.polyfit(np.log(SIZES[axis]), np.log(took), 1)[0]
            line = ", ".join(f"{t:.2f}" for t in took)
            first, last = SIZES[axis][0], SIZES[axis][-1]
            print(f"| {axis}, {first:,} to {last:,} | {name} | {line} | {slope:.2f} |")
    if options.figure:
        draw(measured, options.figure)


def draw(measured, path):
    """Draw a panel for every axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(measured), figsize=(11, 3.4), sharey=True, layout="constrained"
    )
    for panel, (axis, seconds) in zip(panels, measured.items(), strict=True):
        for name, took in seconds.items():
            slope = np.polyfit(np.log(SIZES[axis]), np.log(took), 1)[0]
            panel.plot(
                SIZES[axis], took, marker="o", label=f"{name}, slope {slope:.2f}"
            )
        panel.set(xscale="log", yscale="log", xlabel=f"number of {axis}")
        panel.set_xticks(SIZES[axis], labels=[f"{size:,}" for size in SIZES[axis]])
        panel.tick_params(axis="x", rotation=30)
        panel.minorticks_off()
        panel.legend(fontsize=8)
    panels[0].set(ylabel="seconds of a fit")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
