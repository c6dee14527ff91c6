"""What the commands do, once their arguments are read."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Printed
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from skreward import persistence
from skreward.annotation import pairs_from_ratings
from skreward.cli.comparison import candidates, compare, score_pairs, threads_for
from skreward.cli.files import DataError, Table
from skreward.data.pairs import EmbeddingPairs
from skreward.metrics import best_of_n_curve
from skreward.text.embed import warn_of_equal_pairs
from skreward.text.items import TextItems, TextPairs, TextRowError
from skreward.text.tables import read_texts
from skreward.text.transformer import LLMEmbeddingTransformer

LABEL = "label"
LONG_SECONDS = 2.0


@dataclass(frozen=True)
class Comparisons:
    """Pairs of a table: what is embedded, which items meet, who is preferred."""

    items: TextItems
    index: np.ndarray
    y: np.ndarray | None
    ratings: np.ndarray | None

    @property
    def n_prompts(self):
        """Number of distinct prompts that occur in a pair."""
        ids = self.items.prompt_ids
        assert ids is not None
        return len(np.unique(ids[self.index]))

    @property
    def longer(self):
        """Length of the first response minus that of the second, in characters."""
        length = np.array([len(text) for text in self.items["response"]])
        return length[self.index[:, 0]] - length[self.index[:, 1]]

    def embedded(self, rows) -> EmbeddingPairs:
        """Give the pairs over the embeddings of the items."""
        warn_of_equal_pairs(rows, self.index)
        return EmbeddingPairs(rows, self.index, self.items.prompt_ids)


def make_embedding(model, **options) -> LLMEmbeddingTransformer:
    """Make the transformer; None is its default model."""
    cache_dir = options.pop("cache_dir")
    named = {} if model is None else {"model": model}
    cache = None if cache_dir is None else str(cache_dir)
    return LLMEmbeddingTransformer(**named, cache_dir=cache, **options)


def fit(table, label, embed, reward, *, folds, seed, output) -> dict[str, Any]:
    """Compare rewards, fit the best to everything, save it, print and report."""
    data = read_comparisons(table, label, seed)
    n_prompts = data.n_prompts
    if n_prompts < folds:
        raise DataError(
            table.path, None, f"{n_prompts} prompts are too few for {folds} folds"
        )
    rows = embed.fit_transform(data.items)
    pairs = data.embedded(rows)
    compared = candidates(seed, min(3, n_prompts - math.ceil(n_prompts / folds)))
    if reward != "auto":
        compared = {reward: compared[reward]}
    n_fits = folds * len(compared)
    bar = tqdm(total=n_fits, desc="folds", delay=LONG_SECONDS, disable=None)
    with threads_for(rows.size), bar:
        results = compare(
            compared,
            pairs,
            data.y,
            data.longer,
            n_folds=folds,
            seed=seed,
            progress=bar.update,
        )
        best = max(results[: len(compared)], key=lambda r: r.order_consistency)
        model = compared[best.name].fit(pairs, data.y)
    model = getattr(model, "best_estimator_", model)
    embed.set_params(cache_dir=None, device="auto")  # they belong to this machine
    persistence.save(Pipeline([("embed", embed), ("reward", model)]), output)
    title = f"{len(pairs)} pairs, {n_prompts} prompts, {folds} prompt-disjoint folds"
    print_results(title, results, "std over folds", best.name)
    print(f"{best.name} reward on {embed.model_name_} saved to {output}")
    return {
        "order_consistency": best.order_consistency,
        "order_consistency_std": best.spread,
        "n_pairs": len(pairs),
        "n_prompts": n_prompts,
        "model": str(output),
        "reward": best.name,
        "embedding_model": embed.model_name_,
        "calibration_error": best.calibration_error,
        "compared": {r.name: r.order_consistency for r in results},
    }


def load_model(path, model, template, trust, cache_dir) -> Pipeline:
    """Load a pipeline that `fit` saved; refuse another embedding model or template."""
    fitted = persistence.load(path, trusted=trust)
    if not isinstance(fitted, Pipeline) or not isinstance(
        fitted[0], LLMEmbeddingTransformer
    ):
        raise ValueError(f"{path}: holds no pipeline from texts to rewards")
    embed = fitted[0]
    if template is not None and template != embed.template:
        raise ValueError(
            f"{path}: was fitted with template {embed.template!r}, not {template!r}"
        )
    if model is not None:
        # The same weights may lie elsewhere here; transform compares the digest.
        embed.set_params(model=model, revision=None)
    embed.cache_dir = None if cache_dir is None else str(cache_dir)
    return fitted


def evaluate(fitted, table, label) -> dict[str, Any]:
    """Print and report order consistency, and best-of-N where there are ratings."""
    data = read_comparisons(table, label, seed=0)
    embed, model = fitted[0], fitted[1]
    rows = embed.transform(data.items)
    pairs = data.embedded(rows)
    margin = model.predict(pairs)
    coin = np.random.default_rng(0).uniform(-1, 1, len(margin))
    results = [
        score_pairs("model", model, pairs, data.y, margin),
        score_pairs("longer response", None, pairs, data.y, data.longer),
        score_pairs("coin", None, pairs, data.y, coin),
    ]
    n_prompts = data.n_prompts
    title = f"{len(pairs)} pairs, {n_prompts} prompts"
    print_results(title, results, "std error over prompts", "model")
    report: dict[str, Any] = {
        "order_consistency": results[0].order_consistency,
        "order_consistency_stderr": _finite(results[0].spread),
        "n_pairs": len(pairs),
        "n_prompts": n_prompts,
        "calibration_error": results[0].calibration_error,
        "compared": {r.name: r.order_consistency for r in results},
    }
    if data.ratings is not None:
        prompt_ids = np.asarray(data.items.prompt_ids)
        curve = best_of_n_curve(data.ratings, model.predict(rows), prompt_ids)
        report["best_of_n"] = {
            str(n): round(float(gain), 6)
            for n, gain in zip(curve.n, curve.improvement, strict=True)
        }
        gains = ", ".join(f"{n}: {gain}" for n, gain in report["best_of_n"].items())
        print(f"best of n, improvement of the rating over a random response: {gains}")
    return report


def score(fitted, table) -> list[dict[str, Any]]:
    """Give the rows of a table with the rewards of their responses."""
    texts = _read(table)
    embed, model = fitted[0], fitted[1]
    if isinstance(texts, TextItems):
        rewards = model.predict(embed.transform(texts))
        return [
            {**row, "reward": float(reward)}
            for row, reward in zip(table.rows, rewards, strict=True)
        ]
    item_rewards = model.predict(embed.transform(texts.items))
    first, second = (
        ("chosen", "rejected")
        if "chosen" in table.rows[0]
        else ("response_a", "response_b")
    )
    return [
        {
            **row,
            f"reward_{first}": float(item_rewards[i]),
            f"reward_{second}": float(item_rewards[j]),
            "margin": float(item_rewards[i] - item_rewards[j]),
        }
        for row, (i, j) in zip(table.rows, texts.pairs, strict=True)
    ]


def read_comparisons(table: Table, label, seed) -> Comparisons:
    """Read pairs and preferences out of a table, or make them of ratings."""
    texts = _read(table)
    if isinstance(texts, TextItems):
        if label is None:
            raise table.error(
                None, "a table of prompt, response needs --label with a rating"
            )
        ratings = _numbers(table, label)
        try:
            index, y = pairs_from_ratings(ratings, texts.prompt_ids, random_state=seed)
        except ValueError as error:
            raise DataError(table.path, None, f"{label}: {error}") from None
        return Comparisons(texts, index, y, ratings)
    if "chosen" in table.rows[0] and label is None:
        return Comparisons(texts.items, texts.pairs, None, None)
    name = label or LABEL
    y = _numbers(table, name)
    outside = (y < 0) | (y > 1)
    if outside.any():
        row = int(outside.argmax())
        raise table.error(
            row, f"column {name!r}: wanted a label in [0, 1], got {y[row]:g}"
        )
    return Comparisons(texts.items, texts.pairs, y, None)


def print_results(title, results, spread, best):
    """Print one table to stdout."""
    printed = Printed(title=title, title_justify="left")
    printed.add_column("reward")
    for column in ("order consistency", spread, "calibration error"):
        printed.add_column(column, justify="right")
    for result in results:
        error = result.calibration_error
        printed.add_row(
            f"{result.name} *" if result.name == best else result.name,
            f"{result.order_consistency:.3f}",
            f"{result.spread:.3f}",
            "" if error is None else f"{error:.3f}",
        )
    Console().print(printed)


def _read(table: Table) -> TextItems | TextPairs:
    try:
        texts = read_texts(table.rows)
    except TextRowError as error:
        column = "" if error.column is None else f"column {error.column!r}: "
        raise table.error(error.row, column + error.problem) from None
    except ValueError as error:
        raise table.error(None, str(error)) from None
    assert texts is not None
    return texts


def _numbers(table: Table, name) -> np.ndarray:
    values = np.empty(len(table.rows))
    for k, row in enumerate(table.rows):
        if name not in row:
            raise table.error(k, f"there is no column {name!r} (see --label)")
        try:
            values[k] = float(row[name])
        except (TypeError, ValueError):
            values[k] = np.nan
        if not np.isfinite(values[k]):
            raise table.error(
                k, f"column {name!r}: wanted a number, got {str(row[name])[:40]!r}"
            )
    return values


def _finite(value):
    return value if math.isfinite(value) else None
