"""scikit-learn's own checks, on 2-D input, every one of them."""

from collections import Counter

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from skreward import (
    BradleyTerryRegressor,
    ItemwiseTransformer,
    PairwiseClassifierReward,
)

REWARD_MODELS = [
    BradleyTerryRegressor(),
    BradleyTerryRegressor(hidden_layer_sizes=(16,)),
    PairwiseClassifierReward(),
    PairwiseClassifierReward(LogisticRegression()),
]
MINI_BATCHES = (
    "a weight scales a pair's step where a repetition takes several, in other batches"
)


def expected_failures(estimator):
    if getattr(estimator, "hidden_layer_sizes", ()):
        return {
            "check_sample_weight_equivalence_on_dense_data": MINI_BATCHES,
            "check_sample_weight_equivalence_on_sparse_data": MINI_BATCHES,
        }
    return {}


ESTIMATORS = [*REWARD_MODELS, ItemwiseTransformer(StandardScaler())]
passed = Counter()


@pytest.mark.filterwarnings("ignore:early_stopping found", "ignore:Adam stopped")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_common(estimator, check):
    check(estimator)
    passed[repr(estimator)] += 1


@pytest.mark.parametrize("estimator", REWARD_MODELS, ids=repr)
def test_at_least_55_common_checks_passed(estimator, request):
    """An estimator that took 3-D input alone would pass by running one check."""
    selected = sum(
        item.name.startswith("test_common[") and repr(estimator) in item.name
        for item in request.session.items
    )
    if selected < len(list(estimator_checks_generator(estimator))):
        pytest.skip("only a selection of the checks is run")
    assert passed[repr(estimator)] >= 55
