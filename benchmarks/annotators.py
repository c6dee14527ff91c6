"""What knowing the annotators gains, where most are spammers and where all are alike.

    python -m benchmarks.annotators judged_dev_minilm.npz --seeds 5

Every seed draws its own prompts to hold out (a fifth) and its own same-prompt pairs,
given to annotators at random, who are logistic with beta = 3 but for spammers, who
toss a coin. The score is the share of the judge's orders kept on same-prompt pairs of
held-out prompts; the correlation is that of estimated with true reliabilities.
"""

import argparse

import numpy as np

from benchmarks.order_consistency import make_task, score
from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.datasets import load_judged

SPAM = (0.0, 0.5, 0.8)


def compare(data, items, seed, spam, *, n_pairs=20_000, n_annotators=30):
    """Order consistency, plain and with reliabilities; their correlation."""
    task = make_task(data, seed, n_pairs=n_pairs)
    rng = np.random.default_rng(seed)
    who = rng.integers(n_annotators, size=n_pairs)
    is_spammer = np.arange(n_annotators) < round(spam * n_annotators)
    y = np.where(is_spammer[who], rng.integers(0, 2, n_pairs), task.y)
    pairs = EmbeddingPairs(items, task.pairs.index, data.prompt_ids)
    plain = BradleyTerryRegressor().fit(pairs, y)
    model = BradleyTerryRegressor(annotator_effects="reliability")
    model.fit(pairs, y, annotators=who)
    found = np.nan
    if 0 < is_spammer.sum() < n_annotators:
        found = np.corrcoef(~is_spammer, model.annotator_reliability_)[0, 1]
    return *(score(task, m.predict(items))[0] for m in (plain, model)), found


def main(arguments=None):
    """Print a row for every share of spammers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--annotators", type=int, default=30)
    options = parser.parse_args(arguments)
    data = load_judged(options.data)
    items = data.embeddings.astype(np.float32)
    sizes = {"n_pairs": options.pairs, "n_annotators": options.annotators}
    print(f"{options.pairs} pairs, {options.annotators} annotators, seeds 0 to "
          f"{options.seeds - 1}: mean order consistency")  # fmt: skip
    print("| spammers | plain | reliability | gain | correlation |")
    print("|---|---|---|---|---|")
    for spam in SPAM:
        results = np.array(
            [compare(data, items, seed, spam, **sizes) for seed in range(options.seeds)]
        )
        plain, known, found = results.mean(axis=0)
        gain = results[:, 1] - results[:, 0]
        print(f"| {spam:.0%} | {plain:.3f} | {known:.3f} | {gain.mean():+.3f} ± "
              f"{gain.std():.3f} | {found:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
