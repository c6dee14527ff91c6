"""Likelihoods of what is observed of margins, a file each."""

from skreward.objectives.annotators import Annotators
from skreward.objectives.base import NO_THETA, NUMPY, Link, Objective, Observed
from skreward.objectives.bradley_terry import BradleyTerry
from skreward.objectives.classification import Intercept
from skreward.objectives.thurstone import Thurstone
from skreward.objectives.ties import Davidson, RaoKupper, Ties

# What estimators take as ``link``; `LINKS` are those without parameters of their own.
OBJECTIVES: dict[str, Objective] = {"logistic": BradleyTerry(), "probit": Thurstone()}
LINKS = {name: each for name, each in OBJECTIVES.items() if isinstance(each, Link)}
TIES: dict[str, Ties] = {"davidson": Davidson(), "rao-kupper": RaoKupper()}

__all__ = [
    "LINKS",
    "NO_THETA",
    "NUMPY",
    "OBJECTIVES",
    "TIES",
    "Annotators",
    "BradleyTerry",
    "Davidson",
    "Intercept",
    "Link",
    "Objective",
    "Observed",
    "RaoKupper",
    "Thurstone",
    "Ties",
]
