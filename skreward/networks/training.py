"""Training of networks on mini-batches, one or many at once.

Conventions: one step minimises, over a batch of observations with weights of mean 1,

    mean_k weight_k loss(m_k, target_k) + 1/2 alpha sum_l ||coefs[l]||^2

where coefs[l] act on items as they are, and the margin m_k is r(x_first) - r(x_second)
for a pair, which has two sides, and r(x) for a single item, which has one. "Pairs"
stands for both.

Members that are trained at once share the items and the shapes of their layers, and
nothing else: each has its own pairs, targets, weights, batches, scaling, random
numbers and end. A step minimises the sum of their losses, of which each sees its own
parameters alone, so a member comes out as it would alone, up to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from skreward.data.comparisons import Comparisons
from skreward.networks.batches import cut_into_batches, shuffle
from skreward.networks.forward import initial_weights
from skreward.networks.items import gatherable
from skreward.networks.namespace import TORCH
from skreward.networks.scaling import scaling
from skreward.networks.stack import Stack
from skreward.objectives.base import Objective, Observed, check_offers
from skreward.utils.arrays import compute_dtype
from skreward.utils.device import (
    explained_memory_errors,
    is_fast_at_bfloat16,
    resolve,
)
from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch

# What is called of an objective.
CALLS = "initial", "value_gradient", "curvature"
EVALUATION_BLOCK = 8192
# What one layer of a step may take, for all members that are trained at once.
STEP_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}


class Settings(Protocol):
    """What a training run does: parameters of the network's estimator, as it has them.

    Training reads the estimator itself, and changes nothing of it.
    """

    hidden_layer_sizes: Sequence[int]
    activation: str
    alpha: float
    batch_size: int | str
    learning_rate_init: float
    max_iter: int
    tol: float
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
        return _seen(self.objective, self.comparisons, self.kept)

    @property
    def n_steps(self):
        """Steps an epoch."""
        return -(-int(self.kept.sum()) // self.batch_size)


def train(jobs, max_iter=None):
    """Train networks with the same items and layers, all at once.

    Parameters
    ----------
    jobs : list of Job
        Their comparisons hold the same items; their settings differ in the batch
        size at most.
    max_iter : int, default=None
        Epochs, instead of those of the settings.

    Returns
    -------
    networks : list of Network
    """
    settings = jobs[0].settings
    device = resolve(settings.device)
    items = jobs[0].comparisons.items
    dtype = compute_dtype(items)
    is_half = uses_bfloat16(settings.precision, dtype, device)
    n_bytes = items.shape[0] * items.shape[1] * items.dtype.itemsize
    with explained_memory_errors(device, n_bytes):
        source = gatherable(items, dtype, device)
        networks: dict[int, Network] = {}
        for members in _runs(jobs, _members_at_once(jobs, device)):
            names = [f"Member {m}: " if len(jobs) > 1 else "" for m in members]
            run = _Run([jobs[m] for m in members], names, source, device, is_half)
            found = run.networks(max_iter or settings.max_iter)
            networks.update(zip(members, found, strict=True))
        return [networks[m] for m in range(len(jobs))]


def uses_bfloat16(precision, dtype, device):
    """Whether products in training are bfloat16; refuses them for float64."""
    if precision == "auto":
        return dtype != np.float64 and is_fast_at_bfloat16(device)
    if precision == "bfloat16" and dtype == np.float64:
        raise ValueError(
            'precision="bfloat16" is for float32 and float16, and X is float64, '
            'which trains in float64. Convert X, or use precision="auto".'
        )
    return precision == "bfloat16"


def _runs(jobs, n_at_once):
    """Give the members to train at once: with one objective, and not too many."""
    for objective in dict.fromkeys(job.objective for job in jobs):
        members = [k for k, job in enumerate(jobs) if job.objective is objective]
        # Members with many steps an epoch come first: those of a step are a prefix.
        members.sort(key=lambda k: -jobs[k].n_steps)
        for first in range(0, len(members), n_at_once):
            yield members[first : first + n_at_once]


def _members_at_once(jobs, device):
    coefs, n_sides = jobs[0].network.coefs, jobs[0].comparisons.index.shape[1]
    rows = n_sides * max(min(job.batch_size, job.kept.sum()) for job in jobs)
    widest = max(coef.shape[0] for coef in coefs)
    n_bytes = rows * widest * coefs[0].dtype.itemsize
    return int(max(1, STEP_BYTES[device.type] // n_bytes))


class _Pairs:
    """A member's pairs, kept or held, with weights of mean 1."""

    def __init__(self, job, mask, dtype):
        self.index = job.comparisons.index[mask]
        self.groups = job.groups[mask]
        weight = job.comparisons.weight[mask]
        mean = weight.mean() if len(weight) else 1.0
        self.target = job.comparisons.target[mask].astype(dtype)
        self.weight = (weight / mean).astype(dtype)
        self.columns = {
            name: job.comparisons.columns[name][mask] for name in job.objective.needs
        }


