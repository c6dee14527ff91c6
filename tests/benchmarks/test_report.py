"""The study's report: from the results file, byte for byte."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.annotation_study import main
from benchmarks.study import choices, figures
from benchmarks.study.report import write_report
from benchmarks.study.results import read_results
from tests.benchmarks.simulated import LEARNERS, RECIPES, simulate

PAPER = tuple((model, recipe) for recipe in RECIPES for model in ("bt-mlp", "clf-mlp"))
LINEAR = (("bt-linear", "matched"), ("clf-linear", "matched"))
SMALL = {"pools": ("minilm",), "betas": (0.5, 5.0, 10.0), "quantities": (5_000,)}
FIGURES = ("noise.png", "quantity.png", "pairing.png", "encoders.png", "recipes.png")


def results(**options):
    """Make the lines of a small study with all that a study has."""
    return simulate(
        learners=LEARNERS + LINEAR + PAPER,
        pairings=("same", "cross"),
        pools=("minilm", "gemma_last"),
        quantities=(5_000, 10_000, 40_000),
        betas=(0.5, 5.0, 10.0),
        seeds=range(3),
        n_prompts=40,
        **options,
    )


@pytest.fixture(name="undrawn")
def _undrawn(monkeypatch):
    """Leave out the figures, and the choices of models for real data."""
    monkeypatch.setattr(figures, "draw", lambda scores, folder: [])
    monkeypatch.setattr(choices, "read", dict)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_report_is_made_from_the_file_byte_for_byte(tmp_path):
    rows = results()
    path = tmp_path / "r.jsonl"
    order = np.random.default_rng(0).permutation(len(rows))
    path.write_text("".join(json.dumps(rows[k]) + "\n" for k in order))
    assert main(["report", "--out", str(path), "--folder", str(tmp_path / "a")]) == 0
    # In another order, and with lines twice.
    write_report(rows + rows[:50], tmp_path / "b")
    first = contents(tmp_path / "a")
    assert set(first) == {"report.md", "tables.md", *FIGURES}
    assert first == contents(tmp_path / "b")
    text = first["report.md"].decode()
    assert text.startswith("# The annotation study: 972 of 12,960 settings\n")
    assert "true rewards of d: the pools gemma_last, minilm, and the true re" in text
    assert "not finished" not in text
    for name in FIGURES:
        assert first[name].startswith(b"\x89PNG")
        caption = re.search(rf"!\[(.*)\]\({name}\)\n\n(.*)\n", text)
        assert caption[1] == caption[2]


def test_the_committed_report_is_of_the_committed_results(tmp_path):
    committed = Path(__file__).parents[2] / "docs" / "study"
    rows = read_results(committed / "results.jsonl.gz")
    if not any(row["setting"]["recipe"] == "matched" for row in rows):
        pytest.skip("the committed results are of the study before")
    for name in "convergence.md", "human.csv":
        if (committed / name).exists():
            (tmp_path / name).write_bytes((committed / name).read_bytes())
    write_report(rows, tmp_path)
    for path in sorted(tmp_path.iterdir()):
        if path.suffix == ".md":
            assert path.read_text() == (committed / path.name).read_text()
        assert (committed / path.name).exists()


def test_every_table_says_on_what_it_rests_and_has_both_baselines(tmp_path, undrawn):
    write_report(results(), tmp_path)
    page = (tmp_path / "tables.md").read_text()
    *tables, cost = page.split("\n## ")[2:]
    assert len(tables) == 10
    assert "| bt-mlp | paper-row | 384 | 648 | 0.50 | 0.09 |" in cost
    for table in tables:
        n = re.search(r"Every line of a model: ([\d,]+) settings", table)[1]
        assert f"of the same {n} blocks (" in table
        assert "*length alone*" in table, table.splitlines()[0]
        assert "*text statistics*" in table, table.splitlines()[0]
        assert "| at similar length |" in table
    for recipes in tables[-2:]:
        assert "| paper-prompt | clf-mlp | " in recipes
        assert "| none | *length alone* |" in recipes


def test_verdicts_stand_in_the_abstract_once_a_claim(tmp_path, undrawn):
    def effect(setting, error_rate):
        return 0.03 * (setting.design == "random") - 0.03 * (
            "row" in setting.recipe and setting.model == "bt-mlp"
        )

    write_report(results(effect=effect, spread=(0.001, 0.003, 0.003)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    short = text.partition("## In short")[2].partition("## Set-up")[0]
    found = re.findall(r"^  - (That .*)$", short, flags=re.M)
    assert len(found) == len(set(found)) >= 15
    better = next(line for line in found if line.startswith("That clf-mlp is better"))
    assert "under the paper's recipe, it **holds** (+0.03" in better
    assert "**makes no difference that matters (under 0.01)**" in better
    assert "the training changes it (-0.03" in better
    worse = next(line for line in found if line.startswith("That diverse pairs"))
    assert worse.count("**is the other way round** (-0.03") == 2
    assert "“split by prompt” moves the comparison of classifier" in text
    assert "the two networks order 0.6" in short
    assert "and once more as its released code trains them" in short
    others = "pairs across prompts, linear models, other trainings, baselines."
    assert re.search(rf"^Beside the grid: [\d,]+ settings of {others}$", text, re.M)
    missing = "minilmL3, mpnet, smollm2_last, wordllama"
    assert f"\nNot run yet: the grid by {missing}.\n" in text
    by_set = text.partition(
        "| difference, matched training | arenabench | judged_dev |"
    )
    assert "\n| bt-mlp, 40,000 minus 10,000 labels | " in by_set[2]
    assert text.count("*, on the same labels | 0.") == 4
    for part in (
        "## Do encoders and data sets agree?",
        "## Against length and statistics of the text",
        "## Do the verdicts depend on the intervals?",
        "## Cost and versions",
        "Versions: numpy 2.4.6, skreward 0.1.0.",
    ):
        assert part in text


def test_a_part_of_the_grid_says_so_and_compares_what_is_balanced(tmp_path, undrawn):
    kept = [
        row
        for row in results()
        if row["setting"]["seed"] < 2 or row["setting"]["design"] in ("random", "-")
    ]
    write_report(kept, tmp_path)
    text = (tmp_path / "report.md").read_text()
    n = 2 * 2 * 3 * 3 * 3
    assert text.startswith(f"# The annotation study: {n * 7:,} of 12,960 settings\n")
    assert f"**The grid is not finished:** {n} settings are left out" in text
    assert f"{6 * n:,} are kept (2 data sets, 2 encoders, 3 designs, 2 seeds," in text
    assert "95 % intervals over seeds (3 at most here)" in text


def test_a_first_seed_alone_has_intervals_over_prompts_and_says_so(tmp_path):
    def effect(setting, error_rate):
        return 0.1 * (setting.design == "random")

    write_report(simulate(effect, seeds=[0], **SMALL), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "95 % intervals over the test prompts of one seed: how seeds vary" in text
    assert "it **holds, of one seed alone** (+0." in text
    assert "] (one seed) |" in text
    assert "## Do the verdicts depend on the intervals?" not in text
    assert "nan" not in text
    assert (tmp_path / "encoders.png").exists()


def test_what_stands_beside_the_results_is_taken_up(tmp_path, undrawn):
    (tmp_path / "convergence.md").write_text("# Convergence\n\nSlopes.\n")
    head = (
        "human_set,source,trained_on,encoder,model,beta,error_rate,seed,n_pairs,"
        "agreement,standard_error,n_similar,similar\n"
    )
    sources = ("mtbench", 100, 0.05), ("llmbar_gptout", 300, 0.02), ("autoj", 300, 0.02)
    lines = [
        f"human_pairs,{source},judged_dev,{encoder},bt-linear,3,.1,{seed},{n},"
        f"{share + 0.2 * (source == 'autoj')},{error},9,0.5"
        for encoder, share in (("minilm", 0.5), ("mpnet", 0.6), ("statistics", 0.4))
        for seed in range(2)
        for source, n, error in sources
    ]
    lines.append("human_pairs,mtbench,nothing,-,length,inf,nan,0,100,.7,.05,0,nan")
    (tmp_path / "human.csv").write_text(head + "\n".join(lines) + "\n")
    write_report(simulate(seeds=[0, 1], **SMALL), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "## Convergence\n\nSlopes.\n" in text
    columns = "people's pairs (400) | of similar length | adversarial pairs (300) |"
    assert f"| trained on | model | features | {columns}" in text
    # (100 x .55 + 300 x .75) / 400, and its error from 100 x .05 and 300 x .02.
    half = 1.96 * np.hypot(5, 6) / 400
    line = f"| 0.700 ± {half:.3f} | 0.500 | 0.550 ± 0.039 |"
    assert f"| judged_dev | bt-linear | minilm, mpnet {line}" in text
    assert "| judged_dev | bt-linear | statistics | 0.550 ± 0.038 |" in text
    assert "| nothing | length | - | 0.700 ± 0.098 |  |  |" in text


def test_further_encoders_are_in_a_table_of_their_own(tmp_path, undrawn):
    rows = simulate(seeds=[0, 1], **{**SMALL, "pools": ("minilm", "gemma_mean")})
    write_report(rows, tmp_path)
    text, tables = (
        (tmp_path / name).read_text() for name in ("report.md", "tables.md")
    )
    assert text.startswith("# The annotation study: 108 of 12,960 settings\n")
    for page in text, tables:
        assert "The paper's recipe" not in page
    grid, further = tables.split("## Further encoders")
    assert "gemma_mean" not in grid
    assert "| gemma_mean | bt-mlp |" in further


def test_choices_at_an_edge_are_marked(tmp_path, undrawn, monkeypatch):
    tried = [
        {"learning_rate_init": rate, "alpha": alpha, "order_consistency": 0.6}
        for rate in (0.1, 0.2, 0.3)
        for alpha in (1, 2, 3)
    ]
    chosen = {"learning_rate_init": 0.2, "alpha": 3}
    known = {"judged_dev/minilm/same/bt-mlp": {"chosen": chosen, "tried": tried}}
    monkeypatch.setattr(choices, "read", lambda: known)
    write_report(simulate(seeds=[0, 1], **SMALL), tmp_path)
    page = (tmp_path / "tables.md").read_text()
    assert "| judged_dev | minilm | same | learning_rate_init 0.2, alpha 3* |" in page
    assert "| arenabench | minilm |" not in page.partition("## Chosen")[2]


def test_results_without_matched_training_are_refused(tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    rows = simulate(learners=PAPER[:2], pools=("minilm",), seeds=[0])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["report", "--out", str(path), "--folder", str(tmp_path)]) == 2
    assert "results of matched training, and there are none" in capsys.readouterr().err
