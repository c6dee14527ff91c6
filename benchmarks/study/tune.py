"""Choose learning rates, penalties and sizes of trees, once an encoder and data set.

    python -m benchmarks.study.tune --data FOLDER

On splits and labels of other seeds than the study's, with one labelling of every
design, for pairs of one prompt and for pairs across prompts. The candidate of the best
mean order consistency on test prompts is kept; every model has as many. Writes
``choices.json`` beside this file, with the figures, and goes on where it was stopped.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from benchmarks.study import choices, models
from benchmarks.study.scoring import Test
from benchmarks.study.settings import MATCHED, PAIRINGS, PAPER_MODELS, Setting
from benchmarks.study.sources import Source
from benchmarks.study.worker import Labels, problem_of

SEEDS = (100, 101)
LABELLINGS = (
    ("random", 0.7, 20_000),
    ("similar", 3.0, 20_000),
    ("diverse", 0.7, 5_000),
)


def main():
    """Choose what is not chosen yet."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", required=True)
    options.add_argument("--out", type=Path, default=choices.PATH)
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("--task", help="this data set alone")
    options.add_argument("--pairing", help="these pairs alone", choices=PAIRINGS)
    options.add_argument("--pools", help="encoders, instead of those of the grid")
    options = options.parse_args()
    source = Source(options.data)
    responses = source.open()
    done = json.loads(options.out.read_text()) if options.out.exists() else {}
    pools = options.pools.split(",") if options.pools else responses.pools
    waiting = [
        which
        for which in product(responses.tasks, pools, PAIRINGS, PAPER_MODELS)
        if choices.name_of(*which) not in done
        and options.task in (None, which[0])
        and options.pairing in (None, which[2])
    ]
    found = Parallel(n_jobs=options.jobs, return_as="generator_unordered")(
        delayed(attempt)(source, *which) for which in waiting
    )
    for name, tried in found:
        if isinstance(tried, str):
            print(f"{name} is left for later: {tried}", flush=True)
            continue
        best = max(tried, key=lambda candidate: candidate["order_consistency"])
        chosen = {k: v for k, v in best.items() if k != "order_consistency"}
        done[name] = {"chosen": chosen, "tried": tried}
        options.out.write_text(json.dumps(dict(sorted(done.items())), indent=1) + "\n")
        print(name, best, flush=True)


def attempt(source, *which):
    """Tune, or give the text of what is in the way."""
    try:
        return tune(source, *which)
    except (ValueError, FileNotFoundError) as error:
        return choices.name_of(*which), str(error)


def tune(source, task, pool, pairing, model):
    """Give the name of a choice, and its candidates with their order consistency."""
    candidates = choices.candidates_of(model)
    values = np.zeros(len(candidates))
    runs = list(product(SEEDS, LABELLINGS))
    for seed, (design, beta, n_pairs) in runs:
        setting = Setting(
            data=source.label,
            pool=pool,
            task=task,
            design=design,
            pairing=pairing,
            beta=beta,
            n_pairs=n_pairs,
            seed=seed,
            model=model,
            recipe=MATCHED,
        )
        train, test = source.open().parts(pool, task, seed)
        scorer = Test(test, np.random.RandomState(seed))
        labels = Labels(train, setting, [setting])
        problem = problem_of([setting], train, test, labels)
        for k, candidate in enumerate(candidates):
            (fitted,) = models.fit(model, MATCHED, problem, candidate)
            values[k] += scorer(fitted.rewards)["order_consistency"]
    return choices.name_of(task, pool, pairing, model), [
        {**candidate, "order_consistency": round(float(value) / len(runs), 5)}
        for candidate, value in zip(candidates, values, strict=True)
    ]


if __name__ == "__main__":
    main()
