"""Speed and memory beside what one would pick instead: ratios inside one run.

    python -m benchmarks.speed                        # every row
    python -m benchmarks.speed linear-wide first-fit  # some rows
    python -m benchmarks.speed --list

Rows are taken by turns, ours and theirs, and the fastest of ``--repeats`` counts for
each. Embeddings that are made up have the spectrum of text embeddings (the variance of
the k-th direction falls as 1 / k), or none where a row says so. `docs/performance.md`
says what each row means.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.ensemble import compare as compare_ensembles
from benchmarks.ensemble import load as load_task
from benchmarks.footprint import footprint
from benchmarks.study.paper_recipe import AsPublished
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
)
from skreward.cli.preferences import read_data
from skreward.metrics import order_consistency_score
from skreward.model_selection import PromptDisjointKFold
from skreward.models.network import fit_together
from skreward.solvers.items import ItemMatrix
from skreward.utils import float16


class Row(NamedTuple):
    """One line of the table: a figure, what it should reach, and what else was seen.

    ``figure`` is how many times as fast, or whatever ``unit`` says.
    """

    work: str
    figure: float
    unit: str
    goal: str
    note: str


def fastest(runs, repeats, clock=time.perf_counter):
    """Take the runs by turns; give each one's fastest seconds and last result."""
    seconds, results = [np.inf] * len(runs), [None] * len(runs)
    for _ in range(repeats):
        for k, run in enumerate(runs):
            started = clock()
            results[k] = run()
            seconds[k] = min(seconds[k], clock() - started)
    return seconds, results


