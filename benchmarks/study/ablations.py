"""What each difference between two trainings of the networks does, one at a time."""

from typing import NamedTuple

from benchmarks.study.claims import METRICS, PAPER_RECIPE
from benchmarks.study.contrasts import Contrast
from benchmarks.study.intervals import NOTHING, Estimate
from benchmarks.study.scores import NETWORKS
from benchmarks.study.tables import FAMILIES

RECIPES = {
    "paper-row": "as released: split by row, last weights, raw items",
    "paper-pair": "split by pair",
    "paper-prompt": "split by prompt",
    "paper-row+best": "best weights kept",
    "paper-row+scaled": "items scaled",
    "paper-prompt+best+scaled": "all three: by prompt, best weights, scaled",
    "matched": "matched training",
    "paper-row+wide": "as released, 1024-512",
    "paper-prompt+wide": "split by prompt, 1024-512",
    "matched+wide": "matched training, 1024-512",
}
CHANGES = ("paper-prompt", "paper-row+best", "paper-row+scaled")  # one at a time


class Ablation(NamedTuple):
    """The two networks under a recipe, and what it moves from the released one.

    ``noise`` is by how much the difference grows from 10 % to 40 % of wrong labels.
    """

    recipe: str
    n_settings: int
    bradley_terry: Estimate
    classifier: Estimate
    difference: Estimate
    moved: Estimate
    noise: Estimate
    noise_moved: Estimate


def ablations(scores, family):
    """Estimate the networks under some recipes, on the blocks that all of them have.

    Parameters
    ----------
    scores : Scores
        Results.
    family : sequence of str
        The recipes; those that were not run are left out.

    Returns
    -------
    found : list of Ablation
        The released recipe first; empty without it, or where it stands alone.
    """
    scores = scores.where(pairing="same", model=NETWORKS)
    recipes = [recipe for recipe in family if recipe in scores.levels("recipe")]
    if PAPER_RECIPE not in recipes or len(recipes) < 2:
        return []

    def estimate(weights, noise="any"):
        """Estimate a sum of kinds of runs, on the blocks of all kinds."""
        terms = tuple(
            (weights.get((recipe, model), 0.0), {"recipe": recipe, "model": model})
            for recipe in recipes
            for model in NETWORKS
        )
        return Contrast("", terms, noise).estimate(scores, METRICS[0])

    found = []
    for recipe in recipes:
        networks = [(recipe, model) for model in NETWORKS]
        difference = dict(zip(networks, (-1.0, 1.0), strict=True))
        moved = {
            **difference,
            (PAPER_RECIPE, "bt-mlp"): 1.0,
            (PAPER_RECIPE, "clf-mlp"): -1.0,
        }
        moves = recipe != PAPER_RECIPE
        alone = [estimate({network: 1.0}) for network in networks]
        found.append(
            Ablation(
                recipe,
                alone[0].n_blocks,
                *alone,
                estimate(difference),
                estimate(moved) if moves else NOTHING,
                estimate(difference, "slope"),
                estimate(moved, "slope") if moves else NOTHING,
            )
        )
    return found if found[0].n_settings else []


def families(scores):
    """Give the families of recipes that were run, with their titles and ablations.

    Returns
    -------
    found : list of (str, tuple of str, list of Ablation)
        A family without a recipe of its own is left out.
    """
    known = scores.where(model=NETWORKS).levels("recipe")
    found = []
    for title, (own, family) in FAMILIES.items():
        if any(recipe in known for recipe in own):
            mine = ablations(scores, family)
            if mine:
                found.append((title, family, mine))
    return found
