"""The paper's claims as contrasts, corrected as one family, and judged in words."""

from typing import NamedTuple

import numpy as np

from benchmarks.study.contrasts import NOISY, Contrast, minus, step, under
from benchmarks.study.intervals import LEVEL, MATTERS
from benchmarks.study.scores import NETWORKS, common
from benchmarks.study.settings import PAPER_MODELS
from benchmarks.study.tables import DESIGNS

METRICS = ("order_consistency", "best_of_n")  # verdicts go by the first
CLASSIFIERS = ("clf-mlp", "clf-lgbm")
# Under which training a question is answered.
PAPER = "the paper's recipe"
SAME_BLOCKS = "matched, on its blocks"
CHANGE = "matched minus the paper's"
MATCHED = "matched"
PAPER_RECIPE = "paper-row"
DECIDED = ("holds", "is the other way round", "differs")


class Question(NamedTuple):
    """A contrast, the sign that it is said to have, and what that says, if headline."""

    contrast: Contrast
    wanted: int
    says: str = ""


class Claim(NamedTuple):
    """What the paper says, and the contrasts that speak to it."""

    title: str
    said: str
    questions: tuple
    pairing: str | tuple = "same"
    recipe: str | tuple = "matched"


class Finding(NamedTuple):
    """An answer: estimates and corrected p-values by metric, and it in words."""

    question: Question
    training: str
    estimates: dict
    corrected: dict
    corrected_matters: float
    verdict: str


def _noise_claim(model):
    low, high = f"error rate under {NOISY:.0%}", f"error rate from {NOISY:.0%} on"
    text = f"{model} minus bt-mlp"
    says = [
        "the classifier is better from 10 % of wrong labels on",
        "Bradley-Terry is better under 10 %",
        "the classifier gains on Bradley-Terry from 10 % to 40 % of wrong labels",
    ]
    if model != "clf-mlp":
        says = ["", "", ""]
    slope = f"{text}, growth from 10 % to 40 % of wrong labels"
    return (
        Question(
            minus(_spaced(f"{text}, {high}"), model, "bt-mlp", "high"), 1, says[0]
        ),
        Question(minus(_spaced(f"{text}, {low}"), model, "bt-mlp", "low"), -1, says[1]),
        Question(minus(slope, model, "bt-mlp", "slope"), 1, says[2]),
    )


def _linear_noise():
    text = "clf-linear minus bt-linear, growth from 10 % to 40 % of wrong labels"
    says = "the same holds of linear rewards, by one convex solver"
    return Question(minus(text, "clf-linear", "bt-linear", "slope"), 1, says)


def _spaced(text):
    return text.replace("%", " %")


def _more(model, few, wanted, says):
    text = f"{model}, 40,000 minus {few:,} labels"
    return Question(
        step(text, "n_pairs", 40_000, few, model=model), wanted, f"{model} {says}"
    )


def _gains(text, gaining, other, levels, others):
    """Contrast what two models gain from one kind of runs to another."""
    return Contrast(
        text,
        (
            (1.0, {"model": gaining, **levels}),
            (-1.0, {"model": gaining, **others}),
            (-1.0, {"model": other, **levels}),
            (1.0, {"model": other, **others}),
        ),
    )


def _more_gains(model):
    text = f"{model} minus bt-mlp, in what 40,000 gain over 5,000 labels"
    return Question(
        _gains(text, model, "bt-mlp", {"n_pairs": 40_000}, {"n_pairs": 5_000}), 1
    )


def _mean_of(models, text, axis, level, other, **levels):
    """Contrast two levels of an axis, in the mean of some models."""
    return Contrast(
        text,
        tuple(
            (sign / len(models), {axis: at, "model": model, **levels})
            for at, sign in ((level, 1), (other, -1))
            for model in models
        ),
    )


def _designs(better, worse):
    text = f"{better} minus {worse}"
    both = _mean_of(NETWORKS, f"both networks, {text}", "design", better, worse)
    yield Question(both, 1, f"{better} pairs teach the networks more than {worse} ones")
    for model in PAPER_MODELS:
        each = step(f"{model}, {text}", "design", better, worse, model=model)
        yield Question(each, 1)


