"""The transformer from texts to named statistics of them."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skreward.data.pairs import EmbeddingPairs
from skreward.text.counts import UNKNOWN, read
from skreward.text.items import TextPairs
from skreward.text.transformer import _check_texts, _PairsOrItems
from skreward.text.words import alike
from skreward.utils.compat import fit_context
from skreward.utils.typing import Array, ArrayLike

__all__ = ["TextStatisticsTransformer"]

# Texts are read many at once: up to so many characters.
PART_CHARACTERS, PART_ROWS = 2**18, 1024
FORMS = ("list_items", "headings", "code_blocks", "table_rows", "quotes")
COUNTED = {
    "form": (
        "list_items",
        "headings",
        "code_blocks",
        "inline_code",
        "table_rows",
        "bold",
        "links",
        "quotes",
        "newlines",
        "paragraphs",
        "symbols",
    ),
    "stance": (
        "questions",
        "exclamations",
        "first_person",
        "second_person",
        "hedges",
        "negations",
        "refusals",
        "apologies",
    ),
}
GROUPS = {
    "length": ("log_characters", "log_words", "log_sentences", "log_sentence_words"),
    "form": tuple(f"log_{name}" for name in COUNTED["form"]),
    "words": (
        "word_length",
        "type_token_ratio",
        "guiraud_index",
        "capitals_share",
        "digits_share",
        "punctuation_share",
        "stop_words_share",
    ),
    "stance": tuple(f"log_{name}" for name in COUNTED["stance"]),
    "prompt": (
        "prompt_coverage",
        "prompt_repetition",
        "prompt_log_length_ratio",
        "prompt_language_kept",
        "prompt_format_kept",
    ),
}


class TextStatisticsTransformer(_PairsOrItems, TransformerMixin, BaseEstimator):
    """Describe texts by named statistics: texts in, items or pairs out.

    Every response becomes a row of up to 35 numbers that say how long it is, how it
    is laid out, which words it is made of, how it addresses the reader, and how it
    relates to its prompt. They are what a sentence embedding cut at its token limit
    leaves out, they cost some microseconds, and a linear reward on them says what it
    pays for. Nothing is learned: `fit` checks parameters and texts alone.

    Parameters
    ----------
    groups : sequence of {"length", "form", "words", "stance", "prompt"}, \
            default=("length", "form", "words", "stance", "prompt")
        The groups of columns to give. The columns come in the order of this list,
        whatever that of ``groups``. "prompt" needs texts with a prompt, and lone
        strings are refused with it.

    See Also
    --------
    LLMEmbeddingTransformer : What a text says, rather than how.
    ItemwiseTransformer : Both side by side, as in the example.

    Notes
    -----
    A count n is given as ``log(1 + n)``, so that a text a hundred times as long is
    not a hundred times as far.

    ==========  ====================================================================
    group       columns
    ==========  ====================================================================
    length      log of characters, of words, of sentences, of words a sentence
    form        log of list items, headings, code blocks, pieces of inline code,
                table rows, bold passages, links, quotations, line breaks, blank
                lines, and symbols such as emoji
    words       mean length of a word; distinct words over words (type-token ratio)
                and over the root of words (Guiraud's index, the least bound to
                length); shares of capitals among letters, of digits and of
                punctuation among characters, of stop words among words
    stance      log of question marks, exclamation marks, first and second person,
                hedges, negations, refusals, apologies
    prompt      share of the prompt's distinct words that are no stop words and that
                the response takes up (coverage); share of the response's distinct
                words that are in the prompt (repetition); log of the words of the
                response less log of those of the prompt; whether the language is the
                same, by its script and, in the Latin one, by function words of ten
                languages (1 where either is unknown); the share of the prompt's
                lists, headings, code blocks, tables and quotations that the response
                has too (1 where there are none)
    ==========  ====================================================================

    A word is a run of letters, digits and apostrophes; in scripts without blanks, such
    as Han, every letter is one. Stop words are scikit-learn's, they and the words of
    stance are English: in other languages those columns are about zero. The language
    of responses, and everything else, is read in any script. An empty text is a row
    of finite numbers too. Chat messages are read as their contents.

    The statistics see the form of a text, not whether it is true, and a policy that
    is optimised against them learns to write that form.

    Rewards that are fitted to single items, such as `PairwiseClassifierReward` and
    boosted trees, see what a prompt's responses have in common and no pair compares.
    For a choice among the responses of a prompt they do better on each row less the
    mean of its prompt's, as in the last example; a linear reward of margins, such as
    `BradleyTerryRegressor`, is the same either way.

    Examples
    --------
    >>> from skreward import TextStatisticsTransformer
    >>> rows = [{"prompt": "2 + 2?", "response": "It is **4**."},
    ...         {"prompt": "2 + 2?", "response": "I'm sorry, I can't say."}]
    >>> statistics = TextStatisticsTransformer(groups=["length", "stance"])
    >>> statistics.fit_transform(rows).shape
    (2, 12)
    >>> statistics.get_feature_names_out()[:2].tolist()
    ['log_characters', 'log_words']

    Beside the embedding, whose rows have length 1 and need no scaling:

    >>> from sklearn.pipeline import make_pipeline, make_union
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skreward import BradleyTerryRegressor, ItemwiseTransformer
    >>> from skreward import LLMEmbeddingTransformer
    >>> features = make_union(
    ...     LLMEmbeddingTransformer(),
    ...     make_pipeline(TextStatisticsTransformer(), StandardScaler()),
    ... )
    >>> model = make_pipeline(
    ...     ItemwiseTransformer(features), BradleyTerryRegressor(alpha=0.003)
    ... )

    Less the mean of the prompt's responses:

    >>> import numpy as np
    >>> values, prompt_ids = statistics.transform(rows), ["2 + 2?", "2 + 2?"]
    >>> _, prompt, size = np.unique(
    ...     prompt_ids, return_inverse=True, return_counts=True
    ... )
    >>> sums = np.zeros((len(size), values.shape[1]))
    >>> np.add.at(sums, prompt, values)
    >>> centred = values - (sums / size[:, np.newaxis])[prompt]
    >>> bool(np.allclose(centred.sum(axis=0), 0, atol=1e-6))
    True
    """

    _parameter_constraints = {"groups": [list, tuple]}  # noqa: RUF012

    def __init__(
        self, groups: Sequence[str] = ("length", "form", "words", "stance", "prompt")
    ) -> None:
        self.groups = groups

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the texts; nothing is learned.

        Parameters
        ----------
        X : list, array or Series of strings; or a table
            As in `LLMEmbeddingTransformer`.
        y : None
            Ignored.

        Returns
        -------
        self : TextStatisticsTransformer
            As it was.

        Raises
        ------
        ValueError
            If a group is unknown, or X holds no texts, or lone strings while
            "prompt" is among the groups.
        """
        self._read(X)
        return self

    def _transform(self, X):
        texts, items, groups = self._read(X)
        rows = _statistics(items, groups)
        if not isinstance(texts, TextPairs):
            return rows
        return EmbeddingPairs._over(
            rows, texts.pairs, items.prompt_ids, texts.unlabelled
        )

    def _read(self, X):
        groups = _check_groups(self.groups)
        texts = _check_texts(X)
        items = texts.items if isinstance(texts, TextPairs) else texts
        if len(items) == 0:
            raise ValueError("X holds 0 texts; at least one is needed.")
        if "prompt" in groups and items.lone:
            raise ValueError(
                "X holds lone strings, and the group 'prompt' relates a response to "
                "its prompt: give a table with the columns prompt and response, or "
                f"groups={[name for name in groups if name != 'prompt']}."
            )
        return texts, items, groups

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Names of the columns.

        Parameters
        ----------
        input_features : None
            Ignored: texts have no features.

        Returns
        -------
        names : array of str
        """
        names = [name for group in _check_groups(self.groups) for name in GROUPS[group]]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def _check_groups(groups) -> list[str]:
    """Give the chosen groups in their own order."""
    if isinstance(groups, str) or not isinstance(groups, Sequence) or not len(groups):
        raise ValueError(
            f"groups must list some of {', '.join(GROUPS)}; got {groups!r}."
        )
    unknown = [name for name in groups if name not in tuple(GROUPS)]
    if unknown:
        raise ValueError(
            f"groups holds {unknown[0]!r}; the groups are {', '.join(GROUPS)}."
        )
    if len(set(groups)) < len(groups):
        raise ValueError(f"groups names a group twice: {list(groups)}.")
    return [name for name in GROUPS if name in groups]


def _statistics(items, groups) -> np.ndarray:
    """Compute the columns of the groups, float32 of shape (n_items, n_columns)."""
    responses = list(items) if items.lone else items["response"]
    prompts = items["prompt"] if "prompt" in groups else None
    names = [name for group in groups for name in GROUPS[group]]
    values = np.empty((len(items), len(names)), dtype=np.float32)
    for rows, asked in _parts(responses, prompts):
        values[rows] = _part([responses[k] for k in rows], asked, groups)
    return values


def _parts(responses, prompts):
    """Part rows, of those with ASCII alone the ones of a prompt together, then others.

    Gives their positions and their prompts.
    """
    n = len(responses)
    lengths = np.fromiter(map(len, responses), np.intp, n)
    is_wide = ~np.fromiter(map(str.isascii, responses), bool, n)
    order = np.argsort(is_wide, kind="stable")
    if prompts is not None:
        numbers: dict[str, int] = defaultdict(count().__next__)
        asked = np.fromiter(map(numbers.__getitem__, prompts), np.intp, n)
        is_wide |= ~np.fromiter(map(str.isascii, prompts), bool, n)
        order = np.lexsort([asked, is_wide])
        is_new = np.diff(asked[order], prepend=-1) != 0
        lengths[order[is_new]] += [len(prompts[k]) for k in order[is_new]]
    # A row counts for some characters at least: so rows have a limit too.
    size = np.cumsum(lengths[order] + PART_CHARACTERS // PART_ROWS)
    parted = np.diff(size // PART_CHARACTERS) + np.diff(is_wide[order])
    for rows in np.split(order, np.flatnonzero(parted) + 1):
        yield rows, None if prompts is None else [prompts[k] for k in rows]


def _part(responses, prompts, groups):
    """Compute the columns of the groups of some rows."""
    asked = list(dict.fromkeys(prompts or ()))
    readings = read(responses + asked)
    n = {name: values[: len(responses)] for name, values in readings.counts.items()}
    columns = {"length": _length(n), "words": _words(n)}
    for group, names in COUNTED.items():
        columns[group] = [np.log1p(n[name]) for name in names]
    if asked:
        place = {prompt: k for k, prompt in enumerate(asked, start=len(responses))}
        columns["prompt"] = _relation(readings, np.array([*map(place.get, prompts)]))
    return np.column_stack([column for group in groups for column in columns[group]])


def _relation(readings, prompt):
    """Relate the first texts to their prompts, which are the texts of these numbers."""
    n, words, rows = readings.counts, readings.words, slice(len(prompt))
    n_words, is_content = len(words.is_stop_word), ~words.is_stop_word
    first = words.text.searchsorted(len(prompt))
    content = np.bincount(words.text, is_content[words.word], len(n["words"]))[prompt]
    text, word = words.text[:first], words.word[:first]
    asked = words.text[first:] * n_words + words.word[first:]
    like, _ = alike(np.concatenate([asked, prompt[text] * n_words + word]))
    is_asked = np.zeros(len(like), dtype=bool)
    is_asked[like[: len(asked)]] = True
    is_shared = is_asked[like[len(asked) :]]
    shared = np.bincount(text[is_shared], minlength=len(prompt))
    is_shared &= is_content[word]
    covered = np.bincount(text[is_shared], minlength=len(prompt))
    language, of_prompt = readings.language[rows], readings.language[prompt]
    is_known = (language != UNKNOWN) & (of_prompt != UNKNOWN)
    forms = np.stack([n[name] for name in FORMS]) > 0
    wanted, kept = forms[:, prompt], forms[:, prompt] & forms[:, rows]
    return [
        _share(covered, content),
        shared / np.maximum(words.distinct[rows], 1),
        np.log1p(n["words"][rows]) - np.log1p(n["words"][prompt]),
        (language == of_prompt) | ~is_known,
        _share(kept.sum(axis=0), wanted.sum(axis=0)),
    ]


def _share(part, whole):
    """Give part / whole, 1 where there is nothing to have a part of."""
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)


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
