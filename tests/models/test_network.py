"""The network's training: what it learns, when it stops, where it goes on."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skreward import BradleyTerryMLPRegressor, BradleyTerryRegressor, EmbeddingPairs
from skreward.datasets import make_preferences
from tests.support import true_labels

pytestmark = pytest.mark.filterwarnings("ignore:Adam stopped", "ignore:early_stopping")


@pytest.fixture(scope="module")
def curved():
    """Pairs whose true reward is a network, that no linear reward orders well."""
    return make_preferences(
        n_prompts=400, n_responses=8, n_features=4, n_pairs=8000, reward="network",
        beta=10.0, random_state=3,
    )  # fmt: skip


def test_a_network_learns_what_a_linear_reward_cannot(curved):
    linear = BradleyTerryRegressor().fit(curved.pairs, curved.y)
    network = BradleyTerryMLPRegressor(
        (64, 64), learning_rate_init=3e-3, random_state=0
    )
    network.fit(curved.pairs, curved.y)
    truth = true_labels(curved)
    gain = network.score(curved.pairs, truth) - linear.score(curved.pairs, truth)
    assert gain > 0.03


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_what_was_trained_is_what_predicts(activation, link, preferences):
    """The folded numpy weights give the loss that torch reported."""
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryMLPRegressor(
        (7, 5), activation=activation, link=link, max_iter=4, random_state=0
    ).fit(pairs, y)
    from skreward.data.groups import validation_split
    from skreward.metrics import preference_log_loss

    held = validation_split(
        pairs.index, pairs.prompt_ids, 0.1, np.random.RandomState(0)
    )[1]
    loss = preference_log_loss(y[held], model.predict(pairs[held]), link=link)
    assert_allclose(loss, min(model.validation_loss_curve_), rtol=1e-9)
    assert model.best_iter_ == np.argmin(model.validation_loss_curve_) + 1
    assert len(model.loss_curve_) == model.n_iter_
    assert len(model.coefs_) == 3
    assert [b.shape for b in model.intercepts_] == [(7,), (5,)]


def test_early_stopping_stops_early_and_restores_the_best():
    data = make_preferences(
        n_prompts=60, n_responses=6, n_features=40, n_pairs=500, beta=0.7,
        random_state=0,
    )  # fmt: skip
    model = BradleyTerryMLPRegressor((128,), learning_rate_init=1e-2, random_state=0)
    model.fit(data.pairs, data.y)
    assert model.n_iter_ < 100
    assert model.best_iter_ < model.n_iter_
    overfit = clone(model).set_params(early_stopping=False, max_iter=100)
    overfit.fit(data.pairs, data.y)
    assert overfit.validation_loss_curve_ == []
    truth = true_labels(data)
    assert model.score(data.pairs, truth) > overfit.score(data.pairs, truth)


def test_the_scale_and_shift_of_the_items_do_not_matter(preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryMLPRegressor((8,), alpha=0, max_iter=5, random_state=0)
    moved = EmbeddingPairs(pairs.embeddings * 1e3 + 7.0, pairs.index, pairs.prompt_ids)
    one, other = clone(model).fit(pairs, y), clone(model).fit(moved, y)
    assert_allclose(other.predict(moved), one.predict(pairs), rtol=1e-6, atol=1e-9)


def test_a_constant_feature_gets_no_weight(preferences):
    pairs, y = preferences.pairs, preferences.y
    constant = np.full(len(pairs.embeddings), 7.3)
    wider = EmbeddingPairs(
        np.column_stack([pairs.embeddings, constant]), pairs.index, pairs.prompt_ids
    )
    for sizes in ((), (8,)):
        model = BradleyTerryMLPRegressor(sizes, max_iter=5, random_state=0)
        model.fit(wider, y)
        assert not model.coefs_[0][6].any()
        assert model.coefs_[0][:6].all()
        assert model.input_scale_[6] == 0
        rewards = model.predict(wider.embeddings)
        elsewhere = wider.embeddings + 1e6 * (np.arange(7) == 6)
        assert_array_equal(model.predict(elsewhere), rewards)
        model.partial_fit(wider, y)
        assert not model.coefs_[0][6].any()


def test_bfloat16_products_give_nearly_the_same_network(curved):
    items = curved.embeddings.astype(np.float32)
    pairs = EmbeddingPairs(items, curved.pairs.index, curved.pairs.prompt_ids)
    model = BradleyTerryMLPRegressor((64, 32), max_iter=8, random_state=0)
    full, half = (
        clone(model).set_params(precision=precision).fit(pairs, curved.y)
        for precision in ("full", "bfloat16")
    )
    assert half.coefs_[0].dtype == np.float32
    assert_allclose(half.loss_curve_, full.loss_curve_, rtol=0.02)
    assert np.corrcoef(half.predict(pairs), full.predict(pairs))[0, 1] > 0.995
    assert not np.array_equal(half.coefs_[0], full.coefs_[0])
    truth = true_labels(curved)
    assert abs(half.score(pairs, truth) - full.score(pairs, truth)) < 0.02


def test_precision_leaves_float64_alone(preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryMLPRegressor((8,), max_iter=3, random_state=0)
    full = clone(model).set_params(precision="full").fit(pairs, y)
    assert_array_equal(clone(model).fit(pairs, y).coefs_[0], full.coefs_[0])
    with pytest.raises(ValueError, match=r"X is float64.*Convert X"):
        model.set_params(precision="bfloat16").fit(pairs, y)


def test_partial_fit_is_fit_epoch_by_epoch(preferences):
    pairs, y = preferences.pairs, preferences.y
    for sizes in ((), (8,)):
        model = BradleyTerryMLPRegressor(
            sizes, early_stopping=False, batch_size=len(y),
            random_state=0, max_iter=3,
        )  # fmt: skip
        at_once = clone(model).fit(pairs, y)
        by_epoch = clone(model)
        for _ in range(3):
            by_epoch.partial_fit(pairs, y)
        assert_allclose(by_epoch.predict(pairs), at_once.predict(pairs), rtol=1e-6)
        assert by_epoch.n_iter_ == 1


def test_partial_fit_goes_on_from_fit(preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryMLPRegressor((8,), max_iter=20, random_state=0).fit(pairs, y)
    before = [coef.copy() for coef in model.coefs_]
    model.partial_fit(pairs, y)
    for coef, old in zip(model.coefs_, before, strict=True):
        assert 0 < np.abs(coef - old).max() < 0.1
    assert hasattr(model, "optimizer_state_")


def test_warm_start(preferences):
    pairs, y = preferences.pairs, preferences.y
    linear = BradleyTerryRegressor(warm_start=True, tol=1e-3).fit(pairs, y)
    cold = linear.n_iter_
    assert linear.fit(pairs, y).n_iter_ < cold
    network = BradleyTerryMLPRegressor(
        (8,), warm_start=True, max_iter=5, random_state=0
    )
    first = network.fit(pairs, y).loss_curve_[0]
    assert network.fit(pairs, y).loss_curve_[0] < first


def test_a_refit_forgets_what_was_before(preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryMLPRegressor((8,), max_iter=2, random_state=0)
    model.partial_fit(pairs, y).fit(pairs, y)
    assert not hasattr(model, "optimizer_state_")
    for sizes in ((), (4,)):
        again = clone(model).set_params(hidden_layer_sizes=sizes).fit(pairs, y)
        model.set_params(hidden_layer_sizes=sizes).fit(pairs, y)
        assert_array_equal(model.predict(pairs), again.predict(pairs))
        assert len(model.coefs_) == len(sizes) + 1


def test_verbose_prints_epochs_and_silence_is_the_default(preferences, capsys):
    pairs, y = preferences.pairs, preferences.y
    BradleyTerryMLPRegressor((4,), max_iter=2, random_state=0).fit(pairs, y)
    assert capsys.readouterr().out == ""
    BradleyTerryMLPRegressor((4,), max_iter=2, random_state=0, verbose=1).fit(pairs, y)
    out = capsys.readouterr().out
    assert "Epoch 2: loss" in out
    assert "validation" in out


def test_weights_reach_the_loss(preferences):
    pairs, y = preferences.pairs, preferences.y
    weight = np.where(np.arange(len(y)) < 200, 1.0, 1e-9)
    model = BradleyTerryMLPRegressor(
        (8,), early_stopping=False, max_iter=100, learning_rate_init=1e-2,
        batch_size=len(y), random_state=0,
    )  # fmt: skip
    contrary = np.where(np.arange(len(y)) < 200, y, 1 - y)
    model.fit(pairs, contrary, weight)
    assert model.score(pairs[:200], y[:200]) > 0.8
    assert model.score(pairs[200:], contrary[200:]) < 0.5


def test_device_gathering_is_host_gathering(preferences):
    """The room of the CUDA path, with the CPU as its device."""
    import torch

    from skreward.networks.items import DeviceItems, HostItems
    from skreward.solvers.device_items import DeviceItemMatrix

    items = preferences.embeddings.astype(np.float16)
    cpu = torch.device("cpu")
    rows = torch.tensor([3, 1, 3])
    batches = [
        kind(items, np.dtype(np.float32), cpu).gather(rows)
        for kind in (HostItems, DeviceItems)
    ]
    assert batches[0].dtype == torch.float32
    assert torch.equal(*batches)
    backwards = DeviceItems(items[::-1], np.dtype(np.float32), cpu)
    assert torch.equal(backwards.gather(len(items) - 1 - rows), batches[0])

    from skreward.solvers.items import ItemMatrix

    ours, host = DeviceItemMatrix(items, cpu), ItemMatrix(items)
    vector = np.random.default_rng(0).normal(size=items.shape[1])
    assert_allclose(ours.rewards(vector), host.rewards(vector), rtol=1e-5)
    back = np.random.default_rng(0).normal(size=items.shape[0])
    assert_allclose(ours.gradient(back), host.gradient(back), rtol=1e-4, atol=1e-5)
    index = preferences.pairs.index
    assert_allclose(ours.differences(index), host.differences(index))
    assert_array_equal(ours.sizes(index[:9, 0]), host.sizes(index[:9, 0]))
    some = np.array([4, 0])
    assert_array_equal(ours.extent(some, index), host.extent(some, index))


def test_out_of_device_memory_says_what_to_change(preferences, monkeypatch):
    import torch

    from skreward.networks import items

    def exhausted(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(items, "HostItems", exhausted)
    model = BradleyTerryMLPRegressor((4,), random_state=0)
    with pytest.raises(MemoryError, match=r"ran out of memory.*batch_size.*float16"):
        model.fit(preferences.pairs, preferences.y)


def test_no_warning_where_all_is_well(preferences):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BradleyTerryMLPRegressor(
            (16,), learning_rate_init=1e-2, max_iter=200, random_state=0
        ).fit(preferences.pairs, preferences.y)


@pytest.mark.gpu
@pytest.mark.parametrize("sizes", [(), (32,)])
def test_cuda_gives_what_the_cpu_gives(sizes, cuda, preferences):
    pairs, y = preferences.pairs, preferences.y
    params = {"max_iter": 10, "early_stopping": True, "random_state": 0}
    host = BradleyTerryMLPRegressor(sizes, device="cpu", **params).fit(pairs, y)
    device = BradleyTerryMLPRegressor(sizes, device=cuda, **params).fit(pairs, y)
    assert device.device_.startswith("cuda")
    assert_allclose(device.predict(pairs), host.predict(pairs), rtol=1e-4, atol=1e-6)
    exact = [
        BradleyTerryRegressor(device=where).fit(pairs, y).coef_
        for where in ("cpu", cuda)
    ]
    assert_allclose(exact[1], exact[0], rtol=1e-6)


@pytest.mark.gpu
def test_cuda_predicts_what_numpy_predicts(cuda, preferences):
    items = preferences.embeddings.astype(np.float32)
    pairs = EmbeddingPairs(items, preferences.pairs.index)
    model = BradleyTerryMLPRegressor((32,), device=cuda, max_iter=3, random_state=0)
    model.fit(pairs, preferences.y)
    on_device = model.predict(items)
    model.device_ = "cpu"
    assert_allclose(on_device, model.predict(items), rtol=1e-4, atol=1e-5)
