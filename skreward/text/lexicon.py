"""Words that say something of a text's stance, and in which language it is."""

from itertools import repeat

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

STOP, FIRST, SECOND, HEDGE, NEGATION, APOLOGY = "sfyhna"
STANCE = {
    FIRST: "i i'm i've i'd i'll me my mine myself we we're we've we'll us our ours",
    SECOND: "you you're you've you'll you'd your yours yourself yourselves",
    HEDGE: (
        "maybe perhaps possibly probably might may could seem seems seemed appear "
        "appears likely unlikely generally usually often sometimes somewhat typically "
        "roughly approximately fairly arguably suggest suggests depend depends "
        "depending think believe guess unsure unclear"
    ),
    NEGATION: (
        "no not never none nothing nor neither without cannot can't don't doesn't "
        "didn't isn't aren't wasn't weren't won't wouldn't shouldn't couldn't haven't "
        "hasn't"
    ),
    APOLOGY: "sorry apologize apologise apologies apology regret unfortunately",
}
REFUSALS = (
    "i can't",
    "i cannot",
    "i won't",
    "i couldn't",
    "sorry",
    "i'm unable",
    "i am unable",
    "not able to",
    "not comfortable",
    "i'm not going to",
    "as an ai",
    "language model",
    "be inappropriate",
    "be unethical",
)
# Function words that are common in one of these languages and rare in the others.
LANGUAGES = {
    "E": "the and of to is that with for it are this was you from have be by at",
    "D": "der die das und ist nicht ein eine mit auf ich zu den sich auch wird sind",
    "F": "le les et des est une dans pour qui sur pas vous avec ce cette sont je",
    "S": "el los las y es por una del con su para como más pero usted son muy",
    "I": "il gli di è che per della sono nel più anche alla questo dei ha",
    "P": "o os e é não uma do da em para com mais são você ao pelo isso",
    "N": "het een van en dat niet zijn met voor ook aan wordt naar bij deze je",
    "W": "och att det som är på av för den inte till har med kan om ett",
    "L": "w i na z się nie jest że do jak przez oraz ale są może dla",
    "T": "ve bir bu için ile olarak çok daha gibi olan ne değil var kadar sonra",
}


LISTS = (STOP, *STANCE, *LANGUAGES)


def _on_lists() -> dict[str, str]:
    """Give the lists that every word is on; a word of a refusal may be on none."""
    on: dict[str, str] = {}
    lists = {STOP: " ".join(ENGLISH_STOP_WORDS), **STANCE, **LANGUAGES}
    for name, words in lists.items():
        for word in words.split():
            on[word] = on.get(word, "") + name
    return {word: "" for phrase in REFUSALS for word in phrase.split()} | on


# What words are compared with: all of them written in a row, and where each is there.
_WORDS = dict(sorted(_on_lists().items()))
_BYTES = [word.encode() for word in _WORDS]
LETTERS = np.frombuffer(b" ".join([*_BYTES, b""]), dtype=np.uint8)
LENGTHS = np.array([len(word) for word in _BYTES])
STARTS = np.cumsum(LENGTHS + 1) - LENGTHS - 1
# Words are on lists in few ways: 0 is on none.
_WAYS = ("", *sorted(set(_WORDS.values()) - {""}))
WAY = np.array([_WAYS.index(names) for names in _WORDS.values()])
ON_LIST = np.array([[name in way for name in LISTS] for way in _WAYS], dtype=float)
# Words of refusals by their places, -1 behind the last.
_PLACE = {word: k for k, word in enumerate(_WORDS)}
_LONGEST = max(len(phrase.split()) for phrase in REFUSALS)
PHRASES = np.array(
    [
        [*map(_PLACE.get, phrase.split()), *repeat(-1, _LONGEST - len(phrase.split()))]
        for phrase in REFUSALS
    ]
)
