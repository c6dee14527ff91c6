"""A reward without length: what controlling for it does, and what it costs.

    python -m benchmarks.length judged_dev_minilm.npz --seeds 5

Every seed draws its own prompts to hold out (a fifth), its own same-prompt pairs and
its own annotator (logistic, beta = 3). The covariate is the log of the response's
characters. The length-free truth is the judge's reward minus what log length explains
of it within prompts. Correlations are pooled, within prompts, of held-out prompts.
"""

import argparse
from functools import partial

import numpy as np

from benchmarks.order_consistency import make_task
from skreward import BradleyTerryRegressor, ControlledReward, PairwiseClassifierReward
from skreward.datasets import load_judged
from skreward.metrics import order_consistency_score


def log_length(data):
    """Covariate of every response."""
    return np.log1p(data.response_chars)


def within(values, prompt_ids):
    """Subtract the mean of every prompt."""
    prompt = np.unique(prompt_ids, return_inverse=True)[1]
    return values - (np.bincount(prompt, values) / np.bincount(prompt))[prompt]


def length_free(data):
    """Give the judge's reward without what length explains within prompts."""
    length = within(log_length(data), data.prompt_ids)
    slope = length @ within(data.rewards, data.prompt_ids) / (length @ length)
    return data.rewards - slope * log_length(data)


def measure(data, task, rewards):
    """Correlation with length; order consistency with the judge and without length."""
    is_test = np.isin(data.prompt_ids, data.prompt_ids[task.unseen.ravel()])
    ids = data.prompt_ids[is_test]
    correlation = np.corrcoef(
        within(rewards[is_test].astype(float), ids),
        within(log_length(data)[is_test], ids),
    )[0, 1]
    margin, truth = (
        np.subtract(*values[task.unseen.T]) for values in (rewards, length_free(data))
    )
    return (
        correlation,
        order_consistency_score(task.golden, margin),
        order_consistency_score((truth > 0).astype(int), margin),
    )


def rewards(data, task, estimator, control=None):
    """Rewards of all items by an estimator, controlled or not."""
    if control is None:
        return estimator.fit(task.pairs, task.y).predict(data.embeddings)
    model = ControlledReward(estimator, control=control)
    model.fit(task.pairs, task.y, covariates=log_length(data))
    return model.predict(data.embeddings)


ROWS = {
    "length alone": lambda data, task: log_length(data),
    **{
        f"{type(estimator).__name__}(){', ' + control if control else ''}": partial(
            rewards, estimator=estimator, control=control
        )
        for estimator in (BradleyTerryRegressor(), PairwiseClassifierReward())
        for control in (None, "nuisance", "orthogonal")
    },
}


def main(arguments=None):
    """Print a row a reward."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    options = parser.parse_args(arguments)
    data, found = load_judged(options.data), {}
    for seed in range(options.seeds):
        task = make_task(data, seed, n_pairs=options.pairs)
        for name, row in ROWS.items():
            found.setdefault(name, []).append(measure(data, task, row(data, task)))
    print(f"{options.pairs} pairs, seeds 0 to {options.seeds - 1}: mean ± spread")
    print("| reward | correlation with length | judge | length-free truth |")
    print("|---|---|---|---|")
    for name, results in found.items():
        mean, spread = np.mean(results, axis=0), np.std(results, axis=0)
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
