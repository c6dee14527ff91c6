"""A folder of embeddings: the same responses by several encoders, and people's pairs.

    FOLDER/{data}_{encoder}.npz     one file a data set and encoder
    FOLDER/{data}_statistics.npz    the same for the statistics of its texts

The statistics of a data set say which of its rows the study takes, so that encoders
differ in nothing but the encoder: each file must hold those rows, and may hold more.
``python -m benchmarks.study.encoders`` makes the files.

Judged responses: ``embeddings (n, n_features)``; one a row ``row_index`` (the line of
the data set; all lines in order where it is left out), ``prompt_id``, ``generator``,
``golden_reward``, ``response_chars``. People's pairs: ``items (n, n_features)``;
``index (m, 2)`` the items of each pair, chosen first; ``prompt_id`` and ``source``, one
a pair; ``response_chars``, one an item. The statistics also have ``prompt_hash``, by
which prompts are told that two data sets share.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.study.items import Items, Parts

# The parts of the paper's six language models and two data sets.
ENCODERS = (
    "minilm",
    "minilmL3",
    "mpnet",
    "smollm2_last",
    "gemma_last",
    "wordllama",
)
DATA_SETS = ("judged_dev", "arenabench")
HUMAN_SETS = ("human_pairs", "hh_harmless_dev")
STATISTICS = "statistics"


class HumanPairs(NamedTuple):
    """Pairs that people ordered, the chosen item first.

    ``prompts`` and ``sources`` are of the pairs; the rest is of the items.
    """

    embeddings: np.ndarray
    index: np.ndarray
    prompts: np.ndarray
    sources: np.ndarray
    lengths: np.ndarray
    statistics: np.ndarray


def is_encoded(folder):
    """Whether a folder holds files of this form."""
    return any(Path(folder).glob(f"*_{STATISTICS}.npz"))


@dataclass
class EncodedSets:
    """Several data sets by several encoders; a quarter of the prompts is for testing.

    The prompts of a split, and the order of rows, are the same for all encoders.
    """

    folder: Path
    pools = ENCODERS
    tasks = DATA_SETS
    _open: dict = field(default_factory=dict, repr=False)

    @property
    def more_pools(self):
        """Encoders that have a file here and are not among the six."""
        names = {
            path.stem.removeprefix(f"{data}_")
            for data in self.tasks
            for path in self.folder.glob(f"{data}_*.npz")
        }
        return tuple(sorted(names - {*ENCODERS, STATISTICS}))

    @property
    def fewest_responses(self):
        """Responses that every prompt has in every data set."""
        return min(
            int(np.unique(self._rows(task)["prompt_id"], return_counts=True)[1].min())
            for task in self.tasks
        )

    def parts(self, pool, task, seed):
        """Split the responses of a data set by prompt; rewards have unit variance."""
        embeddings, known = self._embeddings(pool, task), self._rows(task)
        prompts = known["prompt_id"].astype(np.int64)
        rewards = known["golden_reward"].astype(np.float64)
        distinct = np.unique(prompts)
        order = np.random.default_rng([seed, 1]).permutation(len(distinct))
        test = np.isin(prompts, distinct[order[: max(2, len(distinct) // 4)]])
        rewards = rewards / np.std(rewards)

        def items(mask):
            rows = np.flatnonzero(mask)
            lengths = known["response_chars"][rows].astype(np.int64)
            return Items(
                embeddings,
                rows,
                prompts[rows],
                rewards[rows],
                lengths,
                known["embeddings"],
            )

        return Parts(items(~test), items(test))

    def has(self, pool, name):
        """Whether there is a file of a data set or of people's pairs by an encoder."""
        return self._path(name, pool).exists()

    def human(self, pool, name):
        """Open the pairs of people by one encoder."""
        known = self._rows(name)
        own = known if pool == STATISTICS else self._read(name, pool)
        for key in "index", "prompt_id", "source", "response_chars":
            if not np.array_equal(own[key], known[key]):
                raise ValueError(
                    f"{self._path(name, pool)}: {key} is not that of the statistics."
                )
        return HumanPairs(
            own["items"].astype(np.float32),
            own["index"].astype(np.int64),
            own["prompt_id"],
            own["source"],
            own["response_chars"].astype(np.int64),
            known["items"],
        )

    def prompt_hashes(self, name):
        """Give the hash of the prompt of each row, or of each pair."""
        return self._rows(name)["prompt_hash"]

    def _rows(self, name):
        """Open the statistics of a data set, which say what its rows are."""
        if name not in self._open:
            self._open[name] = self._read(name, STATISTICS)
        return self._open[name]

    def _embeddings(self, pool, task):
        """Give the rows that the study takes, in the order of the statistics."""
        if pool == STATISTICS:
            return self._rows(task)["embeddings"]
        if (task, pool) not in self._open:
            self._open[task, pool] = self._aligned(pool, task)
        return self._open[task, pool]

    def _aligned(self, pool, task):
        own, known = self._read(task, pool), self._rows(task)
        path, wanted = self._path(task, pool), known["row_index"]
        there = own.get("row_index", np.arange(len(own["embeddings"])))
        order = np.argsort(there)
        place = np.searchsorted(there, wanted, sorter=order)
        at = order[np.minimum(place, len(order) - 1)]
        n_found = int((there[at] == wanted).sum())
        if n_found < len(wanted):
            raise ValueError(
                f"{path} holds {n_found:,} of the {len(wanted):,} rows of {task}."
            )
        for key in "prompt_id", "golden_reward":
            if not np.array_equal(own[key][at], known[key]):
                raise ValueError(f"{path}: {key} is not that of the statistics.")
        # All learners compute in float32; scikit-learn's would take float64.
        rows = own["embeddings"][at].astype(np.float32)
        if not np.isfinite(rows).all():
            raise ValueError(f"{path}: not every number is finite.")
        return rows

    def _read(self, data, encoder):
        path = self._path(data, encoder)
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file.")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)

    def _path(self, data, encoder):
        return self.folder / f"{data}_{encoder}.npz"