def made_up(n_items, n_features, n_pairs, *, isotropic=False, seed=0):
    """Make float32 embeddings, same-prompt pairs (ten responses each), and labels."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items, n_features), dtype=np.float32)
    if not isotropic:
        items /= np.sqrt(np.arange(1, n_features + 1, dtype=np.float32))
        # A rotation, so that no single feature carries a direction.
        square = rng.standard_normal((n_features, n_features), dtype=np.float32)
        items = items @ np.linalg.qr(square).Q
    reward = items @ rng.standard_normal(n_features, dtype=np.float32)
    reward /= reward.std()
    prompts = rng.integers(n_items // 10, size=n_pairs)
    first = rng.integers(10, size=n_pairs)
    second = (first + rng.integers(1, 10, size=n_pairs)) % 10
    index = np.column_stack([10 * prompts + first, 10 * prompts + second])
    margin = reward[index[:, 0]] - reward[index[:, 1]]
    y = (rng.uniform(size=n_pairs) < 1 / (1 + np.exp(-2 * margin))).astype(int)
    return EmbeddingPairs(items, index, np.repeat(np.arange(n_items // 10), 10)), y


def objective(coef, pairs, y, alpha):
    """F of a linear reward, in float64."""
    reward = pairs.embeddings.astype(np.float64) @ coef
    margin = reward[pairs.index[:, 0]] - reward[pairs.index[:, 1]]
    return np.logaddexp(0, (1 - 2 * y) * margin).mean() + alpha / 2 * coef @ coef


def linear(n_items, n_features, n_pairs, goal, repeats, *, isotropic=False):
    """Fit the linear reward, and LogisticRegression on differences formed for it."""
    pairs, y = made_up(n_items, n_features, n_pairs, isotropic=isotropic)
    alpha = BradleyTerryRegressor().alpha

    def ours():
        return BradleyTerryRegressor().fit(pairs, y)

    def theirs():
        first, second = pairs.embeddings[pairs.index.T]
        model = LogisticRegression(
            C=1 / (alpha * n_pairs), fit_intercept=False, tol=1e-6, max_iter=1000
        )
        return model.fit(first - second, y)

    seconds, (model, peer) = fastest([ours, theirs], repeats)
    excess = objective(model.coef_.astype(np.float64), pairs, y, alpha)
    excess -= objective(peer.coef_[0].astype(np.float64), pairs, y, alpha)
    shape = f"{n_items:,} x {n_features:,}, {n_pairs:,} pairs"
    return Row(
        f"linear, {shape}" + (", isotropic" if isotropic else ""),
        seconds[1] / seconds[0], "x", goal,
        f"{seconds[0]:.2f} s against {seconds[1]:.2f} s, {model.n_iter_} and "
        f"{peer.n_iter_[0]} iterations, objective {excess:+.1e}",
    )  # fmt: skip


def products(fit):
    """Count the passes over the items that a fit takes, and the vectors multiplied."""
    counts = np.zeros(2, dtype=int)
    plain = {name: getattr(ItemMatrix, name) for name in ("rewards", "gradient")}

    def counted(product):
        def count(self, values):
            counts[:] += 1, values.size // len(values)
            return product(self, values)

        return count

    for name, product in plain.items():
        setattr(ItemMatrix, name, counted(product))
    try:
        fit()
    finally:
        for name, product in plain.items():
            setattr(ItemMatrix, name, product)
    return counts


def alpha_path(repeats):
    """Fit ten penalties at once, and one by one."""
    pairs, y = made_up(20_000, 1_024, 40_000)
    alphas = np.logspace(-5, -1, 10)

    def at_once():
        return BradleyTerryRegressor().fit_path(pairs, y, alphas=alphas)

    def one_by_one():
        return [BradleyTerryRegressor(alpha=a).fit(pairs, y) for a in alphas]

    seconds, (path, single) = fastest([at_once, one_by_one], repeats)
    excess = max(p.loss_ - s.loss_ for p, s in zip(path, single, strict=True))
    (passes, vectors), (passes_alone, _) = products(at_once), products(one_by_one)
    return Row(
        "alpha path of 10, 20,000 x 1,024, 40,000 pairs",
        seconds[1] / seconds[0], "x", "3",
        f"{seconds[0]:.2f} s against {seconds[1]:.2f} s, {vectors} vectors in {passes} "
        f"passes over the items against {passes_alone} passes, 1 curvature against 10, "
        f"10 factors each, largest excess of the objective {excess:+.1e}",
    )  # fmt: skip


def network(repeats):
    """Fit the paper's network our way, and by the paper's own recipe."""
    task, source = load_task(20_000, seed=0)
    items = np.ascontiguousarray(task.pairs.embeddings, dtype=np.float32)
    pairs = EmbeddingPairs(items, task.pairs.index, task.pairs.prompt_ids)

    def ours():
        model = BradleyTerryMLPRegressor((1024, 512), device="cpu", random_state=0)
        return model.fit(pairs, task.y)

    def theirs():
        return AsPublished("bt", "row").fit(pairs, task.y)

    (took, bare), (model, _) = fastest([ours, bare_products(ours)], repeats)
    (recipe_took,), (recipe,) = fastest([theirs], 1)

    def score(model):
        reward = model.predict(items)
        margin = reward[task.unseen[:, 0]] - reward[task.unseen[:, 1]]
        return order_consistency_score(task.golden, margin)

    return Row(
        f"network (1024, 512), 20,000 pairs of {source}",
        recipe_took / took, "x", "40, and +0.02 order consistency",
        f"{took:.2f} s, of which bare products in float32 take {bare:.2f} s, against "
        f"{recipe_took:.1f} s, order consistency "
        f"{score(model):.3f} against {score(recipe):.3f}, {model.n_iter_} epochs "
        f"against {recipe.n_epochs_}",
    )  # fmt: skip


def network_search(repeats):
    """Train five folds of six penalties in one call, and one network on one fold."""
    pairs, y = made_up(3_400, 384, 1_700)
    folds = list(PromptDisjointKFold(5, random_state=0).split(pairs, y))
    runs = list(itertools.product(np.logspace(-5, -1, 6), folds))

    def networks(some):
        models = [
            BradleyTerryMLPRegressor((64,), alpha=alpha, device="cpu", random_state=0)
            for alpha, _ in some
        ]
        parts = [train for _, (train, _) in some]
        return fit_together(models, [pairs[k] for k in parts], [y[k] for k in parts])

    (whole, each), _ = fastest(
        [lambda: networks(runs), lambda: [networks([run]) for run in runs]], repeats
    )
    (bare,), _ = fastest([bare_products(lambda: networks(runs))], repeats)
    one = each / len(runs)
    return Row(
        "5-fold search of 6 penalties, network (64,), 1,700 pairs", whole / one,
        "single fits", "at most 8",
        f"{whole:.2f} s against {one:.3f} s, the mean of the thirty one by one; their "
        f"products alone take {bare:.2f} s, {bare / one:.1f} fits",
    )  # fmt: skip


def bare_products(fit):
    """Give what multiplies as the layers do in a fit, in float32, and nothing else."""
    import torch

    from skreward.networks.stack import Stack

    passes, rewards = [], Stack.rewards

    def counted(stack, x, members, tape=None, n_rows=None):
        coefs = [p[members] for p in stack._parameters[: stack._n_coefs]]
        passes.append((x.shape[1], [c.shape for c in coefs], tape is not None))
        return rewards(stack, x, members, tape, n_rows)

    with patch.object(Stack, "rewards", counted):
        fit()
    n_most = max(n for n, *_ in passes)
    shapes = max((shapes for _, shapes, _ in passes), key=lambda s: s[0][0])
    weights = [torch.randn(shape) for shape in shapes]
    units = [torch.randn(m, n_most, width) for m, width, _ in shapes]
    units.append(torch.randn(shapes[-1][0], n_most, 1))

    @torch.inference_mode()
    def multiply():
        for n, shapes, learns in passes:
            m = shapes[0][0]
            here = [unit[:m, :n] for unit in units]
            for k, weight in enumerate(w[:m] for w in weights):
                torch.bmm(here[k], weight)
                if learns:
                    torch.bmm(here[k].transpose(1, 2), here[k + 1])
                if learns and k:
                    torch.bmm(here[k + 1], weight.transpose(1, 2))

    return multiply


@contextmanager
def file_of_pairs(n_rows):
    """Write made-up pairs to a file of JSON lines; it is gone at the end."""
    rng = np.random.default_rng(0)
    words = np.array(["quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w") as file:
            for k in range(n_rows):
                said = [" ".join(rng.choice(words, n)) for n in (10, 40, 40)]
                row = {"prompt": f"{k // 2} {said[0]}", "chosen": said[1]}
                file.write(json.dumps(row | {"rejected": said[2]}) + "\n")
        yield path


def parsed(path):
    """Parse every line, and check nothing."""
    with path.open() as file:
        return [json.loads(line) for line in file]


def reading(n_rows, repeats):
    """Read preferences out of lines of JSON, and parse those lines alone."""
    with file_of_pairs(n_rows) as path:
        runs = [lambda: read_data(path), lambda: parsed(path)]
        (ours, theirs), _ = fastest(runs, repeats, time.process_time)
    return Row(
        f"reading {n_rows:,} pairs of JSON lines", ours / theirs, "x json.loads",
        "at most 2", f"{ours:.2f} s of a core against {theirs:.2f} s",
    )  # fmt: skip


# What a process grows by, beyond what it has imported, until its peak.
GROWTH = """
import sys
from pathlib import Path
from benchmarks.speed import parsed, read_data
def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))
before = resident("VmRSS")
held = {}(Path(sys.argv[1]))
print(resident("VmHWM") - before)
"""


def reading_memory(n_rows):
    """Hold the preferences of a file, and dicts of its lines, each in a process."""
    with file_of_pairs(n_rows) as path:
        size = path.stat().st_size / 1e6

        def growth(call):
            command = [sys.executable, "-c", GROWTH.format(call), path]
            done = subprocess.run(command, check=True, capture_output=True)
            return int(done.stdout) / 1e6

        ours, theirs = growth("read_data"), growth("parsed")
    return Row(
        f"peak memory of reading {n_rows:,} pairs of JSON lines", ours / theirs,
        "x the dicts of json.loads", "at most 0.85",
        f"{ours:.0f} MB against {theirs:.0f} MB, the file has {size:.0f} MB",
    )  # fmt: skip


def classifier(make, name, goal, repeats):
    """Fit a classifier on weighted items, and on two rows a pair."""
    pairs, y = made_up(10_000, 256, 200_000)

    def ours():
        return PairwiseClassifierReward(make()).fit(pairs, y)

    def theirs():
        rows = pairs.embeddings[pairs.index.ravel()]
        return make().fit(rows, np.column_stack([y, 1 - y]).ravel())

    seconds, (model, peer) = fastest([ours, theirs], repeats)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reward = peer.predict_proba(pairs.embeddings)[:, 1]
    alike = spearmanr(reward, model.predict(pairs.embeddings)).statistic
    return Row(
        f"classifier reward, {name}, 10,000 x 256, 200,000 pairs",
        seconds[1] / seconds[0], "x", f"{goal}, same ranking",
        f"{seconds[0]:.2f} s against {seconds[1]:.2f} s, rank correlation of the "
        f"rewards {alike:.5f}",
    )  # fmt: skip


def lightgbm_classifier():
    from lightgbm import LGBMClassifier

    return LGBMClassifier(verbosity=-1, random_state=0)


def scoring(hidden_layer_sizes, n_rows, dtype, repeats):
    """Predict rewards of rows, and take bare products over the same memory."""
    import torch

    n_features = 1024
    pairs, y = made_up(1000, n_features, 2000)
    model = BradleyTerryRegressor(max_iter=20)
    if hidden_layer_sizes:
        model = BradleyTerryMLPRegressor(
            hidden_layer_sizes, max_iter=20, device="cpu", random_state=0
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(pairs, y)
    rng = np.random.default_rng(0)
    rows = np.empty((n_rows, n_features), dtype=dtype)
    for start in range(0, n_rows, 10_000):
        part = rows[start : start + 10_000]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    here = torch.from_numpy(rows)
    if hidden_layer_sizes:
        layers = [torch.from_numpy(c) for c in model.coefs_]

        def bare():
            for start in range(0, n_rows, 8192):
                hidden = here[start : start + 8192].float()
                for layer in layers:
                    hidden = hidden @ layer

        what = "the layers' float32 products in torch"
    else:
        weights = torch.from_numpy(model.coef_.astype(dtype))

        def bare():
            return here @ weights

        what = f"torch's {np.dtype(dtype)} product"

    def by_integers():
        with patch.object(float16, "numkong", None):
            model.predict(rows)

    runs = [lambda: model.predict(rows), bare]
    is_half = dtype == np.float16 and not hidden_layer_sizes
    seconds, _ = fastest(runs + [by_integers] * is_half, repeats)
    beside = f"; without NumKong {seconds[2]:.2f} s" if is_half else ""
    name = f"network {hidden_layer_sizes}" if hidden_layer_sizes else "linear"
    return Row(
        f"rewards of {n_rows:,} x {n_features:,} {np.dtype(dtype)} rows, {name}",
        seconds[1] / seconds[0], "of a bare product", "0.7",
        f"{seconds[0]:.2f} s against {seconds[1]:.2f} s of {what}, "
        f"{rows.nbytes / seconds[0] / 1e9:.1f} GB/s{beside}",
    )  # fmt: skip


def ensemble(repeats):
    """Fit 20 heads in one computation, and in a loop."""
    task, _ = load_task(20_000, seed=0)
    found = compare_ensembles(task, members=20, epochs=3, repeats=repeats)
    ours, theirs = found["batched", True], found["loop", False]
    alike = found["loop", True].seconds / ours.seconds
    return Row(
        "RewardEnsemble of 20 (128, 128), 3 epochs of 20,000 pairs",
        theirs.seconds / ours.seconds, "x", "3, no lower order consistency",
        f"{ours.seconds:.2f} s against {theirs.seconds:.2f} s ({alike:.1f}x the loop "
        f"on bootstraps), order consistency {ours.score:.3f} against "
        f"{theirs.score:.3f}",
    )  # fmt: skip


def memory(kind, work, goal, note):
    """Run a job in processes of its own, and look at its peak."""
    used = footprint(kind)
    note = f"{note}; {used['seconds']:.0f} s"
    return Row(work, used["peak"] / 1e9, "GB", goal, note)


def fit_memory(kind):
    """Fit on a float16 memmap of 300,000 x 1,024 and a million pairs."""
    work = f"peak memory, {kind}, 300,000 x 1,024 float16 memmap, 1,000,000 pairs"
    note = "the memmap is 0.6 GB of it; the dense pairs would take 8.2 GB"
    return memory(kind, work, "under 2.0", note)


def search_memory(kind, stored):
    """Search ten penalties on five folds of a container of 1 GB, in two processes."""
    work = f"5-fold search of 10 penalties, 1 GB container {stored}"
    return memory(kind, work, "under 2.5", "proportional set size of all processes")


# Until a first small model is fitted and has scored: names are imported when they are
# first asked for, so that the import alone says nothing.
FIRST_FIT = """
import numpy as np
rng = np.random.default_rng(0)
pairs, y = rng.normal(size=(100, 2, 8)), rng.integers(2, size=100)
"""
OURS = """
from skreward import BradleyTerryRegressor
BradleyTerryRegressor().fit(pairs, y).score(pairs, y)
"""
THEIRS = """
from sklearn.linear_model import LogisticRegression
z = pairs[:, 0] - pairs[:, 1]
LogisticRegression(fit_intercept=False).fit(z, y).score(z, y)
"""


def first_fit(repeats):
    """Import, fit and score in a new process, as LogisticRegression on differences."""

    def run(statement):
        code = FIRST_FIT + statement
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    seconds, _ = fastest([run(s) for s in (OURS, THEIRS, "")], 3 * repeats)
    ours, theirs = seconds[0] - seconds[2], seconds[1] - seconds[2]
    return Row(
        "import and fit a first small model", ours / theirs, "x the time",
        "at most 1.2", f"{ours:.2f} s against {theirs:.2f} s",
    )  # fmt: skip


ROWS: dict[str, Callable] = {
    "linear-wide": lambda n: linear(20_000, 2_048, 40_000, "6", n),
    "linear-deep": lambda n: linear(10_000, 1_024, 200_000, "30", n),
    "linear-wide-isotropic": lambda n: linear(
        20_000, 2_048, 40_000, "6", n, isotropic=True
    ),
    "linear-deep-isotropic": lambda n: linear(
        10_000, 1_024, 200_000, "30", n, isotropic=True
    ),
    "alpha-path": alpha_path,
    "network": network,
    "network-search": network_search,
    "ensemble": ensemble,
    "classifier-linear": lambda n: classifier(
        lambda: LogisticRegression(C=0.1, max_iter=1000), "LogisticRegression", 10, n
    ),
    "classifier-lightgbm": lambda n: classifier(
        lightgbm_classifier, "LightGBM", 5, n
    ),
    "scoring-linear": lambda n: scoring((), 1_000_000, np.float16, n),
    "scoring-linear-float32": lambda n: scoring((), 1_000_000, np.float32, n),
    "scoring-network": lambda n: scoring((1024, 512), 1_000_000, np.float16, 1),
    "memory-linear": lambda n: fit_memory("linear"),
    "memory-network": lambda n: fit_memory("network"),
    "grid-search": lambda n: search_memory("grid-in-memory", "in memory"),
    "grid-search-threads": lambda n: search_memory(
        "grid-in-threads", "in memory, in threads"
    ),
    "grid-search-memmap": lambda n: search_memory("grid-as-memmap", "as memmap"),
    "reading": lambda n: reading(100_000, n),
    "reading-memory": lambda n: reading_memory(100_000),
    "first-fit": first_fit,
}  # fmt: skip


def main():
    """Print the table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: every row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    if options.list:
        print("\n".join(ROWS))
        return
    print(
        f"{os.cpu_count()} cores\n\n| work | reached | goal | seen |\n|---|---|---|---|"
    )
    for name in options.rows or ROWS:
        row = ROWS[name](options.repeats)
        figure = f"{row.figure:.2f} {row.unit}"
        print(f"| {row.work} | {figure} | {row.goal} | {row.note} |", flush=True)


if __name__ == "__main__":
    main()
