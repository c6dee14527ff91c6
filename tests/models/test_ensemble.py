"""RewardEnsemble: members, alignment, aggregation, and many networks at once."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import skreward
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
)
from skreward.data.gate import check_items
from skreward.data.groups import bootstrap_weights, resampling_groups, validation_split
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score
from skreward.model_selection import PromptDisjointKFold
from tests.support import (
    assert_many_common_checks,
    leaves,
    problems,
    run_common_check,
    true_labels,
)

pytestmark = pytest.mark.filterwarnings("ignore:Adam stopped", "ignore:early_stopping")
NETWORK = BradleyTerryMLPRegressor((8, 4), max_iter=6, learning_rate_init=1e-2)
MEMBERS = {
    "linear": BradleyTerryRegressor(),
    "network": NETWORK,
    "classifier": PairwiseClassifierReward(),
    "forest": PairwiseClassifierReward(RandomForestClassifier(5)),
    "neighbours": PairwiseClassifierReward(KNeighborsClassifier(20)),
}
each_member = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)


def ensemble(member=None, n_estimators=3, **params):
    return RewardEnsemble(member, n_estimators, random_state=0, **params)


def drawn_weights(model, pairs, y=None):
    """The weights that the members of a fitted ensemble were given, drawn again."""
    rng, sample = np.random.RandomState(0), model._check_sample(pairs, y, None)
    for member in model.estimators_:
        for name in member.get_params():
            if name.endswith("random_state"):
                rng.randint(2**31 - 1)
        yield sample.draw(rng)


# scikit-learn's own checks

CHECKED = [
    RewardEnsemble(n_estimators=3),
    RewardEnsemble(BradleyTerryMLPRegressor((8,), max_iter=20), 3, aggregation="min"),
    RewardEnsemble(PairwiseClassifierReward(), 3, aggregation="lcb", n_jobs=2),
    RewardEnsemble(n_estimators=3, bootstrap=False),
]
BOOTSTRAP = "a bootstrap draws from items, and a repeated item is two to draw"


def expected_failures(estimator):
    if not estimator.bootstrap:
        return {}
    return {
        "check_sample_weight_equivalence_on_dense_data": BOOTSTRAP,
        "check_sample_weight_equivalence_on_sparse_data": BOOTSTRAP,
    }


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_common(estimator, check):
    run_common_check(estimator, check)


@pytest.mark.parametrize("estimator", CHECKED, ids=repr)
def test_all_common_checks_are_run(estimator):
    assert_many_common_checks(estimator)


# Members


@pytest.mark.parametrize(
    "params",
    [
        {"hidden_layer_sizes": (16, 8), "max_iter": 40},
        {"hidden_layer_sizes": (8,), "dropout": 0.3, "activation": "tanh"},
        {"hidden_layer_sizes": (8,), "early_stopping": False, "link": "probit"},
        {"hidden_layer_sizes": (8,), "batch_size": 37},
        {"hidden_layer_sizes": (), "activation": "logistic"},
    ],
)
def test_members_trained_together_are_members_trained_alone(params, preferences):
    pairs, y = preferences.pairs, preferences.y
    member = BradleyTerryMLPRegressor(
        **{"max_iter": 12, "learning_rate_init": 1e-2, "n_iter_no_change": 3} | params
    )
    model = ensemble(member, 5).fit(pairs, y)
    curves = ("loss_curve_", "validation_loss_curve_")
    for together, weight in zip(
        model.estimators_, drawn_weights(model, pairs, y), strict=True
    ):
        alone = clone(together).fit(pairs, y, weight)
        assert_allclose(together.predict(pairs), alone.predict(pairs), 1e-6, 1e-9)
        assert (together.n_iter_, together.best_iter_) == (
            alone.n_iter_, alone.best_iter_,
        )  # fmt: skip
        for curve in curves:
            assert_allclose(getattr(together, curve), getattr(alone, curve), 1e-6)
        assert together.device_ == alone.device_
    # Members that stop at different times were covered.
    if params["hidden_layer_sizes"] == (16, 8):
        assert len({m.n_iter_ for m in model.estimators_}) > 1
        assert any(m.best_iter_ < m.n_iter_ for m in model.estimators_)


def test_members_in_several_stacks_are_the_same(preferences, monkeypatch):
    from skreward.networks import training

    pairs, y = preferences.pairs, preferences.y
    at_once = ensemble(NETWORK, 5).fit(pairs, y)
    monkeypatch.setitem(training.STEP_BYTES, "cpu", 2 * 2 * 128 * 8 * 8)
    in_stacks = ensemble(NETWORK, 5).fit(pairs, y)
    assert_allclose(in_stacks.predict(pairs), at_once.predict(pairs), 1e-6, 1e-9)


@each_member
def test_members_are_what_they_are_alone(member, preferences):
    pairs, y = preferences.pairs, preferences.y
    model = ensemble(member).fit(pairs, y)
    for fitted, weight in zip(
        model.estimators_, drawn_weights(model, pairs, y), strict=True
    ):
        alone = clone(fitted).fit(pairs, y, weight)
        assert_allclose(fitted.predict(pairs), alone.predict(pairs), 1e-6, 1e-9)
    seeds = {str(fitted.get_params()) for fitted in model.estimators_}
    assert len(seeds) == 3


def test_the_first_members_of_a_larger_ensemble_are_those_of_a_smaller(preferences):
    pairs, y = preferences.pairs, preferences.y
    few, more = (ensemble(None, n).fit(pairs, y) for n in (2, 4))
    for one, other in zip(few.estimators_, more.estimators_, strict=False):
        assert_array_equal(one.coef_, other.coef_)


def test_without_bootstrap_members_differ_by_seed_alone(preferences):
    pairs, y = preferences.pairs, preferences.y
    linear = ensemble(bootstrap=False).fit(pairs, y)
    assert_allclose(linear.predict(pairs, return_std=True)[1], 0, atol=1e-12)
    network = ensemble(NETWORK, bootstrap=False).fit(pairs, y)
    assert (network.predict(pairs, return_std=True)[1] > 0).mean() > 0.9


@pytest.mark.parametrize("aggregation", ["mean", "lcb"])
@each_member
def test_no_result_depends_on_n_jobs(member, aggregation, preferences):
    pairs, y = preferences.pairs, preferences.y
    one, two = (
        ensemble(member, n_jobs=n, aggregation=aggregation).fit(pairs, y)
        for n in (1, 2)
    )
    assert_array_equal(one.predict(pairs), two.predict(pairs))


def test_no_pair_is_drawn_to_validate_rated_items(preferences, monkeypatch):
    from skreward.data import gate

    drawn = []
    rated_pairs = gate.rated_pairs
    monkeypatch.setattr(
        gate, "rated_pairs", lambda *args: drawn.append(args) or rated_pairs(*args)
    )
    ensemble().fit(preferences.embeddings, preferences.rewards)
    assert len(drawn) == 3


def test_early_stopping_stays_disjoint_by_prompt(preferences, monkeypatch):
    from skreward.models import network

    seen = []

    def spy(index, prompt_ids, *args):
        kept, held = validation_split(index, prompt_ids, *args)
        seen.append((set(prompt_ids[index[kept]].ravel()),
                     set(prompt_ids[index[held]].ravel())))  # fmt: skip
        return kept, held

    monkeypatch.setattr(network, "validation_split", spy)
    ensemble(NETWORK).fit(preferences.pairs, preferences.y)
    assert len(seen) == 3
    for trained, watched in seen:
        assert watched
        assert not trained & watched


# The bootstrap


def test_a_bootstrap_draws_prompts():
    """Weights against a count by hand, over pairs within and across prompts."""
    prompts = np.array(["b", "b", "a", "a", "c", "c"])
    index = np.array([[0, 1], [2, 3], [1, 0], [4, 5], [0, 2], [3, 4]])
    groups = resampling_groups(index, prompts)
    assert_array_equal(groups, [[0, 0], [1, 1], [0, 0], [2, 2], [0, 1], [1, 2]])
    drawn = np.random.RandomState(3).randint(3, size=3)
    b, a, c = (int((drawn == g).sum()) for g in range(3))
    weight = bootstrap_weights(groups, np.random.RandomState(3))
    assert_array_equal(weight, [b, a, b, c, b * a, a * c])


def test_a_bootstrap_has_mean_one_and_leaves_out_a_third(preferences):
    pairs = preferences.pairs
    groups = resampling_groups(pairs.index, pairs.prompt_ids)
    rng = np.random.RandomState(0)
    weights = np.array([bootstrap_weights(groups, rng) for _ in range(4000)])
    assert_allclose(weights.mean(axis=0), 1, atol=0.1)
    assert_allclose((weights == 0).mean(), (1 - 1 / 20) ** 20, atol=0.02)


def test_without_prompts_components_or_items_are_drawn():
    apart = np.array([[0, 1], [1, 2], [3, 4], [5, 6], [6, 5], [7, 8]])
    assert_array_equal(
        resampling_groups(apart, None)[:, 0], [0, 0, 1, 2, 2, 3]
    )  # fmt: skip
    one_component = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    assert_array_equal(
        resampling_groups(one_component, None), [[0, 1], [1, 2], [2, 3], [3, 0]]
    )
    lone = resampling_groups(np.array([[4, 2]]), None)
    assert_array_equal(lone, [[0, 0]])


def test_sample_weights_multiply_and_a_bootstrap_never_loses_all(preferences):
    pairs = EmbeddingPairs(np.eye(3), [[0, 1], [1, 2]], prompt_ids=[0, 1, 2])
    model = ensemble(n_estimators=20).fit(pairs, [1, 0], [2.0, 0.0])
    sample = model._check_sample(pairs, [1, 0], [2.0, 0.0])
    drawn = [sample.draw(np.random.RandomState(seed)) for seed in range(20)]
    assert np.all([w.any() for w in drawn])
    assert set(np.concatenate(drawn)) <= {2.0, 4.0, 8.0}
    rated = ensemble(n_estimators=20).fit(np.eye(3), [0, 0, 1])
    assert rated.predict(np.eye(3))[2] > 0


# Alignment and aggregation


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_aggregation_by_hand(dtype, preferences):
    items = preferences.embeddings.astype(dtype)
    index, y = preferences.pairs.index, preferences.y
    prompts = preferences.pairs.prompt_ids
    pairs = EmbeddingPairs(items, index, prompts)
    weight = np.random.RandomState(0).uniform(0.5, 2, len(y))
    tol = {"rtol": 1e-9, "atol": 1e-12} if dtype == np.float64 else {
        "rtol": 1e-4, "atol": 1e-5,
    }  # fmt: skip
    for aggregation in ("mean", "min", "lcb"):
        model = ensemble(NETWORK, aggregation=aggregation, lcb_weight=0.7)
        model.fit(pairs, y, weight)
        used = np.unique(index)
        aligned = []
        for member in model.estimators_:
            reward = member.predict(items).astype(float)
            margin = reward[index[:, 0]] - reward[index[:, 1]]
            scale = np.sqrt((weight * margin**2).sum() / weight.sum())
            aligned.append((reward - reward[used].mean()) / scale)
        mean, std = np.mean(aligned, axis=0), np.std(aligned, axis=0, ddof=0)
        reward = {
            "mean": mean, "min": np.min(aligned, axis=0), "lcb": mean - 0.7 * std,
        }[aggregation]  # fmt: skip
        reward = reward - reward[used].mean()
        ours, spread = model.predict(items, return_std=True)
        assert ours.dtype == spread.dtype == dtype
        assert_allclose(ours, reward, **tol)
        assert_allclose(spread, std, **tol)
        margins = np.array([a[index[:, 0]] - a[index[:, 1]] for a in aligned])
        ours, spread = model.predict(pairs, return_std=True)
        assert_allclose(ours, reward[index[:, 0]] - reward[index[:, 1]], **tol)
        assert_allclose(spread, margins.std(axis=0), **tol)
        assert_array_equal(ours, model.predict(pairs))
        assert_allclose(model.predict_reward(pairs), reward[index], **tol)
        score = order_consistency_score(y, ours, sample_weight=weight)
        assert model.score(pairs, y, weight) == score


@pytest.mark.parametrize("aggregation", ["mean", "min", "lcb"])
def test_rescaling_one_member_changes_nothing(aggregation, preferences):
    class Rescaled(BradleyTerryRegressor):
        def _reward(self, items):
            reward = super()._reward(items)
            is_first = self.random_state == first_seed
            return 37.0 * reward + 5.0 if is_first else reward

    pairs, y = preferences.pairs, preferences.y
    plain = ensemble(BradleyTerryRegressor(), aggregation=aggregation).fit(pairs, y)
    first_seed = plain.estimators_[0].random_state
    rescaled = ensemble(Rescaled(), aggregation=aggregation).fit(pairs, y)
    assert_allclose(rescaled.member_scale_[0] / plain.member_scale_[0], 37)
    for X in (pairs, pairs.embeddings):
        for one, other in zip(
            rescaled.predict(X, return_std=True),
            plain.predict(X, return_std=True),
            strict=True,
        ):
            assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_member_that_learned_nothing_does_not_divide_by_zero():
    items = np.ones((4, 2))
    model = ensemble().fit(EmbeddingPairs(items, [[0, 1], [2, 3]]), [1, 0])
    assert_array_equal(model.member_scale_, 1)
    assert_array_equal(model.predict(items), 0)


def test_lcb_with_no_weight_is_the_mean_and_falls_with_it(preferences):
    pairs, y = preferences.pairs, preferences.y
    mean = ensemble().fit(pairs, y)
    none = ensemble(aggregation="lcb", lcb_weight=0).fit(pairs, y)
    assert_array_equal(none.predict(pairs), mean.predict(pairs))
    far = np.vstack([pairs.embeddings, 10 * pairs.embeddings])
    std = mean.predict(far, return_std=True)[1]
    lcb = ensemble(aggregation="lcb", lcb_weight=2.0).fit(pairs, y)
    fall = mean.predict(far) - lcb.predict(far)
    assert_allclose(fall - 2 * std, fall[0] - 2 * std[0], atol=1e-9)


def test_one_member_orders_as_it_does_alone(preferences):
    pairs, y = preferences.pairs, preferences.y
    model = ensemble(n_estimators=1).fit(pairs, y)
    margin, spread = model.predict(pairs, return_std=True)
    assert_array_equal(spread, 0)
    alone = model.estimators_[0].predict(pairs)
    assert_allclose(margin, alone / np.sqrt(np.mean(alone**2)), rtol=1e-9)


@pytest.mark.parametrize("member", [None, NETWORK], ids=["linear", "network"])
def test_members_part_away_from_the_data(member, preferences):
    model = ensemble(member, 10).fit(preferences.pairs, preferences.y)
    items = preferences.embeddings
    near, far = (model.predict(s * items, return_std=True)[1] for s in (1, 4))
    assert np.median(far) > 2 * np.median(near)


def test_an_ensemble_orders_no_worse_than_its_members():
    data = make_preferences(
        n_prompts=100, n_features=20, n_pairs=600, beta=1.0, random_state=1
    )
    truth = true_labels(data)
    member = BradleyTerryMLPRegressor((32,), learning_rate_init=1e-2)
    model = ensemble(member, 10).fit(data.pairs, data.y)
    alone = [m.score(data.pairs, truth) for m in model.estimators_]
    assert model.score(data.pairs, truth) > np.mean(alone)


# Shapes, containers, files, tools

few = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@few
@pytest.mark.parametrize("member", [None, NETWORK], ids=["linear", "network"])
@given(
    problem=problems(dtype=np.float64),
    aggregation=st.sampled_from(["mean", "min", "lcb"]),
    seed=st.integers(0, 1000),
)
def test_invariants(member, problem, aggregation, seed):
    pairs, y = problem
    if member is not None:
        member = clone(member).set_params(early_stopping=False)
    model = ensemble(member, aggregation=aggregation)
    tol = {"rtol": 1e-4, "atol": 1e-6}
    fitted = clone(model).fit(pairs, y)
    margin, spread = fitted.predict(pairs, return_std=True)
    back, same = fitted.predict(pairs.swap(), return_std=True)
    assert_array_equal(back, -margin)
    assert_array_equal(same, spread)
    assert_allclose(
        fitted.predict(pairs.embeddings)[np.unique(pairs.index)].mean(), 0, atol=1e-6
    )
    # What a member that learned next to nothing holds is rounding.
    assume(fitted.member_scale_.min() > 1e-2)
    order = np.random.default_rng(seed).permutation(pairs.n_items)
    shuffled = EmbeddingPairs(pairs.embeddings[order], np.argsort(order)[pairs.index])
    for X, labels in [
        (shuffled, y), (pairs.to_dense(), y), (pairs.swap(), 1 - y), (pairs, 2 * y - 1),
    ]:  # fmt: skip
        other = clone(model).fit(X, labels)
        assert_allclose(other.predict(pairs), margin, **tol)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict(pairs), margin)


@each_member
@pytest.mark.parametrize("aggregation", ["mean", "min", "lcb"])
def test_files_keep_every_bit(member, aggregation, tmp_path, preferences):
    pairs, y = preferences.pairs, preferences.y
    model = ensemble(member, aggregation=aggregation).fit(pairs, y)
    skreward.save(model, tmp_path / "model.skops")
    for again in (
        skreward.load(tmp_path / "model.skops"),
        pickle.loads(pickle.dumps(model)),
    ):
        for one, other in zip(
            again.predict(pairs, return_std=True),
            model.predict(pairs, return_std=True),
            strict=True,
        ):
            assert_array_equal(one, other)
        refitted = clone(again).fit(pairs, y)
        assert_array_equal(refitted.predict(pairs), model.predict(pairs))


@each_member
def test_fitted_attributes_are_numpy(member, preferences):
    model = ensemble(member).fit(preferences.pairs, preferences.y)
    assert model.member_shift_.shape == model.member_scale_.shape == (3,)
    assert model.n_features_in_ == 6
    for path, leaf in leaves(model):
        module = type(leaf).__module__.split(".")[0]
        assert module in ("builtins", "numpy", "sklearn"), (path, type(leaf))


@pytest.mark.parametrize("member", [None, NETWORK], ids=["linear", "network"])
@pytest.mark.parametrize("kind", ["float16", "sparse", "memmap"])
def test_items_of_every_storage(member, kind, tmp_path, preferences):
    index, prompts = preferences.pairs.index, preferences.pairs.prompt_ids
    items = preferences.embeddings.astype(np.float16)
    kept = items.astype(np.float32)
    if kind == "sparse":
        items = sp.csr_array(kept)
    elif kind == "memmap":
        np.save(tmp_path / "items.npy", kept)
        items = np.load(tmp_path / "items.npy", mmap_mode="r")
    plain = ensemble(member).fit(EmbeddingPairs(kept, index, prompts), preferences.y)
    pairs = EmbeddingPairs(items, index, prompts)
    model = ensemble(member).fit(pairs, preferences.y)
    assert model.predict(pairs).dtype == np.float32
    assert_allclose(
        model.predict(pairs), plain.predict(EmbeddingPairs(kept, index)), atol=1e-3
    )


@each_member
def test_rated_items(member):
    rng = np.random.RandomState(0)
    items = rng.normal(size=(80, 4))
    ratings = items @ [2.0, -1.0, 0.0, 0.5]
    model = ensemble(member).fit(items, ratings)
    assert model.score(items, ratings) > 0.7
    reward = model.estimators_[0].predict(items)
    assert_allclose(model.member_scale_[0], np.sqrt(2) * reward.std(), rtol=1e-6)
    assert model.predict_reward(items.reshape(8, 10, 4)).shape == (8, 10)


def test_grid_search_pipelines_and_folds(preferences):
    pairs, y = preferences.pairs, preferences.y
    cv = PromptDisjointKFold(3, random_state=0)
    search = GridSearchCV(
        RewardEnsemble(BradleyTerryRegressor(), 3, random_state=0),
        {"estimator__alpha": [1e-3, 1e-1], "aggregation": ["mean", "lcb"]},
        cv=cv, error_score="raise", n_jobs=2,
    ).fit(pairs, y)  # fmt: skip
    assert search.best_score_ > 0.7
    pipeline = make_pipeline(ItemwiseTransformer(StandardScaler()), ensemble())
    scores = cross_val_score(pipeline, pairs, y, cv=cv, error_score="raise")
    assert (scores > 0.6).all()
    nested = ensemble(RewardEnsemble(n_estimators=2), 2).fit(pairs, y)
    assert len({m.random_state for m in nested.estimators_}) == 2
    assert nested.score(pairs, y) > 0.7


# Bad input

BAD = [
    ({"n_estimators": 0}, r"'n_estimators' .* range \[1, inf\)"),
    ({"n_estimators": 2.5}, "'n_estimators'"),
    ({"aggregation": "median"}, "'aggregation' .*'median'"),
    ({"lcb_weight": -1.0}, r"'lcb_weight' .* range \[0"),
    ({"bootstrap": "yes"}, "'bootstrap'"),
    ({"n_jobs": 1.5}, "'n_jobs'"),
    ({"random_state": "x"}, "'random_state'"),
    ({"estimator": 3}, "'estimator'"),
    ({"estimator": LogisticRegression()}, "reward model of skreward"),
    ({"estimator": StandardScaler()}, "reward model of skreward.*make_pipeline"),
    ({"estimator": BradleyTerryRegressor}, "reward model of skreward"),
    ({"estimator": BradleyTerryRegressor(alpha=-1)}, "'alpha'"),
    ({"estimator": BradleyTerryMLPRegressor((0,))}, "hidden_layer_sizes must hold"),
    ({"estimator": BradleyTerryMLPRegressor((4,), device="gpu")}, "device must be"),
    ({"estimator": PairwiseClassifierReward(StandardScaler())}, "binary classifier"),
]


@pytest.mark.parametrize(("params", "message"), BAD)
def test_bad_parameters(params, message, preferences):
    with pytest.raises((ValueError, TypeError), match=message):
        RewardEnsemble(**params).fit(preferences.pairs, preferences.y)


def test_bad_data(preferences):
    pairs, y = preferences.pairs, preferences.y
    broken = pairs.embeddings.copy()
    broken[3, 1] = np.nan
    for X, labels, weight, message in [
        (EmbeddingPairs(broken, pairs.index), y, None, "contains NaN"),
        (pairs, y[:-1], None, "399 labels for 400 pairs"),
        (pairs, np.where(y, 2, 0), None, "y must hold 1"),
        (pairs, y, np.zeros(len(y)), "non-zero"),
        (pairs, y, -np.ones(len(y)), "[Nn]egative"),
        (pairs[:0], y[:0], None, "0 pairs"),
        (np.zeros((5, 3, 2)), None, None, "predict_reward"),
        (pairs.embeddings, None, None, "requires y"),
        (pairs.embeddings, np.ones(160), None, "rates every item the same"),
    ]:
        with pytest.raises(ValueError, match=message):
            ensemble().fit(X, labels, weight)
    model = ensemble().fit(pairs, y)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(broken)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(EmbeddingPairs(broken, pairs.index), return_std=True)
    with pytest.raises(ValueError, match="5 features"):
        model.predict(pairs.embeddings[:, :5], return_std=True)
    assert check_items(model, pairs.embeddings, reset=False).shape == (160, 6)


def test_a_member_that_diverges_says_so(preferences):
    member = BradleyTerryMLPRegressor((4,), learning_rate_init=1e200)
    with pytest.raises(ValueError, match="diverged in epoch"):
        ensemble(member).fit(preferences.pairs, preferences.y)


def test_verbose_names_the_member(preferences, capsys):
    member = BradleyTerryMLPRegressor((4,), max_iter=2, verbose=1)
    ensemble(member).fit(preferences.pairs, preferences.y)
    assert "Member 2: Epoch 2: loss" in capsys.readouterr().out


@pytest.mark.filterwarnings("default")
def test_one_warning_for_all_members_that_did_not_converge(preferences):
    member = BradleyTerryMLPRegressor((4,), max_iter=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ensemble(member).fit(preferences.pairs, preferences.y)
    [warning] = [w for w in caught if "Adam stopped" in str(w.message)]
    assert "3 of 3 members" in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(cuda, preferences):
    pairs, y = preferences.pairs, preferences.y
    for sizes in ((16, 8), ()):
        host, device = (
            ensemble(
                BradleyTerryMLPRegressor(sizes, device=where, max_iter=10), 5
            ).fit(pairs, y)
            for where in ("cpu", cuda)
        )  # fmt: skip
        assert device.estimators_[0].device_.startswith("cuda")
        assert_allclose(device.predict(pairs), host.predict(pairs), 1e-4, 1e-6)
        assert type(device.estimators_[0].input_shift_) is np.ndarray
