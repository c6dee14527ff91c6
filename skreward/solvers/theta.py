"""Parameters of an objective alone, for margins that stay as they are."""

from typing import Any, NamedTuple

import numpy as np

from skreward.objectives.base import Observed
from skreward.solvers.lbfgs import evaluated, minimise

# Norm of the gradient in units of the curvature's root: nothing is seen of a smaller.
SIZE = 1e-9
MAX_ITER = 100


class _Point(NamedTuple):
    position: np.ndarray
    value: float
    gradient: np.ndarray


class _Scaling:
    """By a diagonal."""

    def __init__(self, curvature):
        floor = np.finfo(np.float64).tiny
        self._scale = np.sqrt(np.maximum(curvature, floor))

    def coef(self, scaled):
        return scaled / self._scale

    gradient = coef


def best_theta(objective: Any, margin, data: Observed, start) -> np.ndarray:
    """Minimise the weighted mean loss over theta.

    Parameters
    ----------
    objective : Objective
        With a curvature.
    margin : array of shape (n,)
    data : Observed
    start : array of shape (n_parameters,)

    Returns
    -------
    theta : array of float64, shape (n_parameters,)
    """
    data = data._replace(weight=data.weight / data.weight.sum())
    margin, start = margin.astype(np.float64), start.astype(np.float64)

    def evaluate(theta):
        value, _, gradient = objective.value_gradient(margin, theta, data)
        return _Point(theta, float(data.weight @ value), gradient)

    _, curvature = objective.curvature(margin, start, data)
    noise = 4 * float(np.finfo(np.float64).eps)
    run = minimise(
        evaluate(start), _Scaling(curvature), size=SIZE, max_iter=MAX_ITER, noise=noise
    )
    return evaluated(run, evaluate).point.position
