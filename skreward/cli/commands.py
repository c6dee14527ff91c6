"""What the commands do, once their arguments are read."""

import warnings
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from skreward import persistence
from skreward.cli.columns import find_form
from skreward.cli.comparison import (
    FEWEST_IN_FOLD,
    candidates,
    compare,
    inner_folds,
    parts,
    score_pairs,
    standard_error,
    threads_for,
)
from skreward.cli.features import (
    embedding_of,
    embedding_width,
    forget_machine,
    make_features,
)
from skreward.cli.files import DataError, read_table
from skreward.cli.output import make_writer, named_errors
from skreward.cli.preferences import Preferences, read_preferences, read_rows
from skreward.cli.printing import count, say, show_results, written
from skreward.cli.ranks import ranks_within
from skreward.data.leaks import known_prompts, trained_on
from skreward.metrics import best_of_n_curve
from skreward.model_selection import PromptDisjointKFold
from skreward.text.endpoint import EndpointEmbeddingTransformer
from skreward.text.items import TextPairs, check_template
from skreward.text.transformer import LLMEmbeddingTransformer

LONG_SECONDS = 2.0


def make_embedding(model, **options) -> LLMEmbeddingTransformer:
    """Make the transformer; None is its default model."""
    if options["device"] not in ("auto", "cpu"):
        from skreward.utils.device import resolve  # loads torch

        resolve(options["device"])
    check_template(options["template"])
    cache_dir = options.pop("cache_dir")
    named = {} if model is None else {"model": model}
    cache = None if cache_dir is None else str(cache_dir)
    return LLMEmbeddingTransformer(**named, cache_dir=cache, **options)


def fit(
    data, embed, reward, *, features, folds, seed, output, reading
) -> dict[str, Any]:
    """Read, compare, refit, save, report."""
    preferences = _read(data, seed=seed, **reading)
    splits = _split(preferences, folds, seed, data)
    features = make_features(embed, features)
    rows = features.fit_transform(preferences.items)
    pairs = preferences.over(rows, embedding_width(features))
    with threads_for(rows.size):
        rewards, results = _compare(reward, pairs, preferences, splits, seed, features)
        best = max(results[: len(rewards)], key=lambda r: r.order_consistency)
        model = rewards[best.name].fit(pairs, preferences.y)
    _save(features, model, preferences, output)
    with written(output):
        return _report_fit(preferences, splits, results, best, features, output)


def _read(data, *, delimiter=None, **reading) -> Preferences:
    return read_preferences(read_table(data, delimiter), **reading)


def _split(preferences, folds, seed, path):
    """Deal the prompts to folds, as positions of pairs."""
    n_prompts = preferences.n_prompts
    if n_prompts < folds:
        raise DataError(
            path, None, f"{count(n_prompts, 'prompt')} cannot fill {folds} folds"
        )
    cv = PromptDisjointKFold(folds, random_state=seed)
    return list(cv.split(preferences.index, groups=preferences.pair_prompts))


def _compare(reward, pairs, preferences, splits, seed, features):
    """Give the rewards asked for, and what they, parts and baselines come to."""
    inner = inner_folds(splits, preferences.pair_prompts)
    device = embedding_of(features).device
    is_alone = embedding_of(features) is features
    width = None if is_alone else embedding_width(features)
    rewards = candidates(seed, width, inner, device)
    if reward != "auto":
        rewards = {reward: rewards[reward]}
    compared = dict(rewards)
    if "linear" in rewards and not is_alone:
        compared |= parts(seed, width, inner, device)
    n_fits = len(splits) * len(compared)
    bar = tqdm(total=n_fits, desc="folds", delay=LONG_SECONDS, disable=None)
    with bar, warnings.catch_warnings():
        # What a fold comes to counts, converged or not; the last fit warns.
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = compare(
            compared,
            pairs,
            preferences.y,
            preferences.longer,
            folds=splits,
            seed=seed,
            progress=bar.update,
        )
    return rewards, results


