"""Names for what public functions take, where no single class says it."""

from os import PathLike
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
# Rows of numbers: arrays, lists, data frames, sparse matrices.
Items = ArrayLike | sp.sparray | sp.spmatrix
# A seed, or a generator that is drawn from and so changes.
RandomState = int | np.random.RandomState | None
FilePath = str | PathLike[str]
Link = Literal["logistic", "probit"]
TiesLaw = Literal["half", "davidson", "rao-kupper"]
AnnotatorEffects = Literal["reliability", "position", "both"]
Design = Literal["random", "similar", "diverse"]

__all__ = ["Array", "ArrayLike", "Design", "FilePath", "Items", "Link", "RandomState"]
