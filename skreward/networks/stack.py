"""Reward networks of one shape, stacked, and Adam over them.

Conventions: M members share the shapes of their layers and nothing else. Parameters
have shape ``(M, n_in, n_out)``, intercepts ``(M, 1, n_out)``; member m sees the items
centred and scaled by its own ``shift`` and ``scale``, so that a step means the same
for embeddings of any scale. The penalty is that of the weights for items as they are,
``coefs[0] / scale`` in the first layer. One network is a stack of one.
"""

from itertools import groupby
from typing import NamedTuple

import numpy as np

from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "identity": lambda h: h,
}
# Multiply in place what is handed back by the derivative, given the activated units.
DERIVATIVES = {
    "relu": lambda h, delta: delta.mul_(h.sign()),
    "tanh": lambda h, delta: delta.mul_(1 - h * h),
    "logistic": lambda h, delta: delta.mul_(h * (1 - h)),
    "identity": lambda h, delta: delta,
}
BETAS = 0.9, 0.999
EPSILON = 1e-8
# Parameters of an objective are few, and sums over all pairs: their steps are longer,
# or a network would be done before they are.
THETA_STEP = 5
# Beyond, a penalty leaves nothing of a weight, and its square would leave float32.
MAX_DECAY = 1e12


class Layer(NamedTuple):
    """What a layer of weights saw, (m, n, n_in): the units below, some dropped.

    ``hidden`` are the units themselves, which items are not, and ``kept`` what dropout
    multiplied them by, where it acted.
    """

    seen: torch.Tensor
    hidden: torch.Tensor | None = None
    kept: torch.Tensor | None = None


