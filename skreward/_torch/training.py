"""Training of the reward network on mini-batches of pairs.

Conventions: one step minimises, over a batch of pairs with weights of mean 1,

    mean_k weight_k loss(r(x_first) - r(x_second), target_k)
    + 1/2 alpha sum_l ||coefs[l]||^2

The network sees the items centred and scaled by feature, so that a step means the
same for embeddings of any scale; the scaling is folded into the first layer of what
is returned.
"""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional as F

from skreward._network import initial_weights
from skreward._torch.device import explained_memory_errors
from skreward._validation import Comparisons, compute_dtype, rows_as

LOSSES = {
    "logistic": lambda m, t: F.softplus(m) - t * m,
    "probit": lambda m, t: (
        -t * torch.special.log_ndtr(m) - (1 - t) * torch.special.log_ndtr(-m)
    ),
}
ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "identity": lambda h: h,
}
EVALUATION_BLOCK = 8192


@dataclass(frozen=True)
class Recipe:
    """What a training run does, whatever the data."""

    hidden_layer_sizes: tuple[int, ...]
    activation: str
    link: str
    alpha: float
    batch_size: int
    learning_rate: float
    max_iter: int
    tol: float
    n_iter_no_change: int
    dropout: float
    verbose: int


@dataclass
class TrainingState:
    """All that a network is, in numpy: what fit returns and partial_fit resumes.

    ``coefs`` and ``intercepts`` act on items as the user gives them.
    """

    coefs: list
    intercepts: list
    shift: np.ndarray
    scale: np.ndarray
    device: str = "cpu"
    moments: list = field(default_factory=list)
    n_steps: int = 0
    loss_curve: list = field(default_factory=list)
    validation_curve: list = field(default_factory=list)
    best_iter: int = 0
    converged: bool = False


@dataclass(frozen=True)
class Job:
    """One network to train: on the kept pairs, watching the held ones.

    ``kept`` and ``held`` are boolean masks of the comparisons' pairs; where none is
    held, the training loss decides when to stop and the last weights stay, else the
    best ones do. Training goes from ``state``, with the random numbers of ``rng``.
    """

    comparisons: Comparisons
    kept: np.ndarray
    held: np.ndarray
    recipe: Recipe
    state: TrainingState
    rng: np.random.RandomState


class HostItems:
    """Rows gathered on the host, then sent to the device."""

    index_device = torch.device("cpu")

    def __init__(self, items, dtype, device):
        self._items, self._dtype, self._device = items, dtype, device

    def gather(self, rows):
        """Give rows as a dense tensor on the device."""
        # What numpy gathers is a copy: writable, however the items are stored.
        batch = rows_as(self._items[rows.numpy()], self._dtype)
        return torch.from_numpy(batch).to(self._device)


class DeviceItems:
    """All items uploaded once, rows gathered on the device."""

    def __init__(self, items, dtype, device):
        self._items = torch.tensor(items, device=device)
        self._dtype = _torch_dtype(dtype)
        self.index_device = device

    def gather(self, rows):
        """Give rows as a dense tensor on the device."""
        return self._items.index_select(0, rows).to(self._dtype)


class Network:
    """The network's parameters on a device, and its forward pass."""

    def __init__(self, state, recipe, device, generator=None):
        scaled = _scaled(state)
        self.coefs = [self._parameter(coef.T, device) for coef in scaled[0]]
        self.intercepts = [self._parameter(b, device) for b in scaled[1]]
        self._shift = torch.tensor(state.shift, device=device)
        self._inverse_scale = torch.tensor(1 / state.scale, device=device)
        self._activation = ACTIVATIONS[recipe.activation]
        self._dropout = recipe.dropout
        self._generator = generator

    @staticmethod
    def _parameter(values, device):
        return torch.tensor(
            np.ascontiguousarray(values), device=device
        ).requires_grad_()

    def __call__(self, x, *, training=False):
        """Rewards of items, shape (n_items,)."""
        hidden = (x - self._shift) * self._inverse_scale
        for coef, intercept in zip(self.coefs[:-1], self.intercepts, strict=True):
            hidden = self._activation(F.linear(hidden, coef, intercept))
            if training and self._dropout:
                kept = torch.empty_like(hidden).bernoulli_(
                    1 - self._dropout, generator=self._generator
                )
                hidden = hidden * kept / (1 - self._dropout)
        return F.linear(hidden, self.coefs[-1]).squeeze(1)

    def parameters(self):
        """All parameters, weights first."""
        return [*self.coefs, *self.intercepts]

    def snapshot(self):
        """Copy the parameters, on the device."""
        return [p.detach().clone() for p in self.parameters()]


