"""Claims on made-up results whose effects are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from statsmodels.stats.multitest import multipletests

from benchmarks.study.ablations import ablations, families
from benchmarks.study.claims import (
    CHANGE,
    MATCHED,
    METRICS,
    PAPER,
    SAME_BLOCKS,
    answer,
    holm,
    verdict,
)
from benchmarks.study.contrasts import minus, step
from benchmarks.study.heterogeneity import between, forest
from benchmarks.study.intervals import Estimate, crossed
from benchmarks.study.scores import Scores, balanced, common
from benchmarks.study.tables import against_baselines, shared_blocks
from tests.benchmarks.simulated import LEARNERS, nothing, simulate

NETWORKS = LEARNERS[:2]
SMALL = {"pools": ("gemma", "minilm"), "quantities": (5_000, 40_000)}
# Small variation, so that a handful of runs shows an effect.
QUIET = (0.001, 0.004, 0.004)


def by_text(answers):
    """Look findings up by their text and training."""
    return {(f.question.contrast.text, f.training): f for _, fs in answers for f in fs}


def test_known_effects_are_found():
    def effect(setting, error_rate):
        value = {"similar": -0.05, "random": 0.0, "diverse": 0.03}[setting.design]
        value += 0.04 * (setting.n_pairs == 40_000) * (setting.model != "bt-mlp")
        return value + 0.1 * (error_rate - 0.1) * (setting.model == "clf-mlp")

    scores = Scores(simulate(effect, spread=QUIET, **SMALL))
    found = by_text(answer(scores))

    def check(text, wanted):
        estimate = found[text, MATCHED].estimates["order_consistency"]
        low, high = estimate.interval
        assert low - 0.003 < wanted < high + 0.003, (text, str(estimate))
        assert abs(estimate.mean - wanted) < 0.004, (text, str(estimate))
        return found[text, MATCHED].verdict

    growth = "minus bt-mlp, growth from 10 % to 40 % of wrong labels"
    assert check(f"clf-mlp {growth}", 0.03) == "holds"
    none = "makes no difference that matters (under 0.01)"
    assert check(f"clf-lgbm {growth}", 0.0) == none
    assert check("bt-mlp, random minus similar", 0.05) == "holds"
    assert check("clf-lgbm, diverse minus random", 0.03) == "holds"
    assert check("clf-mlp, 40,000 minus 5,000 labels", 0.04) == "holds"
    more = "minus bt-mlp, in what 40,000 gain over 5,000 labels"
    assert check(f"clf-mlp {more}", 0.04) == "holds"


def test_nothing_is_found_where_nothing_is():
    wrong = 0
    for seed in range(4):
        scores = Scores(simulate(nothing, random_state=seed, **SMALL))
        findings = [f for _, fs in answer(scores) for f in fs]
        assert len(findings) > 15
        wrong += any(f.corrected["order_consistency"] < 0.05 for f in findings)
    assert wrong <= 1


def test_noise_goes_by_the_measured_error_rate_and_not_by_beta():
    # The same beta is noisier where responses are similar: bins hold what was wrong.
    def effect(setting, error_rate):
        return 0.05 * (error_rate >= 0.1) * (setting.model == "clf-mlp")

    scores = Scores(simulate(effect, spread=QUIET, learners=NETWORKS, **SMALL))
    for noise, wanted in (("high", 0.05), ("low", 0.0)):
        contrast = minus("", "clf-mlp", "bt-mlp", noise)
        estimate = contrast.estimate(scores, "order_consistency")
        assert abs(estimate.mean - wanted) < 0.003
    low = minus("", "clf-mlp", "bt-mlp", "low").estimate(scores, "order_consistency")
    # Random pairs at the highest beta, diverse ones at the three highest.
    assert low.n_blocks == 4 * 2 * 2 * 2 * 5
    assert low.n_settings == 2 * low.n_blocks


def test_recipes_are_compared_on_the_same_blocks_and_their_change_is_tested():
    def effect(setting, error_rate):
        leak = setting.recipe == "paper-row" and setting.model == "bt-mlp"
        easy = 0.2 * (setting.n_pairs == 40_000)  # where the paper's recipe was not run
        return -0.03 * leak + easy

    paper = tuple((m, r) for r in ("paper-row", "paper-prompt") for m, _ in NETWORKS)
    rows = simulate(effect, spread=QUIET, learners=LEARNERS + paper, **SMALL)
    rows = [
        row
        for row in rows
        if row["setting"]["n_pairs"] == 5_000 or row["setting"]["recipe"] == "matched"
    ]
    scores = Scores(rows)
    found = by_text(answer(scores))
    text = "clf-mlp minus bt-mlp"
    means = {
        training: found[text, training].estimates["order_consistency"]
        for training in (PAPER, SAME_BLOCKS, CHANGE, MATCHED)
    }
    assert abs(means[PAPER].mean - 0.03) < 0.004
    assert abs(means[SAME_BLOCKS].mean) < 0.004
    assert_allclose(means[CHANGE].mean, means[SAME_BLOCKS].mean - means[PAPER].mean)
    assert found[text, CHANGE].verdict == "differs"
    assert found[text, SAME_BLOCKS].verdict == ""
    assert means[MATCHED].n_blocks == 2 * means[PAPER].n_blocks
    leak = found["bt-mlp, validation split by prompt minus by row", PAPER]
    assert leak.verdict == "holds"
    gain = found[
        "bt-mlp minus clf-mlp, in what the split by prompt gains over by row", PAPER
    ]
    assert abs(gain.estimates["order_consistency"].mean - 0.03) < 0.006
    recipes = ("paper-row", "paper-pair", "paper-prompt", "matched")
    by_recipe = {one.recipe: one for one in ablations(scores, recipes)}
    assert list(by_recipe) == ["paper-row", "paper-prompt", "matched"]
    assert abs(by_recipe["paper-prompt"].moved.mean + 0.03) < 0.006
    assert np.isnan(by_recipe["paper-row"].moved.mean)
    assert ablations(scores, ("paper-row", "paper-row+best")) == []
    titles = [title for title, *_ in families(scores)]
    assert titles == ["validation splits"]


def test_a_verdict_says_where_the_gain_is_decided_otherwise():
    rows = simulate(spread=QUIET, learners=NETWORKS, **SMALL)
    for row in rows:
        if row["setting"]["model"] == "clf-mlp":
            gains = row["per_prompt"]["best_of_n"]
            row["per_prompt"]["best_of_n"] = [gain - 0.2 for gain in gains]
    found = by_text(answer(Scores(rows)))["clf-mlp minus bt-mlp", MATCHED]
    assert found.verdict == (
        "makes no difference that matters (under 0.01); "
        "by best-of-N gain it is the other way round"
    )


def test_a_recipe_that_was_run_on_little_cuts_its_own_family_alone():
    few = ("paper-row+wide", "matched+wide")
    learners = NETWORKS + tuple(
        (m, r) for r in ("paper-row", "paper-prompt", *few) for m, _ in NETWORKS
    )
    rows = [
        row
        for row in simulate(learners=learners, **SMALL)
        if row["setting"]["recipe"] not in few or row["setting"]["seed"] == 0
    ]
    found = {title: mine for title, _, mine in families(Scores(rows))}
    assert list(found) == ["validation splits", "wider networks"]
    splits, wide = (mine[0].n_settings for mine in found.values())
    assert splits == 5 * wide
    assert {one.n_settings for one in found["wider networks"]} == {wide}
    assert found["wider networks"][0].difference.n_seeds == 1


def test_common_blocks_are_those_that_all_have():
    # Runs with many labels are there for the easy encoder alone: raw means mislead.
    def effect(setting, error_rate):
        return 0.2 * (setting.pool == "minilm")

    rows = [
        row
        for row in simulate(effect, spread=QUIET, learners=LEARNERS[:1], **SMALL)
        if row["setting"]["n_pairs"] == 5_000 or row["setting"]["pool"] == "minilm"
    ]
    scores = Scores(rows)
    raw = [scores.where(model="bt-mlp", n_pairs=n) for n in (40_000, 5_000)]
    metric = "order_consistency"
    assert (
        crossed(raw[0].tables(metric)).mean - crossed(raw[1].tables(metric)).mean > 0.09
    )
    gain = step("", "n_pairs", 40_000, 5_000, model="bt-mlp")
    assert abs(gain.estimate(scores, "order_consistency").mean) < 0.003
    part = shared_blocks(scores, "n_pairs", ["bt-mlp"])
    assert {mine["bt-mlp"].levels("pool")[0] for mine in part.values()} == {"minilm"}
    lengths = {len(mine["bt-mlp"]) for mine in part.values()}
    assert lengths == {3 * 6 * 5 * 2}
    with pytest.raises(ValueError, match="names more than one setting of a block"):
        common(scores, [{"task": ("arenabench", "judged_dev"), "n_pairs": 5_000}])


def test_a_part_is_cut_to_its_largest_balanced_part():
    rows = simulate(learners=NETWORKS, **SMALL)
    kept = [
        row
        for row in rows
        if not (row["setting"]["seed"] == 4 and row["setting"]["design"] == "diverse")
        and not (row["setting"]["seed"] == 3 and row["setting"]["pool"] == "gemma")
    ]
    scores = Scores(kept).where(model="bt-mlp")
    inside = scores.take(balanced(scores))
    # Without seeds 3 and 4: 3 x 2 x 3 units a task; without seed 4, gemma: 4 x 1 x 3.
    assert inside.levels("seed") == [0, 1, 2]
    assert inside.levels("pool") == ["gemma", "minilm"]
    assert inside.levels("design") == ["diverse", "random", "similar"]
    every, units = np.unique(
        inside.codes("task", "pool", "design", "seed"), return_counts=True
    )
    assert len(every) == 2 * 2 * 3 * 3
    assert set(units) == {6 * 2}
    # A whole seed and a part of another: two seeds go before size, but not from all.
    some, little = {"random", "similar"}, {"random"}
    for pools, designs, seeds in (
        ({"gemma", "minilm"}, some, [0, 1]),
        ({"gemma"}, little, [0]),
    ):
        kept = [
            row
            for row in rows
            if row["setting"]["seed"] == 0
            or (
                row["setting"]["seed"] == 1
                and row["setting"]["pool"] in pools
                and row["setting"]["design"] in designs
            )
        ]
        scores = Scores(kept).where(model="bt-mlp")
        inside = scores.take(balanced(scores))
        assert inside.levels("seed") == seeds
        assert (set(inside.levels("design")) == designs) == (len(seeds) == 2)
    whole = Scores(rows).where(model="bt-mlp")
    assert balanced(whole).all()


def test_settings_tested_on_other_prompts_cannot_be_compared():
    rows = simulate(learners=NETWORKS, **SMALL)
    rows[-1]["per_prompt"]["prompts"] = rows[-1]["per_prompt"]["prompts"][::-1]
    with pytest.raises(ValueError, match="tested on other prompts"):
        Scores(rows)
    rows = simulate(learners=NETWORKS, **SMALL)
    rows[-1]["per_prompt"]["n"] = 5
    with pytest.raises(ValueError, match="best of 5, others of its task have 10"):
        Scores(rows)


def test_the_forest_has_a_line_an_encoder_and_shows_that_they_differ():
    def effect(setting, error_rate):
        return 0.03 * (setting.pool == "mpnet") * (setting.model == "clf-mlp")

    scores = Scores(simulate(effect, spread=QUIET, quantities=(5_000,)))
    lines = dict(forest(scores, "clf-mlp"))
    assert len(lines) == 2 * 3 + 2 + 1
    assert abs(lines["arenabench, mpnet"].mean - 0.03) < 0.004
    assert abs(lines["judged_dev, gemma"].mean) < 0.004
    assert abs(lines["all encoders and data sets"].mean - 0.01) < 0.004
    spread = np.std([0.03, 0, 0], ddof=1)
    for deviation in between(scores, "clf-mlp").values():
        assert abs(deviation - spread) < 0.002
    for deviation in between(scores, "clf-lgbm").values():
        assert deviation < 0.002


def test_baselines_are_compared_on_the_same_prompts_seeds_and_labels():
    rows = simulate(spread=QUIET, **SMALL)
    found = against_baselines(Scores(rows), METRICS[0])
    assert len(found) == 3 * 2 * 3
    for length, statistics in zip(found[::2], found[1::2], strict=True):
        assert length[:3:2] == statistics[:3:2]
        assert_allclose(length[3].mean - statistics[3].mean, 0.01, atol=1e-9)
        assert length[3].n_settings == 2 * 2 * 6 * 2 * 5
    # A model with fewer blocks takes them from the others' lines too.
    fewer = [
        row
        for row in rows
        if row["setting"]["model"] != "clf-lgbm" or row["setting"]["pool"] == "gemma"
    ]
    found = against_baselines(Scores(fewer), METRICS[0])
    assert {estimate.n_settings for *_, estimate in found} == {2 * 1 * 6 * 2 * 5}
    without = Scores(rows).where(model=("bt-mlp", "clf-mlp", "clf-lgbm", "length"))
    assert {name for _, name, *_ in against_baselines(without, METRICS[0])} == {
        "length"
    }


def test_holm_is_that_of_statsmodels():
    p_values = np.array([0.04, 0.001, 0.2, 0.01, 0.01, 0.9])
    corrected = multipletests(p_values, method="holm")[1]
    assert_allclose(holm(p_values), corrected)
    holes = np.insert(p_values, 2, np.nan)
    assert_allclose(holm(holes), np.insert(corrected, 2, np.nan))
    assert holm([]).shape == (0,)


@pytest.mark.parametrize(
    ("estimate", "wanted", "p_values", "words"),
    [
        (Estimate(0.03, 0.004, 20), 1, (0.001, 1.0), "holds"),
        (Estimate(0.03, 0.004, 20), -1, (0.001, 1.0), "is the other way round"),
        (Estimate(0.03, 0.004, 20), 0, (0.001, 1.0), "differs"),
        (Estimate(0.003, 0.001, 20), 1, (0.01, 0.001), "holds, too little to matter"),
        (
            Estimate(0.001, 0.001, 20),
            1,
            (0.4, 0.001),
            "makes no difference that matters (under 0.01)",
        ),
        (
            Estimate(0.004, 0.004, 20),
            1,
            (0.4, 0.2),
            "is not decided (would be found from ±0.012 on)",
        ),
        (
            Estimate(0.03, 0.004, 20, n_seeds=1),
            1,
            (0.001, 1.0),
            "holds, of one seed alone",
        ),
        (
            Estimate(0.004, np.nan, np.nan),
            1,
            (np.nan, np.nan),
            "cannot be judged: one prompt does not show how results vary",
        ),
    ],
)
def test_verdicts(estimate, wanted, p_values, words):
    assert verdict(estimate, wanted, *p_values) == words