def _pairing(design=None):
    text = f"{design or 'all designs'}, cross-prompt minus same-prompt"
    levels = {} if design is None else {"design": design}
    contrast = _mean_of(PAPER_MODELS, text, "pairing", "cross", "same", **levels)
    where = "overall" if design is None else f"where {design} responses are compared"
    return Question(contrast, 1, f"cross-prompt pairs are better {where}")


def _split(model, split):
    text = f"{model}, validation split by {split} minus by row"
    contrast = step(text, "recipe", f"paper-{split}", PAPER_RECIPE, model=model)
    says = f"{model} is better with a validation split by {split}"
    return Question(contrast, 1, says if model == "bt-mlp" else "")


def _leak_gain():
    text = "bt-mlp minus clf-mlp, in what the split by prompt gains over by row"
    levels = {"recipe": "paper-prompt"}, {"recipe": PAPER_RECIPE}
    contrast = _gains(text, "bt-mlp", "clf-mlp", *levels)
    return Question(contrast, 1, "Bradley-Terry gains more from it than the classifier")


CLAIMS = (
    Claim(
        "Classifier or Bradley-Terry",
        "a classifier reward is at least as good as Bradley-Terry for every language "
        "model and data set (its first figure).",
        tuple(
            Question(minus(f"{m} minus bt-mlp", m, "bt-mlp"), 1, f"{m} is better")
            for m in CLASSIFIERS
        ),
    ),
    Claim(
        "Under noise",
        "with an error rate under 10 % Bradley-Terry is slightly better; from 10 % on "
        "the classifier rewards are more robust.",
        (*(q for model in CLASSIFIERS for q in _noise_claim(model)), _linear_noise()),
    ),
    Claim(
        "More labels",
        "the classifier rewards gain with more annotations; Bradley-Terry is worse "
        "with 40,000 than with 10,000 in four of six language models (read off its "
        "figure).",
        (
            _more("clf-mlp", 5_000, 1, "gains from 5,000 to 40,000 labels"),
            _more("clf-lgbm", 5_000, 1, "gains from 5,000 to 40,000 labels"),
            _more("bt-mlp", 10_000, -1, "loses from 10,000 to 40,000 labels"),
            *map(_more_gains, CLASSIFIERS),
        ),
    ),
    Claim(
        "Which responses of a prompt are compared",
        "pairs of similar responses give nearly no useful reward model; diverse pairs "
        "are the best to annotate.",
        (*_designs("random", "similar"), *_designs("diverse", "random")),
    ),
    Claim(
        "Cross-prompt or same-prompt pairs",
        "cross-prompt pairs give better best-of-N, by far the most where similar "
        "responses are compared, and are never harmful.",
        (_pairing(), *map(_pairing, DESIGNS)),
        pairing=("same", "cross"),
    ),
    Claim(
        "Linear rewards",
        "nothing: its models are networks and trees.",
        (
            Question(
                minus("bt-linear minus bt-mlp", "bt-linear", "bt-mlp"),
                1,
                "a linear Bradley-Terry reward orders better than the network",
            ),
            Question(
                minus("clf-linear minus bt-linear", "clf-linear", "bt-linear"),
                1,
                "a linear classifier is better than linear Bradley-Terry",
            ),
        ),
    ),
    Claim(
        "The leak: which rows validate",
        "nothing. Its released code puts a pair in training and its mirror image in "
        "validation, so that early stopping is nearly blind for Bradley-Terry and not "
        "for the classifier; that a clean split is better, and more so for "
        "Bradley-Terry, is this study's hypothesis.",
        (
            *(_split(m, split) for m in NETWORKS for split in ("pair", "prompt")),
            _leak_gain(),
        ),
        recipe=("paper-row", "paper-pair", "paper-prompt"),
    ),
)


