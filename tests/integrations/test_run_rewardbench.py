"""RewardBench's rows in, its columns and scores out, length beside."""

import numpy as np
import pytest

from skreward.integrations import run_rewardbench


class Vowels:
    """A reward that counts vowels."""

    def predict(self, rows):
        return np.array([sum(c in "aeiou" for c in row["response"]) for row in rows])


VERSION_1 = [
    {"prompt": "p", "chosen": "aa", "rejected": "bbb", "subset": "hep-go", "id": 1},
    {"prompt": "q", "chosen": "b", "rejected": "a", "subset": "hep-go", "id": 2},
    {"prompt": "q", "chosen": "a", "rejected": "bcd", "subset": "mt-bench-hard"},
]
VERSION_2 = [
    {
        "id": "0", "prompt": "p", "chosen": ["ae"], "rejected": ["b", "ia", "ccc"],
        "num_correct": 1, "subset": "Math",
    },
    {
        "id": "ref:3", "prompt": "q", "chosen": ["aei"], "rejected": ["b", "ccc"],
        "num_correct": 1, "subset": "Ties",
    },
    {
        "id": "tied:3", "prompt": "q", "chosen": ["ae", "oi"], "rejected": ["b", "c"],
        "num_correct": 2, "subset": "Ties",
    },
]  # fmt: skip


def test_version_1():
    result = run_rewardbench(Vowels(), VERSION_1)
    assert result.version == 1
    assert [row["results"] for row in result.rows] == [1, 0, 1]
    assert [row["scores_chosen"] for row in result.rows] == [2, 0, 1]
    assert [row["scores_rejected"] for row in result.rows] == [0, 1, 0]
    assert result.rows[0]["id"] == 1
    assert result.scores["Reasoning"] == 0.5
    assert result.scores["Chat Hard"] == 1
    assert result.scores["overall"] == 0.75
    assert result.length["overall"] == 0


def test_version_2():
    result = run_rewardbench(Vowels(), VERSION_2)
    assert result.version == 2
    assert [row["results"] for row in result.rows] == [0.5, None, None]
    assert result.rows[0]["scores"] == [2, 0, 2, 0]
    assert result.scores["Math"] == 0.5
    # No spread among correct ones: the hyperbolic tangent ends at 1.
    assert result.scores["Ties"] == pytest.approx(0.3 + 0.3 + 0.2 + 0.2 + 0.01)
    assert result.length["Math"] == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows is empty"),
        ([{"prompt": "p", "chosen": "a", "rejected": "b"}], "row 0.*'subset'"),
        ([VERSION_2[0] | {"num_correct": 3}], "row 0: num_correct is 3"),
        ([VERSION_2[0], VERSION_1[0]], "row 1.*'num_correct'"),
    ],
)
def test_bad_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        run_rewardbench(Vowels(), rows)
