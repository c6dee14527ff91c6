"""Curves of best-of-N."""

from collections.abc import Iterable
from typing import Any, Literal, Self

from sklearn.utils import Bunch

from skreward.metrics.prompts import best_of_n_curve
from skreward.plotting.axes import _axes
from skreward.utils.typing import ArrayLike, Items


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

    def __init__(self, curve: Bunch, *, estimator_name: str | None = None) -> None:
        self.curve = curve
        self.estimator_name = estimator_name

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        x: Literal["n", "kl"] = "n",
        plot_oracle: bool = True,
        **kwargs: Any,
    ) -> Self:
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
        cls,
        estimator: Any,
        X: Items,
        y: ArrayLike,
        groups: ArrayLike,
        *,
        n_values: Iterable[int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
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
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        groups: ArrayLike,
        *,
        n_values: Iterable[int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
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
