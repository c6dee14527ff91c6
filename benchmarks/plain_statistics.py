"""What `TextStatisticsTransformer` counts, one text at a time: the plain way."""

import re
from itertools import repeat
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from skreward.text import characters as kinds
from skreward.text import lexicon
from skreward.text.characters import (
    FIRST_LETTER,
    LATIN,
    N_KINDS,
    SCRIPTS,
    alphabet,
    letters_of,
)
from skreward.text.statistics import COUNTED, FORMS, GROUPS

# How a line opens, as one character. Nothing is tried twice: time grows with length.
LINE = re.compile(
    r"\n[ \t]*+([-*+•](?= )|\d(?=\d{0,2}[.)][ \t])|#(?=#{0,5} )|[|>]|`(?=``)|~(?=~~))"
)
ENDS = tuple(
    bytes((end, after))
    for end in (kinds.STOP, kinds.QUESTION, kinds.EXCLAMATION)
    for after in (kinds.SPACE, kinds.NEWLINE)
)
UNSPACED = tuple(map(letters_of, SCRIPTS[SCRIPTS.index("CJK") :]))
MIN_FUNCTION_WORDS = 2
# A refusal has one of these words: texts without one are not searched for it.
GATE, GATE_WORDS = (
    "g",
    (
        "cannot can't won't couldn't unable able comfortable going sorry ai language "
        "inappropriate unethical"
    ),
)
LISTS = dict.fromkeys(ENGLISH_STOP_WORDS, lexicon.STOP)
for _name, _words_of in {
    **lexicon.STANCE,
    GATE: GATE_WORDS,
    **lexicon.LANGUAGES,
}.items():
    for _word in _words_of.split():
        LISTS[_word] = LISTS.get(_word, "") + _name


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
    tags = "".join(map(LISTS.get, words, repeat("")))
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
        refusals=_count_refusals(words) if GATE in tags else 0,
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
    return sum(spaced.count(f" {phrase} ") for phrase in lexicon.REFUSALS)


def _language(n, letters, tags) -> str | None:
    """Name the script, and in the Latin one the language; None where unknown."""
    if not letters:
        return None
    if 2 * (n[LATIN] + n[LATIN + 1]) < letters:
        cased = np.reshape(n[FIRST_LETTER:], (-1, 2))
        return SCRIPTS[cased.sum(axis=1).argmax()]
    found, language = max((tags.count(tag), tag) for tag in lexicon.LANGUAGES)
    return language if found >= MIN_FUNCTION_WORDS else None


def plain_statistics(prompts, responses):
    """Compute all columns, a text at a time."""
    seen: dict[str, tuple[Reading, set[str]]] = {}
    counts = np.empty((len(responses), len(Counts._fields)))
    related = np.ones((len(responses), 5))
    for k, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        reading = read(response)
        counts[k] = reading.counts
        if prompt not in seen:
            asked = read(prompt)
            seen[prompt] = asked, asked.vocabulary - ENGLISH_STOP_WORDS
        related[k] = _relation(*seen[prompt], reading)
    n = dict(zip(Counts._fields, counts.T, strict=True))
    columns = {"prompt": list(related.T)}
    columns["length"] = _length(n)
    columns["words"] = _words(n)
    for group, names in COUNTED.items():
        columns[group] = [np.log1p(n[name]) for name in names]
    chosen = [column for group in GROUPS for column in columns[group]]
    return np.column_stack(chosen).astype(np.float32)


def _relation(prompt: Reading, content: set[str], response: Reading):
    asked, given = prompt.counts, response.counts
    vocabulary = response.vocabulary
    n_shared = len(vocabulary & prompt.vocabulary)
    known = prompt.language is not None and response.language is not None
    forms = [name for name in FORMS if getattr(asked, name)]
    kept = sum(getattr(given, name) > 0 for name in forms)
    return (
        len(vocabulary & content) / len(content) if content else 1.0,
        n_shared / max(len(vocabulary), 1),
        np.log1p(given.words) - np.log1p(asked.words),
        float(prompt.language == response.language or not known),
        kept / len(forms) if forms else 1.0,
    )


def _length(n):
    sentence = n["words"] / np.maximum(n["sentences"], 1)
    names = "characters", "words", "sentences"
    return [*(np.log1p(n[name]) for name in names), np.log1p(sentence)]


def _words(n):
    words = np.maximum(n["words"], 1)
    characters = np.maximum(n["characters"], 1)
    return [
        n["word_characters"] / words,
        n["distinct_words"] / words,
        n["distinct_words"] / np.sqrt(words),
        n["capitals"] / np.maximum(n["letters"], 1),
        n["digits"] / characters,
        n["punctuation"] / characters,
        n["stop_words"] / words,
    ]
