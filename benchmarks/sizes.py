"""Seconds of sampling a million pairs and of best-of-N at the paper's size.

python -m benchmarks.sizes
"""

import itertools
import time

import numpy as np

from skreward.annotation import sample_pairs
from skreward.metrics import best_of_n_curve

N_VALUES = [2, 5, 10, 30, 50, 100, 300, 500]


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main():
    rng = np.random.default_rng(0)
    prompts, rewards = np.repeat(np.arange(40_000), 10), rng.normal(size=400_000)
    print("a million pairs of 40,000 prompts x 10 responses:")
    for design, crossed in itertools.product(
        ["random", "similar", "diverse"], [False, True]
    ):
        taken = seconds(
            lambda design=design, crossed=crossed: sample_pairs(
                prompts,
                1_000_000,
                design=design,
                cross_prompt=crossed,
                rewards=rewards,
                random_state=0,
            )
        )
        print(f"  {design}, {'cross' if crossed else 'same'}-prompt: {taken:.2f} s")
    golden, predicted = rng.normal(size=(2, 1_000_000))
    groups = np.repeat(np.arange(2000), 500)
    taken = seconds(
        lambda: best_of_n_curve(golden, predicted, groups, n_values=N_VALUES)
    )
    print(f"best-of-N, 2,000 prompts x 500 responses x 8 values of N: {taken:.2f} s")


if __name__ == "__main__":
    main()
