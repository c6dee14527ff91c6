"""What knowing the annotators gains, and how far its errors are to be believed.

    python -m benchmarks.annotators judged_dev_minilm.npz --seeds 5

Every seed draws its own prompts to hold out (a fifth) and its own same-prompt pairs,
given to annotators at random, who are logistic with beta = 3 but for spammers, who
toss a coin. The score is the share of the judge's orders kept on same-prompt pairs of
held-out prompts; the correlation is that of estimated with true reliabilities.
Tables: effects, where annotators are alike, where many are spammers, where each leans
to the first or the second by its own log-odds (standard deviation 1), and where the
longer response comes first in four pairs of five; the standard deviation of the
reliabilities' prior; and how often intervals of 95 % cover, on made-up items.
"""

import argparse
from unittest import mock

import numpy as np
from scipy.special import expit

from benchmarks.order_consistency import make_task, score
from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.datasets import load_judged

EFFECTS = ("reliability", "position", "both")
SETTINGS = {
    "alike": {},
    "50 % spammers": {"spam": 0.5},
    "80 % spammers": {"spam": 0.8},
    "each leans": {"lean": 1.0},
    "longer first": {"longer_first": 0.8},
    "longer first, each leans": {"longer_first": 0.8, "lean": 1.0},
}
SPREADS = (0.25, 0.5, 1.0, 2.0)
BETA = 3.0
# Reliabilities of twenty, of mean 1.
CROWDS = {
    "alike": np.ones(20),
    "from 0.2 to 1.8": np.linspace(0.2, 1.8, 20),
    "50 % spammers": np.repeat([2.0, 0.0], 10),
    "80 % spammers": np.repeat([5.0, 0.0], [4, 16]),
}


def draw(data, items, seed, *, spam=0.0, lean=0.0, longer_first=0.5,
         n_pairs=20_000, n_annotators=30):  # fmt: skip
    """Give the task, pairs, labels, annotators, and who of them is a spammer."""
    task = make_task(data, seed, n_pairs=n_pairs)
    rng = np.random.default_rng(seed)
    who = rng.integers(n_annotators, size=n_pairs)
    is_spammer = np.arange(n_annotators) < round(spam * n_annotators)
    index = task.pairs.index.copy()
    if longer_first != 0.5:
        length = data.response_chars[index]
        is_longer = length[:, 0] >= length[:, 1]
        turned = is_longer != (rng.uniform(size=n_pairs) < longer_first)
        index[turned] = index[turned, ::-1]
    margin = -np.diff(data.rewards[index])[:, 0] * BETA / data.rewards.std()
    shift = lean * rng.normal(size=n_annotators)
    y = rng.uniform(size=n_pairs) < expit(margin + shift[who])
    y = np.where(is_spammer[who], rng.integers(0, 2, n_pairs), y)
    pairs = EmbeddingPairs(items, index, data.prompt_ids)
    return task, pairs, y.astype(int), who, is_spammer


def compare(data, items, seed, spam=0.0, *, effects="reliability", **setting):
    """Order consistency, plain and with effects; the reliabilities' correlation."""
    task, pairs, y, who, is_spammer = draw(data, items, seed, spam=spam, **setting)
    plain = BradleyTerryRegressor().fit(pairs, y)
    model = BradleyTerryRegressor(annotator_effects=effects)
    model.fit(pairs, y, annotators=who)
    found = np.nan
    if 0 < is_spammer.sum() < len(is_spammer) and effects != "position":
        found = np.corrcoef(~is_spammer, model.annotator_reliability_)[0, 1]
    return *(score(task, m.predict(items))[0] for m in (plain, model)), found


def coverage(beta, n_pairs, seed):
    """Share of annotators whose reliability is in its interval of 95 %."""
    rng = np.random.default_rng(seed)
    items, coef = rng.normal(size=(1500, 30)), rng.normal(size=30) / 8
    first = rng.integers(1500, size=n_pairs)
    index = np.column_stack([first, (first + rng.integers(1, 1500, n_pairs)) % 1500])
    margin = (items[index[:, 0]] - items[index[:, 1]]) @ coef
    who = rng.integers(len(beta), size=n_pairs)
    y = (beta[who] * margin > rng.logistic(size=n_pairs)).astype(int)
    model = BradleyTerryRegressor(annotator_effects="reliability")
    model.fit(EmbeddingPairs(items, index), y, annotators=who)
    error = np.abs(model.annotator_reliability_ - beta)
    return np.mean(error < 1.96 * model.annotator_reliability_std_)


def show(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def gained(results):
    """Write plain, known and gain."""
    results = np.array(results)
    gain = results[:, 1] - results[:, 0]
    plain, known, _ = results.mean(axis=0)
    return f"{plain:.3f}", f"{known:.3f}", f"{gain.mean():+.3f} ± {gain.std():.3f}"


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--annotators", type=int, default=30)
    options = parser.parse_args(arguments)
    data = load_judged(options.data)
    items = data.embeddings.astype(np.float32)
    sizes = {"n_pairs": options.pairs, "n_annotators": options.annotators}
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(f"{options.pairs} pairs, {options.annotators} annotators, seeds {seeds[0]} "
          f"to {seeds[-1]}: mean order consistency")  # fmt: skip
    print("\n| annotators | effects | plain | known | gain | correlation |")
    print("|---|---|---|---|---|---|")
    for name, setting in SETTINGS.items():
        for effects in EFFECTS:
            results = [
                compare(data, items, seed, effects=effects, **setting, **sizes)
                for seed in seeds
            ]
            found = np.mean([result[2] for result in results])
            show([name, effects, *gained(results), f"{found:.2f}"])
    print("\n| prior's standard deviation | annotators | plain | known | gain |")
    print("|---|---|---|---|---|")
    for spread in SPREADS:
        with mock.patch("skreward.objectives.annotators.RELIABILITY_SPREAD", spread):
            for name in ("alike", "50 % spammers", "80 % spammers"):
                results = [
                    compare(data, items, seed, **SETTINGS[name], **sizes)
                    for seed in seeds
                ]
                show([f"{spread:g}", name, *gained(results)])
    print("\n| reliabilities | pairs | intervals of 95 % cover |\n|---|---|---|")
    for name, beta in CROWDS.items():
        for n_pairs in (3_000, 9_000, 30_000):
            share = np.mean([coverage(beta, n_pairs, seed) for seed in seeds])
            show([name, f"{n_pairs:,}", f"{share:.2f}"])


if __name__ == "__main__":
    main()
