"""How fast the network's preference probabilities converge, beside the theorem.

    python -m benchmarks.study.convergence --out docs/study

Items are uniform on [0, 1]^d, every item is compared once, and the true reward is a
random smooth function (a sum of 24 cosines, standard deviation 2). Each seed draws
its own reward and pairs. Measured on fresh pairs of known probability p: the
truncated risk ``E[p min(B, log(p / q)) + (1 - p) min(B, log((1 - p) / (1 - q)))]`` of
the fitted q, which is 0 at the truth, and the error of margins by min(p, 1 - p).

The theorem bounds the risk by ``n**(-(1 + a) b / ((1 + a) b + d))`` times powers of
log(n), for rewards of smoothness b and a small-value exponent a; with probabilities
away from 0 and 1, a = 1. A reward with all derivatives has every b, with constants
that grow with it. It speaks of the best network in a class that grows with n; what is
fitted here is one network by Adam, with early stopping. The corollary bounds a margin's
error by a factor ``1 / (p (1 - p))``.

What is there already is not fitted again: stop it and start it at any time. The page
and the figure are of the seeds that are whole.
"""

import argparse
import csv
import sys
import time
import warnings
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import expit, log_expit
from scipy.stats import t as student
from sklearn.exceptions import ConvergenceWarning

from skreward import BradleyTerryMLPRegressor, EmbeddingPairs

DIMENSIONS = (2, 4, 8)
QUANTITIES = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000)
SEEDS = (0, 1, 2, 3, 4)
SPREAD = 2.0
COSINES = 24
TRUNCATION = 5.0
TEST_PAIRS = 100_000
HIDDEN = (128, 128)
# Edges of min(p, 1 - p).
EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5)
LARGE = 8000
RISKS, MARGINS = "convergence.csv", "convergence_margins.csv"
PAGE, FIGURE = "convergence.md", "convergence.png"


@dataclass(frozen=True)
class Risk:
    """One fit: its risk, how often it orders a fresh pair right, and its cost."""

    features: int
    n_pairs: int
    seed: int
    risk: float
    order_consistency: float
    epochs: int
    core_seconds: float


@dataclass(frozen=True)
class MarginError:
    """Errors of one fit where min(p, 1 - p) lies between two edges."""

    features: int
    n_pairs: int
    seed: int
    low: float
    high: float
    factor: float
    error: float


class SmoothReward:
    """A sum of cosines in random directions, of unit frequency on average."""

    def __init__(self, features, rng):
        self.waves = rng.normal(size=(features, COSINES)) * 2 * np.pi / features**0.5
        self.phases = rng.uniform(0, 2 * np.pi, COSINES)
        self.weights = rng.normal(size=COSINES)
        items = rng.uniform(size=(20_000, features))
        self.unit = SPREAD / np.std(self._sum(items))

    def __call__(self, items):
        """Give the true reward of each row."""
        return self.unit * self._sum(items)

    def _sum(self, items):
        return np.cos(items @ self.waves + self.phases) @ self.weights


def truncated_risk(margin, fitted, bound=TRUNCATION):
    """Average the truncated KL divergence of fitted probabilities from true ones.

    Both are given as margins, whose logistic function they are.
    """
    risk = np.zeros(len(margin))
    for sign in 1, -1:
        gap = log_expit(sign * margin) - log_expit(sign * fitted)
        risk += expit(sign * margin) * np.minimum(bound, gap)
    return float(risk.mean())


