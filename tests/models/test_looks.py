"""A linear reward looks at its rewards instead of at every number, and misses none."""

from unittest.mock import patch

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import get_config

from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.data import gate

WRONG = {"infinity": np.inf, "-infinity": -np.inf, "NaN": np.nan}
SHAPES = {
    "items": lambda X: X,
    "columns in one piece": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "pairs": lambda X: EmbeddingPairs(X, np.arange(len(X)).reshape(-1, 2)),
    "dense pairs": lambda X: X.reshape(-1, 2, X.shape[1]),
}


@pytest.fixture(scope="module")
def model(preferences):
    """A reward of which one coefficient is zero, and one is not far from it."""
    items = preferences.embeddings.copy()
    items[:, 1] = 0.25
    items[:, 2] *= 1e-20
    fitted = BradleyTerryRegressor().fit(
        EmbeddingPairs(items, preferences.pairs.index), preferences.y
    )
    assert fitted.coef_[1] == 0
    return fitted


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("feature", [0, 1, 2, -1])
def test_one_number_that_is_not_finite_is_found(model, dtype, shape, what, feature):
    X = np.random.default_rng(0).standard_normal((40, len(model.coef_))).astype(dtype)
    X[33, feature] = WRONG[what]
    wanted = what.removeprefix("-")
    for call in (model.predict, model.predict_reward):
        with pytest.raises(ValueError, match=f"contains {wanted}"):
            call(SHAPES[shape](X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinities_of_both_signs_do_not_make_up_for_each_other(model, dtype):
    X = np.zeros((3, len(model.coef_)), dtype)
    X[1, 0], X[1, 3] = np.inf, -np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        model.predict(X)


def test_rewards_beyond_the_floats_are_no_fault_of_the_items(model):
    X = np.full((2, len(model.coef_)), 3e38, np.float32)
    X *= np.sign(model.coef_).astype(np.float32)
    with np.errstate(over="ignore"):
        assert_array_equal(model.predict(X), [np.inf, np.inf])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_numbers_are_not_looked_at(model, dtype, preferences):
    X = preferences.embeddings.astype(dtype)
    seen = []

    def validate(_, items, **params):
        seen.append(get_config()["assume_finite"])
        return items

    with patch.object(gate, "validate_data", validate):
        model.predict(X)
    assert seen == [True]
