"""Training of many reward networks of one shape, as batched matrix products.

Conventions: M members share the items and the shapes of their layers, and nothing
else: member m has its own pairs, targets, weights, batches, scaling, random numbers
and end. Weights are stacked, ``(M, n_in, n_out)``; a step minimises the sum of the
members' losses, of which each sees its own weights alone, so that a member comes out
as `skreward._torch.training.train` would give it, up to rounding.
"""

import numpy as np
import torch

from skreward._torch.device import explained_memory_errors
from skreward._torch.training import (
    ACTIVATIONS,
    LOSSES,
    Monitor,
    _scaled,
    upload,
)
from skreward._validation import compute_dtype

EVALUATION_BLOCK = 8192
# What one layer of a step may take, for all members that are trained at once.
STEP_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}


def train_many(jobs, device):
    """Train networks with the same items and layers.

    Parameters
    ----------
    jobs : list of skreward._torch.training.Job
        Their comparisons hold the same items; their recipes differ in the batch size
        at most.
    device : torch.device

    Returns
    -------
    states : list of TrainingState
    """
    items = jobs[0].comparisons.items
    n_bytes = items.shape[0] * items.shape[1] * items.dtype.itemsize
    with explained_memory_errors(device, n_bytes):
        source = upload(items, compute_dtype(items), device)
        n_at_once = _members_at_once(jobs, device)
        states = []
        for first in range(0, len(jobs), n_at_once):
            some = jobs[first : first + n_at_once]
            states += _Training(some, source, device, first).run()
        return states


