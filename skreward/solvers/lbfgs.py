"""L-BFGS for smooth convex functions, in NumPy.

SciPy's is as good, but its BLAS brings threads of its own, which wait for the same
cores as NumPy's after every call, as `benchmarks.twins` measures; and this one is a
generator, which gives the positions where it wants to know the function and is sent
the points there, so that several runs can share what evaluating takes.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

import numpy as np

MEMORY = 20
MAX_HALVINGS = 30
# Steps in a row that gain nothing, in value or gradient, before rounding is to blame.
MAX_IDLE = 10
# Share of the decrease that the slope promises, and of the slope that may be left.
SUFFICIENT, LEFT = 1e-4, 0.8


class Point(Protocol):
    """Where a function was evaluated, with its value and gradient there.

    Whatever else a caller found on the way stays with it.
    """

    @property
    def position(self) -> np.ndarray:
        """Where."""

    @property
    def value(self) -> float:
        """Of the function."""

    @property
    def gradient(self) -> np.ndarray:
        """Of the function."""


class Step(NamedTuple):
    """Where a run went, and how the gradient changed on the way."""

    move: np.ndarray
    change: np.ndarray


class Minimum(NamedTuple):
    """Where a run ended.

    ``is_small`` tells that the gradient came to the size asked for; ``is_stuck`` that
    no point along the last direction was better, or the last points were none, as where
    rounding decides.
    """

    point: Any
    size: float
    n_iter: int
    is_small: bool
    is_stuck: bool


def evaluated(run: Generator[Any, Any, Any], evaluate: Callable) -> Any:
    """Let a run go to its end, and evaluate what it asks for; gives its result."""
    answer = None
    while True:
        try:
            answer = evaluate(run.send(answer))
        except StopIteration as end:
            return end.value


def minimise(
    start: Point, scaling, *, size, max_iter, noise
) -> Generator[np.ndarray, Any, Minimum]:
    """Walk down until the norm of the preconditioned gradient is at most ``size``.

    Parameters
    ----------
    start : Point
    scaling : object
        Its ``gradient`` and then its ``coef`` multiply by the inverse of a guess of
        the curvature, as halves of a square root; the norm is that of the first half.
        Steps are tried at length 1.
    size : float
    max_iter : int
    noise : float
        Relative rounding error of the function. Within it, slopes decide.

    Yields
    ------
    position : array
        Where to evaluate; the `Point` there is sent.

    Returns
    -------
    minimum : Minimum
    """
    memory: deque[Step] = deque(maxlen=MEMORY)
    point = start
    n_iter, n_idle, least = 0, 0, np.inf
    while True:
        norm = float(np.linalg.norm(scaling.gradient(point.gradient)))
        if norm < least:
            least, n_idle = norm, 0
        is_stuck = n_idle == MAX_IDLE
        if norm <= size or n_iter == max_iter or is_stuck:
            break
        direction = -_precondition(point.gradient, memory, scaling)
        found = yield from _search(point, direction, noise)
        if found is None and memory:
            # The memory misleads, or is worn out: go on without.
            memory.clear()
            continue
        if found is None:
            is_stuck = True
            break
        n_iter += 1
        has_fallen = found.value < point.value - noise * abs(point.value)
        n_idle = 0 if has_fallen else n_idle + 1
        step = Step(found.position - point.position, found.gradient - point.gradient)
        if step.move @ step.change > 0:
            memory.append(step)
        point = found
    return Minimum(point, norm, n_iter, norm <= size, is_stuck)


def _precondition(gradient, memory, scaling):
    """Multiply by the inverse curvature that the memory implies."""
    vector = gradient.copy()
    shares = []
    for move, change in reversed(memory):
        shares.append((move @ vector) / (move @ change))
        vector -= shares[-1] * change
    vector = scaling.coef(scaling.gradient(vector))
    for (move, change), share in zip(memory, reversed(shares), strict=True):
        vector += (share - (change @ vector) / (move @ change)) * move
    return vector


def _search(point, direction, noise):
    """Find a length at which the function has fallen enough, from 1 down.

    Gives the point there, or None. Where the fall is lost in rounding a slope that has
    become flatter will do (Hager and Zhang, "A New Conjugate Gradient Method with
    Guaranteed Descent and an Efficient Line Search", 2005).
    """
    length, slope = 1.0, point.gradient @ direction
    if slope >= 0:
        return None
    for _ in range(MAX_HALVINGS):
        candidate = yield point.position + length * direction
        value, next_value = point.value, candidate.value
        if next_value <= value + SUFFICIENT * length * slope:
            return candidate
        is_level = next_value <= value + noise * abs(value)
        if is_level and abs(candidate.gradient @ direction) <= -LEFT * slope:
            return candidate
        # The minimum of the parabola through both values, within reason.
        excess = next_value - value - length * slope
        best = -slope * length**2 / (2 * excess) if np.isfinite(excess) else 0.0
        length = float(np.clip(best, length / 10, length / 2))
    return None
