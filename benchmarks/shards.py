"""What a network loses that is trained a shard at a time, by `partial_fit`.

    python -m benchmarks.shards judged_dev_minilm.npz

Judged responses are dealt to eight shards of whole prompts, at random or sorted by the
first principal component of the prompts' mean responses, which puts like by like. Every
way takes the same number of epochs over the same pairs within prompts: one call of
`fit` that stops after them, and `partial_fit` over the shards, in a new order each
epoch. Order consistency on prompts held out; mean and standard deviation over seeds.
"""

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skreward import BradleyTerryMLPRegressor, EmbeddingPairs

SHARDS, EPOCHS, PAIRS_A_PROMPT = 8, 5, 50
WAYS = "one fit", "shards at random", "sorted shards"


def pairs_within(prompts, rewards, rng):
    """Draw pairs of responses to one prompt whose rewards differ."""
    found = []
    for prompt in np.unique(prompts):
        items = np.flatnonzero(prompts == prompt)
        drawn = rng.choice(items, size=(PAIRS_A_PROMPT, 2))
        found.append(drawn[rewards[drawn[:, 0]] != rewards[drawn[:, 1]]])
    index = np.concatenate(found)
    return index, (rewards[index[:, 0]] > rewards[index[:, 1]]).astype(int)


def first_component(embeddings, prompts):
    """Give each prompt's place along the first principal component of the means."""
    embeddings = embeddings.astype(np.float32)
    means = np.stack(
        [embeddings[prompts == p].mean(axis=0) for p in np.unique(prompts)]
    )
    return np.linalg.svd(means - means.mean(axis=0), full_matrices=False)[0][:, 0]


def score(way, embeddings, prompts, rewards, seed):
    """Train one way; gives the order consistency on prompts held out."""
    rng = np.random.default_rng(seed)
    names, code = np.unique(prompts, return_inverse=True)
    held = rng.permutation(len(names)) < len(names) // 4
    index, y = pairs_within(prompts, rewards, rng)
    is_test = held[code[index[:, 0]]]
    model = BradleyTerryMLPRegressor(
        (128, 64), early_stopping=False, max_iter=EPOCHS, device="cpu",
        random_state=seed,
    )  # fmt: skip
    train = np.flatnonzero(~is_test)
    if way == "one fit":
        model.fit(EmbeddingPairs(embeddings, index[train], prompts), y[train])
    else:
        place = rng.random(len(names))
        if way == "sorted shards":
            place = first_component(embeddings, prompts)
        shard_of = np.argsort(np.argsort(place)) * SHARDS // len(names)
        of_pair = shard_of[code[index[train, 0]]]
        for _ in range(EPOCHS):
            for k in rng.permutation(SHARDS):
                here = train[of_pair == k]
                some = EmbeddingPairs(embeddings, index[here], prompts)
                model.partial_fit(some, y[here])
    test = EmbeddingPairs(embeddings, index[is_test], prompts)
    return model.score(test, y[is_test])


def main():
    """Print a row a way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    data = np.load(options.path)
    parts = data["embeddings"], data["prompt_id"], data["golden_reward"]
    print("| way | order consistency |\n|---|---|")
    for way in WAYS:
        found = [score(way, *parts, seed) for seed in range(options.seeds)]
        print(f"| {way} | {np.mean(found):.4f} ± {np.std(found, ddof=1):.4f} |")


if __name__ == "__main__":
    main()
