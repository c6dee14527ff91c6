"""The classifier network: what it learns, what it keeps apart, many at once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from skreward import (
    BradleyTerryMLPRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
    RewardEnsemble,
    RewardMLPClassifier,
)
from skreward.models import network
from skreward.models.classifier import weighted_rows, wins_of
from skreward.models.network import fit_together
from tests.support import true_labels

pytestmark = pytest.mark.filterwarnings("ignore:Adam stopped", "ignore:early_stopping")
SMALL = RewardMLPClassifier((8, 4), max_iter=6, learning_rate_init=1e-2, random_state=0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    items = rng.normal(loc=1.0, size=(400, 5)) * np.geomspace(0.1, 10, 5)
    logit = items @ (rng.normal(size=5) / np.geomspace(0.1, 10, 5)) + 0.7
    return items, (rng.random(400) < expit(logit)).astype(int)


@pytest.mark.parametrize("alpha", [1e-3, 0.1])
def test_without_hidden_layers_it_is_logistic_regression(alpha, rows):
    items, y = rows
    weight = np.random.default_rng(1).exponential(size=len(y))
    peer = LogisticRegression(C=1 / (alpha * weight.sum()), tol=1e-10, max_iter=10_000)
    peer.fit(items, y, weight)
    ours = RewardMLPClassifier(
        (), alpha=alpha, early_stopping=False, batch_size=len(y), max_iter=800,
        learning_rate_init=3e-2, tol=1e-9, n_iter_no_change=60, random_state=0,
    ).fit(items, y, weight)  # fmt: skip
    assert_allclose(ours.coefs_[0].T, peer.coef_, rtol=3e-2)
    assert_allclose(ours.predict_proba(items), peer.predict_proba(items), atol=1e-3)
    wanted = log_loss(y, peer.predict_proba(items), sample_weight=weight)
    wanted += alpha / 2 * np.square(peer.coef_).sum()
    assert_allclose(ours.loss_, wanted, rtol=1e-5)


def test_it_learns_what_scikit_learns_network_learns(rows):
    rng = np.random.default_rng(3)
    items = rng.normal(size=(3000, 2))
    y = np.where((items**2).sum(axis=1) > 1.4, "far", "near")
    ours = RewardMLPClassifier((32,), learning_rate_init=1e-2, random_state=0)
    peer = MLPClassifier((32,), learning_rate_init=1e-2, random_state=0)
    scores = [m.fit(items[:2000], y[:2000]).score(items[2000:], y[2000:])
              for m in (ours, peer)]  # fmt: skip
    assert scores[0] > 0.95
    assert scores[0] > scores[1] - 0.01
    assert_array_equal(ours.classes_, ["far", "near"])
    proba = ours.predict_proba(items)
    assert_allclose(proba.sum(axis=1), 1)
    assert_array_equal(ours.predict(items), ours.classes_[proba.argmax(axis=1)])
    assert_allclose(proba[:, 1], expit(ours.decision_function(items)))


def test_what_was_trained_is_what_predicts(rows, monkeypatch):
    items, y = rows
    held = spy_on_splits(monkeypatch)
    model = clone(SMALL).fit(items, y)
    proba = model.predict_proba(items)[np.arange(len(y)), y][held[0]]
    assert_allclose(-np.log(proba).mean(), min(model.validation_loss_curve_), 1e-9)
    assert [b.shape for b in model.intercepts_] == [(8,), (4,), (1,)]


def spy_on_splits(monkeypatch):
    """Give the masks of held out observations of every fit that follows."""
    seen = []
    split = network.validation_split

    def spy(*args):
        kept, held = split(*args)
        assert not (kept & held).any()
        seen.append(held)
        return kept, held

    monkeypatch.setattr(network, "validation_split", spy)
    return seen


def test_groups_are_kept_apart_and_rows_are_drawn_without(rows, monkeypatch):
    items, y = rows
    seen = spy_on_splits(monkeypatch)
    groups = np.repeat(np.arange(40), 10).astype(str)
    clone(SMALL).fit(items, y, groups=groups)
    clone(SMALL).fit(items, y)
    (by_group, by_row) = seen
    assert 30 <= by_group.sum() <= 60
    assert 30 <= by_row.sum() <= 60
    assert not set(groups[by_group]) & set(groups[~by_group])
    assert len(set(groups[by_row]) & set(groups[~by_row])) > 10


def test_rows_of_no_weight_are_not_seen(rows):
    items, y = rows
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    spoilt = np.where(weight[:, np.newaxis] > 0, items, 1e6)
    one = clone(SMALL).fit(spoilt, np.where(weight > 0, y, 1), weight)
    other = clone(SMALL).fit(items, y, weight)
    assert_array_equal(one.predict_proba(items), other.predict_proba(items))


def test_warm_start_goes_on(rows):
    items, y = rows
    model = clone(SMALL).set_params(warm_start=True)
    first = model.fit(items, y).loss_curve_[0]
    assert model.fit(items, y).loss_curve_[0] < first


# Its reward


def test_the_reward_orders_and_keeps_prompts_apart(preferences, monkeypatch):
    pairs, y = preferences.pairs, preferences.y
    seen = spy_on_splits(monkeypatch)
    classifier = RewardMLPClassifier((16,), learning_rate_init=1e-2, random_state=0)
    model = PairwiseClassifierReward(classifier).fit(pairs, y)
    truth = true_labels(preferences)
    assert model.score(pairs, truth) > 0.85
    prompts = pairs.prompt_ids[np.unique(pairs.index)]
    assert seen[0].any()
    assert not set(prompts[seen[0]]) & set(prompts[~seen[0]])
    assert_array_equal(model.estimator_.classes_, [0, 1])


def test_an_item_counts_its_wins_and_its_losses(preferences):
    pairs = preferences.pairs
    y = np.random.default_rng(0).random(len(pairs))
    comparisons = PairwiseClassifierReward()._check_data(pairs, y, y + 1)
    rows, won, weight = weighted_rows(comparisons)
    wins = wins_of(comparisons)
    item = wins.index[:, 0]
    assert len(np.unique(item)) == len(item)
    n_items = len(comparisons.items)
    assert_allclose(
        np.bincount(item, wins.weight * wins.target, n_items),
        np.bincount(rows, weight * won, n_items),
    )
    assert_allclose(
        np.bincount(item, wins.weight, n_items), np.bincount(rows, weight, n_items)
    )


class Grouped(ClassifierMixin, BaseEstimator):
    """A classifier that remembers the groups it was given."""

    def fit(self, X, y, groups=None):
        self.classes_, self.groups_ = np.unique(y), groups
        return self

    def decision_function(self, X):
        return X[:, 0]


class Weighted(Grouped):
    def fit(self, X, y, sample_weight=None, groups=None):
        return super().fit(X, y, groups)


@pytest.mark.parametrize("kind", [Grouped, Weighted])
def test_any_classifier_that_takes_groups_is_given_the_prompts(kind, preferences):
    pairs, y = preferences.pairs, preferences.y
    model = PairwiseClassifierReward(kind()).fit(pairs, y)
    groups = model.estimator_.groups_
    assert set(groups) == set(pairs.prompt_ids)
    without = EmbeddingPairs(pairs.embeddings, pairs.index)
    model.fit(without, y)
    assert model.estimator_.groups_ is None


# Many at once

KINDS = {
    "likelihood": BradleyTerryMLPRegressor((8, 4), max_iter=6, learning_rate_init=1e-2),
    "classifier": PairwiseClassifierReward(SMALL),
}
each_kind = pytest.mark.parametrize("model", KINDS.values(), ids=KINDS)


def seeded(model, seed):
    model, name = clone(model), "random_state"
    if "estimator__random_state" in model.get_params():
        name = "estimator__random_state"
    return model.set_params(**{name: seed})


@each_kind
def test_fitted_together_is_fitted_alone(model, preferences):
    """Other pairs, labels, weights and seeds, over the same items."""
    pairs, y = preferences.pairs, preferences.y
    rng = np.random.default_rng(0)
    flipped = np.where(rng.random(len(y)) < 0.3, 1 - y, y)
    weight = rng.exponential(size=len(y))
    X = [pairs, pairs[:250], pairs[::2], pairs]
    labels = [y, y[:250], y[::2], flipped]
    weights = [None, weight[:250], None, weight]
    models = fit_together([seeded(model, k) for k in range(4)], X, labels, weights)
    for k, together in enumerate(models):
        alone = seeded(model, k).fit(X[k], labels[k], weights[k])
        assert_allclose(
            together.predict(pairs), alone.predict(pairs), rtol=1e-6, atol=1e-9
        )
        assert together.n_features_in_ == 6
    assert len({m.predict(pairs)[0] for m in models}) == 4


@each_kind
def test_folds_of_several_settings_are_fitted_together(model, preferences):
    """Other penalties and rates, over items that each fold scales for itself."""
    pairs, y = preferences.pairs, preferences.y
    folds = [np.arange(len(y)) % 3 != k for k in range(3)]
    X, models, labels = [], [], []
    own = "estimator__" if "estimator__alpha" in model.get_params() else ""
    for alpha, rate in [(1e-4, 1e-3), (1e-2, 3e-3)]:
        for k, fold in enumerate(folds):
            part = pairs[fold].compact()
            X.append(
                EmbeddingPairs(part.embeddings * (k + 1), part.index, part.prompt_ids)
            )
            labels.append(y[fold])
            settings = {f"{own}alpha": alpha, f"{own}learning_rate_init": rate}
            models.append(seeded(model, k).set_params(**settings))
    for k, together in enumerate(fit_together(models, X, labels)):
        alone = clone(models[k]).fit(X[k], labels[k])
        assert_allclose(
            together.predict(X[0]), alone.predict(X[0]), rtol=1e-6, atol=1e-9
        )
    assert len({m.predict(X[0]).tobytes() for m in models}) == 6


@each_kind
def test_embeddings_that_hardly_occur_are_left_behind(model, preferences, monkeypatch):
    from skreward.networks import training

    sizes = []
    gatherable = training.gatherable

    def spy(items, *args):
        sizes.append(len(items))
        return gatherable(items, *args)

    monkeypatch.setattr(training, "gatherable", spy)
    pairs, y = preferences.pairs, preferences.y
    few = pairs[pairs.index.max(axis=1) < 60]
    labels = y[pairs.index.max(axis=1) < 60]
    models = [seeded(model, k) for k in range(2)]
    fit_together(models, [few, few], [labels, labels])
    assert sizes == [len(np.unique(few.index))]
    assert models[0].score(few, labels) > 0.5


def test_what_cannot_be_fitted_together_is_refused(preferences):
    pairs, y = preferences.pairs, preferences.y
    likelihood, classifier = KINDS.values()
    two = [likelihood, clone(likelihood)]
    for embeddings, ids, said in [
        (pairs.embeddings[:, 1:], pairs.prompt_ids, "5 features of .* and 6 features"),
        (pairs.embeddings.astype(np.float32), pairs.prompt_ids, "float32 and 6 .*64"),
        (pairs.embeddings.copy(), None, "1 of 2 have none"),
    ]:
        other = EmbeddingPairs(embeddings, pairs.index, ids)
        with pytest.raises(ValueError, match=said):
            fit_together(two, [pairs, other], [y, y])
    for name, value in ("activation", "tanh"), ("dropout", 0.5), ("max_iter", 7):
        two = [likelihood, clone(likelihood).set_params(**{name: value})]
        with pytest.raises(ValueError, match=f"share {name}"):
            fit_together(two, [pairs, pairs], [y, y])
    for models in ([likelihood, classifier], [PairwiseClassifierReward()] * 2):
        with pytest.raises(TypeError, match="networks of one class"):
            fit_together(models, [pairs, pairs], [y, y])


@each_kind
def test_an_ensemble_trains_its_members_in_one_computation(
    model, preferences, monkeypatch
):
    from skreward.networks import training

    runs = []
    train = training.train
    monkeypatch.setattr(
        training, "train", lambda jobs, n=None: runs.append(len(jobs)) or train(jobs, n)
    )

    class Sub(type(model)):
        """A subclass keeps the batching."""

    for member in (model, Sub(**model.get_params(deep=False))):
        RewardEnsemble(member, 3, random_state=0).fit(preferences.pairs, preferences.y)
    assert runs == [3, 3]


# Bad input


@pytest.mark.parametrize(
    ("params", "data", "message"),
    [
        (
            {},
            {"y": [0, 1, 2, 0]},
            "Only binary classification is supported.*multiclass",
        ),
        ({}, {"y": [1, 1, 1, 1]}, "2 classes.*got 1 class: 1"),
        ({}, {"y": [0.5, 0.2, 0.1, 0.3]}, "continuous|Unknown label type"),
        ({}, {"y": None}, "requires y"),
        ({}, {"y": [0, 1]}, "inconsistent numbers of samples"),
        ({}, {"groups": [0, 1]}, r"groups must hold one id per item, shape \(4,\)"),
        ({}, {"groups": [0, 1, None, 1]}, "groups has a missing value"),
        ({}, {"sample_weight": [1, 0, 1, 0]}, "2 classes.*got 1 class"),
        ({}, {"sample_weight": [0, 0, 0, 0]}, "non-zero number"),
        ({"hidden_layer_sizes": (0,)}, {}, "positive ints"),
        ({"device": "gpu"}, {}, "device must be"),
        ({"alpha": -1.0}, {}, "alpha"),
        ({"learning_rate_init": 1e200, "early_stopping": False}, {}, "diverged"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input(params, data, message):
    items = np.arange(8.0).reshape(4, 2)
    model = RewardMLPClassifier(**{"hidden_layer_sizes": (3,)} | params)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.fit(items, **{"y": [0, 1, 0, 1]} | data)
