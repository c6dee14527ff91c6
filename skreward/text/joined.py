"""Many texts as one row of characters, which arrays count in one go."""

import numpy as np

from skreward.text.characters import (
    BLANK,
    DIGIT,
    EXCLAMATION,
    LATIN,
    N_KINDS,
    NEWLINE,
    SPACE,
    STOP,
    alphabet,
)
from skreward.utils.typing import Array

# Behind every text: of no kind that counts, no part of a word, and nothing to look for.
BETWEEN = "\0"
# Further ones behind the last, so that a look ahead needs no check.
AHEAD = 8
N_ASCII, NOT_ASCII = 128, 255
TAB, BULLET = ord("\t"), ord("•")
IS_BULLET = np.isin(np.arange(256), [*b"-*+"])


class Joined:
    """Texts one after the other.

    Attributes
    ----------
    lengths : array of shape (n_texts,)
        Characters of each text.
    bounds : array of shape (n_texts + 1,)
        Where each text begins, and where all end.
    ascii : array of uint8
        Characters that are ASCII; 255 for all others, but a hyphen for a bullet.
    kind : array of uint8
        What every character is, as in `Alphabet`; behind every text a space.
    wide, wide_codes : arrays
        Where characters are not ASCII, and what they are.
    """

    def __init__(self, texts: list[str]):
        text = BETWEEN.join([*texts, BETWEEN * AHEAD])
        self.lengths = np.fromiter(map(len, texts), np.intp, len(texts))
        self.bounds = np.concatenate([[0], np.cumsum(self.lengths + 1)])
        self.wide, self.wide_codes = np.empty(0, np.intp), np.empty(0, np.uint32)
        if text.isascii():
            self.ascii = np.frombuffer(text.encode("ascii"), np.uint8)
        else:
            codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
            self.wide = np.flatnonzero(codes >= N_ASCII)
            self.wide_codes = codes[self.wide]
            self.ascii = codes.astype(np.uint8)
            self.ascii[self.wide] = NOT_ASCII
            self.ascii[self.wide[self.wide_codes == BULLET]] = ord("-")
        self.kind = self.translated(alphabet().ascii_kind)
        self.kind[self.wide] = alphabet().kind[self.wide_codes]
        self.kind[self.bounds[1:] - 1] = SPACE

    def translated(self, table: bytes) -> Array:
        """Put for every ASCII character what a table of 256 bytes has for it."""
        return np.frombuffer(bytearray(self.ascii).translate(table), np.uint8)

    def where(self, character: str) -> Array:
        """Give the places of an ASCII character."""
        return np.flatnonzero(self.ascii == ord(character))

    def count(self, places: Array, times: Array | None = None) -> Array:
        """Count places, in order, in every text; each ``times``, or once."""
        edges = places.searchsorted(self.bounds)
        if times is not None:
            edges = np.concatenate([[0], times.cumsum()])[edges]
        return edges[1:] - edges[:-1]

    def count_kinds(self) -> Array:
        """Count characters of every kind that counts, (N_KINDS, n_texts)."""
        n_texts = len(self.lengths)
        rare = np.flatnonzero(self.kind[: self.bounds[-1]] != LATIN)
        number = self.count(rare)
        key = np.repeat(np.arange(n_texts) * N_KINDS, number) + self.kind[rare]
        n = np.bincount(key, minlength=n_texts * N_KINDS).reshape(n_texts, N_KINDS)
        n[:, LATIN] = self.lengths + 1 - number
        return n.T

    def count_doubles(self, character: str) -> Array:
        """Count a character that stands twice, as `str.count` does: *** is one."""
        places = self.where(character)
        first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        length = np.diff(first, append=len(places))
        return self.count(places[first], length // 2)

    def count_phrase(self, phrase: str) -> Array:
        """Count ASCII characters in a row, of which none is like the first."""
        places = self.where(phrase[0])
        for k, character in enumerate(phrase[1:], start=1):
            places = places[self.ascii[places + k] == ord(character)]
        return self.count(places)

    def count_ends(self) -> Array:
        """Count marks that end a sentence: before a blank, or where the text ends."""
        marks = np.flatnonzero((self.kind >= STOP) & (self.kind <= EXCLAMATION))
        after = self.kind[marks + 1]
        ends = (after == SPACE) | (after == NEWLINE)
        return self.count(marks[ends])

    def count_openings(self) -> dict[str, Array]:
        """Count lines by how they open, behind blanks and tabs."""
        line = np.sort(np.concatenate([self.bounds[:-1], self.where("\n") + 1]))
        line = self._behind_blanks(line)
        first, second, third = (self.ascii[line + k] for k in range(3))
        is_fence = (first == second) & (second == third)
        is_item = IS_BULLET[first] & (second == BLANK) | self._is_number(line)
        opened = {
            "list_items": is_item,
            "headings": self._is_heading(line),
            "table_rows": first == ord("|"),
            "cited": first == ord(">"),
            "fences": is_fence & ((first == ord("`")) | (first == ord("~"))),
        }
        return {name: self.count(line[found]) for name, found in opened.items()}

    def _behind_blanks(self, places):
        """Move places on blanks and tabs to where these end."""
        is_blank = (self.ascii == BLANK) | (self.ascii == TAB)
        ends = np.flatnonzero(is_blank[:-1] > is_blank[1:]) + 1
        blank = is_blank[places]
        places[blank] = ends[np.searchsorted(ends, places[blank], side="right")]
        return places

    def _is_number(self, places):
        """Whether up to three digits, a full stop or bracket, and a blank are there."""
        found = self.kind[places] == DIGIT
        places = places[found] + 1
        for _ in range(2):
            places = places + (self.kind[places] == DIGIT)
        mark, after = self.ascii[places], self.ascii[places + 1]
        is_closed = (mark == ord(".")) | (mark == ord(")"))
        found[found] = is_closed & ((after == BLANK) | (after == TAB))
        return found

    def _is_heading(self, places):
        """Whether up to six number signs and a blank are there."""
        found = self.ascii[places] == ord("#")
        places = places[found] + 1
        for _ in range(5):
            places = places + (self.ascii[places] == ord("#"))
        found[found] = self.ascii[places] == BLANK
        return found
