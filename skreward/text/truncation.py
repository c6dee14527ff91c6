"""Where a text is cut that is longer than its model takes."""

from typing import Any

# What is kept of a text from its beginning, where the middle is cut out.
OPENING = 0.25


class Tokenizer:
    """One face for the tokenizers of transformers and of tokenizers.

    ``before`` and ``after`` are the special tokens that a text is put between,
    ``begin`` the string that opens a text which brings them along, and ``cuts`` says
    whether the tokenizer cuts long texts at their end itself.
    """

    def __init__(self, tokenizer: Any):
        self.inner = tokenizer
        self.cuts = callable(tokenizer)  # tokenizers.Tokenizer is not
        self.before: list[int] = []
        self.after: list[int] = []
        self.begin: str | None = None
        if self.cuts:
            self.begin = tokenizer.bos_token
            self.before, self.after = _around(tokenizer)

    def ids(self, string: str) -> list[int]:
        """Tokenize without special tokens."""
        if not self.cuts:
            return self.inner.encode(string, add_special_tokens=False).ids
        return list(self._call(string)["input_ids"])

    def offsets(self, string: str) -> list[tuple[int, int]]:
        """Give the characters of each token, special ones left out."""
        if not self.cuts:
            return self.inner.encode(string, add_special_tokens=False).offsets
        return self._call(string, return_offsets_mapping=True)["offset_mapping"]

    def _call(self, string, **options):
        return self.inner(
            string, add_special_tokens=False, truncation=False, verbose=False, **options
        )


def kept_spans(n_tokens: int, room: int, side: str) -> list[tuple[int, int]]:
    """Say which tokens of a text stay where ``room`` is for fewer than all.

    Parameters
    ----------
    n_tokens : int
    room : int
        How many stay.
    side : {"middle", "left", "right"}
        Where the text is cut.

    Returns
    -------
    spans : list of (start, end)
        In the order of the text; none is empty.
    """
    opening = {"left": 0, "right": room, "middle": int(OPENING * room)}[side]
    spans = [(0, opening), (n_tokens - (room - opening), n_tokens)]
    return [(start, end) for start, end in spans if end > start]


def cut_string(string: str, offsets, room: int, side: str, tokenizer: Tokenizer) -> str:
    """Cut a string to at most ``room`` tokens, of which ``offsets`` gives the places.

    A word that is cut in two may be more tokens than its part was before; then one
    more token is left out.
    """
    for kept in range(room, 0, -1):
        spans = kept_spans(len(offsets), kept, side)
        parts = [string[offsets[a][0] : offsets[b - 1][1]] for a, b in spans]
        cut = " ".join(parts)
        if len(tokenizer.ids(cut)) <= room:
            return cut
    return ""


def _around(tokenizer) -> tuple[list[int], list[int]]:
    """Find the special tokens before and after a text, from one that is short."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("a")["input_ids"])
    for k in range(len(full) - len(bare) + 1):
        if full[k : k + len(bare)] == bare:
            return full[:k], full[k + len(bare) :]
    return [], []
