"""Steps of an epoch: the batches of every member that is trained, side by side."""

from typing import NamedTuple

import numpy as np

from skreward.objectives.base import Observed
from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch


class Pairs:
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


class JointBatch(NamedTuple):
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


def joint_batches(pairs, epochs, index_device, device):
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
    return [JointBatch(*parts) for parts in zip(*sent, n_items, strict=True)]


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


def margins(rewards, step):
    """First less second, or a single item's own, (m, n_pairs)."""
    sides = [rewards.gather(1, place) for place in step.place.unbind(1)]
    return sides[0] - sides[1] if len(sides) == 2 else sides[0]


def of_items(slope, step):
    """Derivatives by the rewards of a step's items, given those by its margins."""
    total = slope.new_zeros(step.items.shape)
    for place, sign in zip(step.place.unbind(1), (1, -1), strict=False):
        total.scatter_add_(1, place, slope if sign > 0 else -slope)
    return total
