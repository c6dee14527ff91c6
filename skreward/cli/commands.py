"""What `evaluate` and `score` do, once their arguments are read."""

from typing import Any

import numpy as np

from skreward.cli.arrays import is_arrays
from skreward.cli.columns import find_form, with_columns
from skreward.cli.comparison import gives_proba, proba_of, score_pairs
from skreward.cli.features import embedding_width
from skreward.cli.files import read_table
from skreward.cli.formats import delimiter_for
from skreward.cli.loading import check_there, load_model
from skreward.cli.output import make_writer
from skreward.cli.preferences import read_rows, warn_of_left_out
from skreward.cli.printing import count, say, show_results, written
from skreward.cli.ranks import ranks_within
from skreward.cli.remarks import remarks_on_baselines, remarks_on_labels
from skreward.cli.stored import is_stored, items_of, read_pairs, rows_of, stored_texts
from skreward.cli.table import DataError
from skreward.data.leaks import known_prompts, trained_on
from skreward.metrics import best_of_n_curve
from skreward.metrics.pairs import pair_agreement


def evaluate(path, data, output, *, suffix, expected, reading) -> dict[str, Any]:
    """Print and report order consistency, and best-of-N where there are ratings."""
    check_there(path)
    # What is wrong with the data is told before a model is loaded for them.
    preferences = read_pairs(data, **reading)
    delimiter = reading["delimiter"]
    fitted = load_model(path, **expected, takes_rows=is_arrays(data))
    features, model = fitted[0], fitted[1:]
    writer = _pairs_writer(preferences, model, output, suffix, delimiter)
    rows = rows_of(preferences.items, features)
    pairs = preferences.over(rows, embedding_width(features))
    margin = np.asarray(model.predict(pairs), dtype=float)
    if not np.isfinite(margin).all():
        raise DataError(data, None, "the model gives rewards that are not finite")
    results, notes, n_trained = _evaluate(fitted, model, pairs, preferences, margin)
    if writer is not None:
        proba = proba_of(model, pairs)
        agrees = pair_agreement(preferences.y, margin)
        writer.write([margin, *([] if proba is None else [proba]), agrees])
    with written(output):
        return _report_evaluation(
            preferences, results, notes, n_trained, model, rows, output
        )


def _pairs_writer(preferences, model, output, suffix, delimiter):
    """Make what writes a row a pair, or None; refuse what cannot be written."""
    if output is None:
        return None
    names = ["margin", *(["probability"] if gives_proba(model) else []), "agrees"]
    return make_writer(
        preferences.pair_table(),
        output,
        [name + suffix for name in names],
        delimiter_for(output, delimiter),
    )


def _report_evaluation(
    preferences, results, notes, n_trained, model, rows, output
) -> dict[str, Any]:
    n_pairs, n_prompts = len(preferences.index), preferences.n_prompts
    show_results(
        f"{count(n_pairs, 'pair')}, {count(n_prompts, 'prompt')}",
        results,
        "std error over prompts",
        "model",
        "what is evaluated",
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
        "output": None if output is None else str(output),
    }
    if preferences.rated:
        report["best_of_n"] = _best_of_n(preferences, model.predict(rows))
    if output is not None:
        say(f"{count(n_pairs, 'pair')} with margins written to {output}")
    return report


def _evaluate(fitted, model, pairs, preferences, margin):
    """Give the rows of the table, remarks, and how many prompts are no new ones."""
    y, prompts = preferences.y, preferences.pair_prompts
    coin = np.random.default_rng(0).uniform(-1, 1, len(margin))
    results = [score_pairs("model", model, pairs, y, margin)]
    trained, is_new = trained_on(known_prompts(fitted), prompts)
    new = np.flatnonzero(is_new)
    n_trained = len(np.unique(prompts[trained]))
    notes = remarks_on_labels(preferences)
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
    longer = preferences.longer
    if longer is not None:
        results.append(score_pairs("longer response", None, pairs, y, longer))
    results.append(score_pairs("coin", None, pairs, y, coin))
    notes += remarks_on_baselines(results, results[0], len(margin))
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


def score(
    path, data, output, *, suffix, expected, delimiter, format, columns, drop_bad_rows
) -> dict[str, Any]:
    """Write the rows of a table with the rewards of their responses."""
    check_there(path)
    texts = _texts(data, delimiter, format, columns, drop_bad_rows)
    items, pairs = items_of(texts)
    if pairs is not None:
        names = [*(f"reward_{name}" for name in texts.form), "margin"]
    else:
        names = ["reward", "rank"]
    writer = make_writer(
        texts.table.origin,
        output,
        [name + suffix for name in names],
        delimiter_for(output, delimiter),
    )
    fitted = load_model(path, **expected, takes_rows=is_arrays(data))
    features, model = fitted[0], fitted[1:]
    rewards = np.asarray(model.predict(rows_of(items, features)), dtype=float)
    if not np.isfinite(rewards).all():
        raise DataError(data, None, "the model gives rewards that are not finite")
    columns = [rewards, ranks_within(rewards, items.prompt_ids)]
    if pairs is not None:
        first, second = rewards[pairs.T]
        columns = [first, second, first - second]
    writer.write(columns)
    with written(output):
        say(f"{count(len(texts.table), 'row')} with rewards written to {output}")
    return {
        "n_rows": len(texts.table),
        "n_skipped_rows": texts.n_skipped,
        "output": str(output),
    }


def _texts(data, delimiter, format, columns, drop_bad_rows):
    """Read the rows to score, of a table or of a folder of embeddings."""
    if is_stored(data):
        return stored_texts(data)
    table = with_columns(read_table(data, delimiter, format), columns)
    texts = read_rows(table, find_form(table), drop_bad_rows=drop_bad_rows)
    warn_of_left_out(texts)
    return texts
