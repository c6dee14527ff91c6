"""The paper's claims, each tested on the results by a paired comparison."""

from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.study.intervals import (
    APART,
    by_prompt,
    contrast,
    difference,
    estimate,
    mean,
)

METRICS = {"order_consistency": "order consistency", "best_of_n": "best-of-N gain"}
CLASSIFIERS = ("clf-mlp", "clf-lgbm")
NOISY = 0.10
JUDGED_BY = "best_of_n"  # the paper's own measure


class Claim(NamedTuple):
    """What the paper said, lines of what came out, and a sentence of judgement."""

    title: str
    said: str
    found: list
    verdict: str


def claims(rows):
    """Give the claims that the results speak to."""
    package = [row for row in rows if row["setting"]["recipe"] == "package"]
    same = [row for row in package if row["setting"]["pairing"] == "same"]
    return [
        claim
        for claim in (
            _noise(same),
            _quantity(same),
            _designs(same),
            _pairing(package),
            _leak(rows),
        )
        if claim.found
    ]


def verdict(estimates, wanted=1):
    """Say in words whether differences have the wanted sign.

    The claim holds where the whole interval of every difference is on the wanted
    side, and does not where the whole interval of one is on the other.
    """
    if any(np.isnan(e.low) for e in estimates):
        return "cannot be judged from these results"
    sides = [(wanted * e.low, wanted * e.high) for e in estimates]
    if any(max(side) < 0 for side in sides):
        return "does not hold here"
    if all(min(side) > 0 for side in sides):
        return "holds here"
    return "is not decided by these results"


def where(rows, **levels):
    """Keep the rows of one level of some axes."""
    return [
        row
        for row in rows
        if all(row["setting"][axis] == level for axis, level in levels.items())
    ]


def beside_the_paper(rows):
    """Keep the blocks of pairs and labels on which the paper's recipe ran too."""

    def block(row):
        setting = row["setting"]
        return tuple(v for k, v in setting.items() if k not in ("model", "recipe"))

    shared = {block(row) for row in rows if row["setting"]["recipe"] != "package"}
    return [row for row in rows if block(row) in shared]


def paired(rows, others, metric, apart=APART):
    """Estimate the difference of two kinds of runs on the same prompts and labels."""
    return estimate(
        difference(by_prompt(rows, metric, apart), by_prompt(others, metric, apart))
    )


def _noise(rows):
    found, judged = [], {}
    for is_noisy in True, False:
        part = [row for row in rows if (row["error_rate"] >= NOISY) == is_noisy]
        level = f"{'at least' if is_noisy else 'under'} {100 * NOISY:.0f} %"
        bradley_terry = where(part, model="bt-mlp")
        for classifier in CLASSIFIERS:
            found += _lines(
                f"{classifier} minus bt-mlp, error rate {level}",
                paired,
                where(part, model=classifier),
                bradley_terry,
            )
        both = [row for row in part if row["setting"]["model"] in CLASSIFIERS]
        judged[is_noisy] = paired(both, bradley_terry, JUDGED_BY)
    return Claim(
        "Classifier against Bradley-Terry under noise",
        "with an error rate under 10 % Bradley-Terry is slightly better; from 10 % on "
        "the classifier rewards are more robust.",
        found,
        f"That classifiers are better under noise {verdict([judged[True]])} "
        f"({judged[True].signed}); that Bradley-Terry is better with little noise "
        f"{verdict([judged[False]], -1)} ({judged[False].signed}).",
    )


def _quantity(rows):
    def gain(chosen, many, few, metric):
        return contrast(by_prompt(chosen, metric), "n_pairs", many, few)

    found = []
    for model in ("bt-mlp", *CLASSIFIERS):
        mine = where(rows, model=model)
        for few in 5_000, 10_000:
            found += _lines(
                f"{model}, {few:,} to 40,000 pairs",
                gain,
                mine,
                40_000,
                few,
            )
    classifiers = [row for row in rows if row["setting"]["model"] in CLASSIFIERS]
    up = gain(classifiers, 40_000, 5_000, JUDGED_BY)
    down = gain(where(rows, model="bt-mlp"), 40_000, 10_000, JUDGED_BY)
    return Claim(
        "More annotations",
        "the classifier rewards gain with more annotations; Bradley-Terry is worse "
        "with 40,000 than with 10,000 in four of six language models (read off its "
        "figure).",
        found,
        f"That classifiers gain from 5,000 to 40,000 {verdict([up])} ({up.signed}); "
        f"that Bradley-Terry loses from 10,000 to 40,000 {verdict([down], -1)} "
        f"({down.signed}).",
    )


