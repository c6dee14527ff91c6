"""
Thurstone against Bradley-Terry
===============================

The two models differ in the law of the annotator's noise: logistic or normal. How
much does it matter which one is fitted?
"""

# %%
# Each law makes the labels, and each is fitted to both.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit, ndtr

from skreward import BradleyTerryRegressor
from skreward.annotation import annotate
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score, preference_log_loss
from skreward.model_selection import train_test_split_pairs

data = make_preferences(400, 8, 8, n_pairs=12000, random_state=0)
links = {"logistic": expit, "probit": ndtr}
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(8, 3.8), layout="constrained")
for ax, truth in zip(axes, links, strict=True):
    beta = 2.0 if truth == "logistic" else 2.0 / 1.7
    y = annotate(
        data.rewards, data.pairs.index, beta=beta, link=truth, scale=1.0, random_state=0
    )
    train, test, y_train, y_test = train_test_split_pairs(data.pairs, y, random_state=0)
    first, second = data.rewards[test.index].T
    difference = first - second
    by_size = np.argsort(difference)
    ax.plot(
        difference[by_size],
        links[truth](beta * difference[by_size]),
        color="0.5",
        linewidth=5,
        alpha=0.4,
        label="true",
    )
    for link in links:
        model = BradleyTerryRegressor(link, alpha=1e-4).fit(train, y_train)
        margin = model.predict(test)
        order = order_consistency_score(difference > 0, margin)
        loss = preference_log_loss(y_test, margin, link=link)
        print(f"{truth} labels, {link} fitted: order {order:.4f}, log-loss {loss:.4f}")
        slope = margin @ difference / (difference @ difference)
        ax.plot(
            difference[by_size],
            links[link](slope * difference[by_size]),
            label=f'link="{link}"',
        )
    ax.set(title=f"{truth} noise", xlabel="Difference of the true rewards")
axes[0].set_ylabel("P(first preferred)")
axes[0].legend()
figure.suptitle("The law of the noise hardly shows")
plt.show()

# %%
# The curves lie on each other, orders agree to about .001, and the log-loss tells the
# laws apart by .002 at most. What differs is the unit: log-odds, or standard
# deviations of the noise. Take the link that suits what is done with the margins.