def _save(features, model, preferences, output):
    """Save texts to rewards as one pipeline, without what belongs to this machine."""
    model = getattr(model, "best_estimator_", model)
    fitted = Pipeline([("features", features), ("reward", model)])
    devices = [
        name for name in fitted.get_params() if name.rpartition("__")[2] == "device"
    ]
    fitted.set_params(**dict.fromkeys(devices, "auto"))
    forget_machine(features)
    with named_errors(output):
        persistence.save(fitted, output)


def _report_fit(preferences, splits, results, best, features, output):
    embed = embedding_of(features)
    n_pairs, n_prompts = len(preferences.index), preferences.n_prompts
    notes = _remarks_on_fit(preferences, splits, results, best)
    show_results(
        f"{count(n_pairs, 'pair')}, {count(n_prompts, 'prompt')}, {len(splits)} "
        "prompt-disjoint folds",
        results,
        "std over folds",
        best.name,
    )
    for note in notes:
        say(f"note: {note}")
    say(f"{best.name} reward on {embed.model_name_} saved to {output}")
    return {
        "order_consistency": best.order_consistency,
        "order_consistency_std": best.spread,
        "n_pairs": n_pairs,
        "n_prompts": n_prompts,
        **preferences.counts,
        "model": str(output),
        "reward": best.name,
        "embedding_model": embed.model_name_,
        "calibration_error": best.calibration_error,
        "compared": {r.name: r.order_consistency for r in results},
        "notes": notes,
    }


def _remarks_on_fit(preferences, splits, results, best):
    notes = _remarks_on_labels(preferences)
    fewest, n_pairs = min(len(test) for _, test in splits), len(preferences.index)
    if fewest < FEWEST_IN_FOLD:
        notes.append(
            f"the smallest fold tests {count(fewest, 'pair')}: too few to say how well "
            "a reward orders unseen prompts, or which is best"
        )
    else:
        error = standard_error(best, n_pairs, len(splits))
        notes += _remarks_on_baselines(results, best, n_pairs, error)
    return notes


def _remarks_on_labels(preferences):
    n = preferences.n_contradictions
    if n == 0:
        return []
    return [
        f"{count(n, 'pair')} of texts {'is' if n == 1 else 'are'} labelled both ways, "
        "which no reward can follow"
    ]


def _remarks_on_baselines(results, model, n_pairs, error):
    """Say where the baselines do as well; ``error`` is the model's standard error."""
    share = model.order_consistency
    if abs(share - 0.5) <= 2 * error:
        return [f"{share:.3f} on {count(n_pairs, 'pair')} cannot be told from a coin"]
    longer = next(r.order_consistency for r in results if r.name == "longer response")
    if longer < share - error:
        return []
    return [f"the longer response alone orders about as well: {longer:.3f}"]


def load_model(path, *, model, template, cache_dir, trust, **limits) -> Pipeline:
    """Load a pipeline that `fit` saved; refuse another embedding model or template."""
    fitted = persistence.load(path, trust, **limits)
    embed = None
    if isinstance(fitted, Pipeline):
        with suppress(TypeError):
            embed = embedding_of(fitted[0])
    if embed is None:
        raise ValueError(f"{path}: holds no pipeline from texts to rewards")
    if template is not None and template != embed.template:
        raise ValueError(
            f"{path}: was fitted with template {embed.template!r}, not {template!r}"
        )
    if isinstance(embed, EndpointEmbeddingTransformer):
        if model not in (None, embed.model_name):
            raise ValueError(
                f"{path}: was fitted with model {embed.model_name!r}, not {model!r}"
            )
    elif model is not None:
        # The same weights may lie elsewhere here; transform compares the digest.
        embed.set_params(model=model, revision=None)
    embed.cache_dir = None if cache_dir is None else str(cache_dir)
    return fitted


