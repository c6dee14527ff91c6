"""Results as arrays, and the parts of them that can be compared."""

from itertools import chain, combinations

import numpy as np

from benchmarks.study.settings import NAMES

BY_PROMPT = ("order_consistency", "best_of_n")
PLAIN = (
    "order_consistency_similar_length",
    "order_consistency_cross",
    "spearman",
    "error_rate",
    "share_equal",
    "n_distinct",
    "core_seconds",
    "n_features",
)
BASELINES = ("length", "statistics")
NETWORKS = ("bt-mlp", "clf-mlp")
ARRAYS = ("axes", "code", "plain", "by_prompt")
# Parts are cut level by level of these; the levels of all others come together.
CUT_BY = ("task", "pool", "design", "seed")


class Scores:
    """A row a setting: its axes, plain figures, and its scores prompt by prompt.

    Parameters
    ----------
    rows : list of dict
        Lines of a results file, in any order.

    Attributes
    ----------
    axes : dict
        From the name of an axis to the levels of the rows.
    plain : dict
        From the name of a figure to its values, NaN where there is none.
    by_prompt : dict
        From "order_consistency" and "best_of_n" to arrays of shape (n_rows, n_prompts),
        a column a test prompt of the row's task and seed; NaN where not defined.
    prompts : dict
        From a task and seed to the test prompts.
    """

    def __init__(self, rows):
        rows = sorted({row["key"]: row for row in rows}.values(), key=_key)
        self.axes = {
            name: np.array([row["setting"][name] for row in rows]) for name in NAMES
        }
        self.known, self.code = {}, {}
        for name, values in self.axes.items():
            levels, self.code[name] = np.unique(values, return_inverse=True)
            self.known[name] = levels.tolist()
        self.plain = {
            name: np.array([row.get(name) for row in rows], dtype=float)
            for name in PLAIN
        }
        self.prompts, self.n = {}, {}
        width = max((len(row["per_prompt"]["prompts"]) for row in rows), default=0)
        self.by_prompt = {
            name: np.full((len(rows), width), np.nan) for name in BY_PROMPT
        }
        for k, row in enumerate(rows):
            self._check(row)
            for name, values in self.by_prompt.items():
                known = row["per_prompt"][name]
                values[k, : len(known)] = known

    def __len__(self):
        return len(self.axes["seed"])

    def _check(self, row):
        """Check that a row was tested on what others of its task and seed were."""
        tested = row["per_prompt"]["prompts"], row["per_prompt"]["n"]
        place = row["setting"]["task"], row["setting"]["seed"]
        if self.prompts.setdefault(place, tested[0]) != tested[0]:
            raise ValueError(
                f"{row['key']}: tested on other prompts than settings before it of "
                "the same task and seed; they cannot be compared."
            )
        if self.n.setdefault(place[0], tested[1]) != tested[1]:
            raise ValueError(
                f"{row['key']}: best of {tested[1]}, others of its task have "
                f"{self.n[place[0]]}; they cannot be compared."
            )

    def take(self, which):
        """Give some of the rows."""
        taken = self._beside()
        for name in ARRAYS:
            setattr(taken, name, {k: v[which] for k, v in getattr(self, name).items()})
        return taken

    def joined(self, other):
        """Give the rows of this and of another part of the same results."""
        joined = self._beside()
        for name in ARRAYS:
            mine, others = getattr(self, name), getattr(other, name)
            both = {k: np.concatenate([v, others[k]]) for k, v in mine.items()}
            setattr(joined, name, both)
        return joined

    def _beside(self):
        other = object.__new__(Scores)
        other.prompts, other.n, other.known = self.prompts, self.n, self.known
        return other

    def mask(self, **levels):
        """Say which rows have one of the levels of every axis named."""
        chosen = np.ones(len(self), dtype=bool)
        for axis, level in levels.items():
            several = level if isinstance(level, tuple | list) else [level]
            wanted = [known in several for known in self.known[axis]]
            chosen &= np.array(wanted, dtype=bool)[self.code[axis]]
        return chosen

    def where(self, **levels):
        """Give the rows that have one of the levels of every axis named."""
        return self.take(self.mask(**levels))

    def levels(self, axis):
        """Give the levels of an axis that occur, in order."""
        return [self.known[axis][k] for k in np.unique(self.code[axis])]

    def codes(self, *names):
        """Number the rows by their levels of some axes: equal numbers, equal levels."""
        code = np.zeros(len(self), dtype=np.int64)
        for name in names:
            code = code * len(self.known[name]) + self.code[name]
        return code

    def mean(self, name):
        """Average a plain figure over the rows that have it; NaN if none has."""
        values = self.plain[name]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else np.nan

    def tables(self, metric, weight=None):
        """Add up within tasks and seeds: a table of seeds by test prompts a task.

        Rows are averaged where no weights say otherwise.
        """
        tables = []
        for task in self.levels("task"):
            mine = self.mask(task=task)
            seeds = np.unique(self.axes["seed"][mine]).tolist()
            known = [self.prompts[task, seed] for seed in seeds]
            columns = {p: k for k, p in enumerate(sorted(set().union(*known)))}
            table = np.full((len(seeds), len(columns)), np.nan)
            for line, seed, prompts in zip(table, seeds, known, strict=True):
                rows = np.flatnonzero(mine & (self.axes["seed"] == seed))
                values = self.by_prompt[metric][rows, : len(prompts)]
                share = (
                    np.full(len(rows), 1 / len(rows))
                    if weight is None
                    else weight[rows]
                )
                line[[columns[p] for p in prompts]] = share @ values
            tables.append(table)
        return tables


