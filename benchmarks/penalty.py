"""What choosing the penalty gains over the default, and what it costs.

    python -m benchmarks.penalty judged_dev_minilm.npz --seeds 5

Every seed draws its own prompts to hold out (a fifth) and its own same-prompt pairs.
Labels are the judge's, so many turned round at random. "best" is the penalty that is
best on the held-out prompts, which nobody can know. The cost is the processor time of
the whole fit over five times that of one `BradleyTerryRegressor`, by turns, the fastest
of ``--repeats`` each.
"""

import argparse
import time

import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.order_consistency import make_task, score
from skreward import BradleyTerryRegressor, BradleyTerryRegressorCV, EmbeddingPairs
from skreward.datasets import load_judged

# Pairs, and the share of wrong labels.
SETTINGS = [(5_000, 0.4), (5_000, 0.08), (20_000, 0.19)]


def fastest(fits, repeats):
    """Take fits by turns; gives the processor time of the fastest run of each."""
    seconds = np.full(len(fits), np.inf)
    for _ in range(repeats):
        for k, fit in enumerate(fits):
            started = time.process_time()
            fit()
            seconds[k] = min(seconds[k], time.process_time() - started)
    return seconds


def draw(data, items, seed, n_pairs, wrong):
    """Give the task, and training pairs of these items with wrong labels."""
    task = make_task(data, seed, n_pairs=n_pairs, beta=np.inf)
    is_wrong = np.random.default_rng(seed).uniform(size=n_pairs) < wrong
    pairs = EmbeddingPairs(items, task.pairs.index, data.prompt_ids)
    return task, pairs, np.where(is_wrong, 1 - task.y, task.y)


def compare(data, items, seed, n_pairs, wrong):
    """Order consistency by the default, chosen and best penalty; the chosen one.

    ``items`` are the embeddings, as they are or scaled.
    """
    task, pairs, y = draw(data, items, seed, n_pairs, wrong)
    single = BradleyTerryRegressor().fit(pairs, y)
    chosen = BradleyTerryRegressorCV().fit(pairs, y)
    path = BradleyTerryRegressor().fit_path(pairs, y, alphas=chosen.alphas_)
    by_default, by_choice, *rest = (
        score(task, model.predict(items))[0] for model in (single, chosen, *path)
    )
    return by_default, by_choice, max(rest), chosen.alpha_


def cost(data, items, n_pairs, wrong, repeats):
    """Time of the whole fit over five times that of one."""
    _, pairs, y = draw(data, items, 0, n_pairs, wrong)
    single, whole = fastest(
        [
            lambda: BradleyTerryRegressor().fit(pairs, y),
            lambda: BradleyTerryRegressorCV().fit(pairs, y),
        ],
        repeats,
    )
    return whole / (5 * single)


def main(arguments=None):
    """Print a row for every setting and scale of the items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    data = load_judged(options.data)
    items = data.embeddings.astype(np.float32)
    scaled = StandardScaler().fit_transform(items)
    print(f"seeds 0 to {options.seeds - 1}: mean order consistency")
    print("| pairs | wrong | items | default | chosen | gain | best | alpha | cost |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n_pairs, wrong in SETTINGS:
        for scale, rows in (("as they are", items), ("scaled", scaled)):
            results = np.array(
                [
                    compare(data, rows, seed, n_pairs, wrong)
                    for seed in range(options.seeds)
                ]
            )
            default, chosen, best, _ = results.mean(axis=0)
            gain = results[:, 1] - results[:, 0]
            print(f"| {n_pairs} | {wrong:.0%} | {scale} | {default:.3f} | {chosen:.3f} "
                  f"| {gain.mean():+.3f} ± {gain.std():.3f} | {best:.3f} | "
                  f"{np.median(results[:, 3]):.1g} | "
                  f"{cost(data, rows, n_pairs, wrong, options.repeats):.2f} |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
