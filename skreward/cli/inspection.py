"""What `inspect` does: say what a file of preferences holds, and fit nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from skreward.cli.files import read_table
from skreward.cli.preferences import Preferences, read_preferences
from skreward.cli.printing import count, listed, say
from skreward.cli.remarks import remarks_on_labels
from skreward.metrics import order_consistency_score
from skreward.text.items import TextItems, render
from skreward.text.source import DEFAULT_MODEL, default_folder

QUANTILES = {"min": 0, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "max": 1}
SHOWN = 160
BATCH = 1024


def inspect(data, *, delimiter, format, columns, **reading) -> dict[str, Any]:
    """Print and report what is in a table."""
    table = read_table(data, delimiter, format)
    # A bad row is what is asked for, and no error.
    found = read_preferences(table, columns, drop_bad_rows=True, **reading)
    report = _counted(found, len(table))
    report["lengths"] = _lengths(found)
    report["tokens"] = _tokens(found.items)
    report["example"] = _example(found)
    _show(report, found)
    return report


def _counted(found: Preferences, n_rows) -> dict[str, Any]:
    texts, y = found.texts, found.labels
    a_prompt = np.unique(found.pair_prompts, return_counts=True)[1]
    return {
        "data": str(texts.table.path),
        "layout": found.layout or "named columns",
        "columns": [texts.table.called(name) for name in _columns(texts)],
        "n_rows": n_rows,
        "n_pairs": len(found.index),
        "n_prompts": found.n_prompts,
        "pairs_a_prompt": _quantiles(a_prompt),
        **found.counts,
        "skipped": {what: len(lines) for what, lines in texts.skipped.items()},
        "n_ties": int((y == 0.5).sum()),
        "n_soft_labels": int(((y != 0) & (y != 1) & (y != 0.5)).sum()),
        "first_preferred": float(y.mean()),
        "n_duplicates": found.n_duplicates,
        "n_contradictions": found.n_contradictions,
        "longer_wins": order_consistency_score(found.y, found.longer),
        "ratings": None if found.ratings is None else _quantiles(found.ratings),
    }


def _columns(texts):
    has_prompt = "prompt" in texts.table.names
    return [*(["prompt"] if has_prompt else []), *texts.form]


def _quantiles(values) -> dict[str, float]:
    found = np.quantile(values, list(QUANTILES.values()))
    return dict(zip(QUANTILES, found.tolist(), strict=True))


def _sides(found):
    """Give the items that are preferred and those that are not; ties are neither."""
    y = found.labels
    told = y != 0.5
    first_wins = (y > 0.5)[:, np.newaxis]
    return np.where(first_wins, found.index, found.index[:, ::-1])[told].T


def _lengths(found) -> dict[str, Any]:
    """Quantiles of characters: of prompts, and of responses by who is preferred."""
    prompts = list(dict.fromkeys(found.items["prompt"]))
    responses = np.array([len(text) for text in found.items["response"]])
    lengths = {"prompt": _quantiles([len(text) for text in prompts])}
    preferred, other = _sides(found)
    if len(preferred):
        lengths["preferred"] = _quantiles(responses[preferred])
        lengths["other"] = _quantiles(responses[other])
    return lengths


def _tokens(items: TextItems) -> dict[str, Any] | None:
    """Count what the default encoder would cut; None where it is not on this machine.

    By its tokenizer alone: no model is loaded.
    """
    folder = default_folder()
    if folder is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    settings = Path(folder) / "sentence_bert_config.json"
    limit = json.loads(settings.read_text("utf-8"))["max_seq_length"]
    texts = list(dict.fromkeys(render(items, "auto", lambda messages: None)))
    lengths = [
        len(encoded)
        for start in range(0, len(texts), BATCH)
        for encoded in tokenizer.encode_batch(texts[start : start + BATCH])
    ]
    return {
        "encoder": DEFAULT_MODEL,
        "limit": limit,
        "n_texts": len(texts),
        "n_cut": sum(length > limit for length in lengths),
        "tokens": _quantiles(lengths),
    }


def _example(found) -> dict[str, str] | None:
    """Give the texts of the first pair that is no tie."""
    preferred, other = _sides(found)
    if not len(preferred):
        return None
    prompts, responses = found.items["prompt"], found.items["response"]
    return {
        "prompt": prompts[preferred[0]],
        "preferred": responses[preferred[0]],
        "other": responses[other[0]],
    }


def _show(report, found):
    say(
        f"{report['data']}: {count(report['n_rows'], 'row')}, layout "
        f"{report['layout']}, read from {', '.join(map(repr, report['columns']))}"
    )
    if report["example"] is None:
        say("every pair is a tie")
    else:
        say("for example")
        for name, text in report["example"].items():
            say(f"  {name + ':':10} {_short(text)}")
    say("")
    for name, value in _facts(report, found):
        say(f"{name:26}{value}")
    _show_lengths(report)
    for note in remarks_on_labels(found):
        say(f"note: {note}")


def _facts(report, found):
    a_prompt = report["pairs_a_prompt"]
    yield "pairs", str(report["n_pairs"])
    yield (
        "prompts",
        f"{report['n_prompts']}, with {a_prompt['min']:g} to {a_prompt['max']:g} pairs "
        f"each, {a_prompt['median']:g} in the middle",
    )
    if report["ratings"] is not None:
        low, high = report["ratings"]["min"], report["ratings"]["max"]
        yield "ratings", f"{low:g} to {high:g}, of which the pairs are made"
    yield "ties", str(report["n_ties"])
    if report["n_soft_labels"]:
        yield "labels between 0 and 1", str(report["n_soft_labels"])
    if found.y is not None and not found.rated:
        yield "first response preferred", f"{report['first_preferred']:.3f} of pairs"
    yield "duplicates", f"{report['n_duplicates']} (same texts, same label)"
    yield "contradictions", f"{report['n_contradictions']} (same texts, both ways)"
    if found.equal:
        yield "equal texts", f"{len(found.equal)} ({listed(found.equal)}), left out"
    for what, lines in found.texts.skipped.items():
        yield "bad rows", f"{len(lines)}: {what} ({listed(lines)})"
    if not found.texts.skipped:
        yield "bad rows", "0 (an empty or unreadable text, an empty label)"
    yield (
        "longer response wins",
        f"{report['longer_wins']:.3f} of pairs (ties one half)",
    )


def _show_lengths(report):
    say("")
    say(f"{'characters':26}" + "".join(f"{name:>9}" for name in QUANTILES))
    for name, quantiles in report["lengths"].items():
        _show_quantiles(name, quantiles)
    tokens = report["tokens"]
    if tokens is None:
        say(f"tokens are not counted: {DEFAULT_MODEL} is not on this machine")
        return
    _show_quantiles("tokens of both", tokens["tokens"])
    say(
        f"{tokens['n_cut']} of {count(tokens['n_texts'], 'text')} (prompt, response) "
        f"have more than the {tokens['limit']} tokens that {tokens['encoder']} reads, "
        "and are cut in their middle"
    )


def _show_quantiles(name, quantiles):
    say(f"{name:26}" + "".join(f"{value:9.0f}" for value in quantiles.values()))


def _short(text):
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
