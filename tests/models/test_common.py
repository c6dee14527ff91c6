"""scikit-learn's own checks, on 2-D input, every one of them."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    CalibratedReward,
    ControlledReward,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardMLPClassifier,
)
from tests.support import assert_many_common_checks, run_common_check


class LengthControlled(ControlledReward):
    """Covariates are what only texts have a default for: here the sum of a row."""

    def fit(self, X, y=None, sample_weight=None):
        try:
            rows = X.toarray() if sp.issparse(X) else np.asarray(X, dtype=float)
            covariates = rows.sum(axis=1)
        except (TypeError, ValueError):
            covariates = np.full(len(np.asarray(X)), np.nan)
        if not np.isfinite(covariates).all():
            covariates = np.arange(len(covariates))
        return super().fit(X, y, sample_weight, covariates=covariates)


REWARD_MODELS = [
    BradleyTerryRegressor(),
    BradleyTerryRegressor(alpha=0.1, covariance="cluster"),
    BradleyTerryRegressorCV(),
    BradleyTerryMLPRegressor(hidden_layer_sizes=(16,)),
    PairwiseClassifierReward(),
    PairwiseClassifierReward(LogisticRegression()),
    PairwiseClassifierReward(RewardMLPClassifier((16,), random_state=0)),
    LengthControlled(BradleyTerryRegressor()),
    LengthControlled(PairwiseClassifierReward(), control="nuisance"),
    CalibratedReward(BradleyTerryRegressor()),
    CalibratedReward(PairwiseClassifierReward(), method="isotonic"),
]
MINI_BATCHES = (
    "a weight scales a pair's step where a repetition takes several, in other batches"
)


def expected_failures(estimator):
    inner = getattr(estimator, "estimator", estimator)
    if isinstance(inner, BradleyTerryMLPRegressor | RewardMLPClassifier):
        return {
            "check_sample_weight_equivalence_on_dense_data": MINI_BATCHES,
            "check_sample_weight_equivalence_on_sparse_data": MINI_BATCHES,
        }
    return {}


ESTIMATORS = [
    *REWARD_MODELS,
    RewardMLPClassifier((16,), learning_rate_init=1e-2),
    ItemwiseTransformer(StandardScaler()),
]


@pytest.mark.filterwarnings(
    "ignore:early_stopping found",
    "ignore:Adam stopped",
    "ignore:Margins out of fold",
    "ignore:Ratings are compared across prompts",
    "ignore:.*pairs cannot tell",
)
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_common(estimator, check):
    run_common_check(estimator, check)


@pytest.mark.parametrize("estimator", REWARD_MODELS, ids=repr)
def test_all_common_checks_are_run(estimator):
    assert_many_common_checks(estimator)