def _designs(rows):
    def gain(chosen, better, worse, metric):
        return contrast(by_prompt(chosen, metric), "design", better, worse)

    steps = ("random", "similar"), ("diverse", "random")
    found = []
    for model in ("bt-mlp", *CLASSIFIERS):
        mine = where(rows, model=model)
        for step in steps:
            found += _lines(
                f"{model}, {step[0]} minus {step[1]}",
                gain,
                mine,
                *step,
            )
    for design in "similar", "random", "diverse":
        error_rate = mean(where(rows, design=design), "error_rate")
        if not np.isnan(error_rate):
            found.append(f"{design}: {100 * error_rate:.1f} % of the labels are wrong")
    judged = [gain(rows, *step, JUDGED_BY) for step in steps]
    return Claim(
        "Which responses of a prompt are compared",
        "same-prompt pairs of similar responses give nearly no useful reward model; "
        "diverse pairs are the best to annotate.",
        found,
        f"That random pairs beat similar ones {verdict(judged[:1])} "
        f"({judged[0].signed}); that diverse pairs beat random ones "
        f"{verdict(judged[1:])} ({judged[1].signed}).",
    )


def _pairing(rows):
    def gain(chosen, metric):
        parts = (where(chosen, pairing=p) for p in ("cross", "same"))
        return paired(*parts, metric, apart=("pairing",))

    found = []
    for design in "similar", "random", "diverse":
        found += _lines(
            f"{design}, cross-prompt minus same-prompt",
            gain,
            where(rows, design=design),
        )
    overall = gain(rows, JUDGED_BY)
    similar, *elsewhere = (
        gain(where(rows, design=design), JUDGED_BY)
        for design in ("similar", "random", "diverse")
    )
    return Claim(
        "Cross-prompt against same-prompt pairs",
        "cross-prompt pairs give better best-of-N, by far the most where similar "
        "responses are compared, and are never harmful.",
        found,
        f"That cross-prompt pairs are better {verdict([overall])} ({overall.signed}); "
        f"with similar responses it {verdict([similar])} ({similar.signed}); with "
        f"random and with diverse ones it {verdict(elsewhere)} "
        f"({', '.join(e.signed for e in elsewhere)}).",
    )


def _leak(rows):
    found = []
    rows = beside_the_paper(rows)
    leaky = where(rows, recipe="paper-row")
    for model in "bt-mlp", "clf-mlp":
        for recipe in "paper-pair", "paper-prompt", "package":
            found += _lines(
                f"{model}, {recipe} minus paper-row",
                partial(paired, apart=("recipe",)),
                where(rows, model=model, recipe=recipe),
                where(leaky, model=model),
            )
    for recipe in "paper-row", "paper-pair", "paper-prompt", "package":
        mine = where(rows, recipe=recipe, pairing="same") if leaky else []
        found += _lines(
            f"clf-mlp minus bt-mlp by {recipe}, same-prompt pairs",
            paired,
            where(mine, model="clf-mlp"),
            where(mine, model="bt-mlp"),
        )
    bradley_terry = where(rows, model="bt-mlp")
    clean = [
        row
        for row in bradley_terry
        if row["setting"]["recipe"] in ("paper-pair", "paper-prompt")
    ]
    gain = paired(clean, where(leaky, model="bt-mlp"), JUDGED_BY, apart=("recipe",))
    return Claim(
        "The leak: how the validation rows were chosen",
        "nothing; its released code puts a pair in training and its mirror image in "
        "validation, so that early stopping is nearly blind for Bradley-Terry.",
        found,
        "That a clean validation split makes the paper's Bradley-Terry network better "
        f"{verdict([gain])} ({gain.signed}).",
    )


def _lines(text, compare, *rows):
    """Give a line for the metrics of one comparison, or none without results."""
    estimates = {name: compare(*rows, metric) for metric, name in METRICS.items()}
    if any(np.isnan(e.mean) for e in estimates.values()):
        return []
    return [
        f"{text}: " + ", ".join(f"{name} {e.signed}" for name, e in estimates.items())
    ]
