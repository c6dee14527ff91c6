"""
Best of n, with its KL axis
===========================

Sampling n responses and keeping the one that the reward likes best is a policy of its
own. What it gains in true reward is exact to compute, and so is a bound on how far it
moves.
"""

# %%
# Three rewards on the same made-up texts, of prompts that they never saw: a linear
# one on the embedding with few labels, the same with many, and the length of the
# response.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from skreward import BradleyTerryRegressor, LLMEmbeddingTransformer
from skreward.datasets import make_text_preferences
from skreward.model_selection import train_test_split_pairs
from skreward.plotting import BestOfNDisplay

data = make_text_preferences(100, 10, 2000, random_state=0)
train, test, y_train, _ = train_test_split_pairs(data.pairs, data.y, random_state=0)
unseen = {row["prompt"] for row in test}
held = np.array([row["prompt"] in unseen for row in data.texts])
items = [row for row, is_held in zip(data.texts, held, strict=True) if is_held]
rewards = {"longest": np.array([len(row["response"]) for row in items])}
for n in (100, len(train)):
    model = make_pipeline(LLMEmbeddingTransformer(), BradleyTerryRegressor())
    rewards[f"{n:,} pairs"] = model.fit(train[:n], y_train[:n]).predict(items)

figure, axes = plt.subplots(1, 2, sharey=True, figsize=(8.4, 4), layout="constrained")
for name, reward in rewards.items():
    for ax, x in zip(axes, ("n", "kl"), strict=True):
        display = BestOfNDisplay.from_predictions(
            data.rewards[held],
            reward,
            data.prompt_ids[held],
            n_values=(1, 2, 3, 4, 6, 8, 10),
            name=name,
            ax=ax,
            x=x,
            plot_oracle=name == "longest",
        )
    print(f"{name}: best of 10 gains {display.curve.improvement[-1]:.2f}")
axes[1].set_ylabel("")
figure.suptitle("Improvement of the true reward over a random response")
plt.show()

# %%
# Bands are 1.96 standard errors over the unseen prompts. No curve can cross the dotted
# line, which chooses by the true reward; bands may. On the right the same against the
# divergence from sampling one response, at most log n - (n - 1) / n nats: the axis on
# which best of n can be laid beside a policy that was trained.