class _JointBatch(NamedTuple):
    """A batch of every member that has one, padded by pairs of no weight.

    ``items`` has shape (m, n_items), ``place`` (m, n_sides, n_pairs), what ``seen``
    holds (m, n_pairs); ``share``, (m,), is 1 over the number of pairs that are
    no padding, and ``n_items`` counts such items.
    """

    items: torch.Tensor
    place: torch.Tensor
    share: torch.Tensor
    seen: Observed
    n_items: list


def _joint_batches(pairs, epochs, index_device, device):
    """Give the batches of an epoch; members with more of them come first."""
    dtype = pairs[0].target.dtype
    sides: tuple[list, list] = ([], [])
    shares, n_items = [], []
    seen: list = [[] for _ in (pairs[0].target, pairs[0].weight, *pairs[0].columns)]
    for batch in range(len(epochs[0])):
        running = [(p, e) for p, e in zip(pairs, epochs, strict=True) if batch < len(e)]
        items = [e.items_of(batch) for _, e in running]
        numbers = [e.order[e.pairs(batch)] for _, e in running]
        sides[0].append(_padded(items))
        sides[1].append(_padded([e.place[e.pairs(batch)].T for _, e in running]))
        shares.append(1 / np.array([len(k) for k in numbers], dtype=dtype))
        of_members = [(p.target, p.weight, *p.columns.values()) for p, _ in running]
        for column, parts in zip(seen, zip(*of_members, strict=True), strict=True):
            rows = [part[k] for part, k in zip(parts, numbers, strict=True)]
            column.append(_padded(rows))
        n_items.append([len(i) for i in items])
    sent = [
        _sent(sides[0], index_device),
        *(_sent(part, device) for part in (sides[1], shares)),
        _observed([_sent(column, device) for column in seen], pairs[0].columns),
    ]
    return [_JointBatch(*parts) for parts in zip(*sent, n_items, strict=True)]


def _observed(sent, names):
    """Put together what was seen in every step."""
    return [
        Observed(target, weight, dict(zip(names, columns, strict=True)))
        for target, weight, *columns in zip(*sent, strict=True)
    ]


def _padded(parts):
    """Stack arrays that differ in their last axis, with zeros behind the short ones."""
    longest = max(part.shape[-1] for part in parts)
    stacked = np.zeros((len(parts), *parts[0].shape[:-1], longest), parts[0].dtype)
    for row, part in zip(stacked, parts, strict=True):
        row[..., : part.shape[-1]] = part
    return stacked


def _sent(arrays, device):
    """Send arrays of one dtype in one piece: a device waits once, not once a step."""
    flat = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    parts = flat.to(device).split([array.size for array in arrays])
    return [p.view(array.shape) for p, array in zip(parts, arrays, strict=True)]


