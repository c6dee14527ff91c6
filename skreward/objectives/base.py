"""What an objective is: a negative log-likelihood of margins m = r(first) - r(second).

One formula serves NumPy and torch: what is not an operator comes from ``xp``, and all
that belongs to observations has them on its last axis, (n,) or (members, n). Whatever
parameters an objective has of its own are ``theta``, (k,) or (members, k), each member
having its own; they are fitted beside the reward's.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import special


def _erfcx(x):
    with np.errstate(over="ignore"):
        return special.erfcx(x)


# What `skreward.networks.namespace.TORCH` is for torch.
NUMPY = SimpleNamespace(
    abs=np.abs,
    exp=np.exp,
    expm1=np.expm1,
    log=np.log,
    log1p=np.log1p,
    where=np.where,
    relu=lambda x: np.maximum(x, 0),
    expit=special.expit,
    log_ndtr=special.log_ndtr,
    erfcx=_erfcx,
    concatenate=lambda parts: np.concatenate(parts, axis=-1),
    # A constant beside values of that dtype and device.
    like=lambda constant, values: constant,
    # Of groups, whose numbers are k: each one's value, and the sum of each one's.
    take=lambda values, k: values[k],
    sums=lambda values, k, n_groups: np.bincount(k, values, n_groups),
)
NO_THETA = np.zeros(0)


class Observed(NamedTuple):
    """What was seen of the margins.

    ``target`` is the label, in [0, 1], and ``weight`` what it counts for; ``columns``
    holds what else is known of each observation, by name.
    """

    target: Any
    weight: Any
    columns: dict


class Objective(ABC):
    """The negative log-likelihood of one observation a margin.

    Attributes
    ----------
    needs : tuple of str
        Columns of the observations.
    outcomes : tuple of str
        What can be seen, in the order of `probability`.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    outcomes: ClassVar[tuple[str, ...]] = ("first", "second")

    def initial(self, data: Observed) -> np.ndarray:
        """Give the theta to start from, which is best where all margins are 0."""
        return NO_THETA

    @abstractmethod
    def value_gradient(self, margin, theta, data: Observed, xp=NUMPY):
        """Give every value, its derivative, and the weighted sum of those for theta.

        Finite for every finite margin. A penalty of theta is part of every value:
        weights are a share of all, or have a mean of 1.
        """

    @abstractmethod
    def probability(self, margin, theta) -> np.ndarray:
        """P(outcome), of shape (n, n_outcomes)."""

    def preference(self, margin, theta=NO_THETA) -> np.ndarray:
        """Expected label, P(first) and half of P(tie) where there are ties."""
        probability = self.probability(margin, theta)
        if "tie" not in self.outcomes:
            return probability[:, 0]
        return probability[:, 0] + probability[:, self.outcomes.index("tie")] / 2


class Link(Objective):
    """A distribution function F of the margin: P(first) = F(m), P(second) = F(-m).

    Labels are P(first) themselves: the value is -t log F(m) - (1 - t) log F(-m).
    """

    @abstractmethod
    def distribution(self, margin):
        """F(m)."""

    def probability(self, margin, theta=NO_THETA):
        """F(m) and F(-m)."""
        margin = np.asarray(margin)
        return np.stack(
            [self.distribution(margin), self.distribution(-margin)], axis=-1
        )

    def value(self, margin, target):
        """Give every value alone."""
        return self.value_gradient(margin, NO_THETA, Observed(target, None, {}))[0]


def check_offers(objective, calls: Iterable[str], columns, user: str) -> None:
    """Refuse an objective that lacks what is called, or data that lack a column.

    Parameters
    ----------
    objective : Objective
    calls : iterable of str
        Methods.
    columns : container of str
        Of the data.
    user : str
        Who calls, for the message.
    """
    name = type(objective).__name__
    lacking = [call for call in calls if not hasattr(objective, call)]
    if lacking:
        raise TypeError(
            f"{user} needs {' and '.join(lacking)} of an objective, which {name} "
            "has not."
        )
    missing = [column for column in objective.needs if column not in columns]
    if missing:
        raise ValueError(
            f"{name} needs {' and '.join(missing)} of every pair, which were not given."
        )
