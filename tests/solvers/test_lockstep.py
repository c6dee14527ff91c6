"""Runs in step, against the same one by one."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skreward.data.comparisons import Comparisons
from skreward.objectives import OBJECTIVES, TIES, Annotators
from skreward.solvers.items import BLOCK_ROWS, ItemMatrix
from skreward.solvers.linear import LinearProblem, solve_paths
from skreward.solvers.lockstep import in_step

ALPHAS = [1e-4, 1.0, 1e-2, 0.1, 1e-3]


class Recorder:
    """Products with a matrix, which remembers how many vectors each had."""

    def __init__(self, items):
        self.items, self.seen = items, []

    def rewards(self, coef):
        self.seen.append(("rewards", 1 if coef.ndim == 1 else coef.shape[1]))
        return self.items @ coef

    def gradient(self, item_gradient):
        wide = 1 if item_gradient.ndim == 1 else item_gradient.shape[1]
        self.seen.append(("gradient", wide))
        return self.items.T @ item_gradient


def power(start, n_rounds):
    """Take X'X to a power, a round at a time."""
    for _ in range(n_rounds):
        start = yield "gradient", (yield "rewards", start)
    return start


def test_runs_of_any_length_get_their_own_products():
    rng = np.random.default_rng(0)
    items = rng.standard_normal((7, 3))
    starts, rounds = rng.standard_normal((4, 3)), [2, 0, 3, 1]
    recorder = Recorder(items)
    found = in_step(recorder, list(map(power, starts, rounds)))
    for k, (start, n) in enumerate(zip(starts, rounds, strict=True)):
        wanted = np.linalg.matrix_power(items.T @ items, n) @ start
        assert_allclose(found[k], wanted)
    widths = [3, 3, 2, 2, 1, 1]
    assert recorder.seen == list(zip(["rewards", "gradient"] * 3, widths, strict=True))


def test_runs_out_of_phase_are_answered_too():
    def late(start):
        yield "rewards", start
        return (yield from power(start, 2))

    recorder = Recorder(np.eye(3)[[0, 1, 2, 0]])
    ahead, behind = in_step(recorder, [power(np.ones(3), 2), late(np.ones(3))])
    assert_array_equal(ahead, behind)
    assert sum(wide for _, wide in recorder.seen) == 9


@pytest.mark.parametrize("n_vectors", [2, 9])
@pytest.mark.parametrize("store", ["float64", "float32", "float16", "csr", "memmap"])
def test_a_matrix_times_many_is_each_one_s_product(store, n_vectors, tmp_path):
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((BLOCK_ROWS + 300, 5))
    items = plain.astype(
        np.float16
        if store in ("float16", "memmap")
        else store
        if (store.startswith("float"))
        else np.float64
    )
    if store == "csr":
        items = sp.csr_array(items)
    elif store == "memmap":
        np.save(tmp_path / "items.npy", items)
        items = np.load(tmp_path / "items.npy", mmap_mode="r")
    matrix = ItemMatrix(items)
    # Far apart in size: each has a power of two of its own.
    sizes = np.logspace(-60, 60, n_vectors)
    coef = rng.standard_normal((5, n_vectors)) * sizes
    item_gradient = rng.standard_normal((len(plain), n_vectors)) * sizes
    rewards, gradient = matrix.rewards(coef), matrix.gradient(item_gradient)
    assert rewards.dtype == gradient.dtype == np.float64
    exact = np.float64 if matrix.dtype == np.float64 else np.float32
    rtol = 100 * np.finfo(exact).eps
    for k, size in enumerate(sizes):
        alone = matrix.rewards(coef[:, k])
        assert_allclose(rewards[:, k], alone, rtol=rtol, atol=rtol * size)
        alone = matrix.gradient(item_gradient[:, k])
        assert_allclose(gradient[:, k], alone, rtol=rtol, atol=50 * rtol * size)


def objectives(n_pairs):
    yield OBJECTIVES["logistic"], {}
    yield OBJECTIVES["probit"], {}
    yield from ((law, {}) for law in TIES.values())
    who = np.arange(n_pairs) % 7
    yield Annotators(OBJECTIVES["logistic"], "both", 7, n_pairs), {"annotators": who}


