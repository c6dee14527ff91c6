"""Order consistency on unseen prompts: this package beside what one would use else.

    python -m benchmarks.order_consistency judged_dev_minilm.npz --seeds 5

Every seed draws its own prompts to hold out (a fifth), its own same-prompt pairs and
its own annotator (logistic, beta = 3). Models see the annotator's labels; the score is
the share of golden orders they keep on same-prompt pairs of held-out prompts. Default
parameters everywhere, none tuned on those prompts. Peers that are not installed are
left out.
"""

import argparse
import time
from importlib.util import find_spec

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
)
from skreward.annotation import annotate, sample_pairs
from skreward.datasets import load_judged
from skreward.metrics import order_consistency_score

SIMILAR_LENGTH = 1.1


def make_task(data, seed, *, n_pairs=20_000, beta=3.0, test_share=0.2):
    """Draw training pairs with noisy labels, and golden test pairs of other prompts."""
    rng = np.random.RandomState(seed)
    prompts = rng.permutation(np.unique(data.prompt_ids))
    is_test = np.isin(data.prompt_ids, prompts[: int(test_share * len(prompts))])
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    index = train[sample_pairs(data.prompt_ids[train], n_pairs, random_state=rng)]
    y = annotate(data.rewards, index, beta=beta, random_state=rng)
    unseen = test[sample_pairs(data.prompt_ids[test], n_pairs, random_state=rng)]
    golden = data.rewards[unseen[:, 0]] - data.rewards[unseen[:, 1]]
    unseen, golden = unseen[golden != 0], golden[golden != 0]
    length = np.maximum(data.response_chars[unseen], 1)
    return Bunch(
        pairs=EmbeddingPairs(data.embeddings, index, data.prompt_ids),
        y=y,
        flipped=float(np.mean(y != (np.diff(data.rewards[index])[:, 0] < 0))),
        unseen=unseen,
        golden=(golden > 0).astype(int),
        is_similar=length.max(axis=1) < SIMILAR_LENGTH * length.min(axis=1),
    )


def logistic_on_differences(pairs, y, items, seed):
    """LogisticRegression(C=0.1) on first minus second: the linear peer."""
    first, second = pairs.embeddings[pairs.index.T].astype(np.float32)
    model = LogisticRegression(C=0.1, fit_intercept=False).fit(first - second, y)
    return items @ model.coef_[0]


def fitted(make):
    """Wrap a reward model of this package as a peer."""

    def rewards(pairs, y, items, seed):
        return make(seed).fit(pairs, y).predict(items)

    return rewards


def lightgbm_classifier(seed):
    from lightgbm import LGBMClassifier

    return PairwiseClassifierReward(LGBMClassifier(random_state=seed, verbosity=-1))


def xgboost_ranker(pairs, y, items, seed):
    """XGBRanker on one query a pair."""
    from xgboost import XGBRanker

    rows, won = _rows(pairs, y)
    model = XGBRanker(objective="rank:pairwise", random_state=seed)
    return model.fit(rows, won, qid=np.repeat(np.arange(len(y)), 2)).predict(items)


def catboost_pairs(pairs, y, items, seed):
    """CatBoost's PairLogit over the distinct items."""
    from catboost import CatBoost, Pool

    compact = pairs.compact()
    order = np.argsort(compact.prompt_ids, kind="stable")
    place = np.argsort(order)
    chosen_first = np.where(y[:, None] == 1, compact.index, compact.index[:, ::-1])
    pool = Pool(
        compact.embeddings[order].astype(np.float32),
        label=np.zeros(compact.n_items),
        group_id=np.unique(compact.prompt_ids[order], return_inverse=True)[1],
        pairs=place[chosen_first],
    )
    model = CatBoost(
        {"loss_function": "PairLogit", "iterations": 300, "random_seed": seed,
         "verbose": False, "allow_writing_files": False}
    )  # fmt: skip
    return model.fit(pool).predict(items)


def _rows(pairs, y):
    rows = pairs.embeddings[pairs.index.ravel()].astype(np.float32)
    return rows, np.column_stack([y, 1 - y]).ravel()


PEERS = {
    "BradleyTerryRegressor()": fitted(lambda seed: BradleyTerryRegressor()),
    "BradleyTerryMLPRegressor()": fitted(
        lambda seed: BradleyTerryMLPRegressor(random_state=seed)
    ),
    "PairwiseClassifierReward()": fitted(lambda seed: PairwiseClassifierReward()),
    "LogisticRegression(C=0.1) on differences": logistic_on_differences,
    "PairwiseClassifierReward(LightGBM)": fitted(lightgbm_classifier),
    "XGBRanker rank:pairwise": xgboost_ranker,
    "CatBoost PairLogit, 300 trees": catboost_pairs,
}
NEEDS = {
    "PairwiseClassifierReward(LightGBM)": "lightgbm",
    "XGBRanker rank:pairwise": "xgboost",
    "CatBoost PairLogit, 300 trees": "catboost",
}


def score(task, rewards):
    """Order consistency on all unseen pairs, and on those of similar length."""
    margin = rewards[task.unseen[:, 0]] - rewards[task.unseen[:, 1]]
    similar = task.is_similar
    return (
        order_consistency_score(task.golden, margin),
        order_consistency_score(task.golden[similar], margin[similar]),
    )


def measure(peer, task, items, seed):
    """Score a peer that is fitted on the task's pairs of these items."""
    pairs = EmbeddingPairs(items, task.pairs.index, task.pairs.prompt_ids)
    started = time.perf_counter()
    rewards = peer(pairs, task.y, items, seed)
    seconds = time.perf_counter() - started
    return (*score(task, rewards), seconds)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--only", help="part of a row's name")
    options = parser.parse_args(arguments)
    data = load_judged(options.data)
    items = data.embeddings.astype(np.float32)
    length = np.log(np.maximum(data.response_chars, 1)).astype(np.float32)
    wider = np.column_stack([items, length])
    rows, flipped = {}, []
    for seed in range(options.seeds):
        task = make_task(data, seed, n_pairs=options.pairs)
        flipped.append(task.flipped)
        rows.setdefault("longer response wins (null)", []).append(
            (*score(task, data.response_chars.astype(float)), 0.0)
        )
        rows.setdefault("BradleyTerryRegressor(), embedding and log length", []).append(
            measure(fitted(lambda seed: BradleyTerryRegressor()), task, wider, seed)
        )
        for name, peer in PEERS.items():
            if name in NEEDS and find_spec(NEEDS[name]) is None:
                continue
            if options.only and options.only not in name:
                continue
            rows.setdefault(name, []).append(measure(peer, task, items, seed))
    print(f"{options.pairs} pairs, label noise {np.mean(flipped):.1%}, "
          f"{options.seeds} seeds: mean and standard deviation over seeds")  # fmt: skip
    print("| model | order consistency | similar length | seconds |")
    print("|---|---|---|---|")
    for name, results in rows.items():
        mean, spread = np.mean(results, axis=0), np.std(results, axis=0)
        print(f"| {name} | {mean[0]:.3f} ± {spread[0]:.3f} | "
              f"{mean[1]:.3f} ± {spread[1]:.3f} | {mean[2]:.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