def answer(scores):
    """Answer the questions of all claims that the results speak to.

    Returns
    -------
    answers : list of (Claim, list of Finding)
        Corrected by Holm's method as one family a metric, over all claims and
        trainings.
    """
    asked = []  # what is asked on a part of the blocks again is shown, and no test
    for claim in CLAIMS:
        mine = scores.where(pairing=claim.pairing)
        for question in claim.questions:
            for training, found in _estimates(mine, claim, question.contrast):
                if not np.isnan(found[METRICS[0]].mean):
                    asked.append((claim, question, training, found))
    tested = [training != SAME_BLOCKS for *_, training, _ in asked]
    corrected = {
        m: _corrected([found[m].p_value for *_, found in asked], tested)
        for m in METRICS
    }
    matters = _corrected(
        [found[METRICS[0]].p_value_matters for *_, found in asked], tested
    )
    answers = {claim.title: [] for claim in CLAIMS}
    for k, (claim, question, training, found) in enumerate(asked):
        mine = {metric: float(values[k]) for metric, values in corrected.items()}
        wanted = 0 if training == CHANGE else question.wanted
        first = METRICS[0]
        words = ""
        if tested[k]:
            words = verdict(found[first], wanted, mine[first], float(matters[k]))
            known = mine[METRICS[1]] < 1 - LEVEL
            by_gain = _judged(found[METRICS[1]], wanted, known, False)
            if by_gain in DECIDED and not words.startswith(by_gain):
                words += f"; by best-of-N gain it {by_gain}"
        finding = Finding(question, training, found, mine, float(matters[k]), words)
        answers[claim.title].append(finding)
    return [(claim, answers[claim.title]) for claim in CLAIMS if answers[claim.title]]


def _estimates(scores, claim, contrast):
    """Give the trainings under which a question is asked, with estimates by metric."""
    if claim.recipe != "matched":
        return [(PAPER, _by_metric(contrast, scores.where(recipe=claim.recipe)))]
    asked = [(MATCHED, under(contrast, "matched"))]
    change = under(contrast, "matched", PAPER_RECIPE)
    shared = common(scores, [levels for _, levels in change.terms])[0]
    if len(shared):
        # One common part for all three lines, so that they differ by nothing else.
        n = len(contrast.terms)
        asked = [
            (PAPER, _only(change, n, 2 * n, -1.0)),
            (SAME_BLOCKS, _only(change, 0, n, 1.0)),
            (CHANGE, change),
            *asked,
        ]
        whole = common(scores, [levels for _, levels in asked[-1][1].terms])[0]
        if len(whole) == len(shared):
            del asked[1]
    return [(training, _by_metric(each, scores)) for training, each in asked]


def _by_metric(contrast, scores):
    return dict(zip(METRICS, contrast.estimates(scores, *METRICS), strict=True))


def _only(contrast, start, stop, sign):
    """Keep some terms of a contrast, on the blocks that all of them share."""
    terms = tuple(
        (sign * weight if start <= k < stop else 0.0, levels)
        for k, (weight, levels) in enumerate(contrast.terms)
    )
    return contrast._replace(terms=terms)


def _corrected(p_values, tested):
    return holm(np.where(tested, p_values, np.nan))


def holm(p_values):
    """Correct p-values by Holm's method; NaN is no test and stays NaN."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    order = order[~np.isnan(p_values[order])]
    factors = np.arange(len(order), 0, -1)
    corrected = np.full(len(p_values), np.nan)
    steps = np.maximum.accumulate(p_values[order] * factors)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def verdict(estimate, wanted, p_value, p_matters):
    """Say in words whether a difference has the wanted sign, and whether it matters.

    Parameters
    ----------
    estimate : Estimate
        Of order consistency.
    wanted : {1, -1, 0}
        The sign that was claimed; 0 where none was.
    p_value, p_matters : float
        Corrected: of no difference, and of one of `MATTERS` at least.
    """
    if np.isnan(estimate.error):
        return "cannot be judged: one prompt does not show how results vary"
    words = _judged(estimate, wanted, p_value < 1 - LEVEL, p_matters < 1 - LEVEL)
    return f"{words}, of one seed alone" if estimate.n_seeds == 1 else words


def _judged(estimate, wanted, known, small):
    if known:
        holds, reverse, differs = DECIDED
        words = holds if wanted * estimate.mean > 0 else reverse
        words = words if wanted else differs
        return f"{words}, too little to matter" if small else words
    if small:
        return f"makes no difference that matters (under {MATTERS:g})"
    return f"is not decided (would be found from ±{estimate.detectable:.3f} on)"
