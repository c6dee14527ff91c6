"""Order consistency on judged responses, beside logistic regression on differences."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from benchmarks.order_consistency import PEERS, make_task, score

pytestmark = pytest.mark.realdata
PEER = "LogisticRegression(C=0.1) on differences"
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def tasks(judged):
    data = Bunch(
        embeddings=judged["embeddings"],
        prompt_ids=judged["prompt_id"],
        rewards=judged["golden_reward"].astype(np.float64),
        response_chars=judged["response_chars"],
    )
    return data, [make_task(data, seed) for seed in SEEDS]


def mean_score(name, tasks):
    data, drawn = tasks
    items = data.embeddings.astype(np.float32)
    return np.mean(
        [
            score(task, PEERS[name](task.pairs, task.y, items, seed))[0]
            for seed, task in zip(SEEDS, drawn, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def peer(tasks):
    return mean_score(PEER, tasks)


def test_the_task_is_as_hard_as_told(tasks):
    flipped = np.mean([task.flipped for task in tasks[1]])
    assert abs(flipped - 0.19) < 0.02


@pytest.mark.parametrize(
    ("name", "short_of_peer"),
    [
        ("BradleyTerryRegressor()", 0.005),
        ("BradleyTerryMLPRegressor()", 0.01),
        ("PairwiseClassifierReward()", 0.01),
    ],
)
def test_it_learns_as_well_as_the_best(name, short_of_peer, tasks, peer):
    assert mean_score(name, tasks) >= peer - short_of_peer
