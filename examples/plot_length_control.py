"""
A length-controlled reward
==========================

People and judges prefer longer answers, a reward learns to, and a policy that is
optimised against it learns to be long. `ControlledReward` takes out what length
explains within prompts, and says what that costs.
"""

# %%
# Features of a response, one of which goes with its length. The annotator likes
# quality, and length for its own sake.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryRegressor, ControlledReward, EmbeddingPairs
from skreward.annotation import annotate
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score

data = make_preferences(200, 8, 16, n_pairs=4000, random_state=0)
rng = np.random.default_rng(0)
length = 0.5 * data.rewards + rng.normal(size=len(data.rewards))
items = np.column_stack(
    [data.embeddings, length + rng.normal(scale=0.5, size=len(length))]
)
pairs = EmbeddingPairs(items, data.pairs.index, data.prompt_ids)
y = annotate(data.rewards + length, pairs.index, beta=3.0, random_state=0)
first, second = data.rewards[pairs.index].T
models = {"as learned": BradleyTerryRegressor().fit(pairs, y)}
for control in ("nuisance", "orthogonal"):
    model = ControlledReward(BradleyTerryRegressor(), control=control)
    models[f'control="{control}"'] = model.fit(pairs, y, covariates=length)

longer = -np.diff(length[pairs.index])[:, 0]
figure, axes = plt.subplots(1, 3, sharey=True, figsize=(9, 3.4), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    margin = model.predict(pairs)
    correlation = np.corrcoef(margin, longer)[0, 1]
    ax.plot(longer, margin, ".", markersize=2, alpha=0.4)
    ax.set(
        title=f"{name}\ncorrelation {correlation:.2f}", xlabel="Difference of length"
    )
    labels = order_consistency_score(y, margin)
    quality = order_consistency_score(first > second, margin)
    print(f"{name}: order of the labels {labels:.3f}, of quality {quality:.3f}")
axes[0].set_ylabel("Margin")
figure.suptitle("Margins of pairs against differences of length")
plt.show()

# %%
# As learned, the reward pays for length and orders quality no better than the labels.
# "nuisance" asks what would be preferred at equal length, and finds the quality again,
# with the part of it that goes with length. "orthogonal" leaves no correlation, so it
# takes that part as well. Order consistency with the labels falls either way: they did
# like length. Whether quality may go with length is not for the data to say.
