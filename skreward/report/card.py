"""The card: everything computed once, then written as a page or as figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from html import escape
from numbers import Integral
from typing import Any, Self

import numpy as np

from skreward.report.about import About, describe, find_encoder
from skreward.report.certainty import (
    BestOfN,
    Calibration,
    Risk,
    best_of_n,
    calibration,
    risk,
)
from skreward.report.charts import require_matplotlib
from skreward.report.comparison import Comparison, compare
from skreward.report.evidence import (
    Evidence,
    Judged,
    judge,
    norms_of,
    read_evidence,
)
from skreward.report.order import (
    Baseline,
    Row,
    Slices,
    baselines,
    new_prompts,
    row_of,
    score,
    similar_length,
    slices,
)
from skreward.report.page import page
from skreward.report.paid import PaysFor, pays_for
from skreward.report.pairs import (
    Example,
    Facts,
    disagreements,
    doubtful,
    facts,
    mistakes,
)
from skreward.utils.checks import check_real
from skreward.utils.typing import ArrayLike

__all__ = ["ReportCard"]


@dataclass(frozen=True, repr=False)
class ReportCard:
    """What a reward model is worth on data: one page that a person can mail.

    Make one with `from_estimator`. Its parameters are its attributes, every figure
    computed once; `to_dict` gives them as numbers, `to_html` as a page that opens
    without a network.

    Every interval takes pairs of one prompt for dependent (where no prompts are known,
    pairs that share items), and order consistency counts ties in the rewards one half.

    Parameters
    ----------
    about : About
        What the model is: steps, encoder, training, versions.
    facts : Facts
        Counts of the data: pairs, prompts, ties, duplicates, contradictions, texts that
        were cut, prompts of the training.
    order : Row
        Order consistency of all pairs, beside that of the longer response.
    baselines : tuple of Baseline
        Longer response, larger norm, prompt alone, coin, and by how much the model is
        better on the same pairs.
    slices : tuple of Slices
        Order consistency by parts of the data.
    calibration : Calibration
        Log-loss and calibration error of the probabilities, before and after.
    risk : Risk
        Share of errors among the pairs of the largest margins.
    pays_for : PaysFor
        Correlations of margins, and of labels, with length and named statistics.
    mistakes, doubtful : tuple of Example
        Pairs to read.
    grouping : str
        What pairs hang together by: "prompts", or shared items.
    level : float
        Confidence level of the intervals.
    data_name : str
        What the data are called.
    data_file : dict, default={}
        Size and digest of the file they were read from.
    similar_length, new_prompts : Row or None, default=None
        Of pairs whose lengths differ by less than a tenth; of prompts that the model
        was not trained on, where some are others.
    best_of_n : BestOfN or None, default=None
        Improvement of the rating, where responses are rated.
    other_about, other_calibration, other_risk, other_best_of_n : default=None
        The same of the model that is compared.
    disagreements : tuple of Example, default=()
        Pairs that the two order differently.
    comparison : Comparison or None, default=None
        The two models on the same pairs.
    missing : dict, default={}
        Why a section cannot be made, by its name.

    See Also
    --------
    skreward.metrics.order_consistency_score : The figure at its head.
    skreward.plotting.CalibrationDisplay : One of its pictures alone.

    Examples
    --------
    >>> from skreward import BradleyTerryRegressor
    >>> from skreward.datasets import make_text_preferences
    >>> from skreward.report import ReportCard
    >>> from skreward import TextStatisticsTransformer
    >>> from sklearn.pipeline import make_pipeline
    >>> data = make_text_preferences(20, 8, 300, random_state=0)
    >>> model = make_pipeline(TextStatisticsTransformer(), BradleyTerryRegressor())
    >>> model = model.fit(data.pairs[:200], data.y[:200])
    >>> card = ReportCard.from_estimator(model, data.pairs[200:], data.y[200:])
    >>> card.facts.n_pairs, [b.name for b in card.baselines][0]
    (100, 'longer response')
    >>> card.to_html()[:15]
    '<!DOCTYPE html>'
    """

    about: About
    facts: Facts
    order: Row
    baselines: tuple[Baseline, ...]
    slices: tuple[Slices, ...]
    calibration: Calibration
    risk: Risk
    pays_for: PaysFor
    mistakes: tuple[Example, ...]
    doubtful: tuple[Example, ...]
    grouping: str
    level: float
    data_name: str
    data_file: dict[str, str] = field(default_factory=dict)
    similar_length: Row | None = None
    new_prompts: Row | None = None
    best_of_n: BestOfN | None = None
    other_about: About | None = None
    other_calibration: Calibration | None = None
    other_risk: Risk | None = None
    other_best_of_n: BestOfN | None = None
    disagreements: tuple[Example, ...] = ()
    comparison: Comparison | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        other: Any = None,
        prompt_ids: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        texts: Any = None,
        lengths: ArrayLike | None = None,
        slices: Mapping[str, ArrayLike] | None = None,
        confidence_level: float = 0.95,
        n_examples: int = 10,
        name: str | None = None,
        other_name: str | None = None,
        data_name: str = "data",
    ) -> Self:
        """Judge a fitted reward on pairs, or on rated items.

        Parameters
        ----------
        estimator : fitted estimator
            Its ``predict`` gives the margins of pairs: a reward model, a Pipeline from
            texts, a search, or a reward of your own.

        X : table of texts, EmbeddingPairs, array-like of shape (n_pairs, 2, \
                n_features), or array-like of shape (n_items, n_features)
            Pairs; or items, or a table of ``prompt, response``, with a rating each. Of
            rated items unequal ones of a prompt are compared, 20,000 pairs at most.

        y : array-like of shape (n_pairs,) or (n_items,), default=None
            Preferences, as `BradleyTerryRegressor.fit` takes them, None where the first
            is always the chosen one; or ratings.

        other : fitted estimator, default=None
            Another model to compare, on the same X: differences are paired.

        prompt_ids : array-like of shape (n_items,), default=None
            Prompts of rated items; pairs and tables of texts carry theirs.

        sample_weight : array-like of shape (n_pairs,) or (n_items,), default=None
            Weights.

        texts : table of texts, default=None
            A row of ``prompt, response`` for every item, where X is embeddings.

        lengths : array-like of shape (n_items,), default=None
            Characters of the response of every item, where X is embeddings and there
            are no texts.

        slices : dict of array-like of shape (n_pairs,), default=None
            Further columns to divide the pairs by, such as their source.

        confidence_level : float, default=0.95
            Of all intervals.

        n_examples : int, default=10
            Mistakes and doubtful pairs to show; 0 keeps all texts out of the card.

        name, other_name : str, default=None
            What to call the models; by default their classes.

        data_name : str, default="data"
            What to call the data.

        Returns
        -------
        card : ReportCard

        Raises
        ------
        ValueError
            If X, y or another argument is not as above, or a margin is not finite.
        ImportError
            If matplotlib is missing, which draws the pictures.
        """
        require_matplotlib("ReportCard")
        if not isinstance(n_examples, Integral) or n_examples < 0:
            raise ValueError(
                f"n_examples must be an integer of at least 0, got {n_examples!r}."
            )
        evidence = read_evidence(
            X,
            y,
            prompt_ids=prompt_ids,
            sample_weight=sample_weight,
            texts=texts,
            lengths=lengths,
            slices=slices,
            level=check_real(confidence_level, "confidence_level", low=0, high=1),
        )
        others = None
        if other is not None:
            others = judge(other, evidence, other_name)
        judged = judge(estimator, evidence, name)
        return cls._from_judged(
            evidence, judged, others, data_name=data_name, n_examples=n_examples
        )

    @classmethod
    def _from_judged(
        cls,
        evidence: Evidence,
        judged: Judged,
        other: Judged | None = None,
        *,
        data_name: str = "data",
        data_file: dict[str, str] | None = None,
        n_examples: int = 10,
    ) -> Self:
        """Compute every figure of pairs that one or two models have judged."""
        scores = score(evidence, judged, other)
        encoder = find_encoder(judged.model)
        n_trained, is_new = new_prompts(evidence, judged)
        is_similar = similar_length(evidence)
        best = best_of_n(evidence, judged)
        missing = {"best of n": best} if isinstance(best, str) else {}
        made = {
            "about": describe(judged.model, judged.name, judged.file),
            "facts": facts(evidence, judged, encoder, n_trained),
            "order": row_of("all pairs", evidence, scores),
            "similar_length": _row(
                "pairs of similar length", is_similar, evidence, scores
            ),
            "new_prompts": None,
            "baselines": baselines(evidence, scores, _norms(evidence, encoder)),
            "slices": slices(evidence, judged, scores),
            "calibration": calibration(evidence, judged),
            "risk": risk(evidence, judged),
            "best_of_n": None if isinstance(best, str) else best,
            "pays_for": pays_for(evidence, judged, other),
            "mistakes": mistakes(evidence, judged, other)[:n_examples],
            "doubtful": doubtful(evidence, judged, other)[:n_examples],
            "missing": missing,
        }
        if n_trained:
            made["new_prompts"] = _row(
                "prompts not trained on", is_new, evidence, scores
            )
        if other is not None:
            made |= _compared(evidence, judged, other, scores, n_examples)
        return cls(
            **made,
            grouping=evidence.grouping,
            level=evidence.level,
            data_name=data_name,
            data_file=data_file or {},
        )

    def to_html(self) -> str:
        """Write the card as one HTML page, without scripts, addresses or dates.

        Returns
        -------
        html : str
            The same for the same card.
        """
        return page(self)

    def to_dict(self) -> dict[str, Any]:
        """Give all figures, and the texts shown, as JSON knows them.

        Returns
        -------
        figures : dict
            Of dicts, lists, texts and numbers; None for what is not finite.
        """
        return {f.name: _jsonable(getattr(self, f.name)) for f in fields(self)}

    def __repr__(self):
        found = self.order.model
        return (
            f"ReportCard(model={self.about.name!r}, n_pairs={self.facts.n_pairs}, "
            f"order_consistency={found.value:.3f})"
        )

    def _repr_html_(self):
        # A document of its own: its style and ids stay apart from the notebook's.
        return (
            f'<iframe srcdoc="{escape(self.to_html())}" sandbox="" title="Report card" '
            'style="width:100%;height:40rem;border:0"></iframe>'
        )


def _row(name, mask, evidence, scores):
    if mask is None or not (mask & (evidence.weight > 0)).any():
        return None
    return row_of(name, evidence, scores, mask)


def _compared(evidence, judged, other, scores, n_examples):
    best = best_of_n(evidence, other)
    return {
        "other_about": describe(other.model, other.name, other.file),
        "other_calibration": calibration(evidence, other),
        "other_risk": risk(evidence, other),
        "other_best_of_n": None if isinstance(best, str) else best,
        "disagreements": disagreements(evidence, judged, other)[:n_examples],
        "comparison": compare(evidence, judged, other, scores),
    }


def _norms(evidence, encoder):
    """Norms of the embeddings of the items, where they are known."""
    if encoder is not None and evidence.texts is not None:
        return norms_of(encoder.transform(evidence.texts))
    rows = getattr(evidence.source, "embeddings", evidence.source)
    return norms_of(rows) if getattr(rows, "ndim", 1) == 2 else None


def _jsonable(value):
    if hasattr(value, "__dataclass_fields__"):
        return {k: _jsonable(v) for k, v in asdict(value).items()}
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if hasattr(value, "_asdict"):
        return _jsonable(value._asdict())
    if isinstance(value, list | tuple | np.ndarray):
        return [_jsonable(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
