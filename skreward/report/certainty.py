"""How far a model can be believed: calibration, and errors against what it decides."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from skreward.data.groups import deal
from skreward.metrics import expected_calibration_error, risk_coverage_curve
from skreward.metrics.prompts import best_of_n_curve
from skreward.models.calibrated import CalibratedReward
from skreward.models.meta import best_factor
from skreward.report.evidence import Evidence, Judged
from skreward.report.intervals import Estimate

N_BINS = 10
N_FOLDS = 5
# Draws of labels that a calibrated model would see.
N_DRAWS = 200
COVERAGES = (0.25, 0.5, 0.75, 1.0)
# Points of a curve: more than a picture shows.
MOST_POINTS = 200
# Share of the prompts whose number of responses best-of-n goes up to.
ENOUGH_PROMPTS = 0.9


class Bin(NamedTuple):
    """Pairs of about one probability, turned so that it is at least one half."""

    predicted: float
    observed: float
    lower: float | None
    upper: float | None
    n_pairs: int


@dataclass(frozen=True)
class Probabilities:
    """How well preference probabilities agree with the labels.

    Attributes
    ----------
    name : str
        Whose.
    log_loss : Estimate
        In nats; a coin has 0.693.
    error : float
        Expected calibration error, ten bins.
    error_by_chance : float
        What a model without any error of calibration would have, on average, for the
        number of labels alone.
    bins : tuple of Bin
        What they come to, bin by bin.
    """

    name: str
    log_loss: Estimate
    error: float
    error_by_chance: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Calibration:
    """Probabilities before and after, and why some are not there."""

    rows: tuple[Probabilities, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Risk:
    """Share of pairs ordered wrongly among those that a threshold keeps.

    ``table`` has (coverage, risk, smallest margin kept) at a few coverages; ``area`` is
    the mean risk over all, and ``best_area`` that of an ideal order of the same errors.
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float
    best_area: float
    table: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class BestOfN:
    """Improvement of the true rating by choosing the best of n, over a random one.

    Arrays have an entry for every n; ``longest`` chooses by length.
    """

    n: np.ndarray
    kl: np.ndarray
    gain: np.ndarray
    half_width: np.ndarray
    longest: np.ndarray | None
    best: np.ndarray
    n_prompts: int
    n_left_out: int


def calibration(evidence: Evidence, judged: Judged) -> Calibration:
    """Score probabilities as they are, before calibration and after a temperature."""
    kind = type(judged.reward).__name__
    rows, missing = [], []
    if judged.before is not None:
        rows.append(_probabilities("before calibration", judged.before, evidence))
    elif isinstance(judged.reward, CalibratedReward):
        missing.append(
            "The wrapped reward has no probabilities: its margins are no log-odds."
        )
    if judged.proba is None:
        missing.append(
            f"{kind} gives no probabilities: its margins are no log-odds of a "
            "preference. CalibratedReward gives it some."
        )
    else:
        is_calibrated = isinstance(judged.reward, CalibratedReward)
        name = "after calibration" if is_calibrated else "as the model is"
        rows.append(_probabilities(name, judged.proba, evidence))
    tempered = _tempered(evidence, judged)
    if isinstance(tempered, str):
        missing.append(tempered)
    else:
        name = "with a temperature from other prompts"
        rows.append(_probabilities(name, tempered, evidence))
    return Calibration(tuple(rows), tuple(missing))


def _probabilities(name, proba, evidence):
    target, weight = evidence.target, evidence.weight
    eps = np.finfo(np.float32).eps
    clipped = np.clip(proba, eps, 1 - eps)
    loss = -target * np.log(clipped) - (1 - target) * np.log1p(-clipped)
    error = expected_calibration_error(
        target, proba, n_bins=N_BINS, sample_weight=weight
    )
    rng = np.random.default_rng(0)
    by_chance = [
        expected_calibration_error(
            rng.random(len(proba)) < proba, proba, n_bins=N_BINS, sample_weight=weight
        )
        for _ in range(N_DRAWS)
    ]
    return Probabilities(
        name,
        evidence.clusters.mean(loss),
        error,
        float(np.mean(by_chance)),
        _bins(proba, evidence),
    )


