"""float16 read fast is float16 read by NumPy."""

import subprocess
import sys
import warnings

import numkong
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skreward import BradleyTerryMLPRegressor, BradleyTerryRegressor
from skreward.solvers.items import keeps_infinity
from skreward.utils import float16
from skreward.utils.float16 import gradient, is_finite, rewards, to_float32

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


@pytest.fixture(autouse=True, params=["integers", "numkong"])
def converter(request, monkeypatch):
    """Convert as where NumKong is installed, and as where it is not."""
    is_kong = request.param == "numkong"
    monkeypatch.setattr(float16, "numkong", numkong if is_kong else None)
    return request.param


def test_numkong_is_taken_where_it_is_installed():
    code = (
        "from skreward.utils import float16 as f; print(f.keeps_infinity(), f._unit())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.split() == ["True", "1.0"], told.stderr


def test_every_number_is_converted_exactly():
    assert_array_equal(
        to_float32(FINITE).view(np.uint32), FINITE.astype(np.float32).view(np.uint32)
    )


def test_strided_input():
    table = FINITE[: 60 * 1000].reshape(60, 1000)
    for view in (table[::2, ::2], table.T, table[::-1], table[:0], table[3:4, 5:6]):
        assert_array_equal(to_float32(view), view.astype(np.float32))


def test_input_at_an_odd_place():
    items = FINITE[:60_000].reshape(60, 1000)
    odd = np.frombuffer(b"." + items.tobytes(), np.float16, offset=1).reshape(60, 1000)
    assert not odd.flags.aligned
    for view in (odd, odd[::2, 1:], odd.T):
        assert_array_equal(to_float32(view), view.astype(np.float32))
    coef, of_items = np.ones(1000), np.ones(60)
    assert is_finite(odd)
    assert_array_equal(rewards(odd, coef), rewards(items, coef))
    assert_array_equal(gradient(odd, of_items), gradient(items, of_items))


def test_mapped_input(tmp_path):
    np.save(tmp_path / "items.npy", FINITE[:60_000].reshape(60, 1000))
    items = np.load(tmp_path / "items.npy", mmap_mode="r")
    assert_array_equal(to_float32(items), items.astype(np.float32))
    assert_array_equal(rewards(items, np.ones(1000)), rewards(items[:], np.ones(1000)))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a row or two, and chunks of two blocks."""
    monkeypatch.setattr(float16, "BLOCK_BYTES", 40)
    monkeypatch.setattr(float16, "BLOCKS_A_CHUNK", 2)


@pytest.mark.parametrize("n_items", [0, 1, 2, 57])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_products_are_those_of_float64(n_items, size, small_blocks):
    rng = np.random.RandomState(0)
    items = rng.standard_normal((n_items, 5)).astype(np.float16)
    items[:, 3] = 2.0**-24  # the smallest there is
    coef = size * rng.standard_normal(5)
    coef[1] = 1e-6 * size
    item_gradient = size * rng.standard_normal(n_items)
    exact = items.astype(np.float64)
    for found, wanted, sizes in (
        (rewards(items, coef), exact @ coef, abs(exact) @ abs(coef)),
        (
            gradient(items, item_gradient),
            exact.T @ item_gradient,
            abs(exact).T @ abs(item_gradient),
        ),
    ):
        assert found.dtype == np.float32
        assert found.shape == wanted.shape
        assert (abs(found - wanted) <= 4e-7 * sizes).all()


def test_both_ways_of_converting_give_the_same_bits(converter, monkeypatch):
    if converter == "integers":
        pytest.skip("is what the other is compared with")
    rng = np.random.RandomState(2)
    items = (rng.standard_normal((400, 70)) * 8.0 ** rng.randint(-6, 5, 70)).astype(
        np.float16
    )
    coef, of_items = rng.standard_normal(70), rng.standard_normal(400)
    matrix = rng.standard_normal((70, 3))
    found = [rewards(items, coef), gradient(items, of_items), rewards(items, matrix)]
    monkeypatch.setattr(float16, "numkong", None)
    assert_array_equal(rewards(items, coef), found[0])
    assert_array_equal(gradient(items, of_items), found[1])
    assert_array_equal(rewards(items, matrix), found[2])


def test_what_is_not_finite_shows_where_that_is_said(converter):
    items = np.ones((5, 4), np.float16)
    assert keeps_infinity(items) == (converter == "numkong")
    if converter == "integers":
        return
    for value in EVERY[~np.isfinite(EVERY)][::97]:
        items[2, 3] = value
        for coef in ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 0.0]):
            with np.errstate(invalid="ignore"):
                shown = np.isfinite(rewards(items, np.array(coef)))
            assert_array_equal(shown, [True, True, False, True, True])


def test_threads_do_not_warn_of_what_the_caller_ignores(converter, small_blocks):
    items = np.ones((60, 4), np.float16)
    items[50, 3] = np.inf
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("error")
        shown = np.isfinite(rewards(items, np.array([1.0, 2.0, 3.0, 0.0])))
    assert shown.all() == (converter == "integers")


def test_products_with_zeros_are_zero():
    items = FINITE[:600].reshape(20, 30)
    assert not rewards(items, np.zeros(30)).any()
    assert not gradient(items, np.zeros(20)).any()
    assert not rewards(np.zeros((4, 3), dtype=np.float16), np.ones(3)).any()


def test_products_that_leave_float32_are_infinite():
    items = np.full((2, 3), 60_000, dtype=np.float16)
    with np.errstate(over="ignore"):
        assert_array_equal(rewards(items, np.full(3, 1e38)), [np.inf, np.inf])


def test_products_do_not_depend_on_threads_or_on_rows_beside(small_blocks):
    rng = np.random.RandomState(1)
    items = rng.standard_normal((101, 7)).astype(np.float16)
    coef, item_gradient = rng.standard_normal(7), rng.standard_normal(101)
    found = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads, user_api="blas"):
            found.append((rewards(items, coef), gradient(items, item_gradient)))
    for reward, total in found[1:]:
        assert_array_equal(reward, found[0][0])
        assert_array_equal(total, found[0][1])
    assert_array_equal(rewards(items[40:43], coef), found[0][0][40:43])
    assert_array_equal(rewards(items[::-1], coef), found[0][0][::-1])


def test_every_number_is_finite_or_not():
    assert is_finite(FINITE.reshape(-1, 16))
    for value in EVERY[~np.isfinite(EVERY)][::97]:
        table = np.zeros((700, 600), dtype=np.float16)
        table[699, 599] = value
        assert not is_finite(table)
        assert not is_finite(np.asfortranarray(table))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    "model",
    [
        BradleyTerryRegressor(max_iter=2),
        BradleyTerryMLPRegressor((4,), max_iter=2, random_state=0),
    ],
    ids=["linear", "network"],
)
def test_bad_float16_is_refused_before_fitting_and_predicting(
    value, model, preferences
):
    model = clone(model)
    items = preferences.embeddings.astype(np.float16)
    with pytest.warns(match=r"stopped"):
        model.fit(items, preferences.rewards)
    items[3, 2] = value
    wanted = "NaN" if np.isnan(value) else "infinity"
    for call in (model.predict, lambda X: model.fit(X, preferences.rewards)):
        with pytest.raises(ValueError, match=f"Input X contains {wanted}"):
            call(items)
