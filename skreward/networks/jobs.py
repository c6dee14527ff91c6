"""What is trained: a network, on which pairs, by which settings; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skreward.data.comparisons import Comparisons
from skreward.networks.forward import initial_weights
from skreward.networks.scaling import scaling
from skreward.objectives.base import Objective, Observed, check_offers
from skreward.utils.arrays import compute_dtype

# What is called of an objective.
CALLS = "initial", "value_gradient", "curvature"


class Settings:
    """Parameters of a network's estimator: training reads the estimator itself."""

    hidden_layer_sizes: Sequence[int]
    activation: str
    alpha: float
    batch_size: int | str
    learning_rate_init: float
    max_iter: int
    tol: float
    validation_fraction: float
    n_iter_no_change: int
    dropout: float
    precision: str
    device: str
    verbose: int


@dataclass
class Network:
    """All that a network is, in numpy: what `train` returns and goes on from.

    ``coefs`` and ``intercepts`` act on items centred by ``shift`` and divided by
    ``scale``; `folded` gives those that act on items as they are. A scale of 0 is that
    of a feature that holds rounding alone: training sees 0, and its weights stay 0.
    ``theta`` are the objective's own parameters.
    """

    coefs: list
    intercepts: list
    shift: np.ndarray
    scale: np.ndarray
    theta: np.ndarray
    device: str = "cpu"
    moments: list = field(default_factory=list)
    n_steps: int = 0
    loss_curve: list = field(default_factory=list)
    validation_curve: list = field(default_factory=list)
    best_iter: int = 0
    converged: bool = False

    @property
    def inverse_scale(self):
        """1 / scale, and 0 where that is 0."""
        with np.errstate(divide="ignore"):
            return np.where(self.scale > 0, 1 / self.scale, 0).astype(self.scale.dtype)

    def folded(self):
        """Give layers for items as they are; a linear reward drops its constant."""
        first = self.coefs[0] * self.inverse_scale[:, np.newaxis]
        intercepts = list(self.intercepts)
        if intercepts:
            intercepts[0] = intercepts[0] - self.shift @ first
        return [first, *self.coefs[1:]], intercepts

    def set_folded(self, coefs, intercepts):
        """Take layers over that act on items as they are; undoes `folded`."""
        dtype = self.coefs[0].dtype
        coefs = [c.astype(dtype) for c in coefs]
        intercepts = [b.astype(dtype) for b in intercepts]
        if intercepts:
            intercepts[0] += self.shift @ coefs[0]
        coefs[0] *= self.scale[:, np.newaxis]
        self.coefs, self.intercepts = coefs, intercepts


@dataclass(frozen=True)
class Job:
    """One network to train: on the kept pairs, watching the held ones.

    ``kept`` and ``held`` are boolean masks of the comparisons' pairs; where none is
    held, the training loss decides when to stop and the last weights stay, else the
    best ones do. ``groups`` numbers what makes pairs share items. Training goes from
    ``network``, down ``objective``, with the random numbers of ``rng``.
    """

    settings: Settings
    objective: Objective
    comparisons: Comparisons
    kept: np.ndarray
    held: np.ndarray
    groups: np.ndarray
    network: Network
    rng: np.random.RandomState

    @property
    def batch_size(self):
        """Pairs a step: "auto" is a sixteenth of them, from 128 to 2048."""
        if self.settings.batch_size == "auto":
            return int(min(max(self.kept.sum() // 16, 128), 2048))
        return self.settings.batch_size

    def seen(self):
        """What the objective sees of the kept pairs."""
        return observed(self.objective, self.comparisons, self.kept)

    @property
    def n_steps(self):
        """Steps an epoch."""
        return -(-int(self.kept.sum()) // self.batch_size)


def start(settings, objective, comparisons, kept, rng):
    """Draw a new network for items scaled by those of the kept pairs.

    For single items, whose level is identified, its last layer has an intercept.
    """
    check_offers(objective, CALLS, comparisons.columns, "A network")
    items = comparisons.items
    dtype = compute_dtype(items)
    shift, scale = scaling(items, comparisons.index[kept], rng)
    sizes = (items.shape[1], *settings.hidden_layer_sizes)
    coefs, intercepts = initial_weights(sizes, settings.activation, dtype, rng)
    coefs[0][scale == 0] = 0.0
    if comparisons.index.shape[1] == 1:
        intercepts.append(np.zeros(1, dtype=dtype))
    theta = objective.initial(observed(objective, comparisons, kept)).astype(dtype)
    return Network(coefs, intercepts, shift, scale, theta)


def observed(objective, comparisons, kept):
    """Give what an objective sees of the kept pairs."""
    columns = {name: comparisons.columns[name][kept] for name in objective.needs}
    return Observed(comparisons.target[kept], comparisons.weight[kept], columns)
