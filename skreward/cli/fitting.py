"""What `fit` does: read, compare rewards, refit the best, save, report."""

import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline

from skreward import persistence
from skreward.cli.arrays import ROWS
from skreward.cli.comparison import FEWEST_IN_FOLD, calibrated, compare, threads_for
from skreward.cli.features import (
    ANYWHERE,
    EMBEDDING,
    embedding_of,
    embedding_width,
    set_everywhere,
)
from skreward.cli.output import named_errors
from skreward.cli.printing import count, say, show_results, written
from skreward.cli.remarks import remarks_on_baselines, remarks_on_labels
from skreward.cli.rewards import Recipe, find_classifier, inner_folds
from skreward.cli.stored import fitted_rows, read_pairs
from skreward.cli.table import DataError
from skreward.model_selection import PromptDisjointKFold
from skreward.models.calibrated import CalibratedReward
from skreward.text.items import check_template
from skreward.text.transformer import LLMEmbeddingTransformer
from skreward.utils.progress import progress

# Folds within a training part by whose margins probabilities are calibrated.
CALIBRATION_FOLDS = 5


def make_embedding(model, **options) -> LLMEmbeddingTransformer:
    """Make the transformer; None is its default."""
    if options["device"] not in (None, "auto", "cpu"):
        from skreward.utils.device import resolve  # loads torch

        resolve(options["device"])
    check_template(options["template"])
    given = {name: value for name, value in options.items() if value is not None}
    if "cache_dir" in given:
        given["cache_dir"] = str(given["cache_dir"])
    named = {} if model is None else {"model": model}
    return LLMEmbeddingTransformer(**named, **given, show_progress="lines")


def fit(
    data, embed, reward, *, features, folds, calibrate, output, reading, **options
) -> dict[str, Any]:
    """Read, compare, refit, save, report; ``options`` are of `Recipe`."""
    find_classifier(options["classifier"], options["seed"])
    preferences = read_pairs(data, seed=options["seed"], **reading)
    splits = _split(preferences, folds, options["seed"], data)
    cv = _calibration_folds(preferences, splits, options["seed"]) if calibrate else None
    parts = features
    features, rows = fitted_rows(preferences.items, embed, parts)
    pairs = preferences.over(rows, embedding_width(features))
    is_one = parts == (EMBEDDING,) or features == ROWS
    width = None if is_one else embedding_width(features)
    inner = inner_folds(splits, preferences.pair_prompts)
    recipe = Recipe(n_embedding=width, inner_folds=inner, **options)
    calibration = None
    rewards = recipe.candidates()
    if reward != "auto":
        rewards = {reward: rewards[reward]}
    with threads_for(rows.size, rewards.values()):
        results = _compare(rewards, pairs, preferences, splits, recipe)
        best = max(results[: len(rewards)], key=lambda r: r.order_consistency)
        model = clone(rewards[best.name])
        if calibrate:
            calibration = _calibrate(model, pairs, preferences, splits, cv)
            model = CalibratedReward(model, cv=cv)
        with progress(None, f"fitting the {best.name} reward to all pairs"):
            model.fit(pairs, preferences.y)
    report = _fit_report(preferences, splits, results, best, features, calibration)
    _save(features, model, report, output)
    with written(output):
        on = report["embedding_model"] or "text statistics"
        on = "the rows of embeddings" if features == ROWS else on
        _show_fit(report, results, best, calibration, output, on)
    return report | {"model": str(output)}


def _split(preferences, folds, seed, path):
    """Deal the prompts to folds, as positions of pairs."""
    n_prompts = preferences.n_prompts
    if n_prompts < folds:
        raise DataError(
            path, None, f"{count(n_prompts, 'prompt')} cannot fill {folds} folds"
        )
    cv = PromptDisjointKFold(folds, random_state=seed)
    return list(cv.split(preferences.index, groups=preferences.pair_prompts))


def _calibration_folds(preferences, splits, seed):
    prompts = preferences.pair_prompts
    fewest = min(len(np.unique(prompts[train])) for train, _ in splits)
    if fewest < 2:
        raise DataError(
            preferences.texts.table.path,
            None,
            "--calibrate needs two prompts to train on in every fold, and with "
            f"--folds {len(splits)} there is one",
        )
    return PromptDisjointKFold(min(CALIBRATION_FOLDS, fewest), random_state=seed)


