"""What is counted of texts, of many in one pass over their characters and words."""

from typing import NamedTuple

import numpy as np

from skreward.text import characters as kinds
from skreward.text import lexicon
from skreward.text.characters import FIRST_LETTER, LATIN, SCRIPTS
from skreward.text.joined import Joined
from skreward.text.words import Words
from skreward.utils.typing import Array

MIN_FUNCTION_WORDS = 2
AT_ONCE = 128
UNKNOWN = -1
# Of equally many function words, the first says the language.
LANGUAGES = sorted(lexicon.LANGUAGES, reverse=True)


class Readings(NamedTuple):
    """Texts as read: their counts by name, each (n_texts,), their words and languages.

    Languages are numbers, equal where languages are, `UNKNOWN` where nothing tells.
    """

    counts: dict[str, Array]
    words: Words
    language: Array


def read(texts: list[str]) -> Readings:
    """Count texts."""
    joined = Joined(texts)
    words = Words(joined)
    n = joined.count_kinds()
    letters = n[FIRST_LETTER:].sum(axis=0)
    questions = n[kinds.QUESTION] + n[kinds.WIDE_QUESTION]
    exclamations = n[kinds.EXCLAMATION] + n[kinds.WIDE_EXCLAMATION]
    marks = n[kinds.STOP] + n[kinds.WIDE_STOP] + questions + exclamations
    wide = n[kinds.WIDE_STOP] + n[kinds.WIDE_QUESTION] + n[kinds.WIDE_EXCLAMATION]
    ended = np.maximum(joined.count_ends() + wide, 1)
    opened = joined.count_openings()
    fences = opened["fences"]
    ticks = joined.count(joined.where("`"))
    listed = words.listed
    counts = {
        "characters": joined.lengths,
        "words": words.number,
        "sentences": np.where(marks > 0, ended, words.number > 0),
        "word_characters": words.characters,
        "distinct_words": words.distinct,
        "letters": letters,
        "capitals": n[FIRST_LETTER + 1 :: 2].sum(axis=0),
        "digits": n[kinds.DIGIT],
        "punctuation": n[kinds.PUNCTUATION] + n[kinds.QUOTE] + marks,
        "newlines": n[kinds.NEWLINE],
        "paragraphs": joined.count_doubles("\n"),
        "list_items": opened["list_items"],
        "headings": opened["headings"],
        "code_blocks": (fences + 1) // 2,
        "table_rows": opened["table_rows"],
        "bold": joined.count_doubles("*") // 2,
        "inline_code": np.maximum(ticks - 3 * fences, 0) // 2,
        "links": np.maximum(joined.count_phrase("]("), joined.count_phrase("://")),
        "quotes": n[kinds.QUOTE] // 2 + opened["cited"],
        "symbols": n[kinds.SYMBOL],
        "stop_words": listed[lexicon.STOP],
        "questions": questions,
        "exclamations": exclamations,
        "first_person": listed[lexicon.FIRST],
        "second_person": listed[lexicon.SECOND],
        "hedges": listed[lexicon.HEDGE],
        "negations": listed[lexicon.NEGATION],
        "refusals": words.refusals,
        "apologies": listed[lexicon.APOLOGY],
    }
    return Readings(counts, words, _language(n, letters, listed))


def name_languages(texts: list[str]) -> list[str | None]:
    """Name the language of every text, by its letter in the lexicon, or its script.

    None where nothing tells.
    """
    names = {UNKNOWN: None, **dict(enumerate([*SCRIPTS, *LANGUAGES]))}
    starts = range(0, len(texts), AT_ONCE)
    parts = [read(texts[start : start + AT_ONCE]).language for start in starts]
    return [names[number] for part in parts for number in part.tolist()]


def _language(n, letters, listed) -> Array:
    """Number the script, and in the Latin one the language."""
    cased = n[FIRST_LETTER:].reshape(len(SCRIPTS), 2, -1).sum(axis=1)
    found = np.stack([listed[name] for name in LANGUAGES])
    latin = np.where(
        found.max(axis=0) >= MIN_FUNCTION_WORDS,
        len(SCRIPTS) + found.argmax(axis=0),
        UNKNOWN,
    )
    is_latin = 2 * (n[LATIN] + n[LATIN + 1]) >= letters
    language = np.where(is_latin, latin, cased.argmax(axis=0))
    return np.where(letters > 0, language, UNKNOWN)
