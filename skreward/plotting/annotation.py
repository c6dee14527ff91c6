"""Order consistency over designs of annotation."""

from typing import Any, Self

import numpy as np

from skreward.annotation.curve import annotation_curve
from skreward.plotting.axes import _axes, _require_matplotlib
from skreward.utils.typing import ArrayLike, Items

X_LABELS = {
    "beta": "Annotation reliability beta",
    "error_rate": "Annotation error rate",
    "n_pairs": "Number of annotated pairs",
}


class AnnotationDesignDisplay:
    """Score against the noise, or the number, of the annotations.

    Make one with `from_estimator`, or from scores that are at hand. Several models
    go on one axes: pass the first display's ``ax_`` on.

    Parameters
    ----------
    param_name : {"beta", "error_rate", "n_pairs"}
        What varies.
    param_range : array-like of shape (n_values,)
        Its values.
    scores : array-like of shape (n_values, n_repeats)
        A score for each value and repeat (seed, or split).
    score_name : str, default="Order consistency"
        Label of the vertical axis.
    estimator_name : str, default=None
        Label of the line.

    Attributes
    ----------
    ax_, figure_
        The axes and the figure drawn on.
    line_, band_
        The mean over repeats, and the band of one standard deviation to each side.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skreward.plotting import AnnotationDesignDisplay
    >>> display = AnnotationDesignDisplay(
    ...     param_name="n_pairs", param_range=[100, 1000],
    ...     scores=[[0.60, 0.62], [0.70, 0.71]], estimator_name="linear",
    ... ).plot()
    >>> display.ax_.get_xlabel()
    'Number of annotated pairs'
    """

    def __init__(
        self,
        *,
        param_name: str,
        param_range: ArrayLike,
        scores: ArrayLike,
        score_name: str = "Order consistency",
        estimator_name: str | None = None,
    ) -> None:
        self.param_name = param_name
        self.param_range = param_range
        self.scores = scores
        self.score_name = score_name
        self.estimator_name = estimator_name

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the mean and the spread of the scores.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        name : str, default=None
            Label of the line, in place of ``estimator_name``.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the line.

        Returns
        -------
        display : AnnotationDesignDisplay
        """
        if self.param_name not in X_LABELS:
            raise ValueError(
                f"param_name must be one of {tuple(X_LABELS)}, got {self.param_name!r}."
            )
        at, scores = np.asarray(self.param_range, dtype=float), np.asarray(self.scores)
        if scores.ndim != 2 or len(scores) != len(at):
            raise ValueError(
                f"scores must have shape ({len(at)}, n_repeats), got {scores.shape}."
            )
        is_log = self.param_name != "error_rate"
        if is_log and not (np.isfinite(at) & (at > 0)).all():
            raise ValueError(
                f"{self.param_name} is drawn on a logarithmic axis: it must be "
                f"positive and finite, got {at.tolist()}. A perfect annotator and a "
                "coin are error_rate 0 and 0.5."
            )
        self.ax_, self.figure_ = _axes(ax, "AnnotationDesignDisplay.plot")
        style = {
            "marker": "o",
            "label": self.estimator_name if name is None else name,
            **kwargs,
        }
        mean, spread = scores.mean(axis=1), scores.std(axis=1)
        (self.line_,) = self.ax_.plot(at, mean, **style)
        self.band_ = self.ax_.fill_between(
            at,
            mean - spread,
            mean + spread,
            color=self.line_.get_color(),
            alpha=0.2,
            linewidth=0,
        )
        if is_log:
            self.ax_.set_xscale("log")
            self.ax_.set_xticks(at, labels=[f"{value:g}" for value in at])
            self.ax_.minorticks_off()
        self.ax_.set(xlabel=X_LABELS[self.param_name], ylabel=self.score_name)
        if self.ax_.get_legend_handles_labels()[1]:
            self.ax_.legend()
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Items,
        y: ArrayLike,
        groups: ArrayLike,
        *,
        name: str | None = None,
        ax: Any = None,
        **params: Any,
    ) -> Self:
        """Fit and score a reward model over simulated annotations, and draw it.

        Parameters
        ----------
        estimator : estimator
            Reward model, or pipeline; it is cloned.
        X : array-like of shape (n_items, n_features)
            Items.
        y : array-like of shape (n_items,)
            Their true rewards.
        groups : array-like of shape (n_items,)
            Their prompts.
        name : str, default=None
            Label; by default the estimator's class.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **params : dict
            Passed to `skreward.annotation.annotation_curve`: ``param_name``,
            ``param_range``, ``n_repeats``, ``design``, ``random_state``, ...

        Returns
        -------
        display : AnnotationDesignDisplay
        """
        _require_matplotlib("AnnotationDesignDisplay.from_estimator")
        curve = annotation_curve(estimator, X, y, groups, **params)
        display = cls(
            param_name=curve.param_name,
            param_range=curve.param_range,
            scores=curve.scores,
            estimator_name=type(estimator).__name__ if name is None else name,
        )
        return display.plot(ax)
