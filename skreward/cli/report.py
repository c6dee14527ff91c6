"""The report card of a model on a file, as a page."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from skreward.cli.formats import PIPE
from skreward.cli.loading import check_there, load_model
from skreward.cli.output import named_errors
from skreward.cli.preferences import read_data
from skreward.cli.printing import count, say, written
from skreward.report import ReportCard
from skreward.report.charts import require_matplotlib
from skreward.report.evidence import Evidence, judge, read_evidence
from skreward.report.page import cautions
from skreward.utils.atomic import replacing


def run(
    model: Path,
    data: Path,
    output: Path,
    *,
    other_file: Path | None,
    n_examples: int,
    expected: dict[str, Any],
    reading: dict[str, Any],
) -> dict[str, Any]:
    """Judge one or two models on the pairs of a file, and write the page."""
    require_matplotlib("skreward report")
    for file in (model, *([] if other_file is None else [other_file])):
        check_there(file)
    preferences = read_data(data, **reading)
    models = [(model, load_model(model, **expected))]
    if other_file is not None:
        free = expected | {"model": None, "template": None}
        models.append((other_file, load_model(other_file, **free)))
    # Of two files that have one name their folders tell them apart.
    is_alike = other_file is not None and other_file.name == model.name
    evidence = _evidence(preferences)
    judged = [
        judge(fitted, evidence, _name(path, is_alike), _about_file(path))
        for path, fitted in models
    ]
    card = ReportCard._from_judged(
        evidence,
        *judged,
        data_name=data.name,
        data_file={} if data == PIPE else _about_file(data),
        n_examples=n_examples,
    )
    html = card.to_html()
    with named_errors(output), replacing(output) as draft:
        Path(draft).write_text(html, encoding="utf-8", newline="\n")
    with written(output):
        _say(card)
        for caution in cautions(card):
            say(f"note: {caution}")
        say(f"report written to {output}")
    return _summary(card) | preferences.counts | {"output": str(output)}


def _evidence(preferences):
    items = preferences.items
    if preferences.ratings is not None:
        return read_evidence(items, preferences.ratings)
    n_pairs = len(preferences.index)
    return Evidence(
        items,
        preferences.index,
        np.ones(n_pairs) if preferences.y is None else preferences.y,
        np.ones(n_pairs),
        items.prompt_ids,
        items,
    )


def _name(path, with_folder):
    return f"{path.absolute().parent.name}/{path.name}" if with_folder else path.name


def _about_file(path):
    """Give size and SHA-256 of a file: which one a report is of."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": f"{path.stat().st_size:,}", "sha256": digest[:16]}


def _say(card):
    found, pairs = card.order.model, count(card.facts.n_pairs, "pair")
    ends = ""
    if found.lower is not None:
        ends = (
            f" ({100 * card.level:g} % interval {found.lower:.3f} to {found.upper:.3f})"
        )
    say(f"order consistency on {pairs}: {found.value:.3f}{ends}")
    longer = card.baselines[0].score
    if longer is not None:
        say(f"longer response: {longer.value:.3f}")
    if card.comparison is not None:
        gain = card.comparison.gain
        ends = (
            "" if gain.lower is None else f" ({gain.lower:+.3f} to {gain.upper:+.3f})"
        )
        say(f"less that of {card.other_about.name}: {gain.value:+.3f}{ends}")


def _summary(card):
    found = card.order.model
    summary = {
        "order_consistency": found.value,
        "order_consistency_interval": [found.lower, found.upper],
        "n_pairs": card.facts.n_pairs,
        "n_prompts": card.facts.n_prompts,
        "n_prompts_trained_on": card.facts.n_prompts_trained_on,
        "compared": {
            b.name: b.score.value for b in card.baselines if b.score is not None
        },
    }
    if card.comparison is not None:
        gain = card.comparison.gain
        summary["gain"] = gain.value
        summary["gain_interval"] = [gain.lower, gain.upper]
    return summary
