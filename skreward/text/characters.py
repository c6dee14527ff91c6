"""What every character is: its kind, its script, and what words are made of."""

import string
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np

OTHER, SPACE, NEWLINE, DIGIT, PUNCTUATION, QUOTE, SYMBOL = range(7)
# What ends a sentence: before a blank or a line break, and wherever it is wide.
STOP, QUESTION, EXCLAMATION = 7, 8, 9
WIDE_STOP, WIDE_QUESTION, WIDE_EXCLAMATION = 10, 11, 12
FIRST_LETTER = 14
MARKS = {
    ".…": STOP,
    "?؟": QUESTION,
    "!": EXCLAMATION,
    "。｡।": WIDE_STOP,
    "\N{FULLWIDTH QUESTION MARK}": WIDE_QUESTION,
    "\N{FULLWIDTH EXCLAMATION MARK}": WIDE_EXCLAMATION,
    '"“”„«»「」『』': QUOTE,
    "\n": NEWLINE,
    "\t\r\v\f": SPACE,
}
SCRIPTS = (
    "LATIN",
    "OTHER",
    "GREEK",
    "CYRILLIC",
    "ARMENIAN",
    "GEORGIAN",
    "HEBREW",
    "ARABIC",
    "DEVANAGARI",
    "BENGALI",
    "GURMUKHI",
    "GUJARATI",
    "TAMIL",
    "TELUGU",
    "KANNADA",
    "MALAYALAM",
    "SINHALA",
    "ETHIOPIC",
    "HANGUL",
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
)
LATIN = FIRST_LETTER + 2 * SCRIPTS.index("LATIN")
# From here on scripts write no blank between words: each letter counts as a word.
UNSPACED = FIRST_LETTER + 2 * SCRIPTS.index("CJK")
N_KINDS = FIRST_LETTER + 2 * len(SCRIPTS)
BLANK, APOSTROPHE = ord(" "), ord("'")
# Letters of one script, block by block, each its own lower case.
BLOCKS = (
    ("CJK", 0x3400, 0x4DC0),
    ("CJK", 0x4E00, 0xA000),
    ("HANGUL", 0xAC00, 0xD7A4),
    ("OTHER", 0x10000, 0x1F000),
    ("CJK", 0x20000, 0x32000),
)
# Surrogates and private use, which are nothing.
EMPTY = slice(0xD800, 0xF900)
BASIC_PLANE = 0x10000
EMOJI = slice(0x1F000, 0x1FB00)
RARE_DIGITS = range(0x10000, 0x20000)


class Alphabet(NamedTuple):
    """Tables over code points.

    ``kind`` holds the constants above; a letter of script s is of kind
    ``FIRST_LETTER + 2 s``, one more where it is a capital. ``fold`` is the lower-cased
    code where words are made of it, else a blank. The last two are the same for bytes
    of ASCII text, as `bytes.translate` takes them.
    """

    kind: np.ndarray
    fold: np.ndarray
    ascii_kind: bytes
    ascii_fold: bytes


@lru_cache(maxsize=1)
def alphabet() -> Alphabet:
    """Build the tables, once, in some hundredths of a second."""
    codes = np.arange(0x110000, dtype=np.uint32)
    kind = np.zeros(len(codes), dtype=np.uint8)
    fold = np.full(len(codes), BLANK, dtype=np.uint32)
    varied = np.ones(BASIC_PLANE, dtype=bool)
    varied[EMPTY] = False
    for _, first, end in BLOCKS:
        varied[first:end] = False
    for code in np.flatnonzero(varied).tolist():
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] == "L":
            kind[code] = letters_of(_script(character)) + (category == "Lu")
        else:
            kind[code] = _kind(character, category)
        if category[0] in "LNM":
            lower = character.lower()
            fold[code] = ord(lower) if len(lower) == 1 else code
    for script, first, end in BLOCKS:
        kind[first:end], fold[first:end] = letters_of(script), codes[first:end]
    kind[EMOJI] = SYMBOL
    for code in RARE_DIGITS:
        if chr(code).isdecimal():
            kind[code], fold[code] = DIGIT, code
    fold[[APOSTROPHE, ord("\N{RIGHT SINGLE QUOTATION MARK}")]] = APOSTROPHE
    of_bytes = (table[:256].astype(np.uint8).tobytes() for table in (kind, fold))
    return Alphabet(kind, fold, *of_bytes)


def letters_of(script):
    """Give the kind of a script's letters; one more is that of its capitals."""
    return FIRST_LETTER + 2 * SCRIPTS.index(script)


def _script(letter):
    # The name of a letter opens with its script.
    name = unicodedata.name(letter, "OTHER").split(" ", 1)[0].split("-", 1)[0]
    return name if name in SCRIPTS else "OTHER"


def _kind(character, category):
    if character in _MARK_KIND:
        return _MARK_KIND[character]
    if category == "Nd":
        return DIGIT
    if category[0] == "P" or character in string.punctuation:
        return PUNCTUATION
    return {"Z": SPACE, "S": SYMBOL}.get(category[0], OTHER)


_MARK_KIND = {mark: kind for marks, kind in MARKS.items() for mark in marks}
