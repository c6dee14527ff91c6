"""Calibration of preference probabilities."""

from typing import Any, Literal, Self

import numpy as np
from sklearn.calibration import CalibrationDisplay as _ClassifierCalibrationDisplay

from skreward.data.targets import check_preferences
from skreward.plotting.axes import _require_matplotlib
from skreward.utils.checks import check_count
from skreward.utils.through import predict_preference_proba
from skreward.utils.typing import ArrayLike


class CalibrationDisplay(_ClassifierCalibrationDisplay):
    """Predicted preference probabilities against how often they come true.

    scikit-learn's display, on pairs: every pair counts as ``(p, y)`` and as ``(1 -
    p, 1 - y)``, so that the order within a pair does not matter, and a label may
    be a probability.

    Parameters
    ----------
    prob_true : array of shape (n_bins,)
        Share of preferences that came true, by bin.
    prob_pred : array of shape (n_bins,)
        Mean predicted probability, by bin.
    y_prob : array of shape (2 * n_pairs,)
        Predicted probabilities of both orders.
    estimator_name : str, default=None
        Label of the curve.
    pos_label : int, default=None
        As in `sklearn.calibration.CalibrationDisplay`.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skreward.plotting import CalibrationDisplay
    >>> display = CalibrationDisplay.from_predictions(
    ...     [1, 1, 1, 0], [0.8, 0.8, 0.8, 0.8], n_bins=2
    ... )
    >>> display.prob_true, display.prob_pred
    (array([0.25, 0.75]), array([0.2, 0.8]))
    """

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the calibration of a fitted Bradley-Terry model on pairs.

        Parameters
        ----------
        estimator : estimator
            With ``predict_preference_proba``; or a pipeline that ends in one, or a
            search over it.
        X : EmbeddingPairs or array-like of shape (n_pairs, 2, n_features)
            Pairs.
        y : array-like of shape (n_pairs,), default=None
            Their labels; None says that the first is preferred.
        name : str, default=None
            Label; by default the estimator's class.
        **kwargs : dict
            Passed to `from_predictions`.

        Returns
        -------
        display : CalibrationDisplay
        """
        name = type(estimator).__name__ if name is None else name
        proba = predict_preference_proba(estimator, X)
        return cls.from_predictions(y, proba, name=name, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike | None,
        y_prob: ArrayLike,
        *,
        n_bins: int = 10,
        strategy: Literal["uniform", "quantile"] = "uniform",
        name: str | None = None,
        ax: Any = None,
        ref_line: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the calibration of preference probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_pairs,), or None
            Labels: 1 / 0, +1 / -1, or in [0, 1]; None = the first is preferred.
        y_prob : array-like of shape (n_pairs,)
            Predicted P(first preferred).
        n_bins : int, default=10
            Bins of [0, 1]; empty ones are not drawn.
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width, or of equally many pairs.
        name : str, default=None
            Label of the line.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        ref_line : bool, default=True
            Draw the line of perfect calibration.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : CalibrationDisplay
        """
        _require_matplotlib("CalibrationDisplay.from_predictions")
        n_bins = check_count(n_bins, "n_bins")
        y_prob = np.asarray(y_prob, dtype=np.float64)
        if y_prob.ndim != 1 or not ((y_prob >= 0) & (y_prob <= 1)).all():
            raise ValueError("y_prob must be a probability in [0, 1] for every pair.")
        y_true = check_preferences(y_true, len(y_prob), "y_true")
        probability = np.concatenate([y_prob, 1 - y_prob])
        label = np.concatenate([y_true, 1 - y_true])
        if strategy == "uniform":
            edges = np.linspace(0, 1, n_bins + 1)
        elif strategy == "quantile":
            edges = np.quantile(probability, np.linspace(0, 1, n_bins + 1))
        else:
            raise ValueError(
                f"strategy must be 'uniform' or 'quantile', got {strategy!r}."
            )
        bins = np.searchsorted(edges[1:-1], probability)
        count = np.bincount(bins, minlength=n_bins)
        filled = count > 0
        display = cls(
            prob_true=np.bincount(bins, label, n_bins)[filled] / count[filled],
            prob_pred=np.bincount(bins, probability, n_bins)[filled] / count[filled],
            y_prob=y_prob,
            estimator_name=name,
        )
        return display.plot(ax=ax, ref_line=ref_line, **kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        name: str | None = None,
        ref_line: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        name : str, default=None
            Label; by default the one given before.
        ref_line : bool, default=True
            Draw the line of a calibrated model.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : CalibrationDisplay
        """
        super().plot(ax=ax, name=name, ref_line=ref_line, **kwargs)
        self.ax_.set(
            xlabel="Predicted probability that an item is preferred",
            ylabel="How often it is",
        )
        return self
