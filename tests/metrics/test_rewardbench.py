"""RewardBench's scores: the project's own code on the same made data, and by hand."""

import numpy as np
import pytest

from skreward.metrics import (
    best_of_k_score,
    rewardbench2_score,
    rewardbench_score,
    ties_score,
)
from skreward.metrics.rewardbench import SECTIONS


@pytest.fixture
def made():
    """Rewards on which the project's own code was run: commit-free, seeded."""
    rng = np.random.default_rng(7)
    names = [name for counts in SECTIONS.values() for name in counts]
    subset = rng.choice(names, 300)
    chosen = rng.integers(0, 4, 300) + rng.integers(0, 3, 300)
    rejected = rng.integers(0, 4, 300)
    four = rng.integers(0, 4, (50, 4)).astype(float)
    ids, scores, correct = [], [], []
    for k in range(15):
        ids.append(f"ref:{k}")
        scores.append(rng.normal(size=5))
        correct.append(1)
        n = int(rng.integers(2, 5))
        tied = rng.normal(size=8) * 0.3
        tied[:n] += 2 * (rng.random() < 0.7)
        if k % 5 == 0:
            tied[:n] = 1.0
        ids.append(f"tied:{k}")
        scores.append(tied)
        correct.append(n)
    return subset, chosen, rejected, four, (scores, correct, ids)


def test_the_projects_own_code_gives_the_same(made):
    subset, chosen, rejected, four, ties = made
    scores = rewardbench_score(chosen, rejected, subset)
    sections = [scores[name] for name in SECTIONS]
    assert sections == pytest.approx(
        [0.515470562957, 0.667015294647, 0.642934913523, 0.598815950132], abs=1e-11
    )
    assert scores["overall"] == pytest.approx(np.mean(sections))
    assert best_of_k_score(four).mean() == pytest.approx(0.331666666667, abs=1e-11)
    assert ties_score(*ties) == pytest.approx(0.378021533694, abs=1e-11)


def test_subsets_count_as_the_benchmark_says():
    scores = rewardbench_score([1, 1, 0], [0, 0, 0], ["math-prm", "hep-go", "hep-go"])
    assert scores["math-prm"] == 1
    assert scores["hep-go"] == 0.5  # a tie is wrong
    assert scores["Reasoning"] == scores["overall"] == (984 + 82) / (984 + 164)
    assert "Chat" not in scores
    assert rewardbench_score([1, 0], [0, 1], ["mine", "mine"])["overall"] == 0.5


def test_version_2_takes_ties_apart(made):
    *_, four, (scores, correct, ids) = made
    rewards, n_correct = [*four, *scores], [1] * len(four) + correct
    subset = ["Math"] * len(four) + ["Ties"] * len(ids)
    found = rewardbench2_score(rewards, n_correct, subset, [*map(str, range(50)), *ids])
    assert found["Ties"] == ties_score(scores, correct, ids)
    assert found["Math"] == best_of_k_score(four).mean()
    assert found["overall"] == pytest.approx((found["Ties"] + found["Math"]) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rewardbench_score([1], [0, 1], ["a"]), "1 chosen, 2 rejected"),
        (lambda: rewardbench_score([np.nan], [0], ["a"]), "finite"),
        (lambda: rewardbench_score([], [], []), "one at least"),
        (lambda: best_of_k_score([[1.0, 0.0], [1.0]]), "row 1: two responses"),
        (lambda: best_of_k_score([[1.0, 0.0]], [2]), "row 0: 2 responses are correct"),
        (lambda: ties_score([[1, 0]], [1], ["x:1"]), "row 0: wanted ref:N"),
        (lambda: ties_score([[1, 0]], [1], ["ref:1"]), "no number has both"),
        (lambda: ties_score([[1, 0]], [2], ["ref:1"]), "row 0: 2 of 2"),
        (lambda: ties_score([[1, 0]], [1, 1], ["ref:1"]), "1 prompts have 2"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
