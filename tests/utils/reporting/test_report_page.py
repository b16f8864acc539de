"""report.html as text: what of a run it shows, and that texts stay texts. tests/browser opens it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pictures import noise, write_log, write_views
from utils.files import write_json
from utils.metrics.renders import evaluate_model
from utils.reporting import html_report
from utils.reporting.charts import Series, bar_chart, histogram, line_chart
from utils.reporting.report_page import ShownView, charts, flattened, report

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}{% raw %}\x1b[1m"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def eventful_log() -> list[dict[str, Any]]:
    """Lines of metrics.jsonl with everything that a page draws."""
    lines: list[dict[str, Any]] = []
    for at in range(100, 1001, 100):
        schedules = {
            "l1": 0.8,
            "depth": 4 / at,
            "normal": 0.0,
            "alpha": 0.1,
            "sh_degree": at // 300,
            "position_lr": 1 / at,
        }
        terms = dict(l1=9 / at, normal=1.0) | (dict(depth=1 / at) if at > 500 else {})
        lines.append(dict(iteration=at, seconds=at / 9, loss=20 / at, **terms, gaussians=at * 7, schedules=schedules))
        compared = {"opacity": {"threshold": 0.005, "median": 0.3, "largest": 1.0}}
        lines.append(
            dict(
                iteration=at, seconds=at / 9, densification={"cloned": at, "needle": 0, "opacity": 3}, compared=compared
            )
        )
    return [*lines, dict(iteration=1000, seconds=120, test={"PSNR": 21.5, "SSIM": 0.8, "views": 3})]


def test_all_of_a_run_is_drawn() -> None:
    shape = {"Opacity": {"edges": [0, 0.5, 1], "counts": [3, 4], "note": "median 0.6"}, "iteration": 5}
    drawn = charts(eventful_log(), shape)
    titles = {section: [chart.title for chart in each] for section, each in drawn.items()}
    assert titles == {
        "Loss terms, unweighted": ["loss", "l1", "normal", "depth"],
        # and not what had no part in the loss
        "Schedules": ["weight of l1", "weight of depth", "sh_degree", "position_lr"],
        "Evaluation": ["PSNR, dB", "SSIM"],
        "Gaussians": ["Number of Gaussians", "cloned", "opacity"],  # and not what did nothing
        "What the rules compared": ["opacity"],
        "Shape of the Gaussians": ["Opacity"],
        "Time": ["Steps per second", "Minutes"],
    }
    cloned = drawn["Gaussians"][1]
    assert cloned.note == "5,500 in all" and len(cloned.bars) == 10
    assert cloned.bars[-1].height == pytest.approx(cloned.height) == 10 * cloned.bars[0].height
    assert [curve.label for curve in drawn["What the rules compared"][0].curves] == ["threshold", "median", "largest"]


def test_curves_lie_where_their_numbers_say() -> None:
    chart = line_chart("t", [Series("a", [(0, 1.0), (50, 10.0), (100, 100.0)])], 100, log=True)
    assert chart is not None and chart.curves[0].points == "0.0,170.0 200.0,85.0 400.0,0.0"
    assert [(tick.text, tick.at) for tick in chart.y_ticks] == [("1", 170), ("10", 85), ("100", 0)]
    with_zero = line_chart("t", [Series("a", [(0, 0.0), (100, 100.0)])], 100, log=True)
    assert with_zero is not None and with_zero.curves[0].points == "0.0,170.0 400.0,0.0"
    one = line_chart("t", [Series("a", [(100, 5.0), (100, float("nan")), (7, float("inf"))])], 100)
    assert one is not None and one.curves[0].dots == [("400.0", "85.0")]


@pytest.mark.parametrize("end", [1000, 20_000, 1_000_000])
def test_labels_lie_in_their_diagram(end: int) -> None:
    """Also the last one of an axis, half of which is to the right of it; a digit is 7 units wide."""
    drawn = line_chart("t", [Series("a", [(1, 0.00012), (end, 0.00013)])], end)
    assert drawn is not None
    elements = Elements(report("t", {}, [], {"s": [drawn]}, {}))
    left, _, width, _ = map(float, (elements.named("svg")[0]["viewbox"] or "").split())
    assert drawn.x_ticks[-1].text == f"{end:,}"
    for tick in drawn.x_ticks:
        half = 3.5 * len(tick.text)
        assert left <= tick.at - half and tick.at + half <= left + width


def test_nothing_is_no_diagram() -> None:
    assert line_chart("t", [Series("a", [(1, float("inf"))]), Series("b", [])], 10) is None
    assert bar_chart("t", [(1, 0), (2, 0)], 10) is None
    for edges, counts in (([0, 1], []), ([0, 1, 2], [1]), ([0, "x"], [1]), ([0, 1], [0]), ([], [])):
        assert histogram("t", edges, counts) is None
    for falling in ([0.01, -3, 1], [0.01, 0, 1], [1, 3, 2]):  # the first two on a logarithmic axis
        assert histogram("t", falling, [1, 2]) is None
    assert histogram("t", [1, 1], [5]) is not None  # of values that are all the same


@pytest.mark.parametrize("damaged", ["schedules", "densification", "compared", "test"])
@pytest.mark.parametrize("value", [None, 3, "text", {"a": "b"}, {"opacity": 3, "PSNR": []}])
def test_a_damaged_log_leaves_out_what_it_lacks(damaged: str, value: Any) -> None:
    lines = [line | ({damaged: value} if damaged in line else {}) for line in eventful_log()]
    assert len(charts(lines, {"Opacity": value, "x": {"edges": value, "counts": value}})["Time"]) == 2


def test_texts_stay_texts() -> None:
    view = ShownView(HOSTILE, HOSTILE, noise(0), noise(1), [])
    page = report(
        HOSTILE,
        {HOSTILE: HOSTILE},
        [view],
        charts([dict(iteration=1, seconds=1, loss=1.0, gaussians=1, **{HOSTILE: 2.0})], {}),
        {HOSTILE: [(HOSTILE, HOSTILE)]},
        command=HOSTILE,
        warnings=[HOSTILE],
    )
    elements = Elements(page)
    assert all((each["src"] or "").startswith("data:image/") for each in elements.named("img"))
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    shown = HOSTILE.replace("\x1b", "\\x1b")
    assert elements.text.count(shown) >= 8 and "\x1b" not in page
    assert len(elements.named("script")) == 1 and elements.named("svg")


def test_the_page_of_a_model_folder(tmp_path: Path) -> None:
    write_views(tmp_path / "test" / "ours_300", 7)
    write_log(tmp_path)
    write_json(tmp_path / "run.json", {"command": "train.py -s <x>", "warnings": ["a <warning>"], "seconds": 3})
    results = evaluate_model(tmp_path)["ours_300"]
    page = html_report.write_summary(tmp_path)[-1].read_text()
    elements = Elements(page)
    assert not re.search(r'(src|href)="(?!data:)|(src|href)=[^"]', page) and "url(" not in page, (
        "it must need nothing beside it"
    )
    assert f"{results['PSNR']:.2f} dB" in page and "3,000" in page
    assert "train.py -s <x>" in elements.text and "a <warning>" in elements.text and "photo <3>.jpg" in elements.text
    assert len(elements.named("section")) == 7 and len(elements.named("input")) == 7
    assert len(elements.named("tr")) == (1 + 7) + 2 + 2
    heads = [attributes for attributes in elements.named("meta") if "http-equiv" in attributes]
    assert (heads[0]["content"] or "").startswith("default-src 'none'")


def test_the_page_stays_small(tmp_path: Path) -> None:
    """However many views and steps there are."""
    write_views(tmp_path / "test" / "ours_300", 30)
    lines = [dict(iteration=at, seconds=at, loss=1 / (at + 1), gaussians=at) for at in range(5000)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = html_report.write_summary(tmp_path)[-1].read_text()
    assert len(Elements(page).named("section")) == html_report.PAGE_VIEWS
    assert max(len(each["points"] or "") for each in Elements(page).named("polyline")) < 400 * 14
    assert len(page) < 400_000


def test_flattened_settings() -> None:
    rows = flattened({"a": {"b": {"c": 1}}, "d": [1, None], "e": "text"})
    assert rows == [("a.b.c", "1"), ("d", json.dumps([1, None])), ("e", "text")]