def pair_loss(network, items, rows, target, weight, loss, *, training=False):
    """Mean weighted loss of pairs whose items are ``rows``: firsts, then seconds."""
    rewards = network(items.gather(rows), training=training)
    first, second = rewards.chunk(2)
    return (weight * loss(first - second, target)).mean()


def upload(items, dtype, device):
    """Give items to gather from: on the device where it is not the CPU's memory."""
    on_device = device.type != "cpu" and not sp.issparse(items)
    return (DeviceItems if on_device else HostItems)(items, dtype, device)


def train(job, device):
    """Train a network.

    Parameters
    ----------
    job : Job
    device : torch.device

    Returns
    -------
    state : TrainingState
    """
    items, recipe, rng = job.comparisons.items, job.recipe, job.rng
    dtype = compute_dtype(items)
    generator = torch.Generator(device).manual_seed(rng.randint(2**31 - 1))
    n_bytes = items.shape[0] * items.shape[1] * items.dtype.itemsize
    with explained_memory_errors(device, n_bytes):
        source = upload(items, dtype, device)
        network = Network(job.state, recipe, device, generator)
        optimizer = _make_optimizer(network, recipe, job.state)
        run = _Run(source, network, optimizer, recipe, device)
        training = run.load(job.comparisons, job.kept, dtype)
        watches = bool(job.held.any())
        validation = run.load(job.comparisons, job.held, dtype) if watches else None
        monitor = Monitor(recipe, network.snapshot, keeps_best=watches)
        for epoch in range(1, recipe.max_iter + 1):
            loss = run.epoch(training, rng)
            watched = loss if validation is None else run.evaluate(validation)
            if monitor.update(epoch, loss, watched):
                break
        state = monitor.finish(job.state)
        held = [optimizer.state[p] for p in network.parameters()]
        state.moments = [
            (h["exp_avg"].cpu().numpy(), h["exp_avg_sq"].cpu().numpy()) for h in held
        ]
        state.n_steps = int(held[0]["step"].item())
        return state


class _Run:
    """One epoch at a time, without a host synchronisation inside."""

    def __init__(self, items, network, optimizer, recipe, device):
        self._items, self._network, self._optimizer = items, network, optimizer
        self._recipe, self._device = recipe, device
        self._loss = LOSSES[recipe.link]

    def load(self, comparisons, mask, dtype):
        """Send pairs to where they are gathered; weights get mean 1."""
        weight = comparisons.weight[mask]
        return (
            torch.from_numpy(comparisons.index[mask]).to(self._items.index_device),
            torch.from_numpy(comparisons.target[mask].astype(dtype)).to(self._device),
            torch.from_numpy((weight / weight.mean()).astype(dtype)).to(self._device),
        )

    def epoch(self, pairs, rng):
        """Step through all pairs once, in random order; gives their mean loss."""
        index, target, weight = pairs
        n_pairs = len(index)
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        order = torch.from_numpy(rng.permutation(n_pairs))
        order_here = order.to(self._device)
        order = order.to(index.device)
        for start in range(0, n_pairs, self._recipe.batch_size):
            batch = slice(start, start + self._recipe.batch_size)
            rows, k = index[order[batch]].T.reshape(-1), order_here[batch]
            loss = pair_loss(
                self._network,
                self._items,
                rows,
                target[k],
                weight[k],
                self._loss,
                training=True,
            )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            total += loss.detach() * len(k)
        return total.item() / n_pairs

    @torch.no_grad()
    def evaluate(self, pairs):
        """Mean loss of the pairs, without dropout."""
        index, target, weight = pairs
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for start in range(0, len(index), EVALUATION_BLOCK):
            block = slice(start, start + EVALUATION_BLOCK)
            rows = index[block].T.reshape(-1)
            loss = pair_loss(
                self._network,
                self._items,
                rows,
                target[block],
                weight[block],
                self._loss,
            )
            total += loss * len(target[block])
        return total.item() / len(index)