def _key(row):
    return tuple(row["setting"][name] for name in NAMES)


def common(scores, terms, cut=True):
    """Find the blocks in which all of several kinds of runs are there.

    A block is what settings share that differ in nothing but the axes by which the
    kinds are told apart: prompts, and often pairs and labels too. Blocks are cut to
    the largest part that is balanced: all of its designs, with all noise levels and
    quantities, by all of its encoders on all of its tasks for all of its seeds.

    Parameters
    ----------
    scores : Scores
        Results.
    terms : list of dict
        Levels of axes, one kind of runs each; all name the same axes.
    cut : bool, default=True
        Whether to keep the largest balanced part alone.

    Returns
    -------
    parts : list of Scores
        Rows of each kind, block by block in the same order.
    """
    apart = list(terms[0])
    shared = [name for name in NAMES if name not in apart]
    code = scores.codes(*shared)
    rows = [np.flatnonzero(scores.mask(**term)) for term in terms]
    for mine, term in zip(rows, terms, strict=True):
        if len(np.unique(code[mine])) < len(mine):
            raise ValueError(f"{term} names more than one setting of a block.")
    kept = code[rows[0]]
    for mine in rows[1:]:
        kept = np.intersect1d(kept, code[mine])
    parts = []
    for mine in rows:
        mine = mine[np.isin(code[mine], kept)]
        parts.append(scores.take(mine[np.argsort(code[mine])]))
    if cut:
        inside = balanced(parts[0])
        parts = [part.take(inside) for part in parts]
    return parts


def balanced(scores):
    """Say which rows are in the largest balanced part.

    Largest by the number of rows; but one of two seeds or more, which say how results
    vary, goes before one of a single seed of up to twice its size. All subsets of
    tasks, encoders, designs and seeds are tried.
    """
    if not len(scores):
        return np.zeros(0, dtype=bool)
    levels = [scores.levels(axis) for axis in CUT_BY]
    place = [np.unique(scores.code[axis], return_inverse=True)[1] for axis in CUT_BY]
    rest = [name for name in NAMES if name not in CUT_BY]
    within = np.unique(scores.codes(*rest), return_inverse=True)[1]
    there = np.zeros((*map(len, levels), within.max() + 1), dtype=bool)
    there[(*place, within)] = True
    there = there.all(axis=-1)
    subsets = [_subsets(len(several)) for several in levels]
    for axis, choices in enumerate(subsets):
        there = np.stack(
            [there.take(chosen, axis=axis).all(axis=axis) for chosen in choices],
            axis=axis,
        )
    sizes = np.ones(there.shape, dtype=np.int64)
    for axis, choices in enumerate(subsets):
        along = np.array([len(chosen) for chosen in choices])
        sizes = sizes * along.reshape(-1, *[1] * (len(CUT_BY) - 1 - axis))
    sizes[~there] = 0
    if not sizes.any():
        return np.zeros(len(scores), dtype=bool)
    # The last axis is the seeds'; its first subsets are of one seed each.
    several = sizes[..., len(levels[-1]) :]
    if 2 * several.max(initial=0) >= sizes.max():
        sizes[..., : len(levels[-1])] = 0
    best = np.unravel_index(np.argmax(sizes), sizes.shape)
    inside = np.ones(len(scores), dtype=bool)
    for axis, choices in enumerate(subsets):
        inside &= np.isin(place[axis], choices[best[axis]])
    return inside


def _subsets(n):
    """Give all subsets of the first n numbers but the empty one, small ones first."""
    sizes = range(1, n + 1)
    return [
        list(s) for s in chain.from_iterable(combinations(range(n), k) for k in sizes)
    ]
