"""Texts of other people in a page."""

import html5lib
import pytest

from skreward.report.printable import ENDING, OPENING, excerpt, label, printable

UNSHOWN = ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9f", "\ud800", "\udfff", "\ufffe"]
UNSHOWN += ["\ufdd0", "\U0010ffff", "\x0b", "\x0c"]


@pytest.mark.parametrize("character", UNSHOWN)
def test_what_html_has_no_place_for_is_shown_by_a_sign(character):
    shown = printable(f"a{character}b")
    assert character not in shown
    assert len(shown) == 3
    shown.encode()
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(f"<!DOCTYPE html><title>x</title><p>{shown}</p>")


def test_marks_that_turn_text_round_are_named():
    assert printable("user\u202etxt.exe") == "user[U+202E]txt.exe"
    # Those of single letters are part of how a language is written.
    assert printable("\u200fabc") == "\u200fabc"


def test_line_ends_are_one_kind():
    assert printable("a\r\nb\rc\nd\te") == "a\nb\nc\nd\te"


def test_a_long_text_is_shown_by_its_ends():
    text = "a" * 10**6 + "b" * ENDING
    opening, said, ending = excerpt(text)
    assert opening == "a" * OPENING
    assert ending == "b" * ENDING
    assert said == f"{10**6 - OPENING:,} of 1,000,300 characters left out"
    assert excerpt("short") == ("short", "", "")


def test_a_label_is_one_line():
    assert label(" a\n\tb ") == "a b"
    cut = label("a" * 10**7 + "b.skops")
    assert len(cut) == 40
    assert cut.startswith("aaa")
    assert cut.endswith("b.skops")
