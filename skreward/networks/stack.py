"""Reward networks of one shape, stacked, and Adam over them.

Conventions: M members share the shapes of their layers and nothing else. Parameters
have shape ``(M, n_in, n_out)``, intercepts ``(M, 1, n_out)``; member m sees the items
centred and scaled by its own ``shift`` and ``scale``, so that a step means the same
for embeddings of any scale. The penalty is that of the weights for items as they are,
``coefs[0] / scale`` in the first layer. One network is a stack of one.
"""

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
BETAS = 0.9, 0.999
EPSILON = 1e-8
# Parameters of an objective are few, and sums over all pairs: their steps are longer,
# or a network would be done before they are.
THETA_STEP = 5
# Beyond, a penalty leaves nothing of a weight, and its square would leave float32.
MAX_DECAY = 1e12


class Stack:
    """The members' parameters, what Adam remembers of them, and their rewards."""

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
        with np.errstate(over="ignore"):
            decay = np.square(np.sqrt(settings.alpha) * inverse_scales.astype(float))
        decay = np.minimum(decay, MAX_DECAY).astype(inverse_scales.dtype)
        self._first_decay = stacked(decay).unsqueeze(2)
        self._averages, self._squares = (
            [
                self._moment(networks, k, which, stacked)
                for k in range(len(self._parameters))
            ]
            for which in (0, 1)
        )
        self._n_steps = stacked([np.float64(n.n_steps) for n in networks])
        self._generators = generators
        self._settings, self._is_half = settings, is_half
        self._activation = ACTIVATIONS[settings.activation]

    def _moment(self, networks, k, which, stacked):
        """Give what Adam remembers of a parameter: nothing in a new network."""
        if not networks[0].moments:
            return torch.zeros_like(self._parameters[k])
        moment = stacked([network.moments[k][which] for network in networks])
        return moment.view_as(self._parameters[k])

    def rewards(self, x, members, parameters=None, n_rows=None):
        """Outputs for items, (m, n, n_features) to (m, n), by a slice of m members.

        ``x`` is scaled in place. ``parameters`` replace those of the members.
        ``n_rows``, how many of the rows of each member are no padding, asks for
        dropout.
        """
        if parameters is None:
            parameters = [p[members] for p in self._parameters]
        coefs = parameters[: self._n_coefs]
        intercepts = parameters[self._n_coefs : self._n_layers]
        hidden = x.sub_(self._shift[members]).mul_(self._inverse_scale[members])
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._is_half):
            for coef, intercept in zip(coefs[:-1], intercepts, strict=False):
                hidden = self._activation(torch.baddbmm(intercept, hidden, coef))
                if n_rows is not None and self._settings.dropout:
                    hidden = self._drop(hidden, n_rows)
        # Margins are small beside rewards: the last sum is not rounded to bfloat16.
        output = torch.bmm(hidden.to(x.dtype), coefs[-1])
        # A classifier's last layer has an intercept, a reward's has none.
        if len(intercepts) == len(coefs):
            output = output + intercepts[-1]
        return output.squeeze(2)

    def _drop(self, hidden, n_rows):
        share = 1 - self._settings.dropout
        kept = torch.zeros_like(hidden)
        for member, n in enumerate(n_rows):
            # As many numbers as the member would draw alone.
            kept[member, :n].bernoulli_(share, generator=self._generators[member])
        return hidden * kept / share

    def try_out(self, x, n_rows):
        """Rewards by the first ``len(x)`` members, for `step` to follow.

        Gives also the parameters that they depend on.
        """
        members = slice(0, len(x))
        layers = self._parameters[: self._n_layers]
        leaves = [p[members].detach().requires_grad_() for p in layers]
        return self.rewards(x, members, leaves, n_rows), leaves

    @property
    def theta(self):
        """Parameters of the objective, (M, n_theta)."""
        return self._parameters[-1].squeeze(1)

    def descend(self, margin, leaves, slope, of_theta):
        """Take a step of Adam, given derivatives of the losses of m members.

        ``slope``, (m, n), is that by the margins, which depend on the ``leaves`` of
        `try_out`, a member's on its own alone; ``of_theta``, (m, n_theta), is that by
        the objective's parameters.
        """
        gradients = torch.autograd.grad(margin, leaves, slope)
        self._adam(slice(0, len(margin)), [*gradients, of_theta.unsqueeze(1)])

    @torch.no_grad()
    def _adam(self, members, gradients):
        n_steps = self._n_steps[members].add_(1).view(-1, 1, 1)
        first, second = (1 - beta**n_steps for beta in BETAS)
        # rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon), scalars together.
        size = -self._settings.learning_rate_init * second.sqrt() / first
        epsilon = EPSILON * second.sqrt()
        for k, gradient in enumerate(gradients):
            values = self._parameters[k][members]
            average, square = self._averages[k][members], self._squares[k][members]
            if k < self._n_coefs:
                gradient = gradient.addcmul_(values, self._decay(k, members))
            average.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            step = square.sqrt().add_(epsilon.to(square.dtype))
            length = size if k < self._n_layers else THETA_STEP * size
            values.add_(torch.div(average, step, out=step).mul_(length.to(step.dtype)))

    def _decay(self, k, members):
        """Alpha for the weights of layer k, in the unit of the scaled items."""
        if k == 0:
            return self._first_decay[members]
        alpha = min(self._settings.alpha, MAX_DECAY)
        return torch.full_like(self._first_decay[members, :1], alpha)

    @torch.no_grad()
    def penalties(self):
        """Alpha / 2 times the squared weights of every member, (m,), in float64."""
        total = torch.zeros_like(self._n_steps)
        for k, coef in enumerate(self._parameters[: self._n_coefs]):
            squares = self._decay(k, slice(None)) * coef.square()
            total += squares.sum(dim=(1, 2), dtype=torch.float64) / 2
        return total

    def snapshot(self, member):
        """Copy a member's weights, intercepts and theta, on the device."""
        copies = [p[member].detach().clone() for p in self._parameters]
        rest = [vector[0] for vector in copies[self._n_coefs :]]
        return copies[: self._n_coefs], rest[:-1], rest[-1]

    def adam_state(self, member):
        """Give how many steps a member took, and its moments, in numpy."""
        moments = [
            (average[member].cpu().numpy(), square[member].cpu().numpy())
            for average, square in zip(self._averages, self._squares, strict=True)
        ]
        return int(self._n_steps[member]), moments

    def keep(self, members):
        """Drop all other members."""
        for name in ("_parameters", "_averages", "_squares"):
            setattr(self, name, [p[members] for p in getattr(self, name)])
        for name in ("_shift", "_inverse_scale", "_first_decay", "_n_steps"):
            setattr(self, name, getattr(self, name)[members])
        self._generators = [self._generators[member] for member in members]