class Monitor:
    """When to stop, and which weights to keep.

    ``snapshot`` gives copies of the network's parameters on the device, weights
    first, as `Network.snapshot` does.
    """

    def __init__(self, recipe, snapshot, *, keeps_best, name=""):
        self._recipe, self._snapshot, self._keeps_best = recipe, snapshot, keeps_best
        self._name = name
        self._best, self._best_iter, self._best_weights = np.inf, 0, None
        self._reference = np.inf
        self._last_improvement = 0
        self._losses: list[float] = []
        self._watched: list[float] = []
        self._converged = False

    def update(self, epoch, loss, watched):
        """Take in an epoch; gives whether to stop."""
        if not (np.isfinite(loss) and np.isfinite(watched)):
            raise ValueError(
                f"The network diverged in epoch {epoch}: its loss is no longer "
                "finite. Lower learning_rate_init, or look for outliers in X."
            )
        self._losses.append(loss)
        if self._keeps_best:
            self._watched.append(watched)
        if self._recipe.verbose:
            validation = f", validation {watched:.6f}" if self._keeps_best else ""
            print(f"{self._name}Epoch {epoch}: loss {loss:.6f}{validation}")
        if watched < self._best:
            self._best, self._best_iter = watched, epoch
            if self._keeps_best:
                self._best_weights = self._snapshot()
        if watched < self._reference - self._recipe.tol:
            self._reference, self._last_improvement = watched, epoch
        self._converged = (
            epoch - self._last_improvement >= self._recipe.n_iter_no_change
        )
        return self._converged

    def finish(self, state):
        """Build the state in numpy, from the best weights where they were watched."""
        kept = self._best_weights or self._snapshot()
        weights = [w.cpu().numpy() for w in kept]
        n_layers = len(state.coefs)
        coefs, intercepts = _unscaled(
            [w.T for w in weights[:n_layers]], weights[n_layers:], state
        )
        return TrainingState(
            coefs,
            intercepts,
            state.shift,
            state.scale,
            str(kept[0].device),
            loss_curve=self._losses,
            validation_curve=self._watched,
            best_iter=self._best_iter if self._keeps_best else len(self._losses),
            converged=self._converged,
        )


def start(comparisons, kept, recipe, rng, max_pairs=8192):
    """Draw a new network for items scaled by those of the kept pairs."""
    items = comparisons.items
    dtype = compute_dtype(items)
    pairs = np.flatnonzero(kept)
    if len(pairs) > max_pairs:
        pairs = rng.choice(pairs, max_pairs, replace=False)
    rows = rows_as(items[comparisons.index[pairs].ravel()], np.float64)
    largest = np.abs(rows).max()
    largest = largest if largest > 0 else 1.0
    rows = rows / largest
    shift, scale = rows.mean(axis=0), rows.std(axis=0)
    # What does not vary beyond rounding is not blown up to unit variance.
    scale[scale <= 10 * np.finfo(dtype).eps * np.abs(shift)] = 1.0
    shift, scale = (shift * largest).astype(dtype), (scale * largest).astype(dtype)
    sizes = (items.shape[1], *recipe.hidden_layer_sizes)
    coefs, intercepts = initial_weights(sizes, recipe.activation, dtype, rng)
    state = TrainingState(coefs, intercepts, shift, scale)
    state.coefs, state.intercepts = _unscaled(coefs, intercepts, state)
    return state


def _unscaled(coefs, intercepts, state):
    """Fold the scaling into the first layer; a linear reward drops its constant."""
    first = coefs[0] / state.scale[:, np.newaxis]
    coefs = [np.ascontiguousarray(c) for c in (first, *coefs[1:])]
    if intercepts:
        intercepts = [intercepts[0] - state.shift @ first, *intercepts[1:]]
    return coefs, intercepts


def _scaled(state):
    """Undo `_unscaled`."""
    coefs = [state.coefs[0] * state.scale[:, np.newaxis], *state.coefs[1:]]
    intercepts = list(state.intercepts)
    if intercepts:
        intercepts[0] = intercepts[0] + state.shift @ state.coefs[0]
    return coefs, intercepts


def _make_optimizer(network, recipe, state):
    optimizer = torch.optim.Adam(
        [
            {"params": network.coefs, "weight_decay": recipe.alpha},
            {"params": network.intercepts, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        fused=True,
    )
    for p, (average, square) in zip(network.parameters(), state.moments, strict=False):
        optimizer.state[p] = {
            "step": torch.tensor(float(state.n_steps), device=p.device),
            "exp_avg": torch.tensor(average, device=p.device),
            "exp_avg_sq": torch.tensor(square, device=p.device),
        }
    return optimizer


def _torch_dtype(dtype):
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype
