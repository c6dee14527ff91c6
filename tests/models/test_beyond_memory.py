"""Items in a Dask array are items: the same rewards, whoever computes, whoever dies."""

import contextlib
import os
import pickle
import signal

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    CalibratedReward,
    ControlledReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
    RewardMLPClassifier,
)
from skreward.metrics import neg_preference_log_loss_scorer
from skreward.model_selection import PromptDisjointKFold, train_test_split_pairs

ROWS = 90
LOGISTIC = LogisticRegression(C=0.1, tol=1e-7, max_iter=1000)
MODELS = {
    "linear": BradleyTerryRegressor(),
    "probit": BradleyTerryRegressor("probit"),
    "ties": BradleyTerryRegressor(ties="davidson"),
    "cv": BradleyTerryRegressorCV(alphas=2, cv=2),
    "classifier": PairwiseClassifierReward(LOGISTIC),
    "calibrated": CalibratedReward(BradleyTerryRegressor(), cv=2),
}


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


def lazy(pairs, rows=ROWS):
    """Give the same pairs over a Dask array."""
    items = da.from_array(pairs.embeddings, chunks=(rows, -1))
    return EmbeddingPairs(items, pairs.index, pairs.prompt_ids)


def as_dtype(pairs, dtype):
    return EmbeddingPairs(pairs.embeddings.astype(dtype), pairs.index, pairs.prompt_ids)


@pytest.fixture(scope="module")
def labelled(preferences):
    y = preferences.y.astype(float)
    y[::5] = 0.5
    return preferences.pairs, y


def assert_alike(model, other, pairs, there):
    for name in ("coef_", "offset_", "loss_", "theta_", "temperature_"):
        if hasattr(model, name):
            assert_allclose(getattr(other, name), getattr(model, name), atol=1e-6)
    assert_allclose(other.predict(there), model.predict(pairs), atol=1e-5)
    assert other.predict(there).dtype == model.predict(pairs).dtype


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_rewards_are_those_of_items_in_memory(name, dtype, labelled):
    pairs, y = as_dtype(labelled[0], dtype), labelled[1]
    there = lazy(pairs)
    weight = np.arange(1.0, 1 + len(y)) % 4
    model = clone(MODELS[name]).fit(pairs, y, sample_weight=weight)
    other = clone(MODELS[name]).fit(there, y, sample_weight=weight)
    assert_alike(model, other, pairs, there)
    assert_alike(model, other, pairs, pairs)
    inner = getattr(model, "estimator_", None), getattr(other, "estimator_", None)
    if name == "classifier":
        for attribute in ("coef_", "intercept_"):
            values = [getattr(each, attribute) for each in inner]
            assert_allclose(*values, atol=1e-5)
            assert values[0].dtype == values[1].dtype
        assert vars(inner[0]).keys() == vars(inner[1]).keys()


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_classifier_is_scikit_learns(fit_intercept, shift, preferences):
    pairs = preferences.pairs
    pairs = EmbeddingPairs(pairs.embeddings + shift, pairs.index)
    classifier = clone(LOGISTIC).set_params(fit_intercept=fit_intercept)
    model = PairwiseClassifierReward(classifier)
    coef = [
        clone(model).fit(each, preferences.y).estimator_.coef_
        for each in (pairs, lazy(pairs))
    ]
    assert_allclose(*coef, atol=1e-6)


def test_threads_and_blocks_change_nothing(preferences):
    pairs, y = as_dtype(preferences.pairs, np.float32), preferences.y
    model = BradleyTerryRegressor().fit(lazy(pairs), y)
    with dask.config.set(scheduler="threads"):
        again = BradleyTerryRegressor().fit(lazy(pairs), y)
    assert_array_equal(again.coef_, model.coef_)
    for rows in (31, 160):
        other = BradleyTerryRegressor().fit(lazy(pairs, rows), y)
        assert_allclose(other.coef_, model.coef_, atol=1e-6)


def test_every_reward_predicts_and_scores(preferences):
    """Whatever it was fitted on, and itself unknown to Dask."""
    pairs, y = preferences.pairs, preferences.y
    there = lazy(pairs)
    models = [
        BradleyTerryRegressor(),
        PairwiseClassifierReward(SGDClassifier(random_state=0)),
        RewardEnsemble(BradleyTerryRegressor(), n_estimators=2, random_state=0),
    ]
    for model in models:
        model.fit(pairs, y)
        assert_allclose(model.predict(there), model.predict(pairs))
        assert_allclose(model.predict_reward(there), model.predict_reward(pairs))
        items = model.predict_reward(pairs.embeddings)
        assert_allclose(model.predict(there.embeddings), items)
        assert_allclose(model.predict_reward(there.embeddings), items)
        assert model.score(there, y) == model.score(pairs, y)
    model = models[0]
    proba = model.predict_preference_proba(there)
    assert_allclose(proba, model.predict_preference_proba(pairs))
    std = models[2].predict(there, return_std=True)[1]
    assert_allclose(std, models[2].predict(pairs, return_std=True)[1])


def test_searches_and_splits(preferences):
    pairs, y = preferences.pairs, preferences.y
    there = lazy(pairs)
    model, cv = BradleyTerryRegressor(), PromptDisjointKFold(2, random_state=0)
    for scoring in (None, neg_preference_log_loss_scorer):
        scores = [
            cross_val_score(model, each, y, cv=cv, scoring=scoring)
            for each in (pairs, there)
        ]
        assert_allclose(*scores)
    train, *_ = train_test_split_pairs(there, y, random_state=0)
    assert train.embeddings is there.embeddings


def test_ratings_of_items(preferences):
    items, ratings = preferences.embeddings, preferences.rewards
    model = BradleyTerryRegressor(max_pairs=500, random_state=0)
    prompts = preferences.pairs.prompt_ids
    found = [
        clone(model).fit(each, ratings, prompt_ids=prompts).coef_
        for each in (items, da.from_array(items, chunks=(50, -1)))
    ]
    assert_allclose(*found, atol=1e-6)


def test_features_that_are_rounding_or_whole_numbers(preferences):
    pairs, y = preferences.pairs, preferences.y
    items = pairs.embeddings.copy()
    items[:, 2] = 5.0
    items[:, 4] = 1e-20 * items[:, 3]
    for values in (items, np.rint(10 * items).astype(int)):
        each = EmbeddingPairs(values, pairs.index)
        model = BradleyTerryRegressor().fit(each, y)
        other = BradleyTerryRegressor().fit(lazy(each), y)
        assert_allclose(other.coef_, model.coef_, atol=1e-8)
        assert other.coef_[2] == 0


def test_a_model_without_any_effect(preferences):
    """Labels of a coin: zero is the minimum, and takes no pass for its rewards."""
    pairs = preferences.pairs
    y = np.full(len(pairs), 0.5)
    assert not BradleyTerryRegressor().fit(lazy(pairs), y).coef_.any()


# What is read


class Reads:
    """A block that counts how often it is read."""

    def __init__(self, items, rows):
        self.items, self.rows, self.count = items, rows, 0
        self.array = da.map_blocks(
            self.read, chunks=((rows,) * (len(items) // rows), items.shape[1:]),
            dtype=items.dtype, meta=items[:0],
        )  # fmt: skip

    def read(self, block_id=None):
        self.count += 1
        return self.items[block_id[0] * self.rows :][: self.rows]


def test_blocks_without_an_item_of_the_pairs_are_not_read(preferences):
    pairs, y = preferences.pairs, preferences.y
    reads = Reads(pairs.embeddings, 40)
    there = EmbeddingPairs(reads.array, pairs.index, pairs.prompt_ids)
    few = np.flatnonzero((pairs.index // 40 == 2).all(axis=1))
    model = BradleyTerryRegressor().fit(pairs, y)
    assert_allclose(model.predict(there[few]), model.predict(pairs[few]))
    assert reads.count == 1
    found = BradleyTerryRegressor().fit(there[few], y[few])
    wanted = BradleyTerryRegressor().fit(pairs[few], y[few])
    assert_allclose(found.coef_, wanted.coef_, atol=1e-8)


def test_an_iteration_is_two_passes(preferences, monkeypatch):
    monkeypatch.setattr("skreward.solvers.linear.POLISHED_PAIRS", 0)
    pairs, y = preferences.pairs, preferences.y
    reads = Reads(pairs.embeddings, 40)
    there = EmbeddingPairs(reads.array, pairs.index)
    model = BradleyTerryRegressor().fit(there, y)
    passes = reads.count / 4
    # Beside them: differences, sizes, the gradient at zero, the items that are kept.
    assert passes <= 2 * model.n_iter_ + 6


# A cluster


@pytest.fixture
def cluster():
    """Two workers, each a process; new ones for every test, which loses one.

    A nanny may fail to start another, and without workers a computation waits for ever.
    """
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


def kill_once(block, path):
    """Count a block that is read, and die at the twentieth, or the next after it."""
    with open(path, "ab") as file:
        file.write(b".")
    if os.path.getsize(path) >= 20:
        # Both workers may count at once: one of them dies.
        with contextlib.suppress(FileExistsError), open(f"{path}.dead", "x"):
            os.kill(os.getpid(), signal.SIGKILL)
    return block


LOOSE = {"linear": {"max_iter": 4}, "classifier": {"estimator__max_iter": 4}}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", LOOSE)
def test_a_cluster_changes_nothing_nor_does_a_worker_that_dies(
    name, cluster, preferences, tmp_path
):
    pairs, y = as_dtype(preferences.pairs, np.float16), preferences.y
    model = clone(MODELS[name]).set_params(**LOOSE[name]).fit(lazy(pairs), y)
    count = tmp_path / "reads"
    items = lazy(pairs).embeddings.map_blocks(kill_once, str(count))
    there = EmbeddingPairs(items, pairs.index, pairs.prompt_ids)
    with Client(cluster) as client, dask.config.set(scheduler=client):
        before = set(client.scheduler_info()["workers"])
        other = clone(model).fit(there, y)
        margin = other.predict(there)
        after = set(client.scheduler_info()["workers"])
    assert count.stat().st_size > 20
    assert before != after
    assert_array_equal(margin, other.predict(pairs))
    assert_array_equal(margin, model.predict(pairs))


# What is refused


def broken(items, row, column, value):
    items = items.copy()
    items[row, column] = value
    return items


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
@pytest.mark.parametrize("item", ["sampled", "other"])
def test_numbers_that_are_none_are_told_of(value, dtype, item, preferences):
    pairs, y = preferences.pairs, preferences.y
    position = int(pairs.index[0, 0])
    pairs = EmbeddingPairs(
        broken(pairs.embeddings.astype(dtype), position, 3, value), pairs.index
    )
    if item == "other":
        pairs, y = pairs[pairs.index.min(axis=1) != position], None
    told = f"Input X contains NaN or infinity: {value} at item {position}, feature 3"
    with pytest.raises(ValueError, match=told):
        BradleyTerryRegressor().fit(lazy(pairs), y)
    with pytest.raises(ValueError, match=told):
        PairwiseClassifierReward().fit(lazy(pairs), y)
    model = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    with pytest.raises(ValueError, match="Input X contains"):
        model.predict(lazy(pairs))
    with config_context(assume_finite=True):
        assert len(model.predict(lazy(pairs))) == len(pairs)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x.rechunk((50, 3)), "split into 2 chunks"),
        (lambda x: x[x[:, 0] > 0], "chunk sizes are unknown"),
        (lambda x: x.astype(object), "real numbers, got dtype object"),
        (lambda x: x.astype(complex), "real numbers, got dtype complex"),
        (lambda x: x[:, 0], "shape"),
        (lambda x: x.reshape(-1, 2, 6), "shape"),
    ],
)
def test_arrays_that_are_no_blocks_of_rows(change, told, preferences):
    items = change(da.from_array(preferences.embeddings, chunks=(50, -1)))
    with pytest.raises(ValueError, match=told):
        EmbeddingPairs(items, preferences.pairs.index)
    if items.ndim == 2:
        with pytest.raises(ValueError, match=told):
            BradleyTerryRegressor().fit(items, preferences.rewards)


def test_whoever_wants_items_in_memory_says_so(preferences):
    pairs, y = preferences.pairs, preferences.y
    there = lazy(pairs)
    fitted = BradleyTerryRegressor(covariance="laplace").fit(pairs, y)
    items = there.embeddings
    for who, call in {
        "covariance='cluster'": BradleyTerryRegressor(covariance="cluster").fit,
        "device='cuda'": BradleyTerryRegressor(device="cuda").fit,
        "BradleyTerryMLPRegressor.fit": BradleyTerryMLPRegressor((4,)).fit,
        "RewardEnsemble.fit": RewardEnsemble(n_estimators=2).fit,
        "ControlledReward.fit": lambda X, y: ControlledReward(
            BradleyTerryRegressor()
        ).fit(X, y, covariates=np.ones(len(pairs.embeddings))),
        "ItemwiseTransformer": ItemwiseTransformer(StandardScaler()).fit,
        "return_std": lambda X, y: fitted.predict(X, return_std=True),
        "EmbeddingPairs.from_dense": lambda X, y: EmbeddingPairs.from_dense(
            items.reshape(-1, 2, 6)
        ),
        "from_chosen_rejected": lambda X, y: EmbeddingPairs.from_chosen_rejected(
            items, items
        ),
        "from_candidates": lambda X, y: EmbeddingPairs.from_candidates(
            items.reshape(-1, 8, 6), pairs.index
        ),
        "An array of pairs": lambda X, y: fitted.predict(items.reshape(-1, 2, 6)),
        "An array of candidates": lambda X, y: fitted.predict_reward(
            items.reshape(-1, 2, 6)
        ),
    }.items():
        with pytest.raises(TypeError, match=f"{who}.* needs its items in memory"):
            call(there, y)
    for classifier in (
        SGDClassifier(), LogisticRegression(class_weight="balanced"),
        RewardMLPClassifier((4,)), LogisticRegression(solver="liblinear"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="LogisticRegression alone takes items"):
            PairwiseClassifierReward(classifier).fit(there, y)


def test_widths_and_empty_arrays(preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryRegressor().fit(pairs, y)
    with pytest.raises(ValueError, match="X has 5 features"):
        model.predict(lazy(pairs).embeddings[:, :5])
    with pytest.raises(ValueError, match=r"shape \(0, 6\)"):
        model.predict(lazy(pairs).embeddings[:0])
    with pytest.raises(ValueError, match="0 pairs"):
        model.fit(lazy(pairs)[:0])


# The container


def test_the_container_is_lazy(preferences):
    pairs = preferences.pairs
    there = lazy(pairs)
    some = there[5:50][::2]
    assert some.embeddings is there.embeddings
    assert repr(some) == repr(pairs[5:50][::2])
    assert "float64" in some._repr_html_()
    assert_array_equal(some.to_dense(), pairs[5:50][::2].to_dense())
    assert_array_equal(some.swap().to_dense(), pairs[5:50][::2].swap().to_dense())
    compact = some.compact()
    assert isinstance(compact.embeddings, da.Array)
    assert_array_equal(compact.to_dense(), some.to_dense())
    again = pickle.loads(pickle.dumps(some))
    assert_array_equal(again.to_dense(), some.to_dense())