@pytest.mark.parametrize("kind", range(5))
def test_problems_in_step_are_what_each_is_alone(kind):
    """Parts of all pairs, with the curvature of all, against fits of their own."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((400, 6)) * np.logspace(-1, 1, 6)
    index = rng.permuted(np.tile(np.arange(400), (3000, 1)), axis=1)[:, :2]
    rewards = items @ rng.standard_normal(6)
    margin = np.diff(rewards[index[:, ::-1]], axis=1).ravel()
    target = np.clip(np.round(margin / margin.std() + rng.logistic(size=3000)), -1, 1)
    target = (target + 1) / 2
    objective, columns = list(objectives(3000))[kind]

    def seen(pairs):
        some = {name: column[pairs] for name, column in columns.items()}
        weight = rng.exponential(size=len(index[pairs]))
        return Comparisons(
            items, index[pairs], target[pairs], weight, np.ones(400), None, some
        )

    matrix = ItemMatrix(items)
    parts = [seen(np.arange(3000) % 3 != k) for k in range(3)]
    whole = LinearProblem(matrix, seen(slice(None)), objective)
    problems = [whole] + [LinearProblem(matrix, p, objective, whole) for p in parts]
    options = {"max_iter": 200, "tol": 1e-8}
    paths = list(solve_paths(problems, ALPHAS, **options))
    assert [len(solutions) for solutions in paths] == [4] * len(ALPHAS)
    for alpha, solutions in zip(ALPHAS, paths, strict=True):
        single = whole.solve(alpha, **options)
        assert_allclose(solutions[0].coef, single.coef, rtol=1e-6)
        for part, found in zip(parts, solutions[1:], strict=True):
            alone = LinearProblem(matrix, part, objective).solve(alpha, **options)
            assert found.converged
            assert_allclose(found.loss, alone.loss, rtol=1e-12)
            assert_allclose(found.coef, alone.coef, rtol=1e-5, atol=1e-7)
            assert_allclose(found.theta, alone.theta, rtol=1e-5, atol=1e-6)
            assert_allclose(found.rewards, items @ found.coef, rtol=1e-9, atol=1e-9)


def test_a_feature_that_is_rounding_in_a_part_stays_out_of_it():
    rng = np.random.default_rng(0)
    items = rng.standard_normal((60, 4))
    items[:40, 3] = 1 + 1e-16 * rng.standard_normal(40)
    index = np.column_stack([np.arange(0, 60, 2), np.arange(1, 60, 2)])

    def seen(pairs):
        n = len(index[pairs])
        return Comparisons(
            items, index[pairs], rng.integers(2, size=n) * 1.0, np.ones(n),
            np.ones(60), None,
        )  # fmt: skip

    matrix, objective = ItemMatrix(items), OBJECTIVES["logistic"]
    whole = LinearProblem(matrix, seen(slice(None)), objective)
    part = LinearProblem(matrix, seen(slice(20)), objective, whole)
    ((of_whole, of_part),) = solve_paths([whole, part], [0.1], max_iter=99, tol=1e-6)
    assert of_whole.coef[3] != 0
    assert of_part.coef[3] == 0
    alone = LinearProblem(matrix, seen(slice(20)), objective)
    assert alone.solve(0.1, max_iter=99, tol=1e-6).coef[3] == 0
    assert of_part.converged


@pytest.mark.torch
def test_a_device_multiplies_many_too():
    import torch

    from skreward.solvers.device_items import DeviceItemMatrix

    items = np.random.default_rng(0).standard_normal((50, 4))
    there, here = DeviceItemMatrix(items, torch.device("cpu")), ItemMatrix(items)
    coef, item_gradient = np.eye(4, 5) * np.logspace(-200, 200, 5), items[:, :2]
    assert_allclose(there.rewards(coef), here.rewards(coef))
    assert_allclose(there.gradient(item_gradient), here.gradient(item_gradient))


def test_features_that_differ_are_not_looked_at_twice(monkeypatch):
    rng = np.random.default_rng(0)
    items = rng.standard_normal((40, 5))
    items[:, [0, 2, 4]] = 1.0
    index = np.arange(40).reshape(-1, 2)
    seen = Comparisons(items, index, np.ones(20), np.ones(20), np.ones(40), None)
    extent, doubtful = ItemMatrix.extent, []

    def watched(self, features, index):
        doubtful.append(features.tolist())
        return extent(self, features, index)

    monkeypatch.setattr(ItemMatrix, "extent", watched)
    whole = LinearProblem(ItemMatrix(items), seen, OBJECTIVES["logistic"])
    part = LinearProblem(ItemMatrix(items), seen, OBJECTIVES["logistic"], whole)
    assert doubtful == [[0, 2, 4]]
    for problem in (whole, part):
        coef = problem.solve(0.1, max_iter=99, tol=1e-3).coef
        assert_array_equal(coef != 0, [False, True, False, True, False])