def evaluate(fitted, data, reading) -> dict[str, Any]:
    """Print and report order consistency, and best-of-N where there are ratings."""
    preferences = _read(data, **reading)
    features, model = fitted[0], fitted[1:]
    rows = features.transform(preferences.items)
    pairs = preferences.over(rows, embedding_width(features))
    results, notes, n_trained = _evaluate(fitted, model, pairs, preferences)
    n_pairs, n_prompts = len(pairs), preferences.n_prompts
    show_results(
        f"{count(n_pairs, 'pair')}, {count(n_prompts, 'prompt')}",
        results,
        "std error over prompts",
        "model",
    )
    for note in notes:
        say(f"note: {note}")
    report: dict[str, Any] = {
        "order_consistency": results[0].order_consistency,
        "order_consistency_stderr": results[0].spread,
        "n_pairs": n_pairs,
        "n_prompts": n_prompts,
        "n_prompts_trained_on": n_trained,
        **preferences.counts,
        "calibration_error": results[0].calibration_error,
        "compared": {r.name: r.order_consistency for r in results},
        "notes": notes,
    }
    if preferences.ratings is not None:
        report["best_of_n"] = _best_of_n(preferences, model.predict(rows))
    return report


def _evaluate(fitted, model, pairs, preferences):
    """Give the rows of the table, remarks, and how many prompts are no new ones."""
    y, prompts = preferences.y, preferences.pair_prompts
    margin = model.predict(pairs)
    coin = np.random.default_rng(0).uniform(-1, 1, len(margin))
    results = [score_pairs("model", model, pairs, y, margin)]
    trained, is_new = trained_on(known_prompts(fitted), prompts)
    new = np.flatnonzero(is_new)
    n_trained = len(np.unique(prompts[trained]))
    notes = _remarks_on_labels(preferences)
    if n_trained:
        notes.append(
            f"the model was trained on {n_trained} of the "
            f"{count(preferences.n_prompts, 'prompt')}, on which its order consistency "
            "says nothing of new prompts"
        )
    if 0 < len(new) < len(margin):
        of_new = None if y is None else y[new]
        results.append(
            score_pairs("model, new prompts", model, pairs[new], of_new, margin[new])
        )
    results.append(score_pairs("longer response", None, pairs, y, preferences.longer))
    results.append(score_pairs("coin", None, pairs, y, coin))
    error = standard_error(results[0], len(margin))
    notes += _remarks_on_baselines(results, results[0], len(margin), error)
    return results, notes, n_trained


def _best_of_n(preferences, rewards):
    prompt_ids = np.asarray(preferences.items.prompt_ids)
    curve = best_of_n_curve(preferences.ratings, rewards, prompt_ids)
    gains = {
        str(n): round(float(gain), 6)
        for n, gain in zip(curve.n, curve.improvement, strict=True)
    }
    shown = ", ".join(f"{n}: {gain:.3f}" for n, gain in gains.items())
    say(f"best of n, improvement of the rating over a random response: {shown}")
    return gains


def score(fitted, data, output, *, suffix, delimiter, drop_bad_rows) -> dict[str, Any]:
    """Write the rows of a table with the rewards of their responses."""
    table = read_table(data, delimiter)
    form = find_form(table)
    texts = read_rows(table, form, drop_bad_rows=drop_bad_rows)
    is_pairs = isinstance(texts.read, TextPairs)
    if is_pairs:
        names = [*(f"reward_{name}" for name in form), "margin"]
    else:
        names = ["reward", "rank"]
    to_csv = None if output.suffix.lower() != ".csv" else delimiter
    writer = make_writer(texts.table, output, [name + suffix for name in names], to_csv)
    features, model = fitted[0], fitted[1:]
    items = texts.read.items if isinstance(texts.read, TextPairs) else texts.read
    rewards = np.asarray(model.predict(features.transform(items)), dtype=float)
    if not np.isfinite(rewards).all():
        raise DataError(data, None, "the model gives rewards that are not finite")
    columns = [rewards, ranks_within(rewards, items.prompt_ids)]
    if isinstance(texts.read, TextPairs):
        first, second = rewards[texts.read.pairs.T]
        columns = [first, second, first - second]
    writer.write(columns)
    with written(output):
        say(f"{count(len(texts.table), 'row')} with rewards written to {output}")
    return {
        "n_rows": len(texts.table),
        "n_skipped_rows": texts.n_skipped,
        "output": str(output),
    }
