"""Training of networks on mini-batches, one or many at once.

Conventions: one step minimises, over a batch of observations with weights of mean 1,

    mean_k weight_k loss(m_k, target_k) + 1/2 alpha sum_l ||coefs[l]||^2

where coefs[l] act on items as they are, and the margin m_k is r(x_first) - r(x_second)
for a pair, which has two sides, and r(x) for a single item, which has one. "Pairs"
stands for both.

Members that are trained at once share the items and the shapes of their layers, and
nothing else: each has its own pairs, targets, weights, batches, scaling, penalty, step
size, random numbers and end. A step minimises the sum of their losses, of which each
sees its own parameters alone, so a member comes out as it would alone, up to rounding.
"""

import numpy as np

from skreward.networks.batches import cut_into_batches, shuffle
from skreward.networks.items import gatherable
from skreward.networks.jobs import Network
from skreward.networks.monitor import Monitor
from skreward.networks.namespace import TORCH
from skreward.networks.stack import Stack
from skreward.networks.steps import Pairs, joint_batches, margins, of_items
from skreward.utils.arrays import compute_dtype
from skreward.utils.device import (
    explained_memory_errors,
    is_fast_at_bfloat16,
    resolve,
)
from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch

# What one computation for all members cannot have two of.
SHARED = (
    "hidden_layer_sizes", "activation", "dropout", "max_iter", "precision", "device",
)  # fmt: skip
EVALUATION_BLOCK = 8192
# What one layer of a step may take, for all members that are trained at once.
STEP_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}


def train(jobs, max_iter=None):
    """Train networks with the same items and layers, all at once.

    Parameters
    ----------
    jobs : list of Job
        Their comparisons hold the same items, and their settings agree in `SHARED`.
    max_iter : int, default=None
        Epochs, instead of those of the settings.

    Returns
    -------
    networks : list of Network

    Raises
    ------
    ValueError
        If settings differ that all members share.
    """
    settings = jobs[0].settings
    for name in SHARED:
        own = [getattr(job.settings, name) for job in jobs]
        other = next((value for value in own if value != own[0]), own[0])
        if other != own[0]:
            raise ValueError(
                f"Networks that are trained together share {name}, and here are "
                f"{own[0]!r} and {other!r}."
            )
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


class _Run:
    """Some members trained at once, until the last has stopped."""

    def __init__(self, jobs, names, source, device, is_half):
        self._jobs, self._source, self._device = jobs, source, device
        settings = [job.settings for job in jobs]
        self._objective = jobs[0].objective
        generators = [
            torch.Generator(device).manual_seed(job.rng.randint(2**31 - 1))
            for job in jobs
        ]
        networks = [job.network for job in jobs]
        self._stack = Stack(networks, generators, settings, device, is_half)
        dtype = networks[0].coefs[0].dtype
        self._training = [Pairs(job, job.kept, dtype) for job in jobs]
        self._validation = [Pairs(job, job.held, dtype) for job in jobs]
        self._looks = [self._look(pairs) for pairs in self._validation]
        self._monitors = [
            Monitor(job.settings, name) for job, name in zip(jobs, names, strict=True)
        ]
        self._best = {}

    @torch.inference_mode()
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
        for step in joint_batches(
            pairs, epochs, self._source.index_device, self._device
        ):
            tape: list = []
            members = slice(0, len(step.items))
            x = self._gather(step)
            rewards = self._stack.rewards(x, members, tape, step.n_items)
            losses, slope, of_theta = self._losses(
                margins(rewards, step), step, members
            )
            share = step.share.unsqueeze(1)
            slope = of_items(slope * share, step)
            self._stack.descend(tape, slope, of_theta * share)
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
        return joint_batches([pairs], [epoch], self._source.index_device, self._device)

    def _evaluate(self, place, member):
        """Mean loss of a member's validation pairs, without dropout."""
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for step in self._looks[member]:
            members = slice(place, place + 1)
            rewards = self._stack.rewards(self._gather(step), members)
            losses, *_ = self._losses(margins(rewards, step), step, members)
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
