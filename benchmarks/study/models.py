"""The reward models of the study, by name and training recipe."""

from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from benchmarks.study.paper_recipe import PaperRewardModel
from skreward import BradleyTerryRegressor, PairwiseClassifierReward

HIDDEN = (1024, 512)


def make_model(setting):
    """Build the unfitted model of a setting."""
    objective = setting.model.partition("-")[0]
    if setting.recipe != "package":
        return PaperRewardModel(
            objective, setting.recipe.removeprefix("paper-"), setting.seed
        )
    if setting.model == "bt-mlp":
        return BradleyTerryRegressor(HIDDEN, device="cpu", random_state=setting.seed)
    if setting.model == "bt-linear":
        return BradleyTerryRegressor(random_state=setting.seed)
    classifier = {
        "clf-mlp": MLPClassifier(
            HIDDEN, early_stopping=True, random_state=setting.seed
        ),
        "clf-lgbm": LGBMClassifier(
            n_jobs=1, verbose=-1, deterministic=True, random_state=setting.seed
        ),
        "clf-linear": LogisticRegression(C=0.1, max_iter=1000),
    }[setting.model]
    return PairwiseClassifierReward(classifier)
