"""Every bad input is refused before any work, in words that help."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    CalibratedReward,
    ControlledReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
)
from skreward.metrics import (
    expected_calibration_error,
    neg_preference_log_loss_scorer,
    order_consistency_score,
    order_consistency_scorer,
    preference_log_loss,
)
from skreward.model_selection import PromptDisjointKFold, train_test_split_pairs

rng = np.random.default_rng(0)
E = rng.normal(size=(6, 3))
INDEX = np.array([[0, 1], [2, 3], [4, 5], [1, 2]])
PAIRS = EmbeddingPairs(E, INDEX)
DENSE = PAIRS.to_dense()
Y = np.array([1, 0, 1, 0])
Y_ITEMS = np.arange(6)
FITTED = BradleyTerryRegressor().fit(PAIRS, Y)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    WITH_STD = BradleyTerryRegressor(covariance="laplace").fit(PAIRS, Y)
BT, MLP = BradleyTerryRegressor, BradleyTerryMLPRegressor
CLF = PairwiseClassifierReward


def with_value(array, value):
    array = np.array(array, dtype=float)
    array.flat[2] = value
    return array


def bt(**params):
    return lambda: BT(**params).fit(PAIRS, Y)


def mlp(sizes=(4,), **params):
    return lambda: MLP(sizes, **params).fit(PAIRS, Y)


def fit(X, y=None, weight=None, model=BT):
    return lambda: model().fit(X, y, weight)


def calibrated(X=PAIRS, y=Y, weight=None, estimator=None, **params):
    reward = BT() if estimator is None else estimator
    return lambda: CalibratedReward(reward, **{"cv": 2, **params}).fit(X, y, weight)


def chosen(X=PAIRS, y=Y, **params):
    return lambda: BradleyTerryRegressorCV(**{"cv": 2, **params}).fit(X, y)


def controlled(covariates=E[:, 0], X=PAIRS, y=Y, estimator=None, **params):
    reward = BT() if estimator is None else estimator
    return lambda: ControlledReward(reward, **params).fit(X, y, covariates=covariates)


def kfold(*args, groups=None, X=PAIRS, **params):
    return lambda: list(PromptDisjointKFold(*args, **params).split(X, groups=groups))


TABLE = {
    # X: shapes
    "X scalar": (fit(3.0, Y), ValueError, "2D array"),
    "X 1-D": (fit(E[0], Y[:3]), ValueError, "2D array"),
    "X triples": (fit(np.ones((4, 3, 2)), Y), ValueError, r"\(4, 3, 2\).*predict_re"),
    "X 4-D": (fit(np.ones((4, 2, 3, 2)), Y), ValueError, r"\(4, 2, 3, 2\)"),
    "X no pairs": (fit(np.ones((0, 2, 3)), []), ValueError, "0 pairs"),
    "X empty container": (fit(PAIRS[:0], []), ValueError, "0 pairs"),
    "X no features": (fit(np.ones((4, 2, 0)), Y), ValueError, "0 feature"),
    "X no items": (fit(np.ones((0, 3)), []), ValueError, "0 sample"),
    "X one item": (fit(E[:1], [1.0]), ValueError, "minimum of 2"),
    "X ragged": (fit([[[1.0, 2.0], [1.0]]], [1]), ValueError, "inhomogeneous"),
    # X: values
    "X NaN": (fit(with_value(DENSE, np.nan), Y), ValueError, "NaN"),
    "X inf": (fit(with_value(DENSE, np.inf), Y), ValueError, "infinity"),
    "X NaN in a container": (
        fit(EmbeddingPairs(with_value(E, np.nan), INDEX), Y), ValueError, "NaN",
    ),
    "X NaN in float16": (
        fit(with_value(DENSE, np.nan).astype(np.float16), Y), ValueError, "NaN",
    ),
    "X NaN in sparse": (
        fit(EmbeddingPairs(sp.csr_array(with_value(E, np.nan)), INDEX), Y),
        ValueError, "NaN",
    ),
    "X texts": (
        fit([{"prompt": "p", "chosen": "a", "rejected": "b"}]), ValueError,
        r"X holds texts, and BradleyTerryRegressor wants .*LLMEmbeddingTransformer\(\)",
    ),
    "X lone texts": (fit(["a", "b"], [0, 1]), ValueError, "X holds texts"),
    "X texts of a classifier": (
        fit(["a", "b"], [0, 1], model=CLF), ValueError, "texts, and PairwiseClass",
    ),
    "rewards of texts": (
        lambda: FITTED.predict_reward(["a", "b"]), ValueError, "X holds texts",
    ),
    "X embeddings and index": (
        fit((E, INDEX), Y), ValueError,
        r"tuple of arrays of shapes \(6, 3\) and \(4, 2\).*EmbeddingPairs\(embedd",
    ),
    "X misnamed columns": (
        fit([{"prompt": "p", "good": "a", "bad": "b"}]), ValueError,
        "wanted .*chosen, rejected; got bad, good, prompt",
    ),
    "folds of misnamed columns": (
        kfold(2, X=[{"prompt": "p", "good": "a", "bad": "b"}] * 4), ValueError,
        "wanted .*chosen, rejected; got bad, good, prompt",
    ),
    "folds of items": (
        kfold(2, X=[{"prompt": "p", "response": "a"}] * 4), ValueError,
        "table of items: prompt, response; wanted pairs",
    ),
    "X strings": (fit(DENSE.astype(str).astype(object) + "a", Y), ValueError, "real|convert"),
    "X complex": (fit(DENSE * 1j, Y), ValueError, "real numbers"),
    "X NaN at predict": (lambda: FITTED.predict(with_value(E, np.nan)), ValueError, "NaN"),
    # y of pairs
    "y short": (fit(PAIRS, Y[:3]), ValueError, "3 labels for 4 pairs"),
    "y 2-D": (fit(PAIRS, np.ones((4, 2))), ValueError, "1d array"),
    "y NaN": (fit(PAIRS, with_value(Y, np.nan)), ValueError, "y contains NaN"),
    "y inf": (fit(PAIRS, with_value(Y, np.inf)), ValueError, "y contains infinity"),
    "y 2": (fit(PAIRS, [1, 0, 2, 0]), ValueError, "got 2 at pair 2"),
    "y signed and 0": (fit(PAIRS, [1, -1, 0, 1]), ValueError, "0 at pair 2"),
    "y signed fraction": (fit(PAIRS, [1, -1, -0.5, 1]), ValueError, "-0.5 at pair 2"),
    "y words": (fit(PAIRS, list("abab")), ValueError, "y must hold numbers"),
    "y digits as words": (fit(PAIRS, list("1010")), ValueError, "y must hold numbers"),
    "y objects": (fit(PAIRS, [1, 0, None, 1]), ValueError, "y must hold numbers"),
    "y of the classifier": (
        fit(PAIRS, [1, 0, 2, 0], model=CLF), ValueError, "got 2 at pair 2",
    ),
    # y of items
    "ratings missing": (fit(E), ValueError, "requires y to be passed"),
    "ratings all the same": (fit(E, np.ones(6)), ValueError, "every item the same"),
    "ratings all the same, classifier": (
        fit(E, np.ones(6), model=CLF), ValueError, "every item the same",
    ),
    "ratings short": (fit(E, np.arange(5)), ValueError, "5 ratings for 6 items"),
    "ratings NaN": (fit(E, with_value(np.arange(6), np.nan)), ValueError, "NaN"),
    "ratings as words": (fit(E, list("abcdef")), ValueError, "must hold numbers"),
    # sample_weight
    "weight short": (fit(PAIRS, Y, [1, 1, 1]), ValueError, r"\(3,\).*\(4,\)"),
    "weight NaN": (fit(PAIRS, Y, [1, np.nan, 1, 1]), ValueError, "NaN"),
    "weight inf": (fit(PAIRS, Y, [1, np.inf, 1, 1]), ValueError, "infinity"),
    "weight negative": (fit(PAIRS, Y, [1, -1, 1, 1]), ValueError, "[Nn]egative"),
    "weight zero": (fit(PAIRS, Y, np.zeros(4)), ValueError, "zero"),
    "weight 2-D": (fit(PAIRS, Y, np.ones((4, 1))), ValueError, "1D"),
    "weight per item": (fit(PAIRS, Y, np.ones(6)), ValueError, r"\(6,\).*\(4,\)"),
    # parameters of BradleyTerryRegressor
    "alpha negative": (bt(alpha=-1), ValueError, "alpha.*-1"),
    "alpha word": (bt(alpha="1"), ValueError, "alpha"),
    "link": (bt(link="cauchit"), ValueError, "link.*cauchit"),
    "max_iter": (bt(max_iter=0), ValueError, "max_iter"),
    "tol": (bt(tol=-1e-3), ValueError, "tol"),
    "max_pairs": (bt(max_pairs=0), ValueError, "max_pairs"),
    "random_state": (bt(random_state="seed"), ValueError, "random_state"),
    "device unknown": (bt(device="tpu"), ValueError, 'device.*"cuda:N".*tpu'),
    "device absent": (bt(device="cuda:99"), ValueError, "cuda:99.*not there"),
    "sparse on cuda": (
        lambda: BT(device="cuda").fit(EmbeddingPairs(sp.csr_array(E), INDEX), Y),
        ValueError, "dense embeddings",
    ),
    "parameter of the network": (
        lambda: BT(hidden_layer_sizes=(4,)), TypeError, "hidden_layer_sizes",
    ),
    # parameters of BradleyTerryMLPRegressor
    "alpha negative, network": (mlp(alpha=-1), ValueError, "alpha.*-1"),
    "link, network": (mlp(link="cauchit"), ValueError, "link.*cauchit"),
    "activation": (mlp(activation="gelu"), ValueError, "activation"),
    "layers word": (mlp("wide"), ValueError, "hidden_layer_sizes"),
    "layers zero": (mlp((4, 0)), ValueError, r"positive.*\(4, 0\)"),
    "layers float": (mlp((4.0,)), ValueError, "positive ints"),
    "batch_size": (mlp(batch_size=0), ValueError, "batch_size"),
    "learning_rate_init": (mlp(learning_rate_init=0.0), ValueError, "learning_rate"),
    "max_iter, network": (mlp(max_iter=0), ValueError, "max_iter"),
    "tol, network": (mlp(tol=-1e-3), ValueError, "tol"),
    "validation_fraction": (mlp(validation_fraction=1.0), ValueError, "validation_f"),
    "n_iter_no_change": (mlp(n_iter_no_change=0), ValueError, "n_iter_no_change"),
    "dropout": (mlp(dropout=1.0), ValueError, "dropout"),
    "precision": (mlp(precision="half"), ValueError, "precision"),
    "max_pairs, network": (mlp(max_pairs=0), ValueError, "max_pairs"),
    "random_state, network": (mlp(random_state="seed"), ValueError, "random_state"),
    "device unknown, network": (mlp(device="gpu"), ValueError, "device.*gpu"),
    "device absent, network": (mlp(device="cuda:99"), ValueError, "cuda:99.*not there"),
    "warm start of other layers": (
        lambda: MLP((4,), warm_start=True, max_iter=1).fit(PAIRS, Y)
        .set_params(hidden_layer_sizes=(5,)).fit(PAIRS, Y),
        ValueError, r"hidden_layer_sizes=\(5,\)",
    ),
    # parameters of PairwiseClassifierReward
    "regressor as classifier": (
        lambda: CLF(Ridge()).fit(PAIRS, Y), TypeError, "binary classifier.*Ridge",
    ),
    "clusterer as classifier": (
        lambda: CLF(KMeans()).fit(PAIRS, Y), TypeError, "binary classifier.*KMeans",
    ),
    "class as classifier": (
        lambda: CLF(LogisticRegression).fit(PAIRS, Y), (TypeError, ValueError), "estimator|class",
    ),
    "no estimator at all": (lambda: CLF(5).fit(PAIRS, Y), ValueError, "estimator.*5"),
    "soft labels without weights": (
        lambda: CLF(KNeighborsClassifier(1)).fit(PAIRS, [0.3, 1, 0, 1]),
        ValueError, "KNeighborsClassifier.*no sample_weight.*hard",
    ),
    "fractions without weights": (
        lambda: CLF(KNeighborsClassifier(1)).fit(PAIRS, Y, [0.5, 1, 1, 1]),
        ValueError, "KNeighborsClassifier.*whole",
    ),
    # standard errors
    "covariance": (bt(covariance="robust"), ValueError, "covariance.*robust"),
    "covariance with a law of ties": (
        bt(covariance="laplace", ties="davidson"), ValueError, "ties='half'.*davidson",
    ),
    "clusters of one prompt": (
        lambda: BT(covariance="cluster").fit(EmbeddingPairs(E, INDEX, [0] * 6), Y),
        ValueError, "at least two prompts.*laplace",
    ),
    "std without covariance": (
        lambda: FITTED.predict(PAIRS, return_std=True), ValueError, "return_std.*cluster",
    ),
    "intervals without covariance": (
        lambda: FITTED.coef_intervals(), ValueError, "coef_intervals.*cluster",
    ),
    "std of another width": (
        lambda: WITH_STD.predict(np.ones((2, 2, 4)), return_std=True),
        ValueError, "4 features.*3",
    ),
    "names of other features": (
        lambda: WITH_STD.coef_intervals(["a", "b"]), ValueError, r"3 names.*\(2,\)",
    ),
    "confidence level": (
        lambda: WITH_STD.coef_intervals(confidence_level=95), ValueError,
        "confidence_level.*95",
    ),
    # ControlledReward
    "no covariates": (controlled(None), ValueError, "covariates are needed.*length"),
    "covariates short": (controlled([1, 2, 3]), ValueError, r"\(6,\), .*got \(3,\)"),
    "covariates of pairs": (controlled(np.ones((4, 2))), ValueError, r"got \(4, 2\)"),
    "covariates of other pairs": (
        controlled(np.ones((3, 2, 1))), ValueError, r"\(4, 2\) .*got \(3, 2, 1\)",
    ),
    "covariates of items for dense pairs": (
        controlled(E[:, 0], X=DENSE), ValueError, r"\(4, 2\) or .*got \(6,\)",
    ),
    "covariates of other items": (
        controlled([1, 2], X=E, y=Y_ITEMS), ValueError, r"\(6,\) or .*got \(2,\)",
    ),
    "covariates NaN": (
        controlled(with_value(E[:, 0], np.nan)), ValueError, "covariates must be finite",
    ),
    "covariates as words": (controlled(list("abcdef")), ValueError, "must be numbers"),
    "covariates ragged": (controlled([[1, 2], [1]] * 3), ValueError, "inhomogeneous"),
    "covariates without columns": (controlled(np.ones((6, 0))), ValueError, r"\(6, 0\)"),
    "covariates that are all the same": (
        controlled(np.column_stack([E[:, 0], np.ones(6)])), ValueError,
        "covariate 1 is the same",
    ),
    "control": (controlled(control="partial"), ValueError, "control.*partial"),
    "classifier to control": (
        controlled(estimator=LogisticRegression()), ValueError, "estimator.*Logistic",
    ),
    "pipeline without a reward to control": (
        controlled(estimator=make_pipeline(StandardScaler(), LogisticRegression())),
        TypeError, "ends in one.*LogisticRegression",
    ),
    "unfitted control": (
        lambda: ControlledReward(BT()).predict(PAIRS), NotFittedError, "not fitted",
    ),
    # BradleyTerryRegressorCV
    "alphas negative": (chosen(alphas=[1.0, -1.0]), ValueError, r"alphas.*\[1.0, -1.0\]"),
    "no alphas": (chosen(alphas=[]), ValueError, "alphas"),
    "alphas as words": (chosen(alphas=["a"]), ValueError, "alphas must hold numbers"),
    "alphas zero": (chosen(alphas=0), ValueError, "alphas.*0"),
    "scoring by a word": (chosen(scoring="r2"), ValueError, "scoring.*r2"),
    "scores that are none": (
        chosen(scoring=lambda model, X, y: np.inf), ValueError, "finite.*inf",
    ),
    "one fold to choose": (chosen(cv=1), ValueError, "cv.*1"),
    "more folds than prompts to choose": (
        chosen(X=EmbeddingPairs(E, INDEX, [0] * 6)), ValueError, "cv=2 is more than",
    ),
    "y of a choice": (chosen(y=[1, 0, 2, 0]), ValueError, "got 2 at pair 2"),
    "ratings missing for a choice": (chosen(X=E, y=None), ValueError, "requires y"),
    "fewer items than alphas' folds": (
        chosen(X=E, y=Y_ITEMS, cv=7), ValueError, "cv=7.*6",
    ),
    # CalibratedReward
    "method of calibration": (calibrated(method="sigmoid"), ValueError, "method.*sigmoid"),
    "one fold to calibrate": (calibrated(cv=1), ValueError, "cv.*1"),
    "folds by a word": (calibrated(cv="prompts"), ValueError, "cv.*prompts"),
    "no reward to calibrate": (calibrated(estimator=5), ValueError, "estimator.*5"),
    "transformer to calibrate": (
        calibrated(estimator=StandardScaler()), ValueError, "estimator.*StandardScaler",
    ),
    "y of calibration": (calibrated(y=[1, 0, 2, 0]), ValueError, "got 2 at pair 2"),
    "y short of calibration": (calibrated(y=Y[:3]), ValueError, "inconsistent"),
    "weights of calibration": (
        calibrated(weight=[1, -1, 1, 1]), ValueError, "[Nn]egative",
    ),
    "no ratings to calibrate": (calibrated(X=E, y=None), ValueError, "requires y"),
    "more folds than prompts to calibrate": (
        calibrated(X=EmbeddingPairs(E, INDEX, [0, 0, 0, 0, 0, 0])), ValueError,
        "cv=2 is more than the 1 prompts",
    ),
    "fewer items than folds": (calibrated(X=E, y=Y_ITEMS, cv=7), ValueError, "cv=7.*6"),
    "nothing to calibrate": (
        calibrated(X=PAIRS[:0], y=[]), ValueError, "0 pairs|0 sample",
    ),
    "no fold to calibrate on": (
        calibrated(X=E[:4], y=[1, 2, 1, 2], cv=[([0, 1], [0, 2])]), ValueError, "No fold has two samples",
    ),
    "unfitted calibration": (
        lambda: CalibratedReward(BT()).predict(PAIRS), NotFittedError, "not fitted",
    ),
    "calibrated proba of items": (
        lambda: CalibratedReward(BT(), cv=[(range(4), range(4))]).fit(PAIRS, Y)
        .predict_preference_proba(E), ValueError, "needs pairs.*6, 3",
    ),
    # ItemwiseTransformer
    "no transformer": (
        lambda: ItemwiseTransformer(LogisticRegression()).fit(PAIRS), ValueError,
        "transformer.*LogisticRegression",
    ),
    "itemwise triples": (
        lambda: ItemwiseTransformer(StandardScaler()).fit(np.ones((4, 3, 2))),
        ValueError, r"\(4, 3, 2\)",
    ),
    "itemwise other width": (
        lambda: ItemwiseTransformer(StandardScaler()).fit(PAIRS)
        .transform(np.ones((2, 2, 4))),
        ValueError, "4 features",
    ),
    # use
    "unfitted predict": (lambda: BT().predict(PAIRS), NotFittedError, "not fitted"),
    "unfitted reward": (lambda: CLF().predict_reward(E), NotFittedError, "not fitted"),
    "unfitted proba": (
        lambda: BT().predict_preference_proba(PAIRS), NotFittedError, "not fitted",
    ),
    "unfitted transform": (
        lambda: ItemwiseTransformer(StandardScaler()).transform(PAIRS),
        NotFittedError, "not fitted",
    ),
    "other width": (lambda: FITTED.predict(np.ones((2, 4))), ValueError, "4 features.*3"),
    "other width of pairs": (
        lambda: FITTED.predict(np.ones((2, 2, 4))), ValueError, "4 features.*3",
    ),
    "candidates at predict": (
        lambda: FITTED.predict(np.ones((2, 5, 3))), ValueError, "predict_reward",
    ),
    "candidates of other width": (
        lambda: FITTED.predict_reward(np.ones((2, 5, 4))), ValueError, "4 features.*3",
    ),
    "reward of a scalar": (lambda: FITTED.predict_reward(1.0), ValueError, "scalar"),
    "proba of items": (
        lambda: FITTED.predict_preference_proba(E), ValueError, "needs pairs.*6, 3",
    ),
    "container as array": (lambda: np.asarray(PAIRS), TypeError, "to_dense"),
    "container to a scaler": (
        lambda: StandardScaler().fit(PAIRS), TypeError, "ItemwiseTransformer",
    ),
    # splits
    "folds without prompt ids": (kfold(2), ValueError, "groups.*prompt_ids"),
    "folds of dense pairs": (kfold(2, X=DENSE), ValueError, "groups.*prompt_ids"),
    "folds by cross_val_score": (
        lambda: cross_val_score(BT(), DENSE, Y, cv=PromptDisjointKFold(2)),
        ValueError, "groups",
    ),
    "groups short": (kfold(2, groups=[0, 1]), ValueError, r"\(4,\) or \(4, 2\).*\(2,\)"),
    "one fold": (kfold(1, groups=[0, 1, 2, 3]), ValueError, "at least 2, got 1"),
    "more folds than prompts": (
        kfold(5, groups=[0, 1, 2, 3]), ValueError, "5 is more than the 4 prompts",
    ),
    "seed without shuffle": (
        kfold(2, groups=[0, 1, 2, 3], shuffle=False, random_state=1),
        ValueError, "random_state=1",
    ),
    "test_size": (
        lambda: train_test_split_pairs(PAIRS, Y, test_size=2.0), ValueError, "test_size",
    ),
    "split without prompt ids": (
        lambda: train_test_split_pairs(PAIRS, Y), ValueError, "prompt_ids",
    ),
    "split of other lengths": (
        lambda: train_test_split_pairs(PAIRS, Y[:3], groups=[0, 0, 1, 1]),
        ValueError, "inconsistent numbers of samples",
    ),
    "split of one prompt": (
        lambda: train_test_split_pairs(PAIRS, Y, groups=[0, 0, 0, 0]),
        ValueError, "1 prompts leaves",
    ),
    # metrics
    "margins short": (
        lambda: order_consistency_score(Y, [1.0]), ValueError, "4 labels for 1 pairs",
    ),
    "margins empty": (
        lambda: order_consistency_score([], []), ValueError, "y_pred is empty",
    ),
    "probabilities empty": (
        lambda: expected_calibration_error([], []), ValueError, "y_proba is empty",
    ),
    "margins of no weight": (
        lambda: order_consistency_score(Y, Y, sample_weight=[0] * 4),
        ValueError, "zero",
    ),
    "margins NaN": (
        lambda: order_consistency_score(Y, with_value(Y, np.nan)), ValueError, "y_pred",
    ),
    "loss of an unknown link": (
        lambda: preference_log_loss(Y, Y, link="cauchit"), ValueError, "cauchit",
    ),
    "margins as probabilities": (
        lambda: expected_calibration_error(Y, [3.0, 0, 0, 0]), ValueError, "margins",
    ),
    "no bins": (
        lambda: expected_calibration_error(Y, [0.5] * 4, n_bins=0), ValueError, "n_bins",
    ),
    "items without ratings": (
        lambda: order_consistency_scorer(FITTED, E), ValueError, "rating",
    ),
    "log loss of items": (
        lambda: neg_preference_log_loss_scorer(FITTED, E, np.arange(6)),
        ValueError, "scores pairs",
    ),
}  # fmt: skip


def test_the_table_is_long_enough():
    assert len(TABLE) >= 50


@pytest.mark.filterwarnings(
    "ignore:early_stopping found", "ignore:Adam stopped", "ignore:Margins"
)
@pytest.mark.parametrize("name", TABLE)
def test_bad_input(name):
    call, error, words = TABLE[name]
    with pytest.raises(error, match=f"(?s){words}"):
        call()


def test_a_classifier_without_weights_is_no_bad_input():
    for classifier in (KNeighborsClassifier(2), LinearSVC()):
        model = CLF(classifier).fit(PAIRS, Y, [1, 2, 1, 0])
        assert np.isfinite(model.predict(E)).all()