def measure(features, n_pairs, seed, *, test_pairs=TEST_PAIRS, hidden=HIDDEN):
    """Fit one network; give its `Risk` and a list of `MarginError`."""
    rng = np.random.default_rng([features, seed])
    reward = SmoothReward(features, rng)
    test = rng.uniform(size=(2 * test_pairs, features))
    # The pairs of a larger quantity begin with those of a smaller one.
    items = rng.uniform(size=(2 * n_pairs, features))
    coin = np.random.default_rng([features, seed, 1]).uniform(size=n_pairs)
    y = (coin < expit(_margins(reward(items)))).astype(int)
    start = time.process_time()
    model = BradleyTerryMLPRegressor(
        hidden,
        alpha=1e-6,
        learning_rate_init=2e-3,
        n_iter_no_change=10,
        tol=0.0,
        max_iter=400,
        precision="full",
        device="cpu",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(EmbeddingPairs(items.astype(np.float32), _pairs(items)), y)
    cost = time.process_time() - start
    margin = _margins(reward(test))
    fitted = _margins(model.predict(test.astype(np.float32)).astype(np.float64))
    key = (features, n_pairs, seed)
    risk = Risk(
        *key,
        risk=truncated_risk(margin, fitted),
        order_consistency=float(np.mean(margin * fitted > 0)),
        epochs=int(model.n_iter_),
        core_seconds=round(cost, 2),
    )
    return risk, [MarginError(*key, *band) for band in margin_errors(margin, fitted)]


def margin_errors(margin, fitted):
    """Give (low, high, mean 1 / (p (1 - p)), mean error) between the edges."""
    rare = expit(-np.abs(margin))
    factor = 1 / (rare * (1 - rare))
    error = np.abs(fitted - margin)
    for low, high in pairwise(EDGES):
        inside = (rare >= low) & (rare < high)
        if inside.sum() >= 100:
            yield low, high, float(factor[inside].mean()), float(error[inside].mean())


def _pairs(items):
    return np.arange(len(items)).reshape(-1, 2)


def _margins(rewards):
    return rewards[0::2] - rewards[1::2]


def theorem_slope(features, smoothness, alpha=1.0):
    """Give the exponent of n in the theorem's bound of the risk."""
    gain = (1 + alpha) * smoothness
    return -gain / (gain + features)


def slope(x, curves):
    """Fit a slope to each curve; give their mean and a 95 % interval's half width."""
    x = np.asarray(x) - np.mean(x)
    slopes = np.asarray(curves) @ x / (x @ x)
    if len(slopes) == 1:
        return float(slopes[0]), np.nan
    width = student.ppf(0.975, len(slopes) - 1) * np.std(slopes, ddof=1)
    return float(slopes.mean()), float(width / len(slopes) ** 0.5)


def risk_slope(risks, features, least=0):
    """Give the slope of log risk on log n from `least` pairs on, and its width."""
    mine = [r for r in risks if r.features == features and r.n_pairs >= least]
    n_pairs = sorted({r.n_pairs for r in mine})
    of = {(r.seed, r.n_pairs): r.risk for r in mine}
    seeds = sorted({r.seed for r in mine})
    curves = [[np.log(of[seed, n]) for n in n_pairs] for seed in seeds]
    return slope(np.log(n_pairs), curves)


def margin_slope(margins, features, n_pairs):
    """Give the slope of log error on log 1 / (p (1 - p)), and its width."""
    mine = [m for m in margins if (m.features, m.n_pairs) == (features, n_pairs)]
    seeds = sorted({m.seed for m in mine})
    common = set.intersection(*({m.low for m in mine if m.seed == s} for s in seeds))
    of = {(m.seed, m.low): m for m in mine}
    lows = sorted(common)
    x = [np.log(np.mean([of[s, low].factor for s in seeds])) for low in lows]
    return slope(x, [[np.log(of[s, low].error) for low in lows] for s in seeds])


def whole(risks):
    """Give the seeds that have every dimension and quantity that any seed has."""
    cells = {(r.features, r.n_pairs) for r in risks}
    of = {seed: {_key(r)[:2] for r in risks if r.seed == seed} for seed in SEEDS}
    return [seed for seed, mine in of.items() if mine == cells]


def page(risks, margins):
    """Write the section of the report: what was measured, and the slopes."""
    dimensions = sorted({r.features for r in risks})
    largest = max(r.n_pairs for r in risks)
    few, many = ("{:.4f}", "{:.5f}")
    lines = [
        "# Convergence",
        "",
        f"{len(risks)} networks ({' and '.join(map(str, HIDDEN))} hidden units) on "
        "pairs of items from [0, 1]^d, each compared once, with a random smooth reward "
        f"of standard deviation {SPREAD:g}; {len({r.seed for r in risks})} "
        f"seeds of {len(SEEDS)}, each "
        "with its own reward; risk is the truncated KL divergence "
        f"(B = {TRUNCATION:g}) of the fitted preference probabilities on "
        f"{TEST_PAIRS:,} fresh pairs. Intervals are 95 %, over seeds. "
        f"{sum(r.core_seconds for r in risks) / 60:.1f} core-minutes.",
        "",
        f"![risk by n, margins by p]({FIGURE})",
        "",
        f"| d | risk at {min(r.n_pairs for r in risks):,} | risk at {largest:,} "
        f"| slope, all n | slope, n >= {LARGE:,} | theorem, b = 1 | b = 2 | b = 4 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for d in dimensions:
        mean = {
            n: np.mean([r.risk for r in risks if (r.features, r.n_pairs) == (d, n)])
            for n in (min(r.n_pairs for r in risks), largest)
        }
        first, last = mean.values()
        bounds = " | ".join(f"{theorem_slope(d, b):.2f}" for b in (1, 2, 4))
        lines.append(
            f"| {d} | {few.format(first)} | {many.format(last)} "
            f"| {_interval(risk_slope(risks, d))} "
            f"| {_interval(risk_slope(risks, d, LARGE))} | {bounds} |"
        )
    lines += [
        "",
        "The theorem's column is the exponent of its bound, without powers of log(n), "
        "for a reward of smoothness b; this one has every b, with constants that grow "
        "with it. A slope that is more negative than a bound agrees with it.",
        "",
        f"Slope of log error on log 1 / (p (1 - p)), at {largest:,} pairs. The "
        "corollary bounds the error by the first power; errors of probabilities that "
        "cost equal risk would grow with the power 1/2.",
        "",
        "| d | slope |",
        "|---|---|",
    ]
    lines += [
        f"| {d} | {_interval(margin_slope(margins, d, largest))} |" for d in dimensions
    ]
    lines += ["", *_verdicts(risks, margins, dimensions, largest)]
    return "\n".join(lines) + "\n"


def _verdicts(risks, margins, dimensions, largest):
    """Say where the intervals lie, whatever came out."""
    for smoothness in 1, 2:
        said = [
            f"{_beside(risk_slope(risks, d), theorem_slope(d, smoothness))} for d = {d}"
            for d in dimensions
        ]
        yield (
            f"- Risk falls, beside the bound for b = {smoothness}: {', '.join(said)}."
        )
    below = [d for d in dimensions if sum(margin_slope(margins, d, largest)) < 1]
    yield (
        f"- Errors of margins grow by less than the corollary's factor for "
        f"{len(below)} of {len(dimensions)} dimensions."
    )


def _beside(estimate, bound):
    middle, half = estimate
    if middle + half < bound:
        return "faster"
    return "more slowly" if middle - half > bound else "not to be told from it"


def _interval(estimate):
    middle, half = estimate
    return f"{middle:+.2f} ± {half:.2f}"


def draw(risks, margins):
    """Draw risk by n, and errors of margins by 1 / (p (1 - p))."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    dimensions = sorted({r.features for r in risks})
    largest = max(r.n_pairs for r in risks)
    styles = zip(dimensions, ("#0072b2", "#d55e00", "#333333"), "osD", strict=False)
    for d, colour, marker in styles:
        mine = [r for r in risks if r.features == d]
        n_pairs = sorted({r.n_pairs for r in mine})
        spread = np.array([[r.risk for r in mine if r.n_pairs == n] for n in n_pairs])
        mean = np.exp(np.log(spread).mean(axis=1))
        left.plot(n_pairs, mean, color=colour, marker=marker, label=f"d = {d}")
        left.fill_between(
            n_pairs, spread.min(axis=1), spread.max(axis=1), color=colour, alpha=0.15
        )
        bound = mean[-1] * (np.array(n_pairs) / largest) ** theorem_slope(d, 2)
        left.plot(n_pairs, bound, color=colour, linestyle=":", linewidth=1.2)
        factor, error = _by_factor(margins, d, largest)
        right.plot(factor, error, color=colour, marker=marker, label=f"d = {d}")
    x = np.array([4.0, 500.0])
    low = right.get_ylim()[0]
    right.plot(x, low * x / 4, color="grey", linestyle="--", label="power 1")
    right.plot(x, low * (x / 4) ** 0.5, color="grey", linestyle=":", label="power 1/2")
    for axes in left, right:
        axes.set(xscale="log", yscale="log")
        axes.grid(alpha=0.3, which="both", linewidth=0.4)
        axes.legend(frameon=False)
    left.set(
        xlabel="Pairs n",
        ylabel="Truncated KL risk",
        title="Risk; dotted: slope of the bound for b = 2",
    )
    right.set(
        xlabel="1 / (p (1 - p))",
        ylabel="Mean error of a margin",
        title=f"Margins at n = {largest:,}",
    )
    return figure


def _by_factor(margins, features, n_pairs):
    mine = [m for m in margins if (m.features, m.n_pairs) == (features, n_pairs)]
    points = []
    for low in sorted({m.low for m in mine}):
        band = [m for m in mine if m.low == low]
        points.append([np.mean([m.factor for m in band]),
                       np.exp(np.mean([np.log(m.error) for m in band]))])  # fmt: skip
    return np.array(points).T


def read(path, kind):
    """Read the rows of a table that is there; none where it is not."""
    if not path.exists():
        return []
    types = [field.type for field in fields(kind)]
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [kind(*(t(v) for t, v in zip(types, row, strict=True))) for row in rows]


def write(path, rows):
    """Write a table whole, so that a stop leaves the old one or the new one."""
    beside = path.with_suffix(".part")
    with beside.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(asdict(rows[0]))
        for row in rows:
            table.writerow([f"{v:.6g}" if isinstance(v, float) else v
                            for v in asdict(row).values()])  # fmt: skip
    beside.replace(path)


def main(arguments=None):
    """Fit what is missing, write the tables, and draw the figure from them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--pairs", type=int, nargs="+", default=QUANTITIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    risks = read(options.out / RISKS, Risk)
    margins = read(options.out / MARGINS, MarginError)
    done = {(r.features, r.n_pairs, r.seed) for r in risks}
    for seed in options.seeds:
        for key in [(d, n, seed) for d in options.dimensions for n in options.pairs]:
            if key in done:
                continue
            risk, errors = measure(*key)
            print(risk, file=sys.stderr)
            risks.append(risk)
            # The margins are written first: a fit without its risk is done again.
            margins = [m for m in margins if _key(m) != key] + errors
            write(options.out / MARGINS, sorted(margins, key=_key))
            write(options.out / RISKS, sorted(risks, key=_key))
    risks = read(options.out / RISKS, Risk)
    margins = read(options.out / MARGINS, MarginError)
    seeds = whole(risks)
    risks = [r for r in risks if r.seed in seeds]
    margins = [m for m in margins if m.seed in seeds]
    (options.out / PAGE).write_text(page(risks, margins), encoding="utf-8")
    draw(risks, margins).savefig(options.out / FIGURE, dpi=110)
    return 0


def _key(row):
    return row.features, row.n_pairs, row.seed


if __name__ == "__main__":
    sys.exit(main())
