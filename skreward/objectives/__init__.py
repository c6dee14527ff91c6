"""Likelihoods of preferences, a file each."""

from skreward.objectives.bradley_terry import BradleyTerry
from skreward.objectives.thurstone import Thurstone

OBJECTIVES = {"logistic": BradleyTerry(), "probit": Thurstone()}

__all__ = ["OBJECTIVES", "BradleyTerry", "Thurstone"]
