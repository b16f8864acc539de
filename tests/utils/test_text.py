"""Numbers and tables as text."""

from __future__ import annotations

import pytest

from utils.text import duration_text, table


@pytest.mark.parametrize(
    "seconds, text",
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (89 * 60, "89 min"), (90 * 60, "1 h 30 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_a_table_is_aligned():
    assert table([["a", "PSNR"], ["longer", "9.1"]]) == "a        PSNR\nlonger    9.1"
