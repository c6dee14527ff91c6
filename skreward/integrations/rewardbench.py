"""RewardBench, versions 1 and 2, on a fitted reward and on length."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skreward.datasets.preferences import LayoutError
from skreward.metrics.rewardbench import (
    best_of_k_score,
    rewardbench2_score,
    rewardbench_score,
)
from skreward.text.items import plain

COLUMNS = {
    1: ("prompt", "chosen", "rejected", "subset"),
    2: ("id", "prompt", "chosen", "rejected", "num_correct", "subset"),
}


class RewardBenchResult(NamedTuple):
    """What a run of RewardBench gives.

    Attributes
    ----------
    version : int
        1 or 2.
    scores : dict
        By subset and section, and "overall".
    length : dict
        The same of the reward that counts characters.
    rows : list of dict
        The benchmark's rows with the columns that its own code writes: ``results``,
        ``scores_chosen`` and ``scores_rejected`` for version 1, ``results`` and
        ``scores`` (the correct responses first) for version 2.
    """

    version: int
    scores: dict[str, float]
    length: dict[str, float]
    rows: list[dict[str, Any]]


def run_rewardbench(model: Any, rows: Sequence[dict[str, Any]]) -> RewardBenchResult:
    r"""Score a fitted text reward on rows of RewardBench.

    Version 1 has one ``chosen`` and one ``rejected`` a row, version 2 lists of them.
    Scores are those of `skreward.metrics.rewardbench_score` and
    `skreward.metrics.rewardbench2_score`. Every distinct text is embedded once.

    Parameters
    ----------
    model : estimator
        A fitted Pipeline from texts to rewards.
    rows : sequence of dict
        With the benchmark's columns: prompt, chosen, rejected, subset; version 2 also
        has id and num_correct.

    Returns
    -------
    result : RewardBenchResult

    Raises
    ------
    ValueError
        If a row lacks a column; it names the row.

    Examples
    --------
    >>> from skreward.integrations import run_rewardbench
    >>> run_rewardbench(model, rows).scores["overall"]  # doctest: +SKIP
    0.71
    """
    rows = list(rows)
    is_list = rows and isinstance(rows[0].get("chosen"), list | tuple | np.ndarray)
    version = 2 if is_list else 1
    _check_rows(rows, version)
    items = [
        {"prompt": row["prompt"], "response": response}
        for row in rows
        for side in ("chosen", "rejected")
        for response in _responses(row[side], version)
    ]
    ends = np.cumsum([sum(_sizes(row, version)) for row in rows])[:-1]
    rewards = np.split(np.asarray(model.predict(items), dtype=float), ends)
    lengths = np.split(np.array([len(plain(i["response"])) for i in items]), ends)
    if version == 1:
        written = [
            row | {"results": int(c > r), "scores_chosen": c, "scores_rejected": r}
            for row, (c, r) in zip(rows, map(np.ndarray.tolist, rewards), strict=True)
        ]
    else:
        written = [
            row | {"results": _result(row, reward), "scores": reward.tolist()}
            for row, reward in zip(rows, rewards, strict=True)
        ]
    return RewardBenchResult(
        version,
        _scores(rows, rewards, version),
        _scores(rows, lengths, version),
        written,
    )


def _scores(rows, rewards, version):
    subset = [row["subset"] for row in rows]
    if version == 1:
        chosen, rejected = np.array(rewards, dtype=float).T
        return rewardbench_score(chosen, rejected, subset)
    correct = [row["num_correct"] for row in rows]
    return rewardbench2_score(rewards, correct, subset, [row["id"] for row in rows])


def _result(row, rewards):
    """Give the result of a row of version 2; rows of "Ties" have none of their own."""
    if str(row["subset"]).lower() == "ties":
        return None
    return float(best_of_k_score([rewards], [row["num_correct"]])[0])


def _responses(value, version):
    return [value] if version == 1 else list(value)


def _sizes(row, version):
    return [len(_responses(row[side], version)) for side in ("chosen", "rejected")]


def _check_rows(rows, version):
    if not rows:
        raise ValueError("rows is empty.")
    for k, row in enumerate(rows):
        missing = [name for name in COLUMNS[version] if name not in row]
        if missing:
            raise LayoutError(
                k,
                f"there is no column {missing[0]!r}, which RewardBench {version} has.",
            )
        if version == 2 and row["num_correct"] != len(row["chosen"]):
            raise LayoutError(
                k,
                f"num_correct is {row['num_correct']}, and there are "
                f"{len(row['chosen'])} chosen responses.",
            )
