"""report.html in a browser: its slider, its diagrams, and nothing that it would have to load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.browser import open_browser
from tests.helpers.pictures import SIZE
from tests.utils.reporting.test_report_page import HOSTILE, eventful_log
from utils.reporting.report_page import ShownView, charts, report

pytestmark = pytest.mark.slow


def test_the_slider_shows_photo_and_render(program: str, tmp_path: Path) -> None:
    photo, render = (np.full((*SIZE, 3), color, np.uint8) for color in ((200, 0, 0), (0, 0, 200)))
    drawn = charts(eventful_log(), {"Opacity": {"edges": [0, 0.5, 1], "counts": [3, 4]}})
    path = tmp_path / "report.html"
    path.write_text(report(HOSTILE, {HOSTILE: "1"}, [ShownView(HOSTILE, "", photo, render, [])], drawn, {}))
    with open_browser(program) as browser:
        browser.open(path.as_uri())
        browser.wait_for("document.readyState === 'complete'")
        box = browser.value(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.querySelector('.compare').getBoundingClientRect())"
        )
        shares = []
        for value in (50, 90):
            browser.value(
                f"((range) => {{ range.value = {value}; range.dispatchEvent(new Event('input')); }})"
                "(document.querySelector('.compare input'))"
            )
            left, top, width, height = (int(number) for number in box)
            line = browser.screenshot()[top + height // 2, left + 2 : left + width - 2].astype(int)
            shares.append(float((line[:, 0] > line[:, 2] + 50).mean()))
        assert shares == pytest.approx([0.5, 0.9], abs=0.02)
        polylines = "[...document.querySelectorAll('svg polyline')].map((each) => each.getBoundingClientRect())"
        assert browser.value(f"{polylines}.filter((each) => each.width > 50).length") >= 8
        bars = "[...document.querySelectorAll('svg rect')].map((each) => each.getBoundingClientRect().height)"
        assert browser.value(f"Math.max(...{bars}) > 100")
        assert browser.value("document.title") == HOSTILE.replace("\x1b", "\\x1b")
        assert browser.requests == [path.as_uri(), *(each for each in browser.requests if each.startswith("data:"))]
        assert not browser.errors
