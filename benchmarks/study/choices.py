"""What was chosen for each encoder, data set and pairing, and from what: see `tune`."""

import json
from functools import cache
from pathlib import Path

PATH = Path(__file__).with_name("choices.json")
CANDIDATES = {
    "mlp": [
        {"learning_rate_init": rate, "alpha": alpha}
        for rate in (1e-3, 3e-3, 1e-2)
        for alpha in (3e-4, 3e-3, 3e-2)
    ],
    "lgbm": [
        {"learning_rate": rate, "num_leaves": leaves}
        for rate in (0.05, 0.1, 0.2)
        for leaves in (2, 4, 8)
    ],
}
DEFAULT = 4


def candidates_of(model):
    """Give the candidates of a model; none where its fit chooses by itself."""
    return CANDIDATES.get(model.partition("-")[2], [])


def choice_of(setting):
    """Give what was chosen for a setting's model; the middle one for other data."""
    candidates = candidates_of(setting.model)
    if not candidates:
        return None
    chosen = read().get(
        name_of(setting.task, setting.pool, setting.pairing, setting.model)
    )
    return candidates[DEFAULT] if chosen is None else chosen["chosen"]


def name_of(task, pool, pairing, model):
    """Name a choice."""
    return f"{task}/{pool}/{pairing}/{model}"


@cache
def read():
    """Read what was chosen."""
    return json.loads(PATH.read_text()) if PATH.exists() else {}
