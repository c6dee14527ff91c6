"""What is counted of one text, in one pass over its characters and its words."""

import re
from itertools import repeat
from typing import NamedTuple

import numpy as np

from skreward.text import characters as kinds
from skreward.text import lexicon
from skreward.text.characters import FIRST_LETTER, N_KINDS, SCRIPTS, alphabet

# How a line opens, as one character. Nothing is tried twice: time grows with length.
LINE = re.compile(
    r"\n[ \t]*+([-*+•](?= )|\d(?=\d{0,2}[.)][ \t])|#(?=#{0,5} )|[|>]|`(?=``)|~(?=~~))"
)
ENDS = tuple(
    bytes((end, after))
    for end in (kinds.STOP, kinds.QUESTION, kinds.EXCLAMATION)
    for after in (kinds.SPACE, kinds.NEWLINE)
)
LATIN = kinds.letters_of("LATIN")
UNSPACED = tuple(map(kinds.letters_of, kinds.UNSPACED))
MIN_FUNCTION_WORDS = 2


class Counts(NamedTuple):
    """Counts of a text."""

    characters: int
    words: int
    sentences: int
    word_characters: int
    distinct_words: int
    letters: int
    capitals: int
    digits: int
    punctuation: int
    newlines: int
    paragraphs: int
    list_items: int
    headings: int
    code_blocks: int
    table_rows: int
    bold: int
    inline_code: int
    links: int
    quotes: int
    symbols: int
    stop_words: int
    questions: int
    exclamations: int
    first_person: int
    second_person: int
    hedges: int
    negations: int
    refusals: int
    apologies: int


class Reading(NamedTuple):
    """A text as read: its counts, its distinct words and its language."""

    counts: Counts
    vocabulary: set[str]
    language: str | None


def read(text: str) -> Reading:
    """Count a text."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    kind = alphabet().kind[codes]
    n = np.bincount(kind, minlength=N_KINDS).tolist()
    folded = _fold(codes, kind, n)
    words = folded.split()
    vocabulary = set(words)
    tags = "".join(map(lexicon.TAGS.get, words, repeat("")))
    opened = "".join(LINE.findall("\n" + text))
    headings, bars, cited = map(opened.count, "#|>")
    fences = opened.count("`") + opened.count("~")
    letters = sum(n[FIRST_LETTER:])
    questions = n[kinds.QUESTION] + n[kinds.WIDE_QUESTION]
    exclamations = n[kinds.EXCLAMATION] + n[kinds.WIDE_EXCLAMATION]
    marks = n[kinds.STOP] + n[kinds.WIDE_STOP] + questions + exclamations
    counts = Counts(
        characters=len(text),
        words=len(words),
        sentences=_count_sentences(kind, n) if marks else int(bool(words)),
        word_characters=len(folded) - folded.count(" "),
        distinct_words=len(vocabulary),
        letters=letters,
        capitals=sum(n[FIRST_LETTER + 1 :: 2]),
        digits=n[kinds.DIGIT],
        punctuation=n[kinds.PUNCTUATION] + n[kinds.QUOTE] + marks,
        newlines=n[kinds.NEWLINE],
        paragraphs=text.count("\n\n"),
        list_items=len(opened) - headings - bars - cited - fences,
        headings=headings,
        code_blocks=(fences + 1) // 2,
        table_rows=bars,
        bold=text.count("**") // 2,
        inline_code=max(text.count("`") - 3 * fences, 0) // 2,
        links=max(text.count("]("), text.count("://")),
        quotes=n[kinds.QUOTE] // 2 + cited,
        symbols=n[kinds.SYMBOL],
        stop_words=tags.count(lexicon.STOP),
        questions=questions,
        exclamations=exclamations,
        first_person=tags.count(lexicon.FIRST),
        second_person=tags.count(lexicon.SECOND),
        hedges=tags.count(lexicon.HEDGE),
        negations=tags.count(lexicon.NEGATION),
        refusals=_count_refusals(words) if lexicon.GATE in tags else 0,
        apologies=tags.count(lexicon.APOLOGY),
    )
    return Reading(counts, vocabulary, _language(n, letters, tags))


def _fold(codes, kind, n) -> str:
    """Write words in lower case, blanks between them."""
    folded = alphabet().fold[codes]
    unspaced = [letter for letter in UNSPACED if n[letter]]
    if unspaced:
        copies = 1 + np.isin(kind, unspaced)
        folded = np.repeat(folded, copies)
        folded[np.cumsum(copies)[copies == 2] - 1] = kinds.BLANK
    return folded.tobytes().decode("utf-32-le")


def _count_sentences(kind, n):
    ordered = kind.tobytes()
    wide = n[kinds.WIDE_STOP] + n[kinds.WIDE_QUESTION] + n[kinds.WIDE_EXCLAMATION]
    at_end = ordered[-1] in (kinds.STOP, kinds.QUESTION, kinds.EXCLAMATION)
    before_blank = sum(ordered.count(end) for end in ENDS if n[end[0]])
    return max(before_blank + wide + at_end, 1)


def _count_refusals(words):
    spaced = f" {' '.join(words)} "
    return sum(map(spaced.count, lexicon.REFUSALS))


def _language(n, letters, tags) -> str | None:
    """Name the script, and in the Latin one the language; None where unknown."""
    if not letters:
        return None
    if 2 * (n[LATIN] + n[LATIN + 1]) < letters:
        cased = np.reshape(n[FIRST_LETTER:], (-1, 2))
        return SCRIPTS[cased.sum(axis=1).argmax()]
    found, language = max((tags.count(tag), tag) for tag in lexicon.LANGUAGES)
    return language if found >= MIN_FUNCTION_WORDS else None
