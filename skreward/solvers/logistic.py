r"""Logistic regression of single items, by the solver of pairs.

.. math:: \min_{w, b} \; \frac{1}{2} \lVert w \rVert^2
          + C \sum_i v_i \, \mathrm{loss}(x_i w + b, y_i)

An item that is chosen with probability F(x @ w + b) beats an item that is nothing,
whose embedding and reward are 0, by the margin x @ w in favour of b.
"""

from dataclasses import replace

import numpy as np

from skreward.data.comparisons import Comparisons
from skreward.objectives import OBJECTIVES, Intercept
from skreward.solvers.linear import LinearProblem, LinearSolution


class BesideNothing:
    """Items and one more, the last, whose embedding is 0; as `ItemMatrix`.

    Every pair is of an item and that last one.
    """

    def __init__(self, items):
        self.dtype, self._items = items.dtype, items
        self.shape = items.shape[0] + 1, items.shape[1]

    def rewards(self, coef):
        """Rewards, the last of them 0."""
        rewards = self._items.rewards(coef)
        return np.concatenate([rewards, np.zeros_like(rewards[:1])])

    def gradient(self, item_gradient):
        """Items.T @ item_gradient."""
        return self._items.gradient(item_gradient[:-1])

    def differences(self, index):
        """First items of the pairs."""
        return self._items.rows(index[:, 0])

    def sizes(self, rows):
        """Largest size of every feature in some rows."""
        return self._items.sizes(rows[rows < self.shape[0] - 1])

    def extent(self, features, index):
        """Largest sizes of some features, from 0 and altogether."""
        size = self._items.extent(features, np.column_stack([index[:, 0]] * 2))[1]
        return size, size


def fit_logistic(
    items, wins: Comparisons, *, C, fit_intercept, max_iter, tol
) -> LinearSolution:
    """Minimise the above.

    Parameters
    ----------
    items : ItemMatrix, or another with its methods
    wins : Comparisons
        Of single items: the share of wins of each, and its weight.
    C : float
    fit_intercept : bool
    max_iter, tol : as of `LinearProblem.solve`

    Returns
    -------
    solution : LinearSolution
        With b as its ``theta``, where there is one.
    """
    nothing = np.full_like(wins.index, items.shape[0])
    pairs = replace(wins, index=np.hstack([wins.index, nothing]))
    link = OBJECTIVES["logistic"]
    objective = Intercept(link) if fit_intercept else link
    problem = LinearProblem(BesideNothing(items), pairs, objective)
    return problem.solve(1 / (C * wins.weight.sum()), max_iter=max_iter, tol=tol)
