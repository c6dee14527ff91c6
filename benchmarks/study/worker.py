"""One unit of the grid from data to scores; runs in any process that reads the data.

A unit is all settings of the same responses and pairs: they differ in noise, quantity
and model, and are trained together.
"""

import hashlib
import time
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.study import models
from benchmarks.study.baselines import LENGTH, STATISTICS
from benchmarks.study.choices import choice_of
from benchmarks.study.scoring import Test, rounded
from benchmarks.study.settings import NONE, of_learner
from skreward.annotation import annotate, annotation_error_rate, sample_pairs

# Of so many responses to a prompt a design chooses, drawn anew for every pair.
PANEL = 6
PACKAGES = ("skreward", "numpy", "scipy", "scikit-learn", "torch", "lightgbm")


def run_unit(source, settings):
    """Draw pairs, label them, fit every model and score it on unseen prompts.

    Parameters
    ----------
    source : Source
    settings : list of Setting
        Of one unit.

    Returns
    -------
    rows : list of dict
        One a setting; see `results`.
    """
    with threadpool_limits(1):
        data, shared = source.open(), settings[0]
        pool = data.pools[0] if shared.pool == NONE else shared.pool
        train, test = data.parts(pool, shared.task, shared.seed)
        labels = Labels(train, shared, settings)
        scorer = Test(test, _random_state(shared, "test pairs", "task"))
        rows = []
        for (model, recipe), group in groupby(
            sorted(settings, key=of_learner), of_learner
        ):
            mine = list(group)
            if model == LENGTH:
                fitted = [models.Fitted(test.lengths.astype(float), 1, {}, 0.0)]
            else:
                problem = problem_of(mine, train, test, labels)
                fitted = models.fit(model, recipe, problem, choice_of(mine[0]))
            rows += [
                _row(setting, result, labels, scorer)
                for setting, result in zip(mine, fitted, strict=True)
            ]
    return rows


def problem_of(settings, train, test, labels):
    """Put together what the models of some settings learn from, and predict."""
    if settings[0].model == STATISTICS:
        items, unseen = (part.statistics[part.rows] for part in (train, test))
    else:
        items, unseen = (
            np.asarray(part.embeddings[part.rows], dtype=np.float32)
            for part in (train, test)
        )
    asked = [labels[setting] for setting in settings]
    return models.Problem(items, train.prompts, asked, unseen, settings[0].seed)


def _row(setting, fitted, labels, scorer):
    start = time.process_time()
    row = {
        "key": setting.key,
        "setting": vars(setting),
        **scorer(fitted.rewards),
        **labels.describe(setting),
        "n_features": fitted.n_features,
        "training": {name: rounded(v) for name, v in fitted.training.items()},
    }
    seconds = fitted.core_seconds + time.process_time() - start
    return {**row, "core_seconds": rounded(seconds), "versions": _versions()}


class Labels:
    """Pairs of a unit, and an annotator's labels by how reliable the annotator is.

    The pairs of a smaller quantity are the first of a larger one, and annotators differ
    in noise alone: the same draw decides each label.
    """

    def __init__(self, train, shared, settings):
        self._train = train
        if shared.design == NONE:
            return
        names = "task", "design", "pairing"
        self._index = train_pairs(train, shared, max(s.n_pairs for s in settings))
        self._y = {
            beta: annotate(
                train.rewards,
                self._index,
                beta=beta,
                random_state=_random_state(shared, "labels", *names),
            )
            for beta in {s.beta for s in settings}
        }

    def __getitem__(self, setting):
        n = setting.n_pairs
        return models.Asked(self._index[:n], self._y[setting.beta][:n])

    def describe(self, setting):
        """Give what a row says of the labels."""
        if setting.design == NONE:
            return {"error_rate": None, "share_equal": None, "n_distinct": 0}
        index, y = self[setting]
        rewards = self._train.rewards[index]
        return {
            "error_rate": rounded(annotation_error_rate(self._train.rewards, index, y)),
            "share_equal": rounded(np.mean(rewards[:, 0] == rewards[:, 1])),
            "n_distinct": len(np.unique(models.pair_codes(index)[0])),
        }


def train_pairs(items, setting, n_pairs):
    """Draw the pairs to annotate, as positions among the items.

    The paper has ten responses to each of 40,000 prompts, of which a design chooses
    two. Where prompts are fewer than pairs each pair has its own responses to choose
    among, `PANEL` of its prompt, drawn anew.
    """
    rng = _random_state(setting, "pairs", "task", "design", "pairing")
    n_prompts = len(np.unique(items.prompts))
    drawn = []
    while (missing := n_pairs - sum(map(len, drawn))) > 0:
        panel = _panel(items.prompts, rng)
        index = sample_pairs(
            items.prompts[panel],
            n_prompts,
            design=setting.design,
            cross_prompt=setting.pairing == "cross",
            rewards=items.rewards[panel],
            random_state=rng,
        )
        drawn.append(panel[index[:missing]])
    return np.concatenate(drawn)


def _panel(prompts, rng):
    """Pick at most `PANEL` responses of every prompt."""
    order = np.lexsort((rng.uniform(size=len(prompts)), prompts))
    sizes = np.unique(prompts, return_counts=True)[1]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[rank < PANEL]


def _random_state(setting, purpose, *names):
    """Give the same stream to all settings that agree in ``names`` and the seed."""
    shared = [getattr(setting, name) for name in ("data", "seed", *names)]
    digest = hashlib.sha256(repr((purpose, *shared)).encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "little"))


def _versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # not needed for every model
            continue
    return found