class Stack:
    """The members' parameters, what Adam remembers of them, and their rewards.

    ``settings`` are those of each: penalties and rates are a member's own, activation
    and dropout the first one's.
    """

    def __init__(self, networks, generators, settings, device, is_half):
        def stacked(arrays):
            return torch.from_numpy(np.stack(arrays)).to(device)

        self._parameters = [
            stacked([network.coefs[k] for network in networks])
            for k in range(len(networks[0].coefs))
        ]
        self._n_coefs = len(self._parameters)
        self._parameters += [
            stacked([network.intercepts[k] for network in networks]).unsqueeze(1)
            for k in range(len(networks[0].intercepts))
        ]
        self._n_layers = len(self._parameters)
        # The objective's own come last: (M, 1, n_theta).
        self._parameters.append(stacked([n.theta for n in networks]).unsqueeze(1))
        self._shift = stacked([network.shift for network in networks]).unsqueeze(1)
        inverse_scales = np.stack([n.inverse_scale for n in networks])
        self._inverse_scale = stacked(inverse_scales).unsqueeze(1)
        alpha = np.array([own.alpha for own in settings], dtype=float)[:, np.newaxis]
        with np.errstate(over="ignore"):
            decay = np.square(np.sqrt(alpha) * inverse_scales.astype(float))
        self._decays = [
            stacked(np.minimum(a, MAX_DECAY).astype(inverse_scales.dtype)).unsqueeze(2)
            for a in (decay, alpha)
        ]
        self._rates = [float(own.learning_rate_init) for own in settings]
        self._averages, self._squares = (
            [
                self._moment(networks, k, which, stacked)
                for k in range(len(self._parameters))
            ]
            for which in (0, 1)
        )
        self._n_steps = [network.n_steps for network in networks]
        self._generators, self._device = generators, device
        self._dropout, self._is_half = settings[0].dropout, is_half
        self._activation = ACTIVATIONS[settings[0].activation]
        self._derive = DERIVATIVES[settings[0].activation]

    def _moment(self, networks, k, which, stacked):
        """Give what Adam remembers of a parameter: nothing in a new network."""
        if not networks[0].moments:
            return torch.zeros_like(self._parameters[k])
        moment = stacked([network.moments[k][which] for network in networks])
        return moment.view_as(self._parameters[k])

    def rewards(self, x, members, tape=None, n_rows=None):
        """Outputs for items, (m, n, n_features) to (m, n), by a slice of m members.

        ``x`` is scaled in place. A ``tape``, an empty list, is given what each layer
        saw, for `descend`. ``n_rows``, how many of the rows of each member are no
        padding, asks for dropout.
        """
        parameters = [p[members] for p in self._parameters]
        coefs = parameters[: self._n_coefs]
        intercepts = parameters[self._n_coefs : self._n_layers]
        hidden = x.sub_(self._shift[members]).mul_(self._inverse_scale[members])
        dtype = torch.bfloat16 if self._is_half else x.dtype
        layer = Layer(hidden.to(dtype))
        layers = [layer]
        for coef, intercept in zip(coefs[:-1], intercepts, strict=False):
            sums = torch.baddbmm(intercept.to(dtype), layer.seen, coef.to(dtype))
            layer = self._passed_on(self._activation(sums), n_rows)
            layers.append(layer)
        if tape is not None:
            tape += layers
        # Margins are small beside rewards: the last sum is not rounded to bfloat16.
        output = torch.bmm(layer.seen.to(x.dtype), coefs[-1])
        # A classifier's last layer has an intercept, a reward's has none.
        if len(intercepts) == len(coefs):
            output += intercepts[-1]
        return output.squeeze(2)

    def _passed_on(self, hidden, n_rows):
        """Give what the next layer sees of a layer's units: without those dropped."""
        if n_rows is None or not self._dropout:
            return Layer(hidden, hidden)
        share = 1 - self._dropout
        kept = torch.zeros_like(hidden)
        for member, n in enumerate(n_rows):
            # As many numbers as the member would draw alone.
            kept[member, :n].bernoulli_(share, generator=self._generators[member])
        kept /= share
        return Layer(hidden * kept, hidden, kept)

    @property
    def theta(self):
        """Parameters of the objective, (M, n_theta)."""
        return self._parameters[-1].squeeze(1)

    def descend(self, tape, slope, of_theta):
        """Take a step of Adam, given derivatives of the losses of m members.

        ``slope``, (m, n), is that by the `rewards` of the items that the ``tape`` is
        of; ``of_theta``, (m, n_theta), is that by the objective's parameters.
        """
        members = slice(0, len(slope))
        coefs = [p[members] for p in self._parameters[: self._n_coefs]]
        n_intercepts = self._n_layers - self._n_coefs
        of_coefs, of_intercepts = [], []
        # Backwards by hand: autograd loads a library of symbols for its first step.
        delta = slope.unsqueeze(2)
        for k in reversed(range(self._n_coefs)):
            layer, coef = tape[k], coefs[k]
            seen = layer.seen.to(delta.dtype)
            of_coefs.append(torch.bmm(seen.transpose(1, 2), delta).to(coef.dtype))
            if k < n_intercepts:
                of_intercepts.append(delta.sum(1, keepdim=True, dtype=coef.dtype))
            if k:
                delta = torch.bmm(delta, coef.to(delta.dtype).transpose(1, 2))
                delta = delta.to(layer.seen.dtype)
                if layer.kept is not None:
                    delta *= layer.kept
                self._derive(layer.hidden, delta)
        gradients = [*reversed(of_coefs), *reversed(of_intercepts)]
        self._adam([*gradients, of_theta.unsqueeze(1)])

    def _adam(self, gradients):
        """Take a step for the members that have gradients, the first of all."""
        for k, gradient in enumerate(gradients[: self._n_coefs]):
            members = slice(0, len(gradient))
            gradient.addcmul_(self._parameters[k][members], self._decay(k, members))
        for (rate, n), members in self._alike(len(gradients[0])):
            self._n_steps[members] = [n + 1] * (members.stop - members.start)
            values, slopes, averages, squares = (
                [tensor[members] for tensor in tensors]
                for tensors in (
                    self._parameters, gradients, self._averages, self._squares,
                )
            )  # fmt: skip
            count = torch.full((), n + 1, dtype=torch.float32, device=self._device)
            layers, theta = slice(self._n_layers), slice(self._n_layers, None)
            for some, size in ((layers, rate), (theta, THETA_STEP * rate)):
                # What torch.optim.Adam(fused=True) calls, without the compiler that
                # its room imports: one pass over memory.
                torch._fused_adam_(
                    values[some], slopes[some], averages[some], squares[some], [],
                    [count] * len(values[some]), lr=size, beta1=BETAS[0],
                    beta2=BETAS[1], weight_decay=0.0, eps=EPSILON, amsgrad=False,
                    maximize=False,
                )  # fmt: skip

    def _alike(self, n_members):
        """Give runs of members of one rate that took as many steps, as slices."""
        first = 0
        kinds = zip(self._rates, self._n_steps[:n_members], strict=False)
        for kind, run in groupby(kinds):
            last = first + sum(1 for _ in run)
            yield kind, slice(first, last)
            first = last

    def _decay(self, k, members):
        """Alpha for the weights of layer k, in the unit of the scaled items."""
        return self._decays[min(k, 1)][members]

    def penalties(self):
        """Alpha / 2 times the squared weights of every member, (m,), in float64."""
        total = torch.zeros(
            len(self._n_steps), dtype=torch.float64, device=self._device
        )
        for k, coef in enumerate(self._parameters[: self._n_coefs]):
            squares = self._decay(k, slice(None)) * coef.square()
            total += squares.sum(dim=(1, 2), dtype=torch.float64) / 2
        return total

    def snapshot(self, member):
        """Copy a member's weights, intercepts and theta, on the device."""
        copies = [p[member].clone() for p in self._parameters]
        rest = [vector[0] for vector in copies[self._n_coefs :]]
        return copies[: self._n_coefs], rest[:-1], rest[-1]

    def adam_state(self, member):
        """Give how many steps a member took, and its moments, in numpy."""
        moments = [
            (average[member].cpu().numpy(), square[member].cpu().numpy())
            for average, square in zip(self._averages, self._squares, strict=True)
        ]
        return self._n_steps[member], moments

    def keep(self, members):
        """Drop all other members."""
        for name in ("_parameters", "_averages", "_squares", "_decays"):
            setattr(self, name, [p[members] for p in getattr(self, name)])
        for name in ("_shift", "_inverse_scale"):
            setattr(self, name, getattr(self, name)[members])
        for name in ("_rates", "_n_steps", "_generators"):
            setattr(self, name, [getattr(self, name)[member] for member in members])
