"""Errors of a reward against the pairs that it decides."""

from typing import Any, Self

from sklearn.utils import Bunch

from skreward.metrics.risk import risk_coverage_curve
from skreward.plotting.axes import _axes
from skreward.utils.typing import ArrayLike


class RiskCoverageDisplay:
    """Share of wrongly ordered pairs among those that a threshold keeps.

    Parameters
    ----------
    curve : Bunch
        From `skreward.metrics.risk_coverage_curve`.

    Attributes
    ----------
    ax_ : matplotlib axes
    figure_ : matplotlib figure
    line_ : matplotlib artist

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skreward.plotting import RiskCoverageDisplay
    >>> display = RiskCoverageDisplay.from_predictions([1, 1, 0], [2.0, -1.0, -3.0])
    >>> display.curve.risk.round(2).tolist()
    [0.0, 0.0, 0.33]
    """

    def __init__(self, curve: Bunch) -> None:
        self.curve = curve

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: ArrayLike | None = None, **kwargs: Any
    ) -> Self:
        """Draw the curve of a fitted reward on pairs.

        Parameters
        ----------
        estimator : estimator
            Its ``predict`` gives the margins of pairs.
        X : EmbeddingPairs or array-like of shape (n_pairs, 2, n_features)
            Pairs.
        y : array-like of shape (n_pairs,), default=None
            Their labels; None says that the first is preferred.
        **kwargs : dict
            Passed to `from_predictions`.

        Returns
        -------
        display : RiskCoverageDisplay
        """
        kwargs.setdefault("name", type(estimator).__name__)
        return cls.from_predictions(y, estimator.predict(X), **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike | None,
        y_pred: ArrayLike,
        *,
        confidence: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of margins.

        Parameters
        ----------
        y_true : array-like of shape (n_pairs,), or None
            Labels; None says that the first is preferred.
        y_pred : array-like of shape (n_pairs,)
            Margins.
        confidence : array-like of shape (n_pairs,), default=None
            What decides which pairs are kept; None is the size of the margin.
        name : str, default=None
            Label of the line.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : RiskCoverageDisplay
        """
        curve = risk_coverage_curve(y_true, y_pred, confidence=confidence)
        return cls(curve).plot(ax, name=name, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        name : str, default=None
            Label of the line.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : RiskCoverageDisplay
        """
        self.ax_, self.figure_ = _axes(ax, "RiskCoverageDisplay.plot")
        (self.line_,) = self.ax_.plot(
            self.curve.coverage, self.curve.risk, label=name, **kwargs
        )
        self.ax_.set(
            xlabel="Share of pairs decided",
            ylabel="Share of those ordered wrongly",
            xlim=(0, 1),
        )
        if name is not None:
            self.ax_.legend()
        return self