def _compare(rewards, pairs, preferences, splits, recipe):
    """Give what rewards, the linear one's parts and baselines come to."""
    compared = dict(rewards)
    if "linear" in rewards:
        compared |= recipe.parts()
    n_fits = len(splits) * len(compared)
    bar = progress(n_fits, "comparing rewards", "fits")
    with bar as shown, warnings.catch_warnings():
        # What a fold comes to counts, converged or not; the last fit warns.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return compare(
            compared,
            pairs,
            preferences.y,
            preferences.longer,
            folds=splits,
            seed=recipe.seed,
            progress=shown.update,
        )


def _calibrate(reward, pairs, preferences, splits, cv):
    """Measure probabilities of pairs held out, before and after calibration."""
    bar = progress(len(splits), "calibrating", "folds")
    with bar as shown, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return calibrated(
            reward, pairs, preferences.y, folds=splits, cv=cv, progress=shown.update
        )


def _save(features, model, report, output):
    """Save texts to rewards as one pipeline, without what belongs to this machine."""
    if isinstance(model, Pipeline):
        # Of a search the best is kept: it is fitted to all pairs.
        last = getattr(model[-1], "best_estimator_", model[-1])
        before = [step for _, step in model.steps[:-1]]
        model = make_pipeline(*before, last)
    fitted = Pipeline([("features", features), ("reward", model)])
    set_everywhere(fitted, **ANYWHERE)
    fitted.fit_report_ = report
    with named_errors(output):
        persistence.save(fitted, output)


def _fit_report(preferences, splits, results, best, features, calibration):
    """Say what was fitted, on what, and how good it is: kept with the model."""
    embed = None if features == ROWS else embedding_of(features)
    report = {
        "order_consistency": best.order_consistency,
        "order_consistency_std": best.spread,
        "n_pairs": len(preferences.index),
        "n_prompts": preferences.n_prompts,
        **preferences.counts,
        "reward": best.name,
        "embedding_model": None if embed is None else embed.model_name_,
        "calibration_error": best.calibration_error,
        "compared": {r.name: r.order_consistency for r in results},
        "n_folds": len(splits),
        "data": preferences.texts.table.path.name,
        "versions": {name: version(name) for name in ("skreward", "scikit-learn")},
        "notes": _remarks_on_fit(preferences, splits, results, best),
    }
    if calibration is not None:
        before, after = calibration
        report["calibration"] = {
            "error_before": before.error,
            "error_after": after.error,
            "log_loss_before": before.log_loss,
            "log_loss_after": after.log_loss,
        }
    return report


def _show_fit(report, results, best, calibration, output, on):
    show_results(
        f"{count(report['n_pairs'], 'pair')}, {count(report['n_prompts'], 'prompt')}, "
        f"{report['n_folds']} prompt-disjoint folds",
        results,
        "std over folds",
        best.name,
        "the best, which is fitted to all pairs and saved",
    )
    if calibration is not None:
        before, after = calibration
        raw = "no probabilities" if before.error is None else f"{before.error:.3f}"
        loss = "none" if before.log_loss is None else f"{before.log_loss:.3f}"
        say(
            f"probabilities of pairs held out, before and after calibration: "
            f"calibration error {raw} -> {after.error:.3f}, log-loss {loss} -> "
            f"{after.log_loss:.3f} (a coin: 0.693)"
        )
    for note in report["notes"]:
        say(f"note: {note}")
    say(f"{best.name} reward on {on} saved to {output}")


def _remarks_on_fit(preferences, splits, results, best):
    notes = remarks_on_labels(preferences)
    fewest, n_pairs = min(len(test) for _, test in splits), len(preferences.index)
    if fewest < FEWEST_IN_FOLD:
        notes.append(
            f"the smallest fold tests {count(fewest, 'pair')}: too few to say how well "
            "a reward orders unseen prompts, or which is best"
        )
    else:
        notes += remarks_on_baselines(results, best, n_pairs, len(splits))
    return notes
