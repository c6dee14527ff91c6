"""What needs no torch, run by tests/test_imports.py where importing it fails."""

import os
import tempfile
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from skreward import annotation, datasets, metrics, model_selection

warnings.simplefilter("error")
data = datasets.make_preferences(
    n_prompts=30, n_responses=6, n_features=4, n_pairs=300, random_state=0
)
train, test, y_train, y_test = model_selection.train_test_split_pairs(
    data.pairs, data.y, test_size=0.3, random_state=0
)
models = [
    skreward.BradleyTerryRegressor(),
    skreward.BradleyTerryRegressor(link="probit"),
    skreward.PairwiseClassifierReward(LogisticRegression()),
    skreward.RewardEnsemble(n_estimators=2, random_state=0),
    make_pipeline(
        skreward.ItemwiseTransformer(StandardScaler()),
        skreward.ItemwiseTransformer(PCA(4)),
        skreward.BradleyTerryRegressor(),
    ),
]
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.skops")
    for model in models:
        model.fit(train, y_train)
        assert model.score(test, y_test) > 0.6, model
        skreward.save(model, path)
        loaded = skreward.load(path)
        assert (loaded.predict(test) == model.predict(test)).all(), model

path = skreward.BradleyTerryRegressor().fit_path(train, y_train, alphas=[1e-3, 1e-1])
assert len(path) == 2
folds = model_selection.PromptDisjointKFold(3, random_state=0)
search = GridSearchCV(models[0], {"alpha": [1e-3, 1e-1]}, cv=folds)
assert search.fit(train, y_train).best_score_ > 0.6
for scorer in (
    metrics.order_consistency_scorer,
    metrics.neg_preference_log_loss_scorer,
    metrics.neg_expected_calibration_error_scorer,
):
    scores = cross_val_score(models[0], data.pairs, data.y, cv=folds, scoring=scorer)
    assert np.isfinite(scores).all(), scorer

reward = models[0].predict(data.embeddings)
prompts = data.pairs.prompt_ids
assert metrics.best_of_n_score(data.rewards, reward, prompts, n=3) > 0
assert metrics.prompt_rank_correlation(data.rewards, reward, prompts) > 0.5
index = annotation.sample_pairs(prompts, 100, random_state=0)
y = annotation.annotate(data.rewards, index, beta=2.0, random_state=0)
assert annotation.annotation_error_rate(data.rewards, index, y) < 0.5
assert len(datasets.make_text_preferences(n_pairs=20, random_state=0).y) == 20
assert skreward.EmbeddingPairs.from_dense(test.to_dense()).shape[1:] == (2, 4)
print("done")
