"""
Calibration of preference probabilities
=======================================

A likelihood alone does not make probabilities true. A strong penalty leaves margins
too small; a margin of a classifier's reward is no log-odds at all.
"""

# %%
# `CalibratedReward` learns the map from margins to probabilities on pairs that the
# model of their fold was not trained on. All curves are of unseen prompts.

import matplotlib.pyplot as plt
from scipy.special import expit

from skreward import BradleyTerryRegressor, CalibratedReward, PairwiseClassifierReward
from skreward.datasets import make_preferences
from skreward.metrics import expected_calibration_error
from skreward.model_selection import train_test_split_pairs
from skreward.plotting import CalibrationDisplay

data = make_preferences(300, 10, 16, n_pairs=12000, beta=2.0, random_state=0)
train, test, y_train, y_test = train_test_split_pairs(
    data.pairs, data.y, test_size=0.4, random_state=0
)
rewards = {
    "linear, alpha = 1": BradleyTerryRegressor(alpha=1.0),
    "classifier": PairwiseClassifierReward(),
}
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(8, 4), layout="constrained")
for ax, (name, reward) in zip(axes, rewards.items(), strict=True):
    margin = reward.fit(train, y_train).predict(test)
    proba = {"margin read as log-odds": expit(margin)}
    for method in ("temperature", "isotonic"):
        model = CalibratedReward(reward, method=method).fit(train, y_train)
        proba[method] = model.predict_preference_proba(test)
    for label, values in proba.items():
        error = expected_calibration_error(y_test, values)
        CalibrationDisplay.from_predictions(
            y_test, values, name=f"{label}: error {error:.3f}", ax=ax
        )
    ax.set(title=name, xlabel="Predicted probability")
    ax.legend(fontsize="x-small", loc="lower right")
axes[0].set_ylabel("How often the item is preferred")
axes[1].set_ylabel("")
figure.suptitle("Calibration on unseen prompts, before and after")
plt.show()

# %%
# The linear reward's margins are too small: where it says .6 the item is preferred
# more often. One number, the temperature, mends it. Which of two items comes first
# does not matter, so every curve goes through the middle.
