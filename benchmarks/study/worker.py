"""One setting from data to scores; runs in any process that can read the data."""

import hashlib
import time
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.study.models import make_model
from skreward import EmbeddingPairs
from skreward.annotation import annotate, annotation_error_rate, sample_pairs
from skreward.metrics import best_of_n_curve, prompt_rank_correlation

PANEL = 10
N_VALUES = (2, 5, 10, 20, 50, 100, 300, 500)
PAIRS_PER_TEST_PROMPT = 1000
CROSS_TEST_PAIRS = 50_000
SIMILAR_LENGTH = 1.1
ROWS_AT_ONCE = 50_000
PACKAGES = ("skreward", "numpy", "scipy", "scikit-learn", "torch", "lightgbm")


def run_setting(source, setting):
    """Draw pairs, label them, fit the model and score it on unseen prompts.

    Models of one block see the same prompts, pairs and labels.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(1):
        data = source.open()
        train, test = data.parts(setting.pool, setting.task, setting.seed)
        index = train_pairs(train, setting)
        rng = _random_state(setting, "labels", "pool", "task", "design", "pairing")
        y = annotate(train.rewards, index, beta=setting.beta, random_state=rng)
        pairs = EmbeddingPairs(
            train.embeddings, train.rows[index], _prompt_of_rows(train)
        )
        model = make_model(setting).fit(pairs, y)
        predicted = _predict(model, test)
        scores = score(test, predicted, setting, data.fewest_responses)
        null = None
        if test.lengths is not None:
            null = score(
                test, test.lengths.astype(float), setting, data.fewest_responses
            )
        error_rate = annotation_error_rate(train.rewards, index, y)
    return {
        "key": setting.key,
        "setting": vars(setting),
        **scores,
        "length_only": null,
        "error_rate": error_rate,
        "n_features": int(train.embeddings.shape[1]),
        "seconds": time.perf_counter() - start,
        "core_seconds": time.process_time() - start_cpu,
        "versions": _versions(),
    }


def _predict(model, items):
    """Predict part by part: the embeddings may be larger than memory."""
    parts = np.array_split(items.rows, -(-len(items.rows) // ROWS_AT_ONCE))
    return np.concatenate([model.predict(items.embeddings[rows]) for rows in parts])


def _versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # not needed for every model
            continue
    return found


def train_pairs(items, setting):
    """Draw the pairs to annotate, as positions among the items.

    As in the paper, a design chooses among ten responses to a prompt. Where a prompt
    has more, each of its pairs has its own ten, drawn anew.
    """
    rng = _random_state(setting, "pairs", "pool", "task", "design", "pairing")
    n_prompts = len(np.unique(items.prompts))
    drawn = []
    while (missing := setting.n_pairs - sum(map(len, drawn))) > 0:
        panel = _panel(items.prompts, rng)
        index = sample_pairs(
            items.prompts[panel],
            min(missing, n_prompts),
            design=setting.design,
            cross_prompt=setting.pairing == "cross",
            rewards=items.rewards[panel],
            random_state=rng,
        )
        drawn.append(panel[index])
    return np.concatenate(drawn)


def score(test, predicted, setting, fewest_responses):
    """Score predicted rewards of test responses against the true ones.

    Best-of-N prompt by prompt is for the largest N that all pools have responses
    for, so that settings can be compared.
    """
    rng = _random_state(setting, "test pairs", "pool", "task")
    prompts, prompt = np.unique(test.prompts, return_inverse=True)
    sizes = np.bincount(prompt)
    n_same = min(np.sum(sizes * (sizes - 1) // 2), PAIRS_PER_TEST_PROMPT * len(sizes))
    same = _agreement(
        test.rewards, predicted, sample_pairs(prompt, int(n_same), random_state=rng)
    )
    cross = _agreement(
        test.rewards,
        predicted,
        sample_pairs(prompt, CROSS_TEST_PAIRS, cross_prompt=True, random_state=rng),
    )
    correlation = prompt_rank_correlation(
        test.rewards, predicted, prompt, return_details=True
    )
    n_values = [n for n in N_VALUES if n <= sizes.min()]
    curve = best_of_n_curve(test.rewards, predicted, prompt, n_values=n_values)
    of_prompt = prompt[same.pairs[:, 0]]
    shared = max(k for k, n in enumerate(n_values) if n <= max(2, fewest_responses))
    return {
        "order_consistency": float(same.agrees.mean()),
        "order_consistency_cross": float(cross.agrees.mean()),
        "order_consistency_similar_length": _at_similar_length(test.lengths, same),
        "spearman": correlation.score,
        "spearman_undefined": correlation.n_nan,
        "best_of_n": _by_n(n_values, curve.improvement),
        "best_of_n_oracle": _by_n(n_values, curve.improvement + curve.regret),
        "per_prompt": {
            "prompts": prompts.tolist(),
            "order_consistency": _mean_by(of_prompt, same.agrees, len(prompts)),
            "n": n_values[shared],
            "best_of_n": curve.prompt_improvement[shared].round(5).tolist(),
        },
    }


class Agreement(NamedTuple):
    """Pairs with an order, and whether the prediction has it (a tie: one half)."""

    pairs: np.ndarray
    agrees: np.ndarray


def _agreement(rewards, predicted, index):
    truth = np.sign(rewards[index[:, 0]] - rewards[index[:, 1]])
    margin = np.sign(predicted[index[:, 0]] - predicted[index[:, 1]])
    return Agreement(index[truth != 0], 0.5 * (1 + truth * margin)[truth != 0])


def _at_similar_length(lengths, same):
    """Order consistency where neither item is a tenth longer than the other."""
    if lengths is None:
        return None
    both = np.sort(lengths[same.pairs], axis=1)
    similar = both[:, 1] < SIMILAR_LENGTH * both[:, 0]
    return float(same.agrees[similar].mean()) if similar.any() else None


def _prompt_of_rows(items):
    """Give a prompt to every row of the embeddings, also to those not used."""
    prompts = np.full(items.embeddings.shape[0], -1, dtype=np.int64)
    prompts[items.rows] = items.prompts
    return prompts


def _panel(prompts, rng):
    """Pick at most ten responses of every prompt."""
    order = np.lexsort((rng.uniform(size=len(prompts)), prompts))
    sizes = np.unique(prompts, return_counts=True)[1]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[rank < PANEL]


def _random_state(setting, purpose, *names):
    """Give the same stream to all settings that agree in ``names`` and the seed."""
    shared = [getattr(setting, name) for name in ("data", "seed", *names)]
    digest = hashlib.sha256(repr((purpose, *shared)).encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "little"))


def _by_n(n_values, values):
    return dict(zip(map(str, n_values), values.tolist(), strict=True))


def _mean_by(prompt, agrees, n_prompts):
    """Average by prompt; None where all true rewards of a prompt are equal."""
    total = np.bincount(prompt, agrees, minlength=n_prompts).tolist()
    count = np.bincount(prompt, minlength=n_prompts).tolist()
    return [round(t / n, 5) if n else None for t, n in zip(total, count, strict=True)]
