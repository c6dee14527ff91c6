"""
A search over penalties
=======================

How much to shrink depends on the number of pairs, the noise of the labels and the
scale of the items, none of which a default can know. A path of penalties costs little
more than one fit, and `BradleyTerryRegressorCV` walks it on every fold.
"""

# %%
# Many features, few pairs: the penalty matters.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryRegressor, BradleyTerryRegressorCV
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score, preference_log_loss
from skreward.model_selection import train_test_split_pairs

data = make_preferences(150, 8, 128, n_pairs=1500, beta=2.0, random_state=0)
train, test, y_train, y_test = train_test_split_pairs(
    data.pairs, data.y, test_size=0.3, random_state=0
)
first, second = data.rewards[test.index].T
alphas = np.logspace(-4, 2, 25)
path = BradleyTerryRegressor().fit_path(train, y_train, alphas=alphas)
margins = [model.predict(test) for model in path]
order = [order_consistency_score(first > second, margin) for margin in margins]
loss = [preference_log_loss(y_test, margin) for margin in margins]
chosen = BradleyTerryRegressorCV(alphas=alphas).fit(train, y_train).alpha_
print(f"chosen on folds of the training prompts: alpha = {chosen:.3g}")
print(f"best for the order of unseen prompts: alpha = {alphas[np.argmax(order)]:.3g}")

figure, axes = plt.subplots(2, sharex=True, figsize=(6.4, 5), layout="constrained")
axes[0].semilogx(alphas, order, ".-")
axes[0].set_ylabel("Order consistency\nwith the truth")
axes[1].semilogx(alphas, loss, ".-")
axes[1].axhline(np.log(2), color="0.4", linestyle=":", label="a coin")
axes[1].set(xlabel="alpha", ylabel="Log-loss of the labels\n(nats)")
for ax in axes:
    ax.axvline(chosen, color="C1", label="chosen by cross-validation")
axes[1].legend(loc="lower left")
figure.suptitle("A path of 25 penalties on unseen prompts")
plt.show()

# %%
# Both scores are of prompts that were not trained on. The log-loss has its own
# minimum: a stronger penalty makes margins small, which the loss minds and the order
# does not. What `BradleyTerryRegressorCV` compares is the log-loss after margins are
# brought to the one scale that suits them best, so it follows the order.
