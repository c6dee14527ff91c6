"""The card as a page: sentences, pictures and tables, put into the template."""

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from skreward.report import pictures
from skreward.report.intervals import Estimate
from skreward.report.printable import excerpt, label, printable

# Of texts that were cut: more than this share is worth a word at the top.
MANY_CUT = 0.2
FEW_PAIRS = 100


def page(card: Any) -> str:
    """Write a card as one HTML page."""
    environment = _environment()
    return environment.get_template("card.html").render(
        card=card,
        style=environment.loader.get_source(environment, "card.css")[0],
        facts_of=facts_of,
        facts=list(_facts(card)),
        headline=_headline(card),
        cautions=cautions(card),
        pictures=pictures.draw(card),
    )


@lru_cache(maxsize=1)
def _environment():
    environment = Environment(
        loader=PackageLoader("skreward.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        figure=_figure,
        signed=_signed,
        interval=_interval,
        count=_count,
        percent=lambda share: f"{100 * share:.0f} %",
        printable=printable,
        excerpt=excerpt,
        label=label,
    )
    return environment


def _figure(value: float | None, digits: int = 3) -> str:
    """Write a number; a dash where there is none."""
    return "\u2013" if value is None or value != value else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 3) -> str:
    return "\u2013" if value is None or value != value else f"{value:+.{digits}f}"


def _interval(estimate: Estimate | None, signed: bool = False) -> str:
    if estimate is None or estimate.lower is None or estimate.lower == estimate.upper:
        return "\u2013"
    write = _signed if signed else _figure
    return f"{write(estimate.lower)} to {write(estimate.upper)}"


def _count(n: int | None) -> str:
    return "not known" if n is None else f"{n:,}"


def _headline(card) -> list[str]:
    """Say what the card comes to, in sentences."""
    found, level = card.order.model, f"{100 * card.level:g} %"
    ends = "" if found.lower is None else f" ({level} interval {_interval(found)})"
    said = [
        f"Order consistency {_figure(found.value)} on {found.n_pairs:,} pairs{ends}: "
        f"in that share {card.about.name} gives the preferred response the higher "
        "reward."
    ]
    if found.lower is not None and found.lower <= 0.5 <= found.upper:
        said.append("That cannot be told from a coin.")
    longer = card.baselines[0]
    if longer.score is not None:
        said.append(_beside(longer))
    if card.similar_length is not None:
        similar = card.similar_length.model
        ends = "" if similar.lower is None else f", {_interval(similar)}"
        said.append(
            f"Where both responses are about as long it is {_figure(similar.value)} "
            f"({similar.n_pairs:,} pairs{ends})."
        )
    if card.comparison is not None:
        said.append(_compared(card))
    return [label(sentence, 400) for sentence in said]


def _beside(longer):
    score = _figure(longer.score.value)
    gain = longer.gain
    if gain.lower is None:
        return f"The longer response alone reaches {score}."
    if gain.lower > 0:
        return f"That is more than the longer response alone reaches, {score}."
    if gain.upper < 0:
        return f"The longer response alone does better: {score}."
    return f"It cannot be told from the longer response alone, which reaches {score}."


def _compared(card):
    gain, other = card.comparison.gain, card.order.other
    said = f"{card.other_about.name} has {_figure(other.value)} on the same pairs"
    if gain.lower is None:
        return f"{said}, a difference of {_signed(gain.value)}."
    clear = "clear" if gain.lower > 0 or gain.upper < 0 else "not clear"
    return (
        f"{said}; the difference, {_signed(gain.value)} ({_interval(gain, True)}), is "
        f"{clear}."
    )


def cautions(card: Any) -> list[str]:
    """Say what a reader should know before the figures."""
    facts, said = card.facts, []
    if facts.n_prompts_trained_on:
        rest = "none is new"
        if card.new_prompts is not None:
            new = card.new_prompts.model
            rest = f"on the {new.n_pairs:,} pairs of others it is {_figure(new.value)}"
        said.append(
            f"The model was trained on {facts.n_prompts_trained_on:,} of the "
            f"{facts.n_prompts:,} prompts, which says nothing of new ones; {rest}."
        )
    if card.order.model.n_groups < 2:
        said.append(
            "All pairs hang together, by one prompt or by the items that they share: "
            "no interval can be given."
        )
    if facts.n_pairs < FEW_PAIRS:
        said.append(f"{facts.n_pairs} pairs say little.")
    if facts.n_contradictions:
        said.append(
            f"{facts.n_contradictions:,} pairs of items are labelled both ways, which "
            "no reward can follow."
        )
    if facts.n_pairs_cut and facts.n_pairs_cut > MANY_CUT * facts.n_pairs:
        said.append(
            f"In {facts.n_pairs_cut:,} pairs the encoder read a text in part: it was "
            "longer than what is embedded of it."
        )
    return said


def _facts(card):
    """Give (what, figure) of the data."""
    facts = card.facts
    yield "pairs", _count(facts.n_pairs)
    yield "responses in them", _count(facts.n_items)
    yield "prompts", _count(facts.n_prompts)
    yield "pairs across two prompts", _count(facts.n_pairs_across_prompts)
    if facts.n_rated is not None:
        yield "rated responses that the pairs were made of", _count(facts.n_rated)
    yield "ties among the labels", _count(facts.n_ties)
    yield "labels between 0 and 1 that are no ties", _count(facts.n_soft)
    yield "pairs that repeat two responses", _count(facts.n_repeated)
    yield "pairs of responses labelled both ways", _count(facts.n_contradictions)
    yield "pairs of a response with itself", _count(facts.n_equal_texts)
    yield "pairs of weight zero", _count(facts.n_weightless)
    yield "empty responses", _count(facts.n_empty)
    yield "texts that the encoder read in part", _count(facts.n_texts_cut)
    yield "pairs with such a text", _count(facts.n_pairs_cut)
    yield "pairs whose rewards are equal", _count(facts.n_equal_rewards)
    yield "prompts that the model was trained on", _count(facts.n_prompts_trained_on)
    if facts.length_quartiles is not None:
        low, middle, high = (f"{value:,.0f}" for value in facts.length_quartiles)
        shown = f"{middle} (quarters at {low} and {high})"
        yield "characters of a response, median", shown


def facts_of(about: Any) -> dict[str, str]:
    """Give the facts of a model that are not its steps, by name."""
    facts = {f"encoder: {k}": v for k, v in about.encoder.items()}
    facts |= {f"trained on: {k}": v for k, v in about.training.items()}
    return facts | {f"file: {k}": v for k, v in about.file.items()}