class _Run:
    """Some members trained at once, until the last has stopped."""

    def __init__(self, jobs, names, source, device, is_half):
        self._jobs, self._source, self._device = jobs, source, device
        settings = jobs[0].settings
        self._objective = jobs[0].objective
        generators = [
            torch.Generator(device).manual_seed(job.rng.randint(2**31 - 1))
            for job in jobs
        ]
        networks = [job.network for job in jobs]
        self._stack = Stack(networks, generators, settings, device, is_half)
        dtype = networks[0].coefs[0].dtype
        self._training = [_Pairs(job, job.kept, dtype) for job in jobs]
        self._validation = [_Pairs(job, job.held, dtype) for job in jobs]
        self._looks = [self._look(pairs) for pairs in self._validation]
        self._monitors = [
            Monitor(job.settings, name) for job, name in zip(jobs, names, strict=True)
        ]
        self._best = {}

    def networks(self, max_iter):
        """Train; gives the members' networks."""
        networks = {}
        # Members that still run, in the order of the stack.
        members = list(range(len(self._jobs)))
        for epoch in range(1, max_iter + 1):
            losses = self._epoch(members)
            going_on = []
            for place, member in enumerate(members):
                monitor = self._monitors[member]
                loss, watched = float(losses[place]), None
                if self._looks[member] is not None:
                    watched = self._evaluate(place, member)
                is_best, stops = monitor.update(epoch, loss, watched)
                if is_best and watched is not None:
                    self._best[member] = self._stack.snapshot(place)
                if stops or epoch == max_iter:
                    networks[member] = self._finished(member, place)
                else:
                    going_on.append(place)
            if not going_on:
                break
            if len(going_on) < len(members):
                self._stack.keep(going_on)
                members = [members[place] for place in going_on]
        return [networks[member] for member in range(len(self._jobs))]

    def _finished(self, member, place):
        monitor, start = self._monitors[member], self._jobs[member].network
        best = self._best.get(member) or self._stack.snapshot(place)
        coefs, intercepts, theta = best
        n_steps, moments = self._stack.adam_state(place)
        return Network(
            [c.cpu().numpy() for c in coefs],
            [b.cpu().numpy() for b in intercepts],
            start.shift,
            start.scale,
            theta.cpu().numpy(),
            str(coefs[0].device),
            moments,
            n_steps,
            monitor.losses,
            monitor.watched,
            monitor.best_iter,
            monitor.converged,
        )

    def _epoch(self, members):
        """Step through every member's pairs once.

        Gives their objectives: the mean loss of the pairs, each as it was passed, and
        the penalty of the last weights.
        """
        jobs = [self._jobs[member] for member in members]
        pairs = [self._training[member] for member in members]
        epochs = []
        for job, p in zip(jobs, pairs, strict=True):
            order = shuffle(p.groups, job.batch_size, job.rng)
            epochs.append(cut_into_batches(p.index, order, job.batch_size))
        total = torch.zeros(len(jobs), dtype=torch.float64, device=self._device)
        for step in _joint_batches(
            pairs, epochs, self._source.index_device, self._device
        ):
            rewards, leaves = self._stack.try_out(self._gather(step), step.n_items)
            margin = _margin(rewards, step)
            members = slice(0, len(margin))
            losses, slope, of_theta = self._losses(margin.detach(), step, members)
            share = step.share.unsqueeze(1)
            self._stack.descend(margin, leaves, slope * share, of_theta * share)
            total[members] += losses
        n_pairs = total.new_tensor([len(p.index) for p in pairs])
        return (total / n_pairs + self._stack.penalties()).cpu().numpy()

    def _look(self, pairs):
        """Give the steps of a look at validation pairs; None without any."""
        if not len(pairs.index):
            return None
        epoch = cut_into_batches(
            pairs.index, np.arange(len(pairs.index)), EVALUATION_BLOCK
        )
        return _joint_batches([pairs], [epoch], self._source.index_device, self._device)

    @torch.no_grad()
    def _evaluate(self, place, member):
        """Mean loss of a member's validation pairs, without dropout."""
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for step in self._looks[member]:
            members = slice(place, place + 1)
            rewards = self._stack.rewards(self._gather(step), members)
            losses, *_ = self._losses(_margin(rewards, step), step, members)
            total += losses.sum()
        return total.item() / len(self._validation[member].index)

    def _gather(self, step):
        """Items of every member, (m, n_items, n_features)."""
        x = self._source.gather(step.items.reshape(-1))
        return x.view(*step.items.shape, -1)

    def _losses(self, margin, step, members):
        """Sum the weighted losses of each member's pairs, shape (m,).

        Gives their derivatives by the margins and by theta too.
        """
        theta = self._stack.theta[members]
        value, slope, of_theta = self._objective.value_gradient(
            margin, theta, step.seen, TORCH
        )
        return (step.seen.weight * value).sum(dim=1), step.seen.weight * slope, of_theta


def _margin(rewards, step):
    """First less second, or a single item's own, (m, n_pairs)."""
    sides = [rewards.gather(1, place) for place in step.place.unbind(1)]
    return sides[0] - sides[1] if len(sides) == 2 else sides[0]


class Monitor:
    """When to stop, and which weights to keep."""

    def __init__(self, settings, name=""):
        self._settings, self._name = settings, name
        self.losses: list[float] = []
        self.watched: list[float] = []
        self.best_iter = 0
        self.converged = False
        self._best = self._reference = np.inf
        self._last_improvement = 0

    def update(self, epoch, loss, watched):
        """Take in the training loss of an epoch, and the one watched or None.

        Gives whether this is the epoch to keep so far, and whether to stop.
        """
        decisive = loss if watched is None else watched
        if not (np.isfinite(loss) and np.isfinite(decisive)):
            raise ValueError(
                f"The network diverged in epoch {epoch}: its loss is no longer "
                "finite. Lower learning_rate_init, or look for outliers in X."
            )
        self.losses.append(loss)
        if watched is not None:
            self.watched.append(watched)
        if self._settings.verbose:
            validation = "" if watched is None else f", validation {watched:.6f}"
            print(f"{self._name}Epoch {epoch}: loss {loss:.6f}{validation}")
        # Where nothing is held out the last weights stay.
        is_best = watched is None or decisive < self._best
        if is_best:
            self._best, self.best_iter = decisive, epoch
        if decisive < self._reference - self._settings.tol:
            self._reference, self._last_improvement = decisive, epoch
        self.converged = (
            epoch - self._last_improvement >= self._settings.n_iter_no_change
        )
        return is_best, self.converged


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
    theta = objective.initial(_seen(objective, comparisons, kept)).astype(dtype)
    return Network(coefs, intercepts, shift, scale, theta)


def _seen(objective, comparisons, kept):
    columns = {name: comparisons.columns[name][kept] for name in objective.needs}
    return Observed(comparisons.target[kept], comparisons.weight[kept], columns)
