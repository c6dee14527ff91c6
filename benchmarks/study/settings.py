"""The grid: a declared table of settings, each with a stable key."""

from dataclasses import asdict, dataclass, fields
from itertools import groupby, product
from math import prod
from operator import attrgetter

DESIGNS = ("random", "similar", "diverse")
PAIRINGS = ("same", "cross")
BETAS = (0.5, 0.7, 1.0, 3.0, 5.0, 10.0)
QUANTITIES = (5_000, 10_000, 20_000, 40_000)
SEEDS = (0, 1, 2, 3, 4)
PAPER_MODELS = ("bt-mlp", "clf-mlp", "clf-lgbm")
LINEAR_MODELS = ("bt-linear", "clf-linear")
# The same training for all models, and the same with the paper's wider layers.
MATCHED, WIDE = "matched", "matched+wide"
# The released code's training by its validation split, then that with what this study
# does otherwise, one thing at a time and together; and with the paper's wider layers.
PAPER_RECIPES = (
    "paper-row",
    "paper-pair",
    "paper-prompt",
    "paper-row+best",
    "paper-row+scaled",
    "paper-prompt+best+scaled",
    "paper-row+wide",
    "paper-pair+wide",
    "paper-prompt+wide",
)
RECIPES = (MATCHED, WIDE, *PAPER_RECIPES)
# Of baselines, which learn from no embeddings.
BASELINE = "baseline"
NONE = "-"


@dataclass(frozen=True)
class Setting:
    """One run: which data, which pairs, how noisy, which model, which seed.

    ``pool`` and ``task`` play the parts of the paper's language models and data
    sets. ``recipe`` is "matched", the same training for all models, or for networks
    another of `RECIPES`.
    """

    data: str
    pool: str
    task: str
    design: str
    pairing: str
    beta: float
    n_pairs: int
    seed: int
    model: str
    recipe: str

    @property
    def key(self):
        """The same text for the same setting, whatever else the grid holds."""
        return "/".join(f"{name}={value}" for name, value in asdict(self).items())


NAMES = tuple(field.name for field in fields(Setting))
# What settings share that are run at once: the responses, and the pairs drawn of them.
of_unit = attrgetter("data", "pool", "task", "design", "pairing", "seed")
of_learner = attrgetter("model", "recipe")


@dataclass(frozen=True)
class Table:
    """All settings: the product of the axes, seed by seed.

    So that what is done when a run is stopped is balanced over all other axes, but
    for the seed under way.
    """

    data: str
    pools: tuple
    tasks: tuple
    learners: tuple
    designs: tuple = DESIGNS
    pairings: tuple = PAIRINGS
    betas: tuple = BETAS
    quantities: tuple = QUANTITIES
    seeds: tuple = SEEDS

    @property
    def axes(self):
        """Levels of the axes by their names, the slowest first."""
        return {
            "seed": self.seeds,
            "design": self.designs,
            "task": self.tasks,
            "pool": self.pools,
            "pairing": self.pairings,
            "learner": self.learners,
            "beta": self.betas,
            "n_pairs": self.quantities,
        }

    def __len__(self):
        return prod(len(levels) for levels in self.axes.values())

    def settings(self):
        """Give every setting, in the order of the axes."""
        for levels in product(*self.axes.values()):
            shared = dict(zip(self.axes, levels, strict=True))
            model, recipe = shared.pop("learner")
            yield Setting(data=self.data, model=model, recipe=recipe, **shared)

    def only(self, text):
        """Keep the levels named in ``axis=value,axis=value,...``.

        An axis named twice keeps both values.
        """
        wanted = {}
        for part in filter(None, text.split(",")):
            name, separator, value = part.partition("=")
            if not separator or name not in NAMES:
                raise ValueError(f"--only knows {', '.join(NAMES)}; got {part!r}.")
            wanted.setdefault(name, []).append(value)
        levels = {**self.axes, "data": (self.data,)}
        del levels["learner"]
        levels["model"] = tuple(dict.fromkeys(model for model, _ in self.learners))
        levels["recipe"] = tuple(dict.fromkeys(recipe for _, recipe in self.learners))
        kept = dict(levels)
        for name, values in wanted.items():
            kept[name] = tuple(v for v in levels[name] if _named(v, values))
            unknown = [v for v in values if not any(_named(w, [v]) for w in kept[name])]
            if unknown:
                raise ValueError(
                    f"--only {name}={unknown[0]}: the values of {name} are "
                    f"{', '.join(map(str, levels[name]))}."
                )
        return Table(
            data=self.data,
            pools=kept["pool"],
            tasks=kept["task"],
            learners=tuple(
                (model, recipe)
                for model, recipe in self.learners
                if model in kept["model"] and recipe in kept["recipe"]
            ),
            designs=kept["design"],
            pairings=kept["pairing"],
            betas=kept["beta"],
            quantities=kept["n_pairs"],
            seeds=kept["seed"],
        )


def units(settings):
    """Give lists of settings that are run at once."""
    return [list(some) for _, some in groupby(settings, of_unit)]


def learners(models=PAPER_MODELS, recipes=(MATCHED,)):
    """Pair models with their trainings; all but the first recipe are for networks."""
    return tuple(
        (model, recipe)
        for recipe in recipes
        for model in models
        if recipe == MATCHED or model.endswith("-mlp")
    )


def _named(value, texts):
    """Whether a level is what one of the texts says; 3 and 3.0 are the same."""
    for text in texts:
        try:
            if float(text) == float(value):
                return True
        except ValueError:
            if text == str(value):
                return True
    return False
