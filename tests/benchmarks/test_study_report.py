"""The annotation study's report: intervals, verdicts, cost, tables and figures."""

import json

import numpy as np
from numpy.testing import assert_allclose

from benchmarks.annotation_study import main
from benchmarks.study import settings as grid
from benchmarks.study.claims import verdict
from benchmarks.study.cost import describe, grid_seconds
from benchmarks.study.intervals import (
    Estimate,
    by_prompt,
    contrast,
    difference,
    estimate,
)


def fake_row(model, block, consistency, *, recipe="package", **changes):
    """Make a result whose prompts score ``consistency`` plus their own difficulty."""
    levels = {
        "data": "d",
        "pool": "all",
        "task": "linear",
        "design": "random",
        "pairing": "same",
        "beta": 3.0,
        "n_pairs": 5000,
        "seed": block % 5,
        **changes,
    }
    fake = grid.Setting(model=model, recipe=recipe, **levels)
    rng = np.random.default_rng(block)
    prompts = np.sort(rng.permutation(60)[:20])
    values = (consistency + 0.05 * np.sin(prompts)).tolist()
    per_prompt = {
        "prompts": prompts.tolist(),
        "n": 10,
        "order_consistency": values,
        "best_of_n": values,
    }
    scores = {
        "order_consistency": consistency,
        "order_consistency_similar_length": 0.5,
        "order_consistency_cross": 0.6,
        "spearman": 0.4,
        "best_of_n": {"2": 0.2, "10": 0.6},
        "best_of_n_oracle": {"2": 0.4, "10": 1.2},
        "per_prompt": per_prompt,
    }
    return {
        "key": fake.key,
        "setting": vars(fake),
        **scores,
        "length_only": {**scores, "order_consistency": 0.71},
        "error_rate": 0.12,
        "n_features": 384,
        "seconds": 9.0,
        "core_seconds": 2.0,
        "versions": {"skreward": "0"},
    }


def test_paired_differences_cancel_what_blocks_and_prompts_share():
    noise = np.random.default_rng(0).normal(size=5)
    rows = {
        model: [fake_row(model, k, 0.6 + 0.1 * noise[k] + gain) for k in range(5)]
        for model, gain in (("bt-mlp", 0.0), ("clf-mlp", 0.02))
    }
    values = {name: by_prompt(mine, "order_consistency") for name, mine in rows.items()}
    gain = estimate(difference(values["clf-mlp"], values["bt-mlp"]))
    assert_allclose([gain.mean, gain.low, gain.high], 0.02, atol=1e-12)
    alone = estimate(values["bt-mlp"])
    assert alone.low < alone.mean < alone.high
    assert np.isnan(estimate({}).mean)
    few = dict(list(values["bt-mlp"].items())[:4])
    assert np.isnan(estimate(few).low)
    assert 0.5 < estimate(few).mean < 0.8


def test_a_contrast_takes_out_the_other_axes():
    # All settings with many pairs are of the good pool but one: the means mislead.
    plan = [("good", 40_000, seed) for seed in range(5)] + [("bad", 40_000, 0)]
    plan += [("bad", 5_000, seed) for seed in range(5)] + [("good", 5_000, 0)]
    rows = [
        fake_row(
            "bt-mlp",
            block,
            0.6 + 0.3 * (pool == "good") + 0.01 * (n_pairs == 40_000),
            pool=pool,
            n_pairs=n_pairs,
            seed=seed,
        )
        for block, (pool, n_pairs, seed) in enumerate(plan)
    ]
    sample = by_prompt(rows, "order_consistency")
    assert len(sample) == 12
    many, few = (
        np.mean([np.mean(list(v.values())) for k, v in sample.items() if n in k])
        for n in (40_000, 5_000)
    )
    assert many - few > 0.15
    gain = contrast(sample, "n_pairs", 40_000, 5_000)
    assert abs(gain.mean - 0.01) < 0.02
    assert np.isnan(contrast(sample, "n_pairs", 40_000, 10_000).mean)


