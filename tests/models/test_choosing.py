"""Best of n: ragged lists, first of ties, one call."""

import numpy as np
import pytest

from skreward import best_of_n


class Length:
    """A reward that counts, and counts its calls."""

    calls = 0

    def predict(self, rows):
        self.calls += 1
        return np.array([len(row["response"]) for row in rows], dtype=float)


def test_the_best_of_ragged_lists():
    model = Length()
    prompts, candidates = ["p", "q", "p"], [["a", "bbb", "ccc"], ["dd"], ["e", "ff"]]
    assert best_of_n(model, prompts, candidates) == ["bbb", "dd", "ff"]
    assert model.calls == 1
    best, scores = best_of_n(model, prompts, candidates, return_scores=True)
    assert [row.tolist() for row in scores] == [[1, 3, 3], [2], [1, 2]]
    assert best == ["bbb", "dd", "ff"]


def test_the_best_two_come_best_first():
    best = best_of_n(Length(), ["p"], [["a", "bbb", "cc"]], n=2)
    assert best == [["bbb", "cc"]]


def test_nothing_gives_nothing():
    model = Length()
    assert best_of_n(model, [], []) == []
    assert best_of_n(model, [], [], return_scores=True) == ([], [])
    assert model.calls == 0


@pytest.mark.parametrize(
    ("prompts", "candidates", "n", "message"),
    [
        (["p"], [], 1, "1 prompts have 0 lists"),
        (["p", "q"], [["a"], []], 1, "row 1: 0 responses, and n=1"),
        (["p"], [["a"]], 2, "row 0: 1 responses, and n=2"),
        (["p"], ["abc"], 1, "row 0: one string"),
        ("p", [["a"]], 1, "prompts is one string"),
        (["p"], [["a"]], 0, "at least 1, got 0"),
        (["p"], [["a"]], True, "at least 1, got True"),
    ],
)
def test_bad_arguments_are_named_before_any_work(prompts, candidates, n, message):
    model = Length()
    with pytest.raises(ValueError, match=message):
        best_of_n(model, prompts, candidates, n=n)
    assert model.calls == 0
