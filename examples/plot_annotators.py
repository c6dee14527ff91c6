"""
Annotators who differ
=====================

Some annotators err more than others, and some toss a coin. Fitted beside the reward,
a reliability for each says who, and the reward listens less to them.
"""

# %%
# Twenty annotators; half of them toss a coin.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryRegressor
from skreward.annotation import annotate
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score
from skreward.model_selection import train_test_split_pairs

rng = np.random.default_rng(0)
data = make_preferences(200, 8, 64, n_pairs=4000, random_state=0)
reliability = np.where(np.arange(20) < 10, 0.0, rng.uniform(1, 5, 20))
who = rng.integers(20, size=len(data.pairs))
y = np.empty(len(who), dtype=int)
for annotator, beta in enumerate(reliability):
    mine = who == annotator
    y[mine] = annotate(
        data.rewards, data.pairs.index[mine], beta=beta, random_state=annotator
    )
train, test, y_train, _, who_train, _ = train_test_split_pairs(
    data.pairs, y, who, random_state=0
)
first, second = data.rewards[test.index].T
plain = BradleyTerryRegressor(alpha=0.03).fit(train, y_train)
model = BradleyTerryRegressor(alpha=0.03, annotator_effects="reliability")
model.fit(train, y_train, annotators=who_train)
for name, fitted in (("plain", plain), ("with reliabilities", model)):
    order = order_consistency_score(first > second, fitted.predict(test))
    print(f"{name}: order consistency with the truth {order:.3f}")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.errorbar(
    reliability / reliability.mean(),
    model.annotator_reliability_,
    yerr=1.96 * model.annotator_reliability_std_,
    fmt="o",
    capsize=3,
)
line = np.array([0, (reliability / reliability.mean()).max()])
ax.plot(line, line, color="0.4", linestyle=":", label="as estimated, so true")
ax.set(
    title="Reliabilities of twenty annotators, half of whom toss a coin",
    xlabel="True reliability (mean 1)",
    ylabel="Estimated, with 95 % intervals",
)
ax.legend()
plt.show()

# %%
# Who tosses a coin is found. A prior of mean 1 pulls those of few pairs towards the
# others, so the best are estimated somewhat low. Where all annotators are alike there
# is nothing to gain, and next to nothing to lose.
