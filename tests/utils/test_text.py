"""Numbers and tables as text."""

from __future__ import annotations

import pytest

from utils.text import about_text, duration_text, printable, table


@pytest.mark.parametrize(
    "seconds, text",
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (89 * 60, "89 min"), (90 * 60, "1 h 30 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    "count, text", [(0, "0"), (7, "7"), (99, "99"), (104, "100"), (40_521, "41,000"), (123_456, "120,000")]
)
def test_counts_that_are_not_known_well(count: int, text: str) -> None:
    assert about_text(count) == text


def test_a_table_is_aligned():
    assert table([["a", "PSNR"], ["longer", "9.1"]]) == "a        PSNR\nlonger    9.1"


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("40×30 Bäume\n\tend", "utf-8", "40×30 Bäume\n\tend"),
        ("40×30", "ascii", "40\\xd730"),
        ("a\udcffb", "utf-8", "a\\udcffb"),  # a byte of a file name that is no UTF-8
        ("\x1b[2J\r\x07\x9b\u202e", "utf-8", "\\x1b[2J\\r\\x07\\x9b\\u202e"),
    ],
)
def test_no_text_moves_the_cursor_or_fails_to_be_shown(text: str, encoding: str, shown: str) -> None:
    assert printable(text, encoding) == shown
