"""The reward models of the study, by name and training recipe.

This package's training is its default, with the paper's network; the classifiers are
scikit-learn's and LightGBM's. scikit-learn's network stops early on rows held out at
random, so responses of its training prompts.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from benchmarks.study.paper_recipe import PaperRewardModel
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    PairwiseClassifierReward,
)

HIDDEN = (1024, 512)


def make_model(setting):
    """Build the unfitted model of a setting."""
    objective = setting.model.partition("-")[0]
    if setting.recipe != "package":
        return PaperRewardModel(
            objective, setting.recipe.removeprefix("paper-"), setting.seed
        )
    if setting.model == "bt-mlp":
        return BradleyTerryMLPRegressor(HIDDEN, device="cpu", random_state=setting.seed)
    if setting.model == "bt-linear":
        return BradleyTerryRegressor(random_state=setting.seed)
    return PairwiseClassifierReward(_classifier(setting))


def _classifier(setting):
    if setting.model == "clf-mlp":
        return MLPClassifier(
            HIDDEN,
            early_stopping=True,
            n_iter_no_change=5,
            random_state=setting.seed,
        )
    if setting.model == "clf-lgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(
            n_jobs=1, verbose=-1, deterministic=True, random_state=setting.seed
        )
    return LogisticRegression(C=0.1, max_iter=1000)
