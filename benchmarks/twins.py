"""What is written by hand in the solvers, beside the library's twin: one run, ratios.

    python -m benchmarks.twins

Whole fits are timed, ours and the twin's by turns, with the twin put in the place of
ours, so that what a twin costs elsewhere (threads that wait for each other's cores) is
seen; and a path of penalties, in step. `benchmarks.speed` makes the data, with the
spectrum of text embeddings.
"""

import argparse
import os
import warnings
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize

from benchmarks.speed import fastest, made_up
from skreward import BradleyTerryRegressor
from skreward.solvers import curvature, linear
from skreward.solvers.lbfgs import Minimum

SHAPES = ((5_000, 256, 20_000), (20_000, 1_024, 40_000), (20_000, 2_048, 40_000))
ALPHAS = np.logspace(-5, -1, 10)


class ByLapack:
    """The Cholesky factor by LAPACK's potrf and trtrs, through SciPy."""

    def __init__(self, matrix):
        self.dtype = matrix.dtype
        potrf, self._trtrs = lapack.get_lapack_funcs(("potrf", "trtrs"), (matrix,))
        self._lower, info = potrf(matrix, lower=True, clean=False)
        if info:
            raise np.linalg.LinAlgError("not positive definite")

    def solve(self, vector):
        """L^-1 vector."""
        return self._trtrs(self._lower, vector, lower=True)[0].astype(np.float64)

    def solve_transposed(self, vector):
        """L'^-1 vector."""
        solution = self._trtrs(self._lower, vector, lower=True, trans=1)[0]
        return solution.astype(np.float64)


def by_scipy(start, scaling, **options):
    """Minimise by SciPy's L-BFGS-B, in a thread that waits while F is evaluated."""
    positions, points = SimpleQueue(), SimpleQueue()

    def evaluate(position):
        positions.put(position)
        return points.get()

    def run():
        found.append(_by_scipy(evaluate, start, scaling, **options))
        positions.put(None)

    found = []
    Thread(target=run).start()
    while (position := positions.get()) is not None:
        points.put((yield position))
    return found[0]


def _by_scipy(evaluate, start, scaling, *, size, max_iter, noise):
    """Minimise in units of the preconditioner, to the same end as ours."""
    points = {}

    def of_scaled(scaled):
        point = evaluate(start.position - scaling.coef(scaled))
        points[scaled.tobytes()] = point
        return point.value, -scaling.gradient(point.gradient)

    def stop(intermediate_result):
        point = points[intermediate_result.x.tobytes()]
        if np.linalg.norm(scaling.gradient(point.gradient)) <= size:
            raise StopIteration

    found = minimize(
        of_scaled,
        np.zeros(len(start.position)),
        jac=True,
        method="L-BFGS-B",
        callback=stop,
        options={"maxiter": max_iter, "maxcor": 20, "ftol": 0.0, "gtol": 0.0},
    )
    point = points[found.x.tobytes()]
    norm = float(np.linalg.norm(scaling.gradient(point.gradient)))
    is_small = norm <= size
    return Minimum(point, norm, found.nit, is_small, not is_small)


@contextmanager
def instead(module, name, twin):
    """Put a twin in the place of ours."""
    ours = getattr(module, name)
    setattr(module, name, twin)
    try:
        yield
    finally:
        setattr(module, name, ours)


TWINS = {
    "L-BFGS against SciPy's": (linear, "minimise", by_scipy),
    "Cholesky factor against LAPACK's": (curvature, "CholeskyFactor", ByLapack),
}


def _compare(fit, twin, repeats):
    def theirs():
        with instead(*twin):
            return fit()

    return fastest([fit, theirs], repeats)


def of_fits(shape, repeats):
    """Give lines for whole fits and paths."""
    pairs, y = made_up(*shape)

    def one():
        return [BradleyTerryRegressor().fit(pairs, y)]

    def path():
        return BradleyTerryRegressor().fit_path(pairs, y, alphas=ALPHAS)

    for name, twin in TWINS.items():
        for work, fit in (("fit", one), ("path of 10", path)):
            (ours, theirs), (here, there) = _compare(fit, twin, repeats)
            excess = max(a.loss_ - b.loss_ for a, b in zip(here, there, strict=True))
            yield (
                f"| {name} | {work}, {shape[0]:,} x {shape[1]:,} | "
                f"{theirs / ours:.2f} x | {ours:.2f} s against {theirs:.2f} s, "
                f"{sum(m.n_iter_ for m in here)} and {sum(m.n_iter_ for m in there)} "
                f"iterations, excess of the objective at most {excess:+.1e} |"
            )


def of_factors(n, repeats):
    """Give the line of a factor alone."""
    z = np.random.default_rng(0).standard_normal((2 * n, n), dtype=np.float32)
    matrix = z.T @ z / (2 * n) + np.eye(n, dtype=np.float32)
    runs = [lambda: curvature.CholeskyFactor(matrix), lambda: ByLapack(matrix)]
    (ours, theirs), (here, there) = fastest(runs, 5 * repeats)
    apart = np.abs(here.solve(z[0]) - there.solve(z[0])).max()
    return (
        f"| Cholesky factor alone against LAPACK's | {n:,} x {n:,} | "
        f"{theirs / ours:.2f} x | {ours:.4f} s against {theirs:.4f} s, solutions apart "
        f"by {apart:.1e} |"
    )


def main(argv=None):
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.twins", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    print(f"{os.cpu_count()} cores")
    print("| ours | work | as fast | seen |\n|---|---|---|---|")
    for shape in SHAPES:
        for row in of_fits(shape, args.repeats):
            print(row, flush=True)
    for n in (256, 1024, 2048):
        print(of_factors(n, args.repeats), flush=True)


if __name__ == "__main__":
    main()
