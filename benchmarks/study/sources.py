"""Where responses and true rewards come from: synthetic, a file, or a folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from benchmarks.study.encoded import EncodedSets, is_encoded
from benchmarks.study.items import Items, Parts
from skreward.datasets import load_judged, load_released_embeddings, make_preferences

# Prompts of a published test file are counted from here: they are others.
TEST_PROMPTS = 10**9
POOLS = ("all", "weak", "middle", "strong", "even", "odd")


@dataclass
class Responses:
    """Responses of several generators to the same prompts.

    The generators make six pools, in the part of the paper's six language models:
    all; the weaker, the middle and the stronger half by mean reward; and every
    other one by rank. A quarter of the prompts is for testing.
    """

    embeddings: np.ndarray
    prompts: np.ndarray
    generators: np.ndarray
    rewards: dict
    lengths: np.ndarray | None

    @property
    def pools(self):
        """Names of the pools."""
        return POOLS

    @property
    def tasks(self):
        """Names of the true rewards."""
        return tuple(self.rewards)

    @cached_property
    def _rank(self):
        """Rank of each response's generator by mean reward, in [0, 1)."""
        names, generator = np.unique(self.generators, return_inverse=True)
        reward = self.rewards[self.tasks[0]]
        mean = np.bincount(generator, reward) / np.bincount(generator)
        return np.argsort(np.argsort(mean))[generator], len(names)

    @cached_property
    def fewest_responses(self):
        """Responses that every prompt has in every pool."""
        prompt = np.unique(self.prompts, return_inverse=True)[1]
        return min(int(np.bincount(prompt[self._in(p)]).min()) for p in self.pools)

    def parts(self, pool, task, seed):
        """Split the responses of a pool by prompt."""
        mine = self._in(pool)
        distinct = np.unique(self.prompts)
        order = np.random.default_rng([seed, 1]).permutation(len(distinct))
        test = np.isin(self.prompts, distinct[order[: max(2, len(distinct) // 4)]])
        return Parts(self._items(mine & ~test, task), self._items(mine & test, task))

    def _in(self, pool):
        rank, n = self._rank
        return {
            "all": rank >= 0,
            "weak": rank < n / 2,
            "middle": (rank >= n / 4) & (rank < 3 * n / 4),
            "strong": rank >= n / 2,
            "even": rank % 2 == 0,
            "odd": rank % 2 == 1,
        }[pool]

    def _items(self, mask, task):
        rows = np.flatnonzero(mask)
        return Items(
            self.embeddings,
            rows,
            self.prompts[rows],
            self.rewards[task][rows],
            None if self.lengths is None else self.lengths[rows],
        )


@dataclass
class ReleasedSets:
    """A folder of published files: every set of files is a pool, memory-mapped."""

    folder: Path
    response_axis: int
    tasks = ("golden",)

    @cached_property
    def pools(self):
        """Names of the sets: what follows the split in the file names."""
        names = [path.stem.lower() for path in sorted(self.folder.glob("*.npy"))]
        sets = [
            name.removeprefix("embd").replace("train", "").strip("-_")
            for name in names
            if name.startswith("embd") and "train" in name
        ]
        if not sets:
            raise FileNotFoundError(f"{self.folder} holds no embd*train*.npy.")
        return tuple(sets)

    @cached_property
    def fewest_responses(self):
        """Responses that every prompt has in every pool."""
        return min(
            int(np.bincount(self._items(pool, "test").prompts - TEST_PROMPTS).min())
            for pool in self.pools
        )

    def parts(self, pool, task, seed):
        """Open the files of a set; the published split is the same for all seeds."""
        train, test = (self._items(pool, split) for split in ("train", "test"))
        unit = np.std(train.rewards)
        return Parts(
            train._replace(rewards=train.rewards / unit),
            test._replace(rewards=test.rewards / unit),
        )

    def _items(self, pool, split):
        data = load_released_embeddings(
            self.folder, split=split, contains=pool, response_axis=self.response_axis
        )
        rows = np.arange(len(data.rewards))
        prompts = data.prompt_ids + (0 if split == "train" else TEST_PROMPTS)
        return Items(data.embeddings, rows, prompts, data.rewards, None)


def judged(path):
    """Open judged responses; the second task takes length out of the rewards."""
    data = load_judged(path)
    rewards = data.rewards / np.std(data.rewards)
    return Responses(
        # All learners compute in float32; scikit-learn's would take float64.
        embeddings=data.embeddings.astype(np.float32),
        prompts=data.prompt_ids,
        generators=data.generators,
        rewards={
            "judge": rewards,
            "judge-beyond-length": beyond_length(
                rewards, data.response_chars, data.prompt_ids
            ),
        },
        lengths=data.response_chars,
    )


def beyond_length(rewards, lengths, prompts):
    """Give what is left of rewards after regressing on log length within prompts."""
    prompt = np.unique(prompts, return_inverse=True)[1]
    count = np.bincount(prompt)
    log_length = np.log(np.maximum(lengths, 1))
    x = log_length - (np.bincount(prompt, log_length) / count)[prompt]
    y = rewards - (np.bincount(prompt, rewards) / count)[prompt]
    left = rewards - (x @ y) / (x @ x) * x
    return left / np.std(left)


def synthetic(features=384, prompts=1200, responses=12, seed=0):
    """Make responses with a reward that is a network, and one that is linear."""
    data = make_preferences(
        prompts,
        responses,
        features,
        1,
        reward="network",
        dtype=np.float32,
        random_state=seed,
    )
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=features)
    linear = data.embeddings @ (direction / np.linalg.norm(direction))
    # The response of a prompt that ranks k-th by a noisy reward is generator k's, so
    # generators differ in strength, as language models do.
    noisy = linear + 3.0 * np.std(linear) * rng.normal(size=linear.size)
    ranks = np.argsort(np.argsort(noisy.reshape(prompts, -1), axis=1), axis=1)
    return Responses(
        embeddings=data.embeddings,
        prompts=data.prompt_ids,
        generators=ranks.ravel(),
        rewards={
            "network": data.rewards / np.std(data.rewards),
            "linear": linear / np.std(linear),
        },
        lengths=None,
    )


@dataclass(frozen=True)
class Source:
    """What ``--data`` names; picklable, and opened once in each worker."""

    name: str
    response_axis: int = 1

    @property
    def label(self):
        """The name that goes into keys: it does not depend on where files lie."""
        if self._is_synthetic:
            return self.name
        return "encoders" if is_encoded(self.name) else Path(self.name).stem

    @property
    def _is_synthetic(self):
        return self.name.partition(":")[0] == "synthetic"

    def open(self):
        """Give the responses, from this process's memory where they are open."""
        with _lock:
            if self not in _opened:
                _opened.clear()
                _opened[self] = self._read()
                _reads.append(self)
            return _opened[self]

    def _read(self):
        if self._is_synthetic:
            return synthetic(**_options(self.name))
        path = Path(self.name)
        if is_encoded(path):
            return EncodedSets(path)
        if path.is_dir():
            return ReleasedSets(path, self.response_axis)
        if not path.exists():
            raise FileNotFoundError(f"--data {path}: there is no such file or folder.")
        return judged(path)


def _options(text):
    """Read ``synthetic:name=value:...``."""
    options = {}
    for part in text.split(":")[1:]:
        name, _, value = part.partition("=")
        if name not in ("features", "prompts", "responses", "seed") or (
            not value.isdecimal()
        ):
            raise ValueError(
                f"--data {text}: options are features, prompts, responses and seed, "
                f"each a whole number; got {part!r}."
            )
        options[name] = int(value)
    return options


def reads():
    """How many times this process read a source; a worker is to read it once."""
    return len(_reads)


_lock = Lock()
_opened: dict = {}
_reads: list = []
