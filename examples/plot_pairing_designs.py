"""
Which responses to compare
==========================

Pairs can be drawn at random, of responses that are near each other in quality, or of
the best and the worst; within a prompt, or across prompts. Near ones are hard to label,
and say most of fine differences.
"""

# %%
# The last two designs need the true rewards, so they diagnose what a design does
# rather than being ways to annotate. Prompts differ in their mean as much as
# responses do.

import matplotlib.pyplot as plt
import numpy as np

from skreward import BradleyTerryRegressor
from skreward.annotation import annotation_curve
from skreward.datasets import make_preferences

data = make_preferences(200, 10, 16, prompt_offset=1.0, random_state=0)
designs = ("similar", "random", "diverse")
figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for shift, cross_prompt in ((-0.17, False), (0.17, True)):
    errors, orders, spreads = [], [], []
    for design in designs:
        curve = annotation_curve(
            BradleyTerryRegressor(),
            data.embeddings,
            data.rewards,
            data.prompt_ids,
            param_range=[2.0],
            design=design,
            cross_prompt=cross_prompt,
            n_pairs=1500,
            n_repeats=4,
            random_state=0,
        )
        errors.append(curve.error_rates.mean())
        orders.append(curve.scores.mean())
        spreads.append(curve.scores.std())
    label = "across prompts" if cross_prompt else "within a prompt"
    at = np.arange(3) + shift
    axes[0].bar(at, errors, width=0.34, label=label)
    axes[1].bar(at, orders, width=0.34, yerr=spreads, capsize=3)
    print(f"{label}: labels wrong {np.round(errors, 3)}, order {np.round(orders, 3)}")
axes[0].set_ylabel("Share of labels that are wrong")
axes[1].set(ylabel="Order consistency, unseen prompts", ylim=(0.5, 1))
for ax in axes:
    ax.set_xticks(range(3), designs)
axes[0].legend()
figure.suptitle("What a design does to labels, and to the reward")
plt.show()

# %%
# Bars are standard deviations over four draws; scores are of pairs within prompts,
# where a reward is used to choose. Labels of similar responses are wrong in four of
# ten, and labels of the best against the worst hardly ever. The reward does not follow:
# the best against the worst is one pair a prompt that everybody agrees on, and says
# little of finer differences, while noisy labels of near ones add up. That is so where
# the features hold the whole reward, as here. On judged responses, of which an
# embedding holds a part, random pairs taught far more than similar ones:
# :doc:`/study/report`.
