"""Ratings compared within prompts and across them, and rankings of K as pairs.

    python -m benchmarks.ratings judged_dev_minilm.npz

Every seed holds out its own fifth of the prompts. An item is rated once: its reward, in
standard deviations, and Gumbel noise over beta, so that two ratings disagree with the
rewards as often as a logistic annotator of that beta does. Scores are the share of the
judge's orders that are kept on same-prompt pairs of held-out prompts.

A wide network gains less by prompts than the linear reward does. At beta = 3 and seed 0
a layer of 64 gets .677 across prompts and .684 within, one of 5 gets .665 and .688; the
linear reward gets .661 and .695 on average. The wide one has room to fit the levels of
prompts, which pairs across them hold, beside what differs within.
"""

import argparse
import warnings

import numpy as np

from benchmarks.order_consistency import make_task, score
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.annotation import pairs_from_rankings
from skreward.datasets import load_judged

BETAS = (3.0, 1.0)
N_RANKED = 4


def make_ratings(data, beta, seed):
    """Rate every item once."""
    rng = np.random.RandomState(seed)
    return data.rewards / data.rewards.std() + rng.gumbel(size=len(data.rewards)) / beta


def train_rows(data, task):
    """Rows of the items whose prompts are not held out."""
    unseen = np.unique(data.prompt_ids[task.unseen])
    return np.flatnonzero(~np.isin(data.prompt_ids, unseen))


def rated(make, data, task, ratings, *, with_prompts, seed):
    """Score a reward fitted on the ratings of the training items."""
    train = train_rows(data, task)
    ids = data.prompt_ids[train] if with_prompts else None
    model = make(seed).fit(data.embeddings[train], ratings[train], prompt_ids=ids)
    return score(task, model.predict(data.embeddings))


def rankings(data, task, ratings, seed, top=None):
    """Rank draws of four of a prompt's responses; gives their items, ranks and ids."""
    rng = np.random.RandomState(seed)
    train = train_rows(data, task)
    items, ids = [], []
    for prompt in np.unique(data.prompt_ids[train]):
        rows = train[data.prompt_ids[train] == prompt]
        n = len(rows) // N_RANKED
        items.append(rng.permutation(rows)[: n * N_RANKED])
        ids.append(np.repeat(np.arange(n) + len(rows) * 1_000 * prompt, N_RANKED))
    items, ids = np.concatenate(items), np.concatenate(ids)
    order = np.argsort(-ratings[items].reshape(-1, N_RANKED), axis=1)
    ranks = np.argsort(order, axis=1).ravel() + 1
    return items, np.minimum(ranks, 2) if top else ranks, ids


def ranked(data, task, ratings, seed, *, which="all", top=False):
    """Score a linear reward fitted on pairs of rankings."""
    items, ranks, ids = rankings(data, task, ratings, seed, top)
    index, y = pairs_from_rankings(ranks, ids, which=which, random_state=seed)
    pairs = EmbeddingPairs(data.embeddings, items[index], data.prompt_ids)
    model = BradleyTerryRegressor().fit(pairs, y)
    return (*score(task, model.predict(data.embeddings)), len(y))


MODELS = {
    "BradleyTerryRegressor()": lambda seed: BradleyTerryRegressor(random_state=seed),
    "BradleyTerryMLPRegressor((64,))": lambda seed: BradleyTerryMLPRegressor(
        (64,), random_state=seed
    ),
    "PairwiseClassifierReward()": lambda seed: PairwiseClassifierReward(
        random_state=seed
    ),
    "RewardEnsemble(n_estimators=5)": lambda seed: RewardEnsemble(
        n_estimators=5, random_state=seed
    ),
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    data = load_judged(options.data)
    data.embeddings = data.embeddings.astype(np.float32)
    seeds = range(options.seeds)
    tasks = [make_task(data, seed) for seed in seeds]
    print(f"seeds 0 to {options.seeds - 1}: mean and standard deviation")
    print("| beta | ratings of items, as pairs | across prompts | within prompts |")
    print("|---|---|---|---|")
    for beta in BETAS:
        ratings = [make_ratings(data, beta, seed) for seed in seeds]
        for name, make in MODELS.items():
            cells = []
            for with_prompts in (False, True):
                kept = [
                    rated(make, data, tasks[s], ratings[s],
                          with_prompts=with_prompts, seed=s)[0]
                    for s in seeds
                ]  # fmt: skip
                cells.append(f"{np.mean(kept):.3f} ± {np.std(kept):.3f}")
            print(f"| {beta} | {name} | {' | '.join(cells)} |", flush=True)
    print(f"\nrankings of {N_RANKED}, BradleyTerryRegressor()")
    print("| beta | pairs | number | order consistency |")
    print("|---|---|---|---|")
    forms = {
        "all": {},
        "extremes": {"which": "extremes"},
        "best against the others": {"top": True},
    }
    for beta in BETAS:
        for name, form in forms.items():
            results = [
                ranked(data, tasks[s], make_ratings(data, beta, s), s, **form)
                for s in seeds
            ]
            kept = [result[0] for result in results]
            n_pairs = np.mean([result[2] for result in results])
            print(f"| {beta} | {name} | {n_pairs:.0f} | {np.mean(kept):.3f} ± "
                  f"{np.std(kept):.3f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
