"""
Ensembles and lower bounds
==========================

Members of a `RewardEnsemble` see bootstraps of the prompts. Near the training data
they agree, away from it they part, and a reward that takes their spread off is low
there.
"""

# %%
# One feature, so that all can be seen: training responses lie in the middle. Members
# are small networks, which may go anywhere outside.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryMLPRegressor, EmbeddingPairs, RewardEnsemble
from skreward.annotation import annotate, sample_pairs

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=400)
prompt_ids = np.repeat(np.arange(50), 8)
truth = np.sin(3 * x)
index = sample_pairs(prompt_ids, 1500, random_state=0)
y = annotate(truth, index, beta=3.0, random_state=0)
pairs = EmbeddingPairs(x[:, np.newaxis], index, prompt_ids)
network = BradleyTerryMLPRegressor((32, 32), learning_rate_init=5e-3, activation="tanh")
grid = np.linspace(-2.5, 2.5, 201)[:, np.newaxis]
figure, ax = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
for aggregation, style in (("mean", "C0-"), ("min", "C1--"), ("lcb", "C2-.")):
    ensemble = RewardEnsemble(
        network,
        n_estimators=15,
        aggregation=aggregation,
        lcb_weight=2.0,
        random_state=0,
    ).fit(pairs, y)
    ax.plot(grid, ensemble.predict(grid), style, label=f'aggregation="{aggregation}"')
for k, member in enumerate(ensemble.estimators_):
    reward = (
        member.predict(grid) - ensemble.member_shift_[k]
    ) / ensemble.member_scale_[k]
    ax.plot(grid, reward, color="0.8", zorder=0, label="a member" if k == 0 else None)
ax.axvspan(-1, 1, color="C0", alpha=0.08, label="training responses")
ax.set(
    title="A reward inside and outside of its training data",
    xlabel="Feature of the response",
    ylabel="Reward (unit: rms margin of training pairs)",
)
ax.legend(fontsize="small", ncols=2)
plt.show()

# %%
# Inside, all are one curve. Outside, the mean goes on as if it knew; the lower bound
# and the minimum turn down where members disagree. A policy that is optimised against
# them has less to find there. Members that are wrong in the same way are not found
# out.
