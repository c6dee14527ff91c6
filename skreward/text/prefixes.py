"""Which texts begin with the same tokens, and in which passes they are computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

import numpy as np

# What one more pass through a model costs beside its tokens, in tokens: on a CPU the
# weights are read from memory once a pass.
PASS_TOKENS = 32
# A text goes with others where that saves more than this share of it: some models have
# keys and values of the prefix copied for every text, and attended through a mask.
LEAST_SAVED = 1 / 16
# Prefix and rest of all texts of a pass, in multiples of a pass: they bound its memory
# where keys are copied. Where they are not, passes beyond it are no faster.
ATTENDED = 8


class Group(NamedTuple):
    """Texts, by their numbers, that have their first ``length`` tokens in common."""

    length: int
    members: list[int]


class Rest(NamedTuple):
    """A pass over what follows the prefixes: texts, and which prefix each has.

    Texts of one prefix stand beside each other.
    """

    members: list[int]
    owners: list[int]


class Block(NamedTuple):
    """Groups whose prefixes are computed in one pass, and the passes after it."""

    groups: list[Group]
    rests: list[Rest]


@dataclass
class _Part:
    """Some texts, their tokens, and what is saved by the groups they are in."""

    texts: list[int] = field(default_factory=list)
    n_tokens: int = 0
    saved: float = 0.0

    def add(self, other: "_Part"):
        self.texts += other.texts
        self.n_tokens += other.n_tokens
        self.saved += other.saved

    def gain(self, depth: int) -> float:
        """Count what sharing ``depth`` tokens saves beyond what is saved now."""
        return depth * len(self.texts) - LEAST_SAVED * self.n_tokens - self.saved


@dataclass
class _Node:
    """Texts that share ``depth`` tokens: those still alone, and those in groups."""

    depth: int
    below: list["_Node"] = field(default_factory=list)
    alone: _Part = field(default_factory=_Part)
    grouped: _Part = field(default_factory=_Part)
    groups: list[Group] = field(default_factory=list)

    def settle(self) -> "_Node":
        """Let every part below share this prefix, or stay as it is."""
        parts = [part for node in self.below for part in (node.alone, node.grouped)]
        gain = sum(max(0.0, part.gain(self.depth)) for part in parts)
        gain -= self.depth + PASS_TOKENS
        together = _Part()
        for node in self.below:
            joins = gain > 0 and node.alone.gain(self.depth) > 0
            (together if joins else self.alone).add(node.alone)
            joins = gain > 0 and node.grouped.gain(self.depth) > 0
            (together if joins else self.grouped).add(node.grouped)
            self.groups += [] if joins else node.groups
        if gain > 0:
            together.saved += gain
            self.groups.append(Group(self.depth, list(together.texts)))
        self.grouped.add(together)
        self.below = []
        return self


def shared_prefixes(ids: Sequence[np.ndarray]) -> list[Group]:
    """Find the groups of texts whose common prefix is worth computing once.

    Texts sorted by their tokens form a tree of common prefixes. From its leaves to its
    root texts join the prefix above or keep what they have, as saves more tokens.

    Parameters
    ----------
    ids : sequence of arrays of int
        The tokens of each text, all different, none empty.

    Returns
    -------
    groups : list of Group
        A text is in one group at most, and has at least one token after the prefix.
    """
    order = sorted(range(len(ids)), key=lambda k: ids[k].astype(">u4").tobytes())
    stack = [_Node(0)]
    for k, text in enumerate(order):
        node = _Node(len(ids[text]), alone=_Part([text], len(ids[text])))
        is_last = k + 1 == len(order)
        depth = 0 if is_last else n_common(ids[text], ids[order[k + 1]])
        while stack[-1].depth > depth:
            stack[-1].below.append(node)
            node = stack.pop().settle()
        if stack[-1].depth < depth:
            stack.append(_Node(depth))
        stack[-1].below.append(node)
    groups = [_leave_one_token(group, ids) for group in stack[0].settle().groups]
    return [group for group in groups if group.length]


def n_common(first: np.ndarray, second: np.ndarray) -> int:
    """Count the tokens with which both begin."""
    n = min(len(first), len(second))
    differ = np.flatnonzero(first[:n] != second[:n])
    return int(differ[0]) if len(differ) else n


def _leave_one_token(group, ids):
    shortest = min(len(ids[text]) for text in group.members)
    return group._replace(length=min(group.length, shortest - 1))


def blocks(
    groups: Sequence[Group], lengths: Sequence[int], batch_size: int, n_tokens: int
) -> Iterator[Block]:
    """Put prefixes of like length into one pass, and what follows them into others.

    Parameters
    ----------
    groups : sequence of Group
    lengths : sequence of int
        How many tokens each text has.
    batch_size : int
        Rows of one pass, at most.
    n_tokens : int
        Tokens of one pass, at most, padding included; one row always fits.

    Yields
    ------
    block : Block
    """
    left = sorted(groups, key=lambda group: -group.length)
    while left:
        n = rows_that_fit(left[0].length, batch_size, n_tokens)
        some, left = left[:n], left[n:]
        yield Block(some, list(_rests(some, lengths, batch_size, n_tokens)))


def _rests(groups, lengths, batch_size, n_tokens):
    after = [
        (lengths[text] - group.length, text, owner)
        for owner, group in enumerate(groups)
        for text in group.members
    ]
    after.sort(reverse=True)
    prefix = groups[0].length
    while after:
        longest = after[0][0]
        n = min(
            rows_that_fit(longest, batch_size, n_tokens),
            rows_that_fit(prefix + longest, batch_size, ATTENDED * n_tokens),
        )
        some, after = sorted(after[:n], key=itemgetter(2)), after[n:]
        yield Rest([text for _, text, _ in some], [owner for *_, owner in some])


def rows_that_fit(length: int, batch_size: int, n_tokens: int) -> int:
    """Count the rows of a length that go into one pass."""
    return max(1, min(batch_size, n_tokens // length))
