"""
Ties
====

Where annotators may say "equal", a label of one half has to mean something. Half a
preference each way is the plain choice, and draws margins together.
"""

# %%
# An annotator calls a tie whatever is within a threshold, which is Rao and Kupper's
# law. The wider the threshold, the more ties. The true size of the margins is known.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryRegressor
from skreward.annotation import annotate
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score

data = make_preferences(300, 8, 8, n_pairs=6000, random_state=0)
first, second = data.rewards[data.pairs.index].T
thresholds = [0.0, 0.25, 0.5, 1.0, 1.5]
laws = ("half", "davidson", "rao-kupper")
shares, sizes, orders = [], {law: [] for law in laws}, {law: [] for law in laws}
for threshold in thresholds:
    y = annotate(
        data.rewards,
        data.pairs.index,
        beta=1.5,
        scale=1.0,
        tie_threshold=threshold,
        random_state=0,
    )
    shares.append(np.mean(y == 0.5))
    for law in laws:
        model = BradleyTerryRegressor(ties=law, alpha=1e-4).fit(data.pairs, y)
        sizes[law].append(model.coef_ @ data.coef / 1.5)
        margin = model.predict(data.pairs)
        orders[law].append(order_consistency_score(first > second, margin))

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for law in laws:
    axes[0].plot(shares, sizes[law], "o-", label=f'ties="{law}"')
    axes[1].plot(shares, orders[law], "o-")
    print(f"{law}: size {np.round(sizes[law], 2)}, order {np.round(orders[law], 3)}")
axes[0].axhline(1, color="0.4", linestyle=":", label="right size")
axes[0].set(xlabel="Share of ties", ylabel="Size of the reward over the true one")
axes[1].set(xlabel="Share of ties", ylabel="Order consistency with the truth")
axes[1].set_ylim(0.9, 1)
axes[0].legend()
figure.suptitle("What a law of ties mends: the size of margins, not their order")
plt.show()

# %%
# Rao and Kupper's model is the right one here and keeps the size; halves fall behind
# as ties become many; Davidson's, which has ties where rewards are near in
# proportion, overshoots. So the size is as right as the law is. The order is the same
# for all.
