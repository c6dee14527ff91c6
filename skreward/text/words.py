"""The words of many texts: numbered, counted, and known by the lists they are on."""

from typing import NamedTuple

import numpy as np

from skreward.text import lexicon
from skreward.text.characters import BLANK, UNSPACED, alphabet
from skreward.text.joined import N_ASCII, NOT_ASCII, Joined
from skreward.utils.typing import Array

# Words are compared as integers of eight bytes each; of what is longer, by a dict.
PART_BYTES, N_PARTS = 8, 3
# Which bits of an integer are a word's, by how many of its bytes are.
KEEP = np.array([(1 << 8 * k) - 1 for k in range(PART_BYTES + 1)], dtype=np.uint64)
# Odd numbers that spread words over a table, one for each part.
SPREAD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93],
    dtype=np.uint64,
)
ROUNDS = 8
ANY_WORD, NO_WORD = -1, -2


class Words:
    """The words of joined texts, in lower case.

    Attributes
    ----------
    number, characters, distinct : arrays of shape (n_texts,)
        Words, their characters, and the different ones.
    text, word : arrays
        Every different word of every text: which text, and which of all words.
    is_stop_word : array of bool, shape (n_words,)
        Which of all the different words is a stop word.
    listed : dict of arrays of shape (n_texts,)
        By list of the lexicon, how many words are on it.
    refusals : array of shape (n_texts,)
        Phrases of refusal.
    """

    def __init__(self, joined: Joined):
        n_texts = len(joined.lengths)
        written, self.number, self.characters = _write(joined)
        text = np.repeat(np.arange(n_texts), self.number)
        word, of_lexicon = _number(written)
        n_words = max(word.max(initial=0), of_lexicon.max()) + 1
        new = np.flatnonzero(alike(text * n_words + word)[1])
        self.text, self.word = text[new], word[new]
        self.distinct = np.bincount(self.text, minlength=n_texts)
        way = np.zeros(n_words, dtype=np.intp)
        way[of_lexicon] = lexicon.WAY
        self.is_stop_word = lexicon.ON_LIST[way, lexicon.LISTS.index(lexicon.STOP)] > 0
        self.listed = _count_listed(text, way[word], n_texts)
        phrases = np.where(lexicon.PHRASES < 0, ANY_WORD, of_lexicon[lexicon.PHRASES])
        self.refusals = _count_phrases(phrases, text, word, n_texts)


class _Written(NamedTuple):
    """Words in lower case as UTF-8, and where each begins and ends."""

    letters: Array
    starts: Array
    ends: Array


def _write(joined) -> tuple[_Written, Array, Array]:
    """Write all words; gives how many each text has, and of how many characters."""
    fold = joined.translated(alphabet().ascii_fold)
    wide_fold = alphabet().fold[joined.wide_codes]
    fold[joined.wide] = np.minimum(wide_fold, NOT_ASCII)
    unspaced = joined.wide[joined.kind[joined.wide] >= UNSPACED]
    starts, ends = _spans(fold, unspaced)
    number, characters = joined.count(starts), joined.count(starts, ends - starts)
    if (wide_fold < N_ASCII).all():
        return _Written(fold, starts, ends), number, characters
    codes = fold.astype(np.uint32)
    codes[joined.wide] = wide_fold
    codes = np.insert(codes, unspaced + 1, BLANK)
    written = codes.tobytes().decode("utf-32-le").encode()
    letters = np.frombuffer(written, np.uint8)
    return _Written(letters, *_spans(letters)), number, characters


def _spans(letters, unspaced=()) -> tuple[Array, Array]:
    """Give where words begin and end; letters at ``unspaced`` places end theirs."""
    inside = letters != BLANK
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([[0], edges])
    if len(unspaced):
        parted = unspaced[inside[unspaced + 1]] + 1
        edges = np.sort(np.concatenate([edges, parted, parted]))
    return edges[::2], edges[1::2]