def test_an_interval_covers_prompts_and_settings():
    rng = np.random.default_rng(0)
    prompt_effect, covered = 0.1, 0
    for trial in range(60):
        effects = prompt_effect * rng.normal(size=40)
        blocks = 0.1 * rng.normal(size=30)
        sample = {
            (b,): dict(
                enumerate(0.5 + effects + blocks[b] + 0.05 * rng.normal(size=40))
            )
            for b in range(30)
        }
        interval = estimate(sample, seed=trial)
        covered += interval.low < 0.5 < interval.high
    assert covered >= 50


def test_verdicts():
    up, down, open_ = (
        Estimate(0.1, 0.05, 0.2),
        Estimate(-0.1, -0.2, -0.05),
        Estimate(0.0, -0.1, 0.1),
    )
    assert verdict([up]) == verdict([down], -1) == "holds here"
    assert verdict([down]) == verdict([up, down]) == "does not hold here"
    assert verdict([up], -1) == "does not hold here"
    assert verdict([up, open_]) == "is not decided by these results"
    nothing = Estimate(np.nan, np.nan, np.nan)
    assert verdict([up, nothing]) == "cannot be judged from these results"


def test_the_cost_of_the_grid_is_the_sum_over_its_strata():
    whole = grid.Table(
        data="d",
        pools=tuple("abcdef"),
        tasks=("s", "t"),
        learners=grid.learners(),
        pairings=("same",),
    )
    rows = [
        {
            "key": f"{model}{n}{k}",
            "setting": {"model": model, "recipe": "package", "n_pairs": n},
            "n_features": 384,
            "core_seconds": n / 1000 + k,
        }
        for model in grid.PAPER_MODELS
        for n in grid.QUANTITIES
        for k in (0, 2)
    ]
    seconds, error = grid_seconds(rows, whole)
    assert_allclose(seconds, 12_960 * (75 / 4 + 1))
    assert_allclose(error, np.sqrt(12) * 1080 * np.sqrt(2) / np.sqrt(2))
    assert np.isnan(grid_seconds(rows[:-2], whole)[0])
    text = "\n".join(describe(rows, whole))
    assert "0 of 12960 settings" in text
    assert "d = 384" in text
    assert "255,960 s on one core, 71.1 +- 2.0 (95 %) core-hours; the paper" in text


def test_the_report_has_tables_figures_nulls_and_verdicts(tmp_path):
    rows = [
        fake_row(
            model,
            block,
            0.6 + 0.05 * (model == "clf-mlp"),
            design=("random", "similar", "diverse")[block % 3],
            pairing=pairing,
            n_pairs=(5_000, 10_000, 40_000)[block % 3],
            recipe=recipe,
            pool=f"pool {block}",
        )
        for block in range(9)
        for pairing in ("same", "cross")
        for model, recipe in (
            *((model, "package") for model in grid.PAPER_MODELS),
            ("bt-mlp", "paper-row"),
            ("bt-mlp", "paper-prompt"),
            ("clf-mlp", "paper-row"),
            ("clf-mlp", "paper-prompt"),
        )
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["report", "--out", str(path), "--folder", str(tmp_path / "d")]) == 0
    text = (tmp_path / "d" / "report.md").read_text()
    for wanted in (
        "classifiers are better under noise holds here (+0.025",
        "clf-mlp minus bt-mlp, error rate at least 10 %: order consistency +0.050",
        "*length alone*",
        "The leak",
        "at similar length",
        "| 3.0 | clf-mlp | 9 | 12.0 % |",
    ):
        assert wanted in text
    figures = [line for line in text.splitlines() if line.startswith("![")]
    assert len(figures) == 5
    for line in figures:
        name = line.partition("](")[2].rstrip(")")
        assert (tmp_path / "d" / name).read_bytes().startswith(b"\x89PNG")


def test_a_report_is_on_one_data_source(tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    rows = [fake_row("bt-mlp", 0, 0.6, data=data) for data in ("d", "e")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["report", "--out", str(path), "--folder", str(tmp_path)]) == 2
    assert "got those of d, e" in capsys.readouterr().err
