"""Calibration of preference probabilities on unseen prompts, before and after.

    python -m benchmarks.calibration judged_dev_minilm.npz --seeds 5

Every seed draws its own prompts to hold out (a fifth), its own same-prompt pairs and
its own annotator (logistic, beta = 3), who labels the unseen pairs too. "raw" reads a
margin as log-odds. What a network has learned by heart after many epochs differs
between its folds and the whole: there a temperature helps, and leaves more. The mean of
the folds' networks orders better than the one of all pairs, and is no better calibrated
by the temperature of its members.
"""

import argparse
import time
import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from benchmarks.order_consistency import make_task
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    CalibratedReward,
    EmbeddingPairs,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.annotation import annotate
from skreward.datasets import load_judged
from skreward.metrics import expected_calibration_error


class Calibration(NamedTuple):
    """What probabilities are worth on the unseen pairs."""

    ece: float
    log_loss: float


def draw(data, seed, *, n_pairs=20_000, beta=3.0):
    """Give training pairs and labels, and unseen ones of the same annotator."""
    task = make_task(data, seed, n_pairs=n_pairs, beta=beta)
    unseen = EmbeddingPairs(data.embeddings, task.unseen, data.prompt_ids)
    labels = annotate(data.rewards, task.unseen, beta=beta, random_state=seed)
    return task.pairs, task.y, unseen, labels


def judge(y, proba):
    """Give the calibration error and the log-loss of probabilities."""
    likelihood = np.where(y == 1, proba, 1 - proba)
    return Calibration(
        expected_calibration_error(y, proba), -float(np.mean(np.log(likelihood)))
    )


def calibrate(reward, method, task):
    """Fit a reward; gives its calibration before and after."""
    pairs, y, unseen, labels = task
    model = CalibratedReward(clone(reward), method=method).fit(pairs, y)
    raw = expit(model.estimator_.predict(unseen).astype(np.float64))
    return judge(labels, raw), judge(labels, model.predict_preference_proba(unseen))


def rewards(seed):
    """Name the rewards."""
    return {
        "BradleyTerryRegressor()": BradleyTerryRegressor(),
        "PairwiseClassifierReward()": PairwiseClassifierReward(),
        "RewardEnsemble()": RewardEnsemble(random_state=seed),
        **{
            f"network (256, 128), {n} epochs, not stopped": network(seed, n)
            for n in (2, 5, 15)
        },
    }


def network(seed, n_epochs):
    """Build a network that no validation part stops."""
    return BradleyTerryMLPRegressor(
        (256, 128), early_stopping=False, max_iter=n_epochs, random_state=seed
    )


def main(arguments=None):
    """Print a row for every reward and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--only", default="", help="part of a row's name")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    data = load_judged(options.data)
    rows = {}
    for seed in range(options.seeds):
        task = draw(data, seed, n_pairs=options.pairs)
        for name, reward in rewards(seed).items():
            if options.only not in name:
                continue
            for method in ("temperature", "isotonic"):
                started = time.perf_counter()
                raw, after = calibrate(reward, method, task)
                seconds = time.perf_counter() - started
                rows.setdefault((name, method), []).append((*raw, *after, seconds))
    print(f"{options.pairs} pairs, seeds 0 to {options.seeds - 1}: raw -> calibrated, "
          "mean (largest)")  # fmt: skip
    print("| reward | method | ECE | log-loss | seconds |\n|---|---|---|---|---|")
    for (name, method), results in rows.items():
        mean, worst = np.mean(results, axis=0), np.max(results, axis=0)
        print(f"| {name} | {method} | {mean[0]:.3f} -> {mean[2]:.3f} ({worst[2]:.3f}) "
              f"| {mean[1]:.3f} -> {mean[3]:.3f} | {mean[4]:.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
