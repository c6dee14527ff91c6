"""Texts of other people, made fit to be shown: whole characters, no disguises."""

import re

# What HTML has no place for: controls, halves of surrogate pairs, noncharacters.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
UNSHOWN = re.compile(
    "[\x80-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
# They turn the text behind them round, and can make it read as another.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
OPENING, ENDING = 400, 300


def printable(text: str) -> str:
    r"""Make a text fit for HTML; what cannot be shown is shown by a sign for it.

    Examples
    --------
    >>> printable("a\x00b\r\nc\u202ed")
    'a\u2400b\nc[U+202E]d'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub(_picture, text)
    text = UNSHOWN.sub("\ufffd", text)
    return TURNING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def excerpt(text: str) -> tuple[str, str, str]:
    """Give the beginning of a text, what is left out, and its end, printable.

    The two latter are empty for a text that is short enough.
    """
    if len(text) <= OPENING + ENDING + 40:
        return printable(text), "", ""
    left_out = len(text) - OPENING - ENDING
    said = f"{left_out:,} of {len(text):,} characters left out"
    return printable(text[:OPENING]), said, printable(text[-ENDING:])


def label(text: object, longest: int = 40) -> str:
    """Make a name of one line, its middle left out where it is too long."""
    given = str(text)
    if len(given) > 8 * longest:
        given = given[: 4 * longest] + given[-4 * longest :]
    line = " ".join(printable(given).split())
    if len(line) <= longest:
        return line
    ending = longest // 3
    return f"{line[: longest - 1 - ending]}\u2026{line[-ending:]}"


def _picture(found):
    code = ord(found[0])
    return chr(0x2421 if code == 0x7F else 0x2400 + code)