def _number(written) -> tuple[Array, Array]:
    """Number words, equal ones alike; gives their numbers and those of the lexicon."""
    known = lexicon.LETTERS
    padding = np.zeros(PART_BYTES, np.uint8)
    letters = np.concatenate([known, written.letters, padding])
    starts = np.concatenate([lexicon.STARTS, written.starts + len(known)])
    lengths = np.concatenate([lexicon.LENGTHS, written.ends - written.starts])
    # An integer at every byte.
    eight = np.ndarray(
        (len(letters) - PART_BYTES + 1,), np.uint64, letters, strides=(1,)
    )
    key = [eight[starts] & KEEP[np.minimum(lengths, PART_BYTES)]]
    for k in range(1, N_PARTS):
        long = np.flatnonzero(lengths > k * PART_BYTES)
        rest = np.minimum(lengths[long] - k * PART_BYTES, PART_BYTES)
        part = np.zeros(len(starts), np.uint64)
        part[long] = eight[starts[long] + k * PART_BYTES] & KEEP[rest]
        key.append(part)
    long = np.flatnonzero(lengths > N_PARTS * PART_BYTES)
    if len(long):
        key.append(_number_tails(letters, starts, lengths, long))
    like, is_first = alike(*key)
    number = (np.cumsum(is_first) - 1)[like]
    n_known = len(lexicon.STARTS)
    return number[n_known:], number[:n_known]


def _number_tails(letters, starts, lengths, long) -> Array:
    """Number what long words have behind their parts, alike where equal; else 0."""
    tails: dict[bytes, int] = {}
    number = np.zeros(len(starts), np.uint64)
    for k in long.tolist():
        tail = letters[starts[k] + N_PARTS * PART_BYTES : starts[k] + lengths[k]]
        number[k] = tails.setdefault(tail.tobytes(), len(tails) + 1)
    return number


def alike(*key: Array) -> tuple[Array, Array]:
    """Find which columns of the key's rows are equal, in time that grows as they do.

    By a table that has room for one column in a slot: those unlike the one that won it
    try again, in other slots. Nothing is taken for equal that is not.

    Parameters
    ----------
    *key : arrays of integers, shape (n,)
        At most four.

    Returns
    -------
    like : array of shape (n,)
        For every column the place of one that all its like share.
    is_it : array of bool, shape (n,)
        Whether it is that one itself.
    """
    n = len(key[0])
    n_bits = (2 * n).bit_length()
    table = np.empty(1 << n_bits, dtype=np.intp)
    parts = [part.view(np.uint64) for part in key]
    mixed = parts[0] * SPREAD[0]
    for part, spread in zip(parts[1:], SPREAD[1:], strict=False):
        mixed += part * spread
    every = np.arange(n)
    like, left = np.empty(n, dtype=np.intp), every
    for _ in range(ROUNDS):
        slot = mixed >> np.uint64(64 - n_bits)
        table[slot] = left
        won = table[slot]
        like[left] = won
        is_unlike = parts[0][won] != parts[0][left]
        for part in parts[1:]:
            is_unlike |= part[won] != part[left]
        left, mixed = left[is_unlike], mixed[is_unlike] * SPREAD[0]
        if len(left) == 0:
            return like, like == every
    # Only what was made to collide gets here.
    rest = np.stack([part[left] for part in parts], axis=1)
    _, first, number = np.unique(rest, axis=0, return_index=True, return_inverse=True)
    like[left] = left[first[number.ravel()]]
    return like, like == every


def _count_listed(text, way, n_texts) -> dict[str, Array]:
    """Count the words of every text that are on each list of the lexicon."""
    listed = np.flatnonzero(way)
    n_ways = len(lexicon.ON_LIST)
    key = text[listed] * n_ways + way[listed]
    n = np.bincount(key, minlength=n_texts * n_ways).reshape(n_texts, n_ways)
    return dict(zip(lexicon.LISTS, (n @ lexicon.ON_LIST).T, strict=True))


def _count_phrases(phrases, text, word, n_texts) -> Array:
    """Count phrases in every text; of one said twice in a row, once."""
    is_opening = np.isin(np.arange(word.max(initial=0) + 1), phrases[:, 0])
    places = np.flatnonzero(is_opening[word])
    is_said = np.ones((len(phrases), len(places)), dtype=bool)
    for k, part in enumerate(phrases.T):
        ahead = np.minimum(places + k, len(word) - 1)
        is_here = (places + k < len(word)) & (text[ahead] == text[places])
        said = np.where(is_here, word[ahead], NO_WORD)
        is_said &= (said == part[:, np.newaxis]) | (part == ANY_WORD)[:, np.newaxis]
    which, place = np.nonzero(is_said)
    place = places[place]
    step = (phrases != ANY_WORD).sum(axis=1)[which]
    goes_on = (np.diff(place) == step[:-1]) & (np.diff(which) == 0)
    goes_on &= np.diff(text[place]) == 0
    first = np.flatnonzero(np.concatenate([[True], ~goes_on])[: len(place)])
    length = np.diff(first, append=len(place))
    return np.bincount(text[place[first]], (length + 1) // 2, n_texts)
