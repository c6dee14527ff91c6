"""The grid: a declared table of settings, each with a stable key."""

from dataclasses import asdict, dataclass, fields
from itertools import product

import numpy as np

DESIGNS = ("random", "similar", "diverse")
PAIRINGS = ("same", "cross")
BETAS = (0.5, 0.7, 1.0, 3.0, 5.0, 10.0)
QUANTITIES = (5_000, 10_000, 20_000, 40_000)
SEEDS = (0, 1, 2, 3, 4)
PAPER_MODELS = ("bt-mlp", "clf-mlp", "clf-lgbm")
LINEAR_MODELS = ("bt-linear", "clf-linear")
VALIDATION_SPLITS = ("row", "pair", "prompt")


@dataclass(frozen=True)
class Setting:
    """One run: which data, which pairs, how noisy, which model, which seed.

    ``pool`` and ``task`` play the parts of the paper's language models and data
    sets. ``recipe`` is "package" for this package's own training, or "paper-row",
    "paper-pair", "paper-prompt" for the paper's, by its validation split.
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

    @property
    def block(self):
        """What settings share that are compared on the same pairs and labels."""
        return tuple(
            getattr(self, name) for name in NAMES if name not in ("model", "recipe")
        )


NAMES = tuple(field.name for field in fields(Setting))


@dataclass(frozen=True)
class Table:
    """All settings: the product of the axes.

    Settings are sampled in blocks: those that agree in ``spread`` axes and differ in
    model, recipe and pairing come together, so that comparisons are paired.
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
        """Levels of the axes that blocks are spread over, by their names."""
        return {
            "pool": self.pools,
            "task": self.tasks,
            "design": self.designs,
            "beta": self.betas,
            "n_pairs": self.quantities,
            "seed": self.seeds,
        }

    def __len__(self):
        return (
            int(np.prod([len(levels) for levels in self.axes.values()]))
            * len(self.pairings)
            * len(self.learners)
        )

    def settings(self):
        """Give every setting, in the order of the axes."""
        for levels in product(*self.axes.values()):
            yield from self._block(levels)

    def sample(self, n_settings, seed):
        """Give about ``n_settings`` settings in whole blocks, spread evenly.

        Every axis runs through random permutations of its levels, one after the
        other, so each level occurs equally often up to one. A larger sample of the
        same seed begins with the smaller one.
        """
        rng = np.random.default_rng(seed)
        per_block = len(self.pairings) * len(self.learners)
        n_blocks = min(-(-n_settings // per_block), len(self) // per_block)
        waiting = {name: [] for name in self.axes}
        chosen = {}
        while len(chosen) < n_blocks:
            for name, levels in self.axes.items():
                if not waiting[name]:
                    order = rng.permutation(len(levels))
                    waiting[name] = [levels[position] for position in order]
            chosen[tuple(waiting[name].pop() for name in self.axes)] = None
        return [setting for levels in chosen for setting in self._block(levels)]

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
        levels = {**self.axes, "pairing": self.pairings, "data": (self.data,)}
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

    def _block(self, levels):
        shared = dict(zip(self.axes, levels, strict=True))
        for pairing, (model, recipe) in product(self.pairings, self.learners):
            yield Setting(
                data=self.data, pairing=pairing, model=model, recipe=recipe, **shared
            )


def learners(models=PAPER_MODELS, validation_splits=()):
    """Pair the models with their trainings: the package's, and the paper's recipe.

    The paper's recipe is for networks alone.
    """
    networks = [model for model in models if model.endswith("-mlp")]
    return tuple(
        [(model, "package") for model in models]
        + [
            (model, f"paper-{split}")
            for split in validation_splits
            for model in networks
        ]
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
