"""Made-up results of the study, with effects that are known."""

from itertools import product

import numpy as np

from benchmarks.study.settings import BETAS, DESIGNS, QUANTITIES, Setting

ERROR_RATES = {
    "similar": (0.45, 0.43, 0.41, 0.32, 0.27, 0.21),
    "random": (0.40, 0.37, 0.33, 0.19, 0.14, 0.09),
    "diverse": (0.31, 0.26, 0.20, 0.08, 0.05, 0.03),
}
POOLS = ("gemma", "minilm", "mpnet")
TASKS = ("arenabench", "judged_dev")
LEARNERS = (("bt-mlp", "matched"), ("clf-mlp", "matched"), ("clf-lgbm", "matched"))
RECIPES = ("paper-row", "paper-pair", "paper-prompt", "paper-row+best")


def nothing(setting, error_rate):
    """Give no effect to any setting."""
    return 0.0


def simulate(
    effect=nothing,
    *,
    pools=POOLS,
    tasks=TASKS,
    learners=LEARNERS,
    designs=DESIGNS,
    pairings=("same",),
    betas=BETAS,
    quantities=QUANTITIES,
    seeds=range(5),
    n_prompts=120,
    spread=(0.01, 0.05, 0.03),
    random_state=0,
):
    """Make lines of a results file, with baselines.

    The order consistency of a prompt is .62 + effect, plus what varies by seed and
    learner, by prompt and learner, and by the value alone: standard deviations
    ``spread``. A quarter of the prompts is tested under a seed.
    """
    rng = np.random.default_rng(random_state)
    by_seed, by_prompt, by_value = spread
    rows = []
    for task in tasks:
        difficulty = {who: by_prompt * rng.normal(size=n_prompts) for who in learners}
        for seed in seeds:
            tested = np.sort(rng.permutation(n_prompts)[: n_prompts // 4])
            place = {"data": "d", "task": task, "seed": seed}
            rows += _baselines(place, tested, pairings, designs, betas, quantities, rng)
            luck = {who: by_seed * rng.normal() for who in learners}
            for pool, design, pairing, (k, beta), n_pairs, who in product(
                pools, designs, pairings, enumerate(betas), quantities, learners
            ):
                setting = Setting(
                    **place,
                    pool=pool,
                    design=design,
                    pairing=pairing,
                    beta=beta,
                    n_pairs=n_pairs,
                    model=who[0],
                    recipe=who[1],
                )
                error_rate = ERROR_RATES[design][k % 6] + 0.002 * rng.normal()
                values = 0.62 + effect(setting, error_rate) + luck[who]
                values = values + difficulty[who][tested]
                values = values + by_value * rng.normal(size=len(tested))
                rows.append(_row(setting, tested, values, error_rate))
    return rows


def _baselines(place, tested, pairings, designs, betas, quantities, rng):
    values = 0.6 + 0.05 * rng.normal(size=len(tested))
    shared = {**place, "pool": "-", "recipe": "baseline"}
    length = {"design": "-", "pairing": "-", "beta": 0.0, "n_pairs": 0}
    yield _row(Setting(**shared, **length, model="length"), tested, values, None)
    for design, pairing, beta, n_pairs in product(designs, pairings, betas, quantities):
        labels = {
            "design": design,
            "pairing": pairing,
            "beta": beta,
            "n_pairs": n_pairs,
        }
        yield _row(
            Setting(**shared, **labels, model="statistics"), tested, values + 0.01, 0.2
        )


def _row(setting, tested, values, error_rate):
    values = np.round(values, 5)
    return {
        "key": setting.key,
        "setting": vars(setting),
        "order_consistency": float(values.mean()),
        "order_consistency_similar_length": 0.52,
        "order_consistency_cross": 0.55,
        "spearman": 0.3,
        "spearman_undefined": 0,
        "best_of_n": {"2": 0.2, "10": 0.6},
        "best_of_n_oracle": {"2": 0.4, "10": 1.2},
        "per_prompt": {
            "prompts": tested.tolist(),
            "order_consistency": values.tolist(),
            "best_of_n": (10 * (values - 0.5)).tolist(),
            "n": 10,
        },
        "error_rate": error_rate,
        "share_equal": None if error_rate is None else 0.05,
        "n_distinct": min(setting.n_pairs, 304),
        "n_features": 384,
        "training": {},
        "core_seconds": 0.5,
        "versions": {"skreward": "0.1.0", "numpy": "2.4.6"},
    }
