"""Likelihoods of what is observed of margins, a file each."""

from skreward.objectives.annotators import Annotators
from skreward.objectives.base import NO_THETA, NUMPY, Link, Objective, Observed
from skreward.objectives.bradley_terry import BradleyTerry
from skreward.objectives.thurstone import Thurstone
from skreward.objectives.ties import Davidson, RaoKupper, Ties

OBJECTIVES: dict[str, Link] = {"logistic": BradleyTerry(), "probit": Thurstone()}
TIES: dict[str, Ties] = {"davidson": Davidson(), "rao-kupper": RaoKupper()}

__all__ = [
    "NO_THETA",
    "NUMPY",
    "OBJECTIVES",
    "TIES",
    "Annotators",
    "BradleyTerry",
    "Davidson",
    "Link",
    "Objective",
    "Observed",
    "RaoKupper",
    "Thurstone",
    "Ties",
]