def _members_at_once(jobs, device):
    recipe = jobs[0].recipe
    widest = max(jobs[0].comparisons.items.shape[1], *recipe.hidden_layer_sizes, 1)
    rows = 2 * max(min(job.recipe.batch_size, job.kept.sum()) for job in jobs)
    n_bytes = rows * widest * jobs[0].state.coefs[0].dtype.itemsize
    return int(max(1, STEP_BYTES[device.type] // n_bytes))


class Stack:
    """The members' parameters, stacked, with one Adam over them.

    A row of ``_values`` holds a member's parameters, weights before intercepts.
    Autograd sees the layers of all members at once; the optimizer sees the rows, each
    with its own count of steps.
    """

    def __init__(self, jobs, device):
        recipe = jobs[0].recipe
        layers = [_scaled(job.state) for job in jobs]
        self._shapes = [c.shape for c in layers[0][0]]
        self._shapes += [(1, len(b)) for b in layers[0][1]]
        self._n_coefs = len(layers[0][0])
        rows = [
            np.concatenate([w.ravel() for w in (*coefs, *intercepts)])
            for coefs, intercepts in layers
        ]
        states = [job.state for job in jobs]
        self._shift = torch.from_numpy(np.stack([s.shift for s in states])).to(device)
        self._inverse_scale = torch.from_numpy(
            np.stack([1 / s.scale for s in states])
        ).to(device)
        self._generators = [
            torch.Generator(device).manual_seed(job.rng.randint(2**31 - 1))
            for job in jobs
        ]
        self._recipe = recipe
        self._activation = ACTIVATIONS[recipe.activation]
        self._place(torch.from_numpy(np.stack(rows)).to(device), moments=None)

    def _place(self, values, moments):
        """Lay out the parameters of some members, one a row."""
        self._sizes = [n_in * n_out for n_in, n_out in self._shapes]
        self._border = sum(self._sizes[: self._n_coefs])
        self._rows = self._by_member(values.detach())
        self._values = values.detach().requires_grad_()
        parts = list(zip(*self._rows, strict=True))
        self._optimizer = torch.optim.Adam(
            [
                {"params": part, "weight_decay": decay}
                for part, decay in zip(parts, (self._recipe.alpha, 0.0), strict=False)
            ],
            lr=self._recipe.learning_rate,
            fused=True,
        )
        for row, old in zip(self._rows, moments or [], strict=False):
            for part, moment in zip(row, old, strict=True):
                self._optimizer.state[part] = moment

    def _by_member(self, values):
        """Views of each member's weights, and of its intercepts where it has any."""
        parts = [values[:, : self._border], values[:, self._border :]]
        return list(zip(*(p.unbind() for p in parts if p.shape[1]), strict=True))

    def _layers(self, values):
        """Views of each layer's parameters, of all members."""
        parts = values.split(self._sizes, dim=1)
        layers = [
            part.view(-1, *shape)
            for part, shape in zip(parts, self._shapes, strict=True)
        ]
        return layers[: self._n_coefs], layers[self._n_coefs :]

    def __len__(self):
        return len(self._values)

    def __call__(self, x, counts=None):
        """Rewards of items, (M, n, n_features) to (M, n).

        ``counts``, the pairs of each member in a training step, asks for dropout.
        """
        coefs, intercepts = self._layers(self._values)
        hidden = (x - self._shift[:, None]).mul_(self._inverse_scale[:, None])
        for coef, intercept in zip(coefs[:-1], intercepts, strict=True):
            hidden = self._activation(torch.baddbmm(intercept, hidden, coef))
            if counts is not None and self._recipe.dropout:
                hidden = self._drop(hidden, counts)
        return torch.bmm(hidden, coefs[-1]).squeeze(2)

    def _drop(self, hidden, counts):
        share = 1 - self._recipe.dropout
        kept = torch.zeros_like(hidden)
        for member, count in enumerate(counts):
            sides = kept[member].view(2, -1, hidden.shape[2])[:, :count]
            # As many numbers as the member would draw alone.
            sides.copy_(
                torch.empty_like(
                    sides, memory_format=torch.contiguous_format
                ).bernoulli_(share, generator=self._generators[member])
            )
        return hidden * kept / share

    def step(self, losses, counts):
        """Take a step of Adam for every member that has pairs in this one."""
        (gradients,) = torch.autograd.grad(losses.sum(), self._values)
        for row, gradient, count in zip(
            self._rows, self._by_member(gradients), counts, strict=True
        ):
            for part, of_part in zip(row, gradient, strict=True):
                part.grad = of_part if count else None
        self._optimizer.step()

    def snapshot(self, member):
        """Copy a member's parameters, on the device, as `Network.snapshot` does."""
        coefs, intercepts = self._layers(
            self._values.detach()[member : member + 1].clone()
        )
        return [c[0].T for c in coefs] + [b[0, 0] for b in intercepts]

    def keep(self, members):
        """Drop all other members."""
        self._shift, self._inverse_scale = (
            self._shift[members],
            self._inverse_scale[members],
        )
        self._generators = [self._generators[m] for m in members]
        moments = [[self._optimizer.state[p] for p in self._rows[m]] for m in members]
        self._place(self._values.detach()[members], moments)


class _Pairs:
    """Pairs of all members in one list, which ends in a dummy of no weight."""

    def __init__(self, jobs, masks, source, device):
        dtype = jobs[0].state.coefs[0].dtype
        self.sizes = [int(mask.sum()) for mask in masks]
        self._starts = np.cumsum([0, *self.sizes])
        index, target, weight = [], [], []
        for job, mask in zip(jobs, masks, strict=True):
            here = job.comparisons.weight[mask]
            index.append(job.comparisons.index[mask])
            target.append(job.comparisons.target[mask])
            weight.append(here / here.mean() if len(here) else here)
        self._device = device
        self._index_device = source.index_device
        self._index = torch.from_numpy(
            np.concatenate([*index, np.zeros((1, 2), dtype=np.intp)])
        ).to(source.index_device)
        self._target, self._weight = (
            torch.from_numpy(np.concatenate([*parts, [0.0]]).astype(dtype)).to(device)
            for parts in (target, weight)
        )

    def batches(self, members, orders, batch_sizes):
        """Give batches of all members at once, padded by the dummy.

        Parameters
        ----------
        members : list of int
        orders : list of int arrays
            The pairs of every member, in the order wanted.
        batch_sizes : list of int

        Yields
        ------
        rows : tensor of shape (n_members * 2 * width,)
            Items: the firsts of a member, then its seconds.
        target, weight : tensors of shape (n_members, width)
        counts : list of int
            How many of the ``width`` pairs of each member are no dummies.
        n_pairs : tensor of shape (n_members,)
            The same on the device, at least 1.
        """
        n_steps = [-(-len(o) // b) for o, b in zip(orders, batch_sizes, strict=True)]
        counts = np.zeros((max(n_steps), len(members)), dtype=int)
        width = max(min(len(o), b) for o, b in zip(orders, batch_sizes, strict=True))
        numbers = np.full((*counts.shape, width), len(self._index) - 1)
        for k, (member, order, size) in enumerate(
            zip(members, orders, batch_sizes, strict=True)
        ):
            place = np.arange(len(order))
            numbers[place // size, k, place % size] = self._starts[member] + order
            counts[:, k] = np.bincount(place // size, minlength=len(counts))
        numbers_here = torch.from_numpy(numbers).to(self._device)
        numbers_there = numbers_here.to(self._index_device)
        n_pairs = torch.from_numpy(np.maximum(counts, 1)).to(self._device)
        for step, count in enumerate(counts):
            wide = int(count.max())
            here, there = numbers_here[step, :, :wide], numbers_there[step, :, :wide]
            rows = self._index[there].transpose(1, 2).reshape(-1)
            target, weight = self._target[here], self._weight[here]
            yield rows, target, weight, count.tolist(), n_pairs[step]


class _Training:
    """Some members trained at once, until the last has stopped."""

    def __init__(self, jobs, source, device, first):
        self._jobs, self._source, self._device = jobs, source, device
        self._loss = LOSSES[jobs[0].recipe.link]
        self._stack = Stack(jobs, device)
        self._training = _Pairs(jobs, [job.kept for job in jobs], source, device)
        self._validation = _Pairs(jobs, [job.held for job in jobs], source, device)
        self._members = list(range(len(jobs)))
        self._monitors = [
            Monitor(
                job.recipe,
                lambda member=member: self._stack.snapshot(self._members.index(member)),
                keeps_best=bool(job.held.any()),
                name=f"Member {first + member}: ",
            )
            for member, job in enumerate(jobs)
        ]

    def run(self):
        """Train; gives the members' states."""
        states = {}
        max_iter = self._jobs[0].recipe.max_iter
        for epoch in range(1, max_iter + 1):
            losses, watched = self._epoch(), self._evaluate()
            going_on = []
            for place, member in enumerate(self._members):
                is_watched = self._validation.sizes[member] > 0
                loss = float(losses[place])
                stops = self._monitors[member].update(
                    epoch, loss, float(watched[place]) if is_watched else loss
                )
                if stops or epoch == max_iter:
                    job = self._jobs[member]
                    states[member] = self._monitors[member].finish(job.state)
                else:
                    going_on.append(place)
            if not going_on:
                break
            if len(going_on) < len(self._members):
                self._stack.keep(going_on)
                self._members = [self._members[place] for place in going_on]
        return [states[member] for member in range(len(self._jobs))]

    def _epoch(self):
        """Step through every member's pairs once; gives their mean losses."""
        jobs = [self._jobs[member] for member in self._members]
        sizes = [self._training.sizes[member] for member in self._members]
        orders = [job.rng.permutation(n) for job, n in zip(jobs, sizes, strict=True)]
        batch_sizes = [job.recipe.batch_size for job in jobs]
        total = torch.zeros(len(jobs), dtype=torch.float64, device=self._device)
        for rows, target, weight, counts, n_pairs in self._training.batches(
            self._members, orders, batch_sizes
        ):
            losses = self._losses(rows, target, weight, counts)
            self._stack.step(losses / n_pairs, counts)
            total += losses.detach()
        return total.cpu().numpy() / sizes

    @torch.no_grad()
    def _evaluate(self):
        """Mean losses of every member's validation pairs; 0 where it has none."""
        sizes = [self._validation.sizes[member] for member in self._members]
        total = torch.zeros(len(sizes), dtype=torch.float64, device=self._device)
        if not any(sizes):
            return total.cpu().numpy()
        block = [max(1, EVALUATION_BLOCK // len(sizes))] * len(sizes)
        for rows, target, weight, *_ in self._validation.batches(
            self._members, [np.arange(n) for n in sizes], block
        ):
            total += self._losses(rows, target, weight)
        return total.cpu().numpy() / np.maximum(sizes, 1)

    def _losses(self, rows, target, weight, counts=None):
        """Sum the weighted losses of each member's pairs, shape (n_members,)."""
        x = self._source.gather(rows)
        rewards = self._stack(x.view(len(self._stack), -1, x.shape[1]), counts)
        first, second = rewards.chunk(2, dim=1)
        return (weight * self._loss(first - second, target)).sum(dim=1)
