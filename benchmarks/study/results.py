"""The results file: one JSON line a setting, written by the driver alone.

A line holds:

``key``
    Text that names the setting, the same in every run.
``setting``
    ``data``, ``pool`` (the encoder), ``task`` (the judged data set), ``design``
    ("random", "similar", "diverse"), ``pairing`` ("same", "cross"), ``beta``,
    ``n_pairs``, ``seed``, ``model``, ``recipe``. ``seed`` fixes the split by prompt,
    the pairs, the labels and the model's random numbers: all settings of one task and
    seed have the same test prompts, and those that differ in pool, model or recipe
    alone the same pairs and labels too. Pairs of a smaller ``n_pairs`` are the first
    of a larger one. ``recipe`` is "matched" for the study's own training, "paper-row",
    "paper-pair" and "paper-prompt" for the paper's by its validation split, and
    "paper-row+best", "paper-row+scaled" and "paper-prompt+best+scaled" for the paper's
    with one thing after the other as in matched training: stopping where the held out
    loss is best, items that are scaled, all of it. All networks have the same layers,
    256 and 128 wide; "matched+wide", "paper-row+wide", "paper-pair+wide" and
    "paper-prompt+wide" are those with the paper's 1024 and 512.
``order_consistency``, ``order_consistency_similar_length``, ``order_consistency_cross``
    Share of pairs of test responses in the right order: of one prompt (the mean over
    pairs, not over prompts); of those where neither is a tenth longer (None where
    there is none, or no length); of two prompts.
``spearman``, ``spearman_undefined``
    Mean rank correlation within test prompts, and for how many it is not defined.
``best_of_n``, ``best_of_n_oracle``
    By N as text, the gain over the mean response in standard deviations of the true
    reward; the oracle chooses by the true reward.
``per_prompt``
    Lists of one length: ``prompts``; ``order_consistency``, None where all true
    rewards of a prompt are equal; ``best_of_n``, the gain at N = ``n``. Rounded to
    three digits. Prompts have different numbers of pairs where they have different
    numbers of responses, so the mean of this list need not be the figure above.
``error_rate``
    Share of the training labels that contradict the true order.
``share_equal``
    Share of the training pairs whose true rewards are equal: their labels are coins.
``n_distinct``
    Distinct training pairs: the same pair may have been asked several times.
``n_features``
    Width of the embeddings.
``training``
    What the model's fit says of itself: for networks ``epochs``, ``best_epoch``; for
    trees ``trees``; for linear rewards ``alpha``; ``held_out_loss``.
``core_seconds``
    Processor time of the fit, the predictions and the scores. Settings that are
    trained at once share their time evenly.
``versions``
    Of the packages.

Baselines have lines too. ``model`` "length", one a task and seed, orders by the length
of the response: its ``pool``, ``design`` and ``pairing`` are "-", its ``beta`` and
``n_pairs`` 0, its ``error_rate`` None. ``model`` "statistics", a linear Bradley-Terry
reward on statistics of the text, has the ``pool`` "-" and otherwise a line for all that
differs in its labels. Both have the ``recipe`` "baseline".
"""

import fcntl
import gzip
import json
import os
from pathlib import Path


class ResultsFile:
    """Results on disk, opened for appending by one driver at a time.

    Lines are written whole, flushed and synced. What a crash left of a last line is
    cut off, so it is redone.

    Use as a context manager; ``done`` is the set of keys in the file.
    """

    def __init__(self, path):
        self.path = Path(path)
        if self.path.suffix == ".gz":
            raise ValueError(f"{path}: results are appended to plain .jsonl files.")

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise BlockingIOError(
                f"{self.path} is in use by another driver."
            ) from error
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        self.done = {row["key"] for row in _parse(whole.decode(), self.path)}
        return self

    def __exit__(self, *exception):
        self._file.close()

    def append(self, rows):
        """Write results, all at once."""
        lines = []
        for row in rows:
            if row["key"] in self.done:
                raise ValueError(f"{row['key']} is in {self.path} already.")
            self.done.add(row["key"])
            lines.append(json.dumps(row, allow_nan=False) + "\n")
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def read_results(path):
    """Read all whole lines of a results file, ``.jsonl`` or ``.jsonl.gz``."""
    path = Path(path)
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        content = file.read()
    return _parse(content[: content.rfind("\n") + 1], path)


def _parse(content, path):
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number} is no JSON: {error}.") from error
    return rows