def _bins(proba, evidence):
    turned = proba < 0.5
    confidence = np.where(turned, 1 - proba, proba)
    right = np.where(turned, 1 - evidence.target, evidence.target)
    place = np.minimum(((confidence - 0.5) * N_BINS).astype(int), N_BINS // 2 - 1)
    bins = []
    for k in range(N_BINS // 2):
        mask = (place == k) & (evidence.weight > 0)
        if mask.any():
            clusters = evidence.clusters.take(mask)
            share = clusters.share(right[mask])
            predicted = clusters.mean(confidence[mask]).value
            ends = share.lower, share.upper
            bins.append(Bin(predicted, share.value, *ends, share.n_pairs))
    return tuple(bins)


def _tempered(evidence, judged):
    """Give sigma(m / T) of every pair, T chosen on the pairs of other prompts."""
    groups = evidence.clusters.groups
    n_folds = min(N_FOLDS, int(groups.max()) + 1)
    if n_folds < 2:
        return "A temperature needs pairs of two prompts at least."
    parts = deal(groups, n_folds)
    proba = np.empty(len(evidence))
    for part in range(n_folds):
        test = parts[:, 0] == part
        train = (parts != part).all(axis=1)
        weight = evidence.weight[train]
        if not test.any():
            continue
        if not weight.any():
            return "Too few prompts are apart from each other to choose a temperature."
        factor, _ = best_factor(judged.margin[train], evidence.target[train], weight)
        proba[test] = expit(factor * judged.margin[test])
    return proba


def risk(evidence: Evidence, judged: Judged) -> Risk:
    """Compute the share of errors among the pairs of the largest margins."""
    curve = risk_coverage_curve(
        evidence.target, judged.margin, sample_weight=evidence.weight
    )
    n = len(curve.coverage)
    kept = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    whole = float(curve.risk[-1])
    places = [int(np.searchsorted(curve.coverage, c - 1e-12)) for c in COVERAGES]
    table = tuple(
        (float(curve.coverage[k]), float(curve.risk[k]), float(curve.threshold[k]))
        for k in dict.fromkeys(places)
    )
    # All errors at the smallest margins: none until 1 - whole, then a rising share.
    rising = 1 - whole
    best = whole + (rising * np.log(rising) if rising > 0 else 0.0)
    return Risk(curve.coverage[kept], curve.risk[kept], curve.area, float(best), table)


def best_of_n(evidence: Evidence, judged: Judged) -> BestOfN | str:
    """Compute best-of-n by the model's rewards, where items are rated; or say why not.

    Prompts with fewer responses than nine of ten prompts have are left out.
    """
    if evidence.ratings is None:
        return "Best of n needs a rating of every response; the data are pairs."
    if evidence.prompt_ids is None:
        return "Best of n needs the prompts of the responses."
    prompts, of, sizes = np.unique(
        evidence.prompt_ids, return_inverse=True, return_counts=True
    )
    smallest = max(2, int(np.quantile(sizes, 1 - ENOUGH_PROMPTS, method="lower")))
    is_kept = sizes[of] >= smallest
    if not is_kept.any():
        return "Best of n needs a prompt with two responses."
    truth, ids = evidence.ratings[is_kept], evidence.prompt_ids[is_kept]
    assert judged.rewards is not None
    curve = best_of_n_curve(truth, judged.rewards[is_kept], ids)
    longest = None
    if evidence.lengths is not None:
        by_length = np.asarray(evidence.lengths, dtype=float)[is_kept]
        longest = best_of_n_curve(truth, by_length, ids).improvement
    base = curve.reward - curve.improvement
    n_kept = int((sizes >= smallest).sum())
    return BestOfN(
        curve.n,
        curve.kl,
        curve.improvement,
        1.96 * curve.improvement_stderr,
        longest,
        curve.oracle - base,
        n_kept,
        len(prompts) - n_kept,
    )
