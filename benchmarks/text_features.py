"""What statistics of the text add to its embedding, on prompts never seen.

    python -m benchmarks.text_features judged_dev.jsonl.gz judged_dev_minilm.npz \
        --pairs-file hh_harmless_dev.jsonl.gz

Tasks are those of `benchmarks.order_consistency`: every seed holds out its own fifth
of the prompts and draws its own same-prompt pairs and annotator (logistic, beta = 3).
Scores are of the judge's orders on held-out prompts, over all pairs and over pairs of
similar length. Tables: features; groups of statistics; few labels; a truth that does
not depend on length; pairs of people's preferences; responses read in a second.
"""

import argparse
import gzip
import json
import time
import warnings

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from benchmarks.order_consistency import make_task, score
from benchmarks.plain_statistics import plain_statistics
from skreward import (
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    TextStatisticsTransformer,
)
from skreward.datasets import load_judged
from skreward.model_selection import PromptDisjointKFold

FEW = (300, 1_000)
SPEED_CHARS, SPEED_TEXTS = 1_500, 4_000


def read_lines(path):
    """Read the rows of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load(texts, embedded):
    """Load judged responses with their texts and the statistics of them."""
    data = load_judged(embedded)
    data.texts = read_lines(texts)
    data.statistics = TextStatisticsTransformer().fit_transform(data.texts)
    data.log_length = np.log1p(data.response_chars).astype(np.float32)[:, None]
    data.embeddings = data.embeddings.astype(np.float32)
    return data


def scaled(n_plain=0):
    """Standardise the columns after the first ``n_plain``, which are embeddings."""
    return ColumnTransformer(
        [
            ("embedding", "passthrough", slice(0, n_plain)),
            ("scaled", StandardScaler(), slice(n_plain, None)),
        ]
    )


def item_step(items, n_plain=0):
    """Name what is done to the items before the reward: nothing, or scaling."""
    if items.shape[1] == n_plain:
        return "passthrough"
    return ItemwiseTransformer(scaled(n_plain))


def linear(items, n_plain=0):
    """Give rewards of all items by the linear model, on a task."""

    def rewards(task, seed):
        model = make_pipeline(item_step(items, n_plain), BradleyTerryRegressor())
        return model.fit(task_pairs(task, items), task.y).predict(items)

    return rewards


def task_pairs(task, items):
    """Put the items in place of those of the task's pairs."""
    return EmbeddingPairs(items, task.pairs.index, task.pairs.prompt_ids)


def with_tfidf(data):
    """Statistics beside 100 directions of TF-IDF, learned on the training items."""
    responses = [row["response"] for row in data.texts]

    def rewards(task, seed):
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=5, max_features=20_000)
        seen = np.unique(task.pairs.index)
        reduce = make_pipeline(vectorizer, TruncatedSVD(100, random_state=seed))
        reduce.fit([responses[k] for k in seen])
        reduced = reduce.transform(responses)
        items = np.hstack([reduced, data.statistics])
        return linear(items.astype(np.float32), 100)(task, seed)

    return rewards


def beside_siblings(items, prompt_ids):
    """Put beside each row how far it is from the mean of its prompt's responses."""
    group = np.unique(prompt_ids, return_inverse=True)[1]
    sums = np.zeros((group.max() + 1, items.shape[1]))
    np.add.at(sums, group, items)
    means = sums / np.bincount(group)[:, None]
    return np.hstack([items, items - means[group].astype(items.dtype)])


def boosted(items):
    """Boosted trees as a classifier reward."""

    def rewards(task, seed):
        trees = HistGradientBoostingClassifier(
            learning_rate=0.05, max_leaf_nodes=15, l2_regularization=1.0,
            random_state=seed,
        )  # fmt: skip
        model = PairwiseClassifierReward(trees).fit(task_pairs(task, items), task.y)
        return model.predict(items)

    return rewards


def classified(items):
    """Give the default classifier reward, on standardised columns."""

    def rewards(task, seed):
        model = make_pipeline(item_step(items), PairwiseClassifierReward())
        return model.fit(task_pairs(task, items), task.y).predict(items)

    return rewards


def feature_rows(data):
    """Name the rows of the first table."""
    n = data.embeddings.shape[1]
    statistics, siblings = data.statistics, beside_siblings
    return {
        "longer response wins (null)": lambda task, seed: data.log_length[:, 0],
        "embedding": linear(data.embeddings, n),
        "embedding, log length": linear(
            np.hstack([data.embeddings, data.log_length]), n
        ),
        "statistics": linear(statistics),
        "embedding, statistics": linear(np.hstack([data.embeddings, statistics]), n),
        "statistics, TF-IDF reduced to 100": with_tfidf(data),
        "boosted trees on statistics": boosted(statistics),
        "boosted trees on statistics and distance to siblings' mean": boosted(
            siblings(statistics, data.prompt_ids)
        ),
        "PairwiseClassifierReward() on statistics": classified(statistics),
        "PairwiseClassifierReward() on distance to siblings' mean": classified(
            siblings(statistics, data.prompt_ids)[:, statistics.shape[1] :]
        ),
    }  # fmt: skip


