"""float16 read fast is float16 read by NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skreward import BradleyTerryRegressor
from skreward._half import is_finite, to_float32

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def test_every_number_is_converted_exactly():
    assert_array_equal(
        to_float32(FINITE).view(np.uint32), FINITE.astype(np.float32).view(np.uint32)
    )


def test_strided_input_and_an_array_to_write_to():
    table = FINITE[: 60 * 1000].reshape(60, 1000)
    out = np.empty((30, 500), dtype=np.float32)
    given = to_float32(table[::2, ::2], out=out)
    assert given is out
    assert_array_equal(out, table[::2, ::2].astype(np.float32))
    assert_array_equal(to_float32(table.T), table.T.astype(np.float32))


def test_every_number_is_finite_or_not():
    assert is_finite(FINITE.reshape(-1, 16))
    for value in EVERY[~np.isfinite(EVERY)][::97]:
        table = np.zeros((700, 600), dtype=np.float16)
        table[699, 599] = value
        assert not is_finite(table)
        assert not is_finite(np.asfortranarray(table))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("sizes", [(), (4,)])
def test_bad_float16_is_refused_before_fitting_and_predicting(
    value, sizes, preferences
):
    model = BradleyTerryRegressor(sizes, max_iter=2, solver="auto", random_state=0)
    items = preferences.embeddings.astype(np.float16)
    with pytest.warns(match=r"stopped"):
        model.fit(items, preferences.rewards)
    items[3, 2] = value
    wanted = "NaN" if np.isnan(value) else "infinity"
    for call in (model.predict, lambda X: model.fit(X, preferences.rewards)):
        with pytest.raises(ValueError, match=f"Input X contains {wanted}"):
            call(items)
