"""Displays: best-of-N, score against annotation, calibration.

They follow scikit-learn: ``from_estimator`` or ``from_predictions`` computes and
draws on ``ax``, and returns the display, whose ``plot`` draws again.
"""

import numpy as np
from sklearn.calibration import CalibrationDisplay as _ClassifierCalibrationDisplay
from sklearn.pipeline import Pipeline

from skreward._annotation_curve import annotation_curve
from skreward._checks import check_count
from skreward._prompt_metrics import best_of_n_curve
from skreward._validation import check_preferences

__all__ = ["AnnotationDesignDisplay", "BestOfNDisplay", "CalibrationDisplay"]

X_LABELS = {
    "beta": "Annotation reliability beta",
    "error_rate": "Annotation error rate",
    "n_pairs": "Number of annotated pairs",
}


class BestOfNDisplay:
    """Reward of the best of n candidates, against n.

    Make one with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    curve : Bunch
        What `skreward.metrics.best_of_n_curve` returns.
    estimator_name : str, default=None
        Label of the line.

    Attributes
    ----------
    ax_, figure_
        The axes and the figure drawn on.
    line_, band_
        The line, and the band of 1.96 standard errors over prompts to each side.
    oracle_
        The line of choosing by the true reward, or None.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from skreward.plotting import BestOfNDisplay
    >>> rng = np.random.default_rng(0)
    >>> y_true, groups = rng.normal(size=400), np.repeat(range(40), 10)
    >>> y_pred = y_true + rng.normal(size=400)
    >>> display = BestOfNDisplay.from_predictions(y_true, y_pred, groups, name="noisy")
    >>> display.line_.get_label()
    'noisy'
    """

    def __init__(self, curve, *, estimator_name=None):
        self.curve = curve
        self.estimator_name = estimator_name

    def plot(self, ax=None, *, name=None, x="n", plot_oracle=True, **kwargs):
        """Draw the improvement over a random response.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        name : str, default=None
            Label of the line, in place of ``estimator_name``.
        x : {"n", "kl"}, default="n"
            Horizontal axis: the number of candidates, or the divergence from
            sampling one, ``log n - (n - 1) / n``.
        plot_oracle : bool, default=True
            Draw what the true reward would choose, once an axes.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the line.

        Returns
        -------
        display : BestOfNDisplay
        """
        if x not in ("n", "kl"):
            raise ValueError(f"x must be 'n' or 'kl', got {x!r}.")
        self.ax_, self.figure_ = _axes(ax, "BestOfNDisplay.plot")
        name = self.estimator_name if name is None else name
        curve, at = self.curve, self.curve[x]
        style = {"marker": "o", "label": name, **kwargs}
        (self.line_,) = self.ax_.plot(at, curve.improvement, **style)
        half = 1.96 * curve.improvement_stderr
        self.band_ = self.ax_.fill_between(
            at,
            curve.improvement - half,
            curve.improvement + half,
            color=self.line_.get_color(),
            alpha=0.2,
            linewidth=0,
        )
        self.oracle_ = None
        oracle = "Best by true reward"
        if plot_oracle and oracle not in self.ax_.get_legend_handles_labels()[1]:
            gain = curve.oracle - (curve.reward - curve.improvement)
            (self.oracle_,) = self.ax_.plot(at, gain, "k:", label=oracle)
        if x == "n":
            self.ax_.set_xscale("log")
            self.ax_.set_xticks(curve.n, labels=[str(n) for n in curve.n])
            self.ax_.minorticks_off()
        self.ax_.set(
            xlabel="Candidates n" if x == "n" else "KL divergence (nats)",
            ylabel="Improvement of the true reward",
        )
        if self.ax_.get_legend_handles_labels()[1]:
            self.ax_.legend()
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, y, groups, *, n_values=None, name=None, ax=None, **kwargs
    ):
        """Predict the rewards of items, and draw their best-of-N curve.

        Parameters
        ----------
        estimator : estimator
            Fitted; ``predict`` gives a reward an item.
        X : array-like of shape (n_items, n_features)
            Items.
        y : array-like of shape (n_items,)
            Their true rewards.
        groups : array-like of shape (n_items,)
            Their prompts.
        n_values : array-like of int, default=None
            As in `skreward.metrics.best_of_n_curve`.
        name : str, default=None
            Label; by default the estimator's class.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : BestOfNDisplay
        """
        name = type(estimator).__name__ if name is None else name
        y_pred = estimator.predict(X)
        return cls.from_predictions(
            y, y_pred, groups, n_values=n_values, name=name, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, groups, *, n_values=None, name=None, ax=None, **kwargs
    ):
        """Draw the best-of-N curve of predicted rewards.

        Parameters
        ----------
        y_true : array-like of shape (n_items,)
            True rewards.
        y_pred : array-like of shape (n_items,)
            Predicted rewards.
        groups : array-like of shape (n_items,)
            Prompts of the items.
        n_values : array-like of int, default=None
            As in `skreward.metrics.best_of_n_curve`.
        name : str, default=None
            Label of the line.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : BestOfNDisplay
        """
        curve = best_of_n_curve(y_true, y_pred, groups, n_values=n_values)
        return cls(curve, estimator_name=name).plot(ax, **kwargs)


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
        param_name,
        param_range,
        scores,
        score_name="Order consistency",
        estimator_name=None,
    ):
        self.param_name = param_name
        self.param_range = param_range
        self.scores = scores
        self.score_name = score_name
        self.estimator_name = estimator_name

    def plot(self, ax=None, *, name=None, **kwargs):
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
    def from_estimator(cls, estimator, X, y, groups, *, name=None, ax=None, **params):
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
    def from_estimator(cls, estimator, X, y=None, *, name=None, **kwargs):
        """Draw the calibration of a fitted Bradley-Terry model on pairs.

        Parameters
        ----------
        estimator : estimator
            With ``predict_preference_proba``, or a pipeline that ends in one.
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
        last = estimator
        if isinstance(estimator, Pipeline):
            last = estimator[-1]
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        if not hasattr(last, "predict_preference_proba"):
            raise TypeError(
                f"{type(last).__name__} has no predict_preference_proba: its margins "
                "are no preference probabilities, so they cannot be calibrated."
            )
        proba = last.predict_preference_proba(X)
        return cls.from_predictions(y, proba, name=name, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_prob,
        *,
        n_bins=10,
        strategy="uniform",
        name=None,
        ax=None,
        ref_line=True,
        **kwargs,
    ):
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

    def plot(self, *, ax=None, name=None, ref_line=True, **kwargs):
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


def _require_matplotlib(caller):
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib: pip install matplotlib."
        ) from error


def _axes(ax, caller):
    _require_matplotlib(caller)
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots()
    return ax, ax.figure