def group_rows(data):
    """Statistics by group: each alone, and all but it."""
    rows = {}
    every = TextStatisticsTransformer().groups
    names = TextStatisticsTransformer().get_feature_names_out()
    for group in every:
        chosen = TextStatisticsTransformer(groups=[group]).get_feature_names_out()
        inside = np.isin(names, chosen)
        rows[f"{group} alone"] = linear(data.statistics[:, inside])
        rows[f"all but {group}"] = linear(data.statistics[:, ~inside])
    return rows


def few_rows(data):
    """Name the rows of the tables of few labels and of the length-free truth."""
    every = feature_rows(data)
    return {
        name: every[name]
        for name in (
            "longer response wins (null)",
            "embedding",
            "embedding, log length",
            "statistics",
            "embedding, statistics",
        )
    }


def length_free(data):
    """Give a truth that length says nothing of within a prompt: a residual."""
    reward, length = data.rewards, data.log_length[:, 0].astype(np.float64)
    group = np.unique(data.prompt_ids, return_inverse=True)[1]
    n = np.bincount(group)

    def centred(values):
        return values - (np.bincount(group, values) / n)[group]

    reward, powers = centred(reward), [centred(length**k) for k in (1, 2, 3)]
    design = np.column_stack(powers)
    slope = np.linalg.lstsq(design, reward, rcond=None)[0]
    return Bunch(**{**data, "rewards": reward - design @ slope})


def table(title, rows, data, seeds, n_pairs):
    """Print the scores of every row over seeds."""
    scores: dict = {name: [] for name in rows}
    flipped = []
    for seed in range(seeds):
        task = make_task(data, seed, n_pairs=n_pairs)
        flipped.append(task.flipped)
        for name, rewards in rows.items():
            started = time.perf_counter()
            reward = rewards(task, seed)
            seconds = time.perf_counter() - started
            scores[name].append((*score(task, reward), seconds))
    print(f"\n{title}: {n_pairs} pairs, label noise {np.mean(flipped):.1%}, seeds 0 to "
          f"{seeds - 1}: mean and standard deviation")  # fmt: skip
    print("| features | order consistency | similar length | seconds |")
    print("|---|---|---|---|")
    for name, results in scores.items():
        (kept, similar, seconds), spread = np.mean(results, 0), np.std(results, 0)
        print(
            f"| {name} | {kept:.3f} ± {spread[0]:.3f} | {similar:.3f} ± "
            f"{spread[1]:.3f} | {seconds:.1f} |",
            flush=True,
        )
    return scores


def human_pairs(path, seeds, n_folds=10):
    """Score statistics on pairs of people's preferences, over draws of the folds."""
    pairs = TextStatisticsTransformer().fit_transform(read_lines(path))
    model = make_pipeline(
        ItemwiseTransformer(StandardScaler()), BradleyTerryRegressor()
    )
    scores = []
    for seed in range(seeds):
        cv = PromptDisjointKFold(n_folds, random_state=seed)
        y = np.ones(len(pairs))
        scores.append(cross_val_score(model, pairs, y, cv=cv).mean())
    return scores


def seconds_of(work):
    """Seconds of this thread that work takes: a busy machine counts less."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def speed(texts, repeats=9):
    """Responses of about 1,500 characters that one core reads in a second.

    Gives that, the same of the plain way (`benchmarks.plain_statistics`), by turns in
    one run, and the mean length.
    """
    near = SPEED_CHARS / 8
    chosen = [row for row in texts if abs(len(row["response"]) - SPEED_CHARS) < near]
    chosen = chosen[:SPEED_TEXTS]
    columns = [[row[name] for row in chosen] for name in ("prompt", "response")]
    transformer = TextStatisticsTransformer()
    works = (
        lambda: transformer.transform(chosen),
        lambda: plain_statistics(*columns),
    )
    seconds = np.array(
        [[seconds_of(work) for work in works] for _ in range(repeats)]
    ).min(axis=0)
    n_chars = np.mean([len(response) for response in columns[1]])
    return *(len(chosen) / seconds), n_chars


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", help="judged responses, .jsonl.gz")
    parser.add_argument("embedded", help="their embeddings, as load_judged reads them")
    parser.add_argument("--pairs-file", help="prompt, chosen, rejected; .jsonl.gz")
    parser.add_argument("--speed-alone", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    fast, plain, chars = speed(read_lines(options.texts))
    print(f"one core reads {fast:,.0f} responses of {chars:.0f} characters a second, "
          f"one by one {plain:,.0f}: {fast / plain:.2f} x")  # fmt: skip
    if options.speed_alone:
        return
    data = load(options.texts, options.embedded)
    seeds = options.seeds
    table("features", feature_rows(data), data, seeds, options.pairs)
    table("groups", group_rows(data), data, seeds, options.pairs)
    for few in FEW:
        table("few labels", few_rows(data), data, seeds, few)
    table("a truth free of length", few_rows(data), length_free(data), seeds,
          options.pairs)  # fmt: skip
    if options.pairs_file:
        scores = human_pairs(options.pairs_file, seeds)
        print(
            f"\n{options.pairs_file}: statistics alone, 10 prompt-disjoint folds, "
            f"{seeds} draws of them: {np.mean(scores):.3f} ± {np.std(scores):.3f}"
        )


if __name__ == "__main__":
    main()
