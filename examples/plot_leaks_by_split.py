"""
What a split by rows promises
=============================

Pairs of one prompt share responses, and responses to one prompt resemble each other.
Here the labels say nothing that could carry over to a new prompt: every response has
a random taste of its own. An honest score is one half.
"""

# %%
# Scorers warn of prompts that a model was trained on; here the leak is what is shown.
# Three ways to deal the same pairs to five folds: by rows, by prompts given as
# groups, and by `PromptDisjointKFold`, which reads the prompts from the container.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from skreward import BradleyTerryRegressor
from skreward.datasets import make_preferences
from skreward.model_selection import PromptDisjointKFold

warnings.filterwarnings("ignore", message="The model was trained on prompts")
data = make_preferences(40, 5, 128, n_pairs=1600, random_state=0)
taste = np.random.default_rng(0).normal(size=data.pairs.n_items)
first, second = taste[data.pairs.index].T
y = first > second
model = BradleyTerryRegressor(alpha=1e-3)
folds = {
    "KFold\n(rows)": (KFold(5, shuffle=True, random_state=0), None),
    "GroupKFold\n(one id a pair)": (GroupKFold(5), data.pairs.pair_prompt_ids[:, 0]),
    "PromptDisjointKFold": (PromptDisjointKFold(5, random_state=0), None),
}
scores = {
    name: cross_val_score(model, data.pairs, y, cv=cv, groups=groups)
    for name, (cv, groups) in folds.items()
}
for name, found in scores.items():
    told = name.replace("\n", " ")
    print(f"{told}: {found.mean():.3f} +- {found.std():.3f}")

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.bar(scores.keys(), [s.mean() for s in scores.values()], color="C0", width=0.5)
for at, found in enumerate(scores.values()):
    ax.plot(np.full(5, at), found, "k.", label="a fold" if at == 0 else None)
ax.axhline(0.5, color="0.4", linestyle=":", label="a coin")
ax.set(
    ylabel="Order consistency", ylim=(0, 1), title="Labels without anything to learn"
)
ax.legend(loc="lower left")
plt.show()

# %%
# The split by rows says that nearly every pair will be ordered right. It is the
# model's memory of the responses that is scored. Groups are enough while both
# responses of a pair answer one prompt; with pairs of two prompts, groups by the
# first one leak again, and `PromptDisjointKFold` leaves out the pairs that straddle.
