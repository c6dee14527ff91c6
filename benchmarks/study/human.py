"""People's order beside the judges': reward models of the study on human pairs.

    python -m benchmarks.study.human FOLDER --out docs/study/human.csv
    python -m benchmarks.study.human FOLDER --out docs/study/human.csv \
        --models bt-mlp clf-mlp clf-lgbm --betas 1 3 10

FOLDER is the study's (`encoded.py`). Two kinds of training:

- the study's models, trained as in the study (`models.py`, with what was chosen there),
  on simulated labels of a data set of judged responses, without the prompts that the
  human pairs have too; scored on all human pairs;
- linear Bradley-Terry and the logistic classifier on the human pairs themselves, by
  folds that share no prompt, with the penalty chosen inside each training fold.

Beside them stand the longer response, and the same on the statistics of the texts.

What is there already is not computed again: stop it and start it at any time.
"""

import argparse
import csv
import sys
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from benchmarks.study.choices import choice_of
from benchmarks.study.encoded import (
    DATA_SETS,
    ENCODERS,
    HUMAN_SETS,
    STATISTICS,
    EncodedSets,
)
from benchmarks.study.models import Asked, Problem, fit
from benchmarks.study.settings import LINEAR_MODELS, PAPER_MODELS
from skreward import (
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    EmbeddingPairs,
    PairwiseClassifierReward,
)
from skreward.annotation import annotate, annotation_error_rate, sample_pairs
from skreward.model_selection import PromptDisjointKFold

BETAS = (0.5, 0.7, 1.0, 3.0, 5.0, 10.0)
SEEDS = (0, 1, 2)
N_PAIRS = 10_000
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
SIMILAR_LENGTH = 1.1
MODELS = LINEAR_MODELS + PAPER_MODELS
LENGTH, NOTHING = "length", "-"


@dataclass(frozen=True)
class Row:
    """How often one model orders the pairs of one source as people did.

    ``standard_error`` is over prompts; ``similar`` is the same agreement where
    neither response is a tenth longer, and nan without such pairs.
    """

    human_set: str
    source: str
    trained_on: str
    encoder: str
    model: str
    beta: float
    error_rate: float
    seed: int
    n_pairs: int
    agreement: float
    standard_error: float
    n_similar: int
    similar: float

    @property
    def run(self):
        """The part that rows of one fit share."""
        names = ("human_set", "trained_on", "encoder", "model", "beta", "seed")
        return tuple(getattr(self, name) for name in names)


def score(margin, pairs, **shared):
    """Give a `Row` for each source; a margin of 0 is half right."""
    agrees = (1 + np.sign(margin)) / 2
    both = np.sort(pairs.lengths[pairs.index], axis=1)
    similar = both[:, 1] < SIMILAR_LENGTH * both[:, 0]
    for source in np.unique(pairs.sources):
        mine = pairs.sources == source
        near = mine & similar
        yield Row(
            source=str(source),
            n_pairs=int(mine.sum()),
            agreement=float(agrees[mine].mean()),
            standard_error=_clustered(agrees[mine], pairs.prompts[mine]),
            n_similar=int(near.sum()),
            similar=float(agrees[near].mean()) if near.any() else np.nan,
            **shared,
        )


def _clustered(values, groups):
    """Give the standard error of a mean whose groups are drawn, not its values."""
    left = values - values.mean()
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], left)
    n = len(sums)
    return float(np.sqrt(n / max(1, n - 1) * np.sum(sums**2)) / len(values))


class Training:
    """Responses of one data set by one encoder, without prompts of a test."""

    def __init__(self, data, encoder, name, human_sets):
        train, test = data.parts(encoder, name, 0)
        rows = np.r_[train.rows, test.rows]
        tests = [data.prompt_hashes(human_set) for human_set in human_sets]
        hashes = data.prompt_hashes(name)[rows]
        kept = ~np.isin(hashes, np.concatenate(tests))
        # The order of rows is that of the file, whatever the split.
        order = np.argsort(rows[kept])
        prompts = np.r_[train.prompts, test.prompts]
        self.n_left_out = len(np.unique(prompts[~kept]))
        self.items = train.embeddings[rows[kept]][order]
        self.prompts = prompts[kept][order]
        self.rewards = np.r_[train.rewards, test.rewards][kept][order]

    def draw(self, beta, seed):
        """Give pairs with simulated labels, and the share of wrong ones."""
        rng = np.random.RandomState(seed)
        index = sample_pairs(self.prompts, N_PAIRS, random_state=rng)
        y = annotate(self.rewards, index, beta=beta, random_state=rng)
        return Asked(index, y), float(annotation_error_rate(self.rewards, index, y))


def standard(items):
    """Give means and standard deviations; a constant feature keeps its unit."""
    center, scale = items.mean(axis=0), items.std(axis=0)
    return center, np.where(scale > 0, scale, 1).astype(items.dtype)


def tuned(model, pairs, y, seed):
    """Choose the penalty of a model on prompts held out; give it unfitted."""
    folds = PromptDisjointKFold(FOLDS, random_state=seed)
    if model == "bt-linear":
        search = BradleyTerryRegressorCV(cv=folds).fit(pairs, y)
        return BradleyTerryRegressor(alpha=search.alpha_)
    classifier = PairwiseClassifierReward(LogisticRegression(max_iter=2000))
    grid = {"estimator__C": [1 / (p * len(pairs)) for p in PENALTIES]}
    search = GridSearchCV(classifier, grid, cv=folds, refit=False).fit(pairs, y)
    return classifier.set_params(**search.best_params_)


