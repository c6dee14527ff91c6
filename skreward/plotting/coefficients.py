"""Which features a linear reward pays for, with intervals."""

from typing import Any, Self

import numpy as np

from skreward.plotting.axes import _axes
from skreward.utils.checks import check_count
from skreward.utils.through import inwards
from skreward.utils.typing import Array, ArrayLike


class CoefficientDisplay:
    """Coefficients of a linear reward with their confidence intervals.

    Parameters
    ----------
    feature : array of str, shape (n_features,)
        Names, from the lowest coefficient to the highest.
    coef : array of shape (n_features,)
        Debiased coefficients.
    lower, upper : arrays of shape (n_features,)
        Ends of the intervals.
    confidence_level : float, default=0.95
        Of the intervals.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
        Drawn on.
    line_ : matplotlib ErrorbarContainer
        Points and bars.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skreward import BradleyTerryRegressor
    >>> from skreward.datasets import make_preferences
    >>> from skreward.plotting import CoefficientDisplay
    >>> data = make_preferences(n_pairs=1000, n_features=4, random_state=0)
    >>> model = BradleyTerryRegressor(covariance="cluster").fit(data.pairs, data.y)
    >>> display = CoefficientDisplay.from_estimator(model)
    >>> bool((display.lower < display.coef).all())
    True
    """

    def __init__(
        self,
        *,
        feature: Array,
        coef: Array,
        lower: Array,
        upper: Array,
        confidence_level: float = 0.95,
    ) -> None:
        self.feature = feature
        self.coef = coef
        self.lower = lower
        self.upper = upper
        self.confidence_level = confidence_level

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: ArrayLike | None = None,
        confidence_level: float = 0.95,
        n_features: int | None = 20,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the coefficients that are furthest from zero in standard errors.

        Parameters
        ----------
        estimator : estimator
            A linear reward fitted with ``covariance``, or a Pipeline that ends in one,
            whose other steps then name the features; or a search over either.
        feature_names : array-like of str, default=None
            Names of all features; None asks the Pipeline or the model.
        confidence_level : float, default=0.95
            Of the intervals.
        n_features : int or None, default=20
            How many to draw; None draws all whose interval is finite.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``errorbar``.

        Returns
        -------
        display : CoefficientDisplay

        Raises
        ------
        TypeError
            If the estimator has no ``coef_intervals``.
        """
        *_, (_, before, last) = inwards(estimator)
        names = feature_names
        if names is None and before is not None:
            names = _names_out(before)
        if not hasattr(last, "coef_intervals"):
            raise TypeError(
                f"{type(last).__name__} has no coef_intervals: only linear rewards, "
                'such as BradleyTerryRegressor(covariance="cluster"), have them.'
            )
        if n_features is not None:
            n_features = check_count(n_features, "n_features")
        table = last.coef_intervals(names, confidence_level=confidence_level)
        known = np.flatnonzero((table["std"] > 0) & np.isfinite(table["std"]))
        size = np.abs(table["coef"][known]) / table["std"][known]
        drawn = known[np.argsort(-size, kind="stable")[:n_features]]
        drawn = drawn[np.argsort(table["coef"][drawn], kind="stable")]
        columns = {
            name: table[name][drawn] for name in ("feature", "coef", "lower", "upper")
        }
        display = cls(**columns, confidence_level=confidence_level)
        return display.plot(ax=ax, **kwargs)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw a line a feature.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``errorbar``.

        Returns
        -------
        display : CoefficientDisplay
        """
        new = ax is None
        self.ax_, self.figure_ = _axes(ax, "CoefficientDisplay")
        height = np.arange(len(self.coef))
        if new:
            self.figure_.set_figheight(1.5 + 0.25 * len(height))
            self.figure_.set_layout_engine("constrained")
        around = np.stack([self.coef - self.lower, self.upper - self.coef])
        self.line_ = self.ax_.errorbar(
            self.coef, height, xerr=around, **{"fmt": "o", "markersize": 4, **kwargs}
        )
        self.ax_.axvline(0, color="0.5", linewidth=1)
        self.ax_.set_yticks(height, [str(name) for name in self.feature])
        self.ax_.set_xlabel(
            f"Reward a unit of the feature, {self.confidence_level:.0%} interval"
        )
        return self


def _names_out(steps):
    """Names of what a pipeline's steps give, or None where they do not say."""
    try:
        return steps.get_feature_names_out()
    except (AttributeError, ValueError):
        return None
