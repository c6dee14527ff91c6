"""An objective of one's own, with columns and many parameters, through both solvers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skreward import BradleyTerryMLPRegressor, BradleyTerryRegressor, EmbeddingPairs
from skreward.data.gate import check_comparisons
from skreward.objectives import NUMPY, BradleyTerry
from skreward.objectives.base import Objective
from skreward.solvers.items import ItemMatrix
from skreward.solvers.linear import LinearProblem

N_ANNOTATORS = 5


class Leaning(Objective):
    """Every annotator adds a lean of their own towards the first: P = sigma(m + b)."""

    needs = ("annotator",)

    def initial(self, data):
        return np.zeros(N_ANNOTATORS)

    def value_gradient(self, margin, theta, data, xp=NUMPY):
        who = data.columns["annotator"]
        lean = theta[who] if xp is NUMPY else theta.gather(1, who)
        value, slope, _ = BradleyTerry().value_gradient(margin + lean, theta, data, xp)
        pull = data.weight * slope
        if xp is NUMPY:
            return value, slope, np.bincount(who, pull, N_ANNOTATORS)
        return value, slope, theta.new_zeros(theta.shape).scatter_add(1, who, pull)

    def curvature(self, margin, theta, data):
        who = data.columns["annotator"]
        of_margin, _ = BradleyTerry().curvature(margin + theta[who], theta, data)
        return of_margin, np.bincount(who, data.weight * of_margin, N_ANNOTATORS)

    def probability(self, margin, theta):
        raise NotImplementedError


OBJECTIVE = Leaning()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    items, coef = rng.normal(size=(2000, 4)), np.array([1.0, -0.5, 0.3, 0.0])
    first = rng.integers(2000, size=20_000)
    index = np.column_stack([first, (first + rng.integers(1, 2000, 20_000)) % 2000])
    who = rng.integers(N_ANNOTATORS, size=20_000)
    lean = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    margin = (items[index[:, 0]] - items[index[:, 1]]) @ coef
    y = (margin + lean[who] > rng.logistic(size=20_000)).astype(int)
    weight = np.where(rng.uniform(size=20_000) < 0.1, 0.0, 1.0)
    return EmbeddingPairs(items, index), y, weight, who, coef, lean


def comparisons(data, columns):
    pairs, y, weight, *_ = data
    return check_comparisons(BradleyTerryRegressor(), pairs, y, weight, columns=columns)


def test_the_linear_solver(data):
    *_, who, coef, lean = data
    seen = comparisons(data, {"annotator": who})
    problem = LinearProblem(ItemMatrix(seen.items), seen, OBJECTIVE)
    solution = problem.solve(1e-6, max_iter=200, tol=1e-6)
    assert solution.converged
    assert solution.n_iter < 15
    assert_allclose(solution.coef, coef, atol=0.06)
    assert_allclose(solution.theta, lean, atol=0.12)
    # Nothing of it is penalised but the weights of features.
    heavy = problem.solve(1e3, max_iter=200, tol=1e-8)
    assert_allclose(heavy.coef, 0, atol=1e-3)
    share = [
        np.average(seen.target[seen.columns["annotator"] == k])
        for k in range(N_ANNOTATORS)
    ]
    assert_allclose(heavy.theta, np.log(np.divide(share, np.subtract(1, share))), 1e-2)


def test_the_network(data):
    from skreward.networks.jobs import Job, start
    from skreward.networks.training import train

    *_, who, coef, lean = data
    seen = comparisons(data, {"annotator": who})
    kept = np.random.default_rng(0).uniform(size=len(seen.index)) < 0.9
    jobs = []
    for seed in range(2):
        settings = BradleyTerryMLPRegressor(
            (),
            random_state=seed,
            learning_rate_init=4e-3,
            n_iter_no_change=10,
            device="cpu",
        )
        rng = np.random.RandomState(seed)
        network = start(settings, OBJECTIVE, seen, kept, rng)
        groups = np.arange(len(seen.index))
        jobs.append(Job(settings, OBJECTIVE, seen, kept, ~kept, groups, network, rng))
    for network in train(jobs):
        assert_allclose(network.folded()[0][0].ravel(), coef, atol=0.08)
        assert_allclose(network.theta, lean, atol=0.2)


def test_columns_come_through_the_gate(data):
    pairs, _, weight, who, *_ = data
    seen = comparisons(data, {"annotator": who})
    assert_allclose(seen.columns["annotator"], who[weight > 0])
    with pytest.raises(ValueError, match=r"annotator must hold one value a pair"):
        comparisons(data, {"annotator": who[:-1]})
    with pytest.raises(
        ValueError, match="annotator are known of pairs, and X is items"
    ):
        check_comparisons(
            BradleyTerryRegressor(), pairs.embeddings, np.arange(2000), None,
            columns={"annotator": who},
        )  # fmt: skip


def test_a_missing_column_is_refused_before_any_work(data):
    seen = comparisons(data, None)
    with pytest.raises(ValueError, match="Leaning needs annotator of every pair"):
        LinearProblem(None, seen, OBJECTIVE)


class NoCurvature(BradleyTerry):
    curvature = property()


def test_a_missing_method_is_refused_before_any_work(data):
    with pytest.raises(
        TypeError, match=r"linear solver needs curvature .* NoCurvature"
    ):
        LinearProblem(None, comparisons(data, None), NoCurvature())