def on_simulated(data, encoder, name, human_sets, models, betas, done):
    """Train on simulated labels of a data set; score on people's pairs."""
    training = Training(data, encoder, name, human_sets)
    tests = [data.human(encoder, human_set) for human_set in human_sets]
    unseen = np.concatenate([pairs.embeddings for pairs in tests])
    starts = np.cumsum([0, *(len(pairs.embeddings) for pairs in tests)])
    for model, seed in product(models, SEEDS):
        runs = [
            (human_set, name, encoder, model, beta, seed)
            for human_set, beta in product(human_sets, betas)
        ]
        waiting = [
            beta for beta in betas if any(r not in done for r in runs if r[4] == beta)
        ]
        if not waiting:
            continue
        asked, wrong = zip(
            *(training.draw(beta, seed) for beta in waiting), strict=True
        )
        problem = Problem(training.items, training.prompts, list(asked), unseen, seed)
        setting = SimpleNamespace(task=name, pool=encoder, pairing="same", model=model)
        fitted = fit(model, "package", problem, choice_of(setting))
        for beta, rate, found in zip(waiting, wrong, fitted, strict=True):
            for human_set, pairs, start in zip(human_sets, tests, starts, strict=False):
                run = (human_set, name, encoder, model, beta, seed)
                if run not in done:
                    rewards = found.rewards[start + pairs.index]
                    margin = rewards[:, 0] - rewards[:, 1]
                    yield from score(margin, pairs, **_shared(run), error_rate=rate)


def on_people(data, encoder, human_set, models, done):
    """Train on people's pairs by folds that share no prompt; score on the others."""
    pairs = data.human(encoder, human_set)
    prompts = np.zeros(len(pairs.embeddings), np.int64)
    prompts[pairs.index] = pairs.prompts[:, np.newaxis]
    y = np.ones(len(pairs.index), dtype=int)
    for model, seed in product(models, SEEDS):
        run = (human_set, human_set, encoder, model, np.inf, seed)
        if run in done:
            continue
        margin = np.empty(len(y))
        folds = PromptDisjointKFold(FOLDS, random_state=seed)
        # The first is the chosen one in every pair: no model here sees the order.
        whole = EmbeddingPairs(pairs.embeddings, pairs.index, prompts)
        for train, test in folds.split(whole, y):
            items = pairs.embeddings[np.unique(pairs.index[train])]
            center, scale = standard(items)
            scaled = (pairs.embeddings - center) / scale
            mine = EmbeddingPairs(scaled, pairs.index[train], prompts)
            fitted = tuned(model, mine, y[train], seed).fit(mine, y[train])
            margin[test] = _margins(fitted, scaled, pairs.index[test])
        yield from score(margin, pairs, **_shared(run), error_rate=np.nan)


def on_length(data, human_set):
    """Score the longer response."""
    pairs = data.human(STATISTICS, human_set)
    margin = np.subtract(*pairs.lengths[pairs.index].T)
    run = (human_set, "nothing", NOTHING, LENGTH, np.inf, 0)
    yield from score(margin, pairs, **_shared(run), error_rate=np.nan)


def _shared(run):
    names = ("human_set", "trained_on", "encoder", "model", "beta", "seed")
    return dict(zip(names, run, strict=True))


def _margins(model, items, index):
    rewards = model.predict(items)
    return rewards[index[:, 0]] - rewards[index[:, 1]]


def parts(data, encoders, models, betas, done):
    """Give the rows of one encoder and training after the other."""
    there = [name for name in HUMAN_SETS if data.has(STATISTICS, name)]
    linear = [model for model in models if model in LINEAR_MODELS]
    for human_set in there:
        if (human_set, "nothing", NOTHING, LENGTH, np.inf, 0) not in done:
            yield on_length(data, human_set)
    for encoder in [STATISTICS, *encoders]:
        here = [name for name in there if data.has(encoder, name)]
        for name in DATA_SETS:
            if here and data.has(encoder, name):
                yield on_simulated(data, encoder, name, here, models, betas, done)
        for name in here:
            yield on_people(data, encoder, name, linear, done)


def read(path):
    """Read the rows of the table; none where it is not there."""
    if not path.exists():
        return []
    types = [field.type for field in fields(Row)]
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        return [Row(*(t(v) for t, v in zip(types, row, strict=True))) for row in rows]


def write(path, rows):
    """Write the table whole, so that a stop leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(Row))
        for row in rows:
            values = asdict(row).values()
            table.writerow(f"{v:.5g}" if isinstance(v, float) else v for v in values)
    beside.replace(path)


def main(arguments=None):
    """Compute what is missing, part by part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument(
        "--models", nargs="+", default=LINEAR_MODELS, choices=MODELS, metavar="MODEL"
    )
    parser.add_argument("--betas", nargs="+", type=float, default=BETAS)
    options = parser.parse_args(arguments)
    data, rows = EncodedSets(options.folder), read(options.out)
    done = {row.run for row in rows}
    for part in parts(data, options.encoders, options.models, options.betas, done):
        rows += part
        write(options.out, rows)
        print(f"{len(rows)} rows", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
