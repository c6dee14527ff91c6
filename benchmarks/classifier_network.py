"""Cost of the paper's two networks, and of scikit-learn's classifier network.

    python -m benchmarks.classifier_network judged_dev_minilm.npz --seeds 5

Every row is fitted to the same 20,000 same-prompt pairs with noisy labels, a draw a
seed, and scored on prompts never seen (`benchmarks.order_consistency`). Seconds are
those of all cores together, in one run. The last rows fit all seeds' networks of one
task at once, each with other noise in its labels, and give the seconds of one.
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.order_consistency import make_task, score
from skreward import (
    BradleyTerryMLPRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
    RewardMLPClassifier,
)
from skreward.datasets import load_judged
from skreward.models.network import fit_together

HIDDEN = (1024, 512)


def likelihood(seed):
    return BradleyTerryMLPRegressor(HIDDEN, device="cpu", random_state=seed)


def classifier(seed):
    return PairwiseClassifierReward(
        RewardMLPClassifier(HIDDEN, device="cpu", random_state=seed)
    )


def peer(seed):
    """scikit-learn's network with the same patience, on rows held out at random."""
    return PairwiseClassifierReward(
        MLPClassifier(
            HIDDEN, early_stopping=True, n_iter_no_change=3, random_state=seed
        )
    )


ROWS = {
    "BradleyTerryMLPRegressor()": likelihood,
    "PairwiseClassifierReward(RewardMLPClassifier())": classifier,
    "PairwiseClassifierReward(MLPClassifier((1024, 512), early_stopping=True))": peer,
}


def seconds_of(work):
    """Seconds of all cores that work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def epochs(model):
    return getattr(model, "estimator_", model).n_iter_


def at_once(make, task, items, n):
    """Fit n networks with labels of other noise at once; seconds of one of them."""
    pairs = EmbeddingPairs(items, task.pairs.index, task.pairs.prompt_ids)
    rng = np.random.default_rng(0)
    labels = [np.where(rng.random(len(pairs)) < 0.05, 1 - task.y, task.y)
              for _ in range(n)]  # fmt: skip
    models = [make(seed) for seed in range(n)]
    return seconds_of(partial(fit_together, models, [pairs] * n, labels)) / n


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    data = load_judged(options.data)
    items = data.embeddings.astype(np.float32)
    rows = {name: [] for name in ROWS}
    for seed in range(options.seeds):
        task = make_task(data, seed, n_pairs=options.pairs)
        pairs = EmbeddingPairs(items, task.pairs.index, task.pairs.prompt_ids)
        for name, make in ROWS.items():
            model = make(seed)
            seconds = seconds_of(partial(model.fit, pairs, task.y))
            order = score(task, model.predict(items))[0]
            rows[name].append((order, seconds, epochs(model)))
    print("| model | order consistency | core-seconds | epochs |")
    print("|---|---|---|---|")
    for name, found in rows.items():
        (order, seconds, n_iter), spread = np.mean(found, axis=0), np.std(found, axis=0)
        print(
            f"| {name} | {order:.3f} ± {spread[0]:.3f} | {seconds:.1f} ± "
            f"{spread[1]:.1f} | {n_iter:.1f} |"
        )
    for name, make in list(ROWS.items())[:2]:
        seconds = at_once(make, task, items, options.seeds)
        print(f"| {name}, {options.seeds} at once | | {seconds:.1f} each | |")


if __name__ == "__main__":
    main()
