"""
Ensembles and lower bounds
==========================

Members of a `RewardEnsemble` see bootstraps of the prompts. Near the training data they
agree, away from it they part, and a reward that takes their spread off is low there.
"""

# %%
# One feature, so that all can be seen: training responses lie in the middle. Members
# are small networks, which may go anywhere outside.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryMLPRegressor, EmbeddingPairs, RewardEnsemble
from skreward.annotation import annotate, sample_pairs

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=800)
prompt_ids = np.repeat(np.arange(100), 8)
index = sample_pairs(prompt_ids, 2800, random_state=0)
y = annotate(np.sin(3 * x), index, beta=3.0, random_state=0)
pairs = EmbeddingPairs(x[:, np.newaxis], index, prompt_ids)
network = BradleyTerryMLPRegressor(
    (64, 64), alpha=1e-5, learning_rate_init=3e-3, n_iter_no_change=10
)
ensemble = RewardEnsemble(network, n_estimators=15, lcb_weight=2.0, random_state=0)
ensemble.fit(pairs, y)
grid = np.linspace(-2, 2, 161)[:, np.newaxis]
figure, ax = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
for k, member in enumerate(ensemble.estimators_):
    reward = member.predict_reward(grid) - ensemble.member_shift_[k]
    label = "a member" if k == 0 else None
    ax.plot(grid, reward / ensemble.member_scale_[k], color="0.8", label=label)
for aggregation, style in (("mean", "C0-"), ("min", "C1--"), ("lcb", "C2-.")):
    ensemble.set_params(aggregation=aggregation)
    ax.plot(grid, ensemble.predict(grid), style, label=f'aggregation="{aggregation}"')
ax.axvspan(-1, 1, color="C0", alpha=0.08, label="training responses")
ax.set(
    title="A reward inside and outside of its training data",
    xlabel="Feature of the response",
    ylabel="Reward (unit: rms margin of training pairs)",
)
ax.legend(fontsize="small")
plt.show()

# %%
# Inside, the members agree and the aggregations are nearly one curve. Outside, the mean
# goes on as if it knew; the lower bound and the minimum are below it by as much as the
# members disagree. A policy that is optimised against them has less to find there.
# Members that are wrong in the same way are not found out.
