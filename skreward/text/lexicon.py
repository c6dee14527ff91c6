"""Words that say something of a text's stance, and in which language it is."""

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

STOP, FIRST, SECOND, HEDGE, NEGATION, APOLOGY, GATE = "sfyhnag"
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
    # A refusal has one of these words: texts without one are not searched for it.
    GATE: (
        "cannot can't won't couldn't unable able comfortable going sorry ai language "
        "inappropriate unethical"
    ),
}
REFUSALS = (
    " i can't ",
    " i cannot ",
    " i won't ",
    " i couldn't ",
    " sorry ",
    " i'm unable ",
    " i am unable ",
    " not able to ",
    " not comfortable ",
    " i'm not going to ",
    " as an ai ",
    " language model ",
    " be inappropriate ",
    " be unethical ",
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


def _tags():
    """Give each word its tags: a letter for each list that it is on."""
    tags: dict[str, str] = dict.fromkeys(ENGLISH_STOP_WORDS, STOP)
    for tag, words in (STANCE | LANGUAGES).items():
        for word in words.split():
            tags[word] = tags.get(word, "") + tag
    return tags


TAGS = _tags()
