"""Runs side by side, whose products with the items are taken together.

A run is a generator. It gives what it asks for, "rewards" of coefficients or "gradient"
of the items' gradients, with the vector, is sent the product, and returns its result.
One product with a matrix costs far less than one with every of its columns.
"""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

KINDS = "rewards", "gradient"


def in_step(items: Any, runs: Sequence[Generator]) -> list:
    """Let runs go to their ends; gives their results.

    Parameters
    ----------
    items : ItemMatrix, or another with its methods
    runs : sequence of generators
    """
    results = [None] * len(runs)
    answers: dict[int, Any] = dict.fromkeys(range(len(runs)))
    while answers:
        asked = {}
        for k, answer in answers.items():
            try:
                asked[k] = runs[k].send(answer)
            except StopIteration as end:
                results[k] = end.value
        answers = _answers(items, asked)
    return results


def _answers(items, asked):
    answers = {}
    for kind in KINDS:
        alike = {k: vector for k, (wanted, vector) in asked.items() if wanted == kind}
        product = getattr(items, kind)
        if len(alike) == 1:
            answers.update({k: product(vector) for k, vector in alike.items()})
        elif alike:
            # Columns, each in one piece.
            columns = product(np.stack(list(alike.values())).T).T
            # Copied, so that a run that keeps its own does not keep all.
            answers.update(zip(alike, map(np.copy, columns), strict=True))
    return answers
