"""report.html: how a run went, on one page that needs nothing beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from utils.image_io import ColorScale, encode_png, resized
from utils.metrics_log import is_number
from utils.reporting.charts import Chart, Series, bar_chart, histogram, line_chart
from utils.text import printable

TEMPLATES = Path(__file__).with_name("templates")
COMPARED_WIDTH, SMALL_WIDTH = 720, 360  # pixels of the pictures on the page
QUALITY = 85  # of JPEG
NOT_TERMS = ("iteration", "seconds", "gaussians")  # numbers of a line of metrics.jsonl beside the terms of the loss
NO_WEIGHTS = ("sh_degree", "position_lr")  # of a line's schedules
Table = Sequence[tuple[str, ...]]  # rows of cells
Lines = Sequence[Mapping[str, Any]]  # of metrics.jsonl


@dataclass(frozen=True)
class Picture:
    """A picture of a view, (H,W,3) uint8, and its colors where these stand for numbers."""

    title: str
    pixels: np.ndarray
    scale: ColorScale | None = None


@dataclass(frozen=True)
class ShownView:
    """A view on the page: photo and render to be compared, (H,W,3) uint8, and further pictures of it."""

    title: str
    note: str
    photo: np.ndarray
    render: np.ndarray
    others: Sequence[Picture]


def report(
    title: str,
    tiles: Mapping[str, str],
    views: Sequence[ShownView],
    charts: Mapping[str, Sequence[Chart]],
    tables: Mapping[str, Table],
    command: str = "",
    warnings: Sequence[str] = (),
) -> str:
    """The page's text: `tiles` are names and values at the top; `charts` and `tables` are sections by their titles.

    A table whose rows have more than two cells has its titles in the first row. Whatever is a text is shown as it is.
    """
    page = _template().render(
        title=title,
        tiles=tiles,
        views=[_view(each) for each in views],
        charts={name: each for name, each in charts.items() if each},
        tables={name: rows for name, rows in tables.items() if rows},
        command=command,
        warnings=warnings,
    )
    return printable(page)


@cache
def _template() -> jinja2.Template:
    """Compiled once: it takes as long as the rest of the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


# ---- charts ----------------------------------------------------------------------------------------------------------


def charts(lines: Lines, histograms: Mapping[str, Any]) -> dict[str, list[Chart]]:
    """The diagrams of a run by section, from the lines of metrics.jsonl and histograms.json."""
    steps = [line for line in lines if "loss" in line]
    end = max((line["iteration"] for line in lines), default=1)
    sections = {
        "Loss terms, unweighted": loss_charts(steps, end),
        "Schedules": schedule_charts(steps, end),
        "Evaluation": score_charts(lines, end),
        "Gaussians": count_charts(lines, steps, end),
        "What the rules compared": rule_charts(lines, end),
        "Shape of the Gaussians": shape_charts(histograms),
        "Time": time_charts(steps, end),
    }
    return {title: [chart for chart in drawn if chart is not None] for title, drawn in sections.items()}


def loss_charts(steps: Lines, end: float) -> list[Chart | None]:
    """The loss, and each of its terms."""
    names = [name for name in _names(steps) if name not in NOT_TERMS and not isinstance(steps[-1].get(name), dict)]
    names.sort(key=lambda name: name != "loss")
    return [line_chart(name, [_over_steps(name, steps, name)], end, log=True) for name in names]


def schedule_charts(steps: Lines, end: float) -> list[Chart | None]:
    """What changes by plan: weights, degree of the spherical harmonics, learning rate."""
    entries = [(line["iteration"], line["schedules"]) for line in steps if isinstance(line.get("schedules"), dict)]
    terms = {*_names(steps)}  # that the run had; the weight of any other says nothing of it, nor one that stays 0
    drawn = []
    for name in _names([values for _, values in entries]):
        points = [(at, values.get(name)) for at, values in entries]
        if name in NO_WEIGHTS or (name in terms and any(value for _, value in points)):
            title = name if name in NO_WEIGHTS else f"weight of {name}"
            drawn.append(line_chart(title, [Series(name, points)], end, log=True))
    return drawn


def score_charts(lines: Lines, end: float) -> list[Chart | None]:
    """Metrics of the held-out views, or of training views."""
    drawn = []
    for metric in ("PSNR", "SSIM", "LPIPS", "depth_MAE"):
        series = [
            Series(
                part,
                [(line["iteration"], line[part].get(metric)) for line in lines if isinstance(line.get(part), dict)],
            )
            for part in ("test", "train")
        ]
        title = {"PSNR": "PSNR, dB", "depth_MAE": "Depth MAE, scene units"}.get(metric, metric)
        drawn.append(line_chart(title, series, end))
    return drawn


def count_charts(lines: Lines, steps: Lines, end: float) -> list[Chart | None]:
    """Their number, and how many each rule has added, changed or removed."""
    changes = [
        (line["iteration"], line["densification"]) for line in lines if isinstance(line.get("densification"), dict)
    ]
    drawn = [line_chart("Number of Gaussians", [_over_steps("Gaussians", steps, "gaussians")], end, zero=True)]
    for name in _names([values for _, values in changes]):
        counts = [(at, values.get(name)) for at, values in changes]
        total = sum(count for _, count in counts if is_number(count))
        drawn.append(bar_chart(_words(name), counts, end, note=f"{total:,.0f} in all"))
    return drawn


def rule_charts(lines: Lines, end: float) -> list[Chart | None]:
    """Of each rule the threshold, and the median and the largest of what it compared with it."""
    entries = [(line["iteration"], line["compared"]) for line in lines if isinstance(line.get("compared"), dict)]
    drawn = []
    for rule in _names([values for _, values in entries]):
        found = [(at, values[rule]) for at, values in entries if isinstance(values.get(rule), dict)]
        series = [
            Series(kind, [(at, each.get(kind)) for at, each in found]) for kind in ("threshold", "median", "largest")
        ]
        drawn.append(line_chart(_words(rule), series, end, log=True))
    return drawn


def shape_charts(histograms: Mapping[str, Any]) -> list[Chart | None]:
    """The histograms of histograms.json: {name: {"edges": [...], "counts": [...], "unit": ...}}."""
    found = {name: each for name, each in histograms.items() if isinstance(each, dict)}
    return [
        histogram(name, _list(each.get("edges")), _list(each.get("counts")), note=str(each.get("note", "")))
        for name, each in found.items()
    ]


def time_charts(steps: Lines, end: float) -> list[Chart | None]:
    """Steps per second between two lines of the log, and the time since the start."""
    speeds = [
        (later["iteration"], (later["iteration"] - earlier["iteration"]) / (later["seconds"] - earlier["seconds"]))
        for earlier, later in pairwise(steps)
        if later["seconds"] > earlier["seconds"]
    ]
    minutes = [(line["iteration"], line["seconds"] / 60) for line in steps]
    return [
        line_chart("Steps per second", [Series("steps per second", speeds)], end, zero=True),
        line_chart("Minutes", [Series("minutes", minutes)], end, zero=True),
    ]


def flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, ...]]:
    """Nested settings as rows of name and value: {"a": {"b": 1}} -> ("a.b", "1")."""
    rows: list[tuple[str, ...]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flattened(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value if isinstance(value, str) else json.dumps(value)))
    return rows


def _names(entries: Lines) -> list[str]:
    """The keys of all entries, in the order of their first appearance."""
    return list(dict.fromkeys(name for each in entries for name in each))


def _over_steps(label: str, steps: Lines, name: str) -> Series:
    return Series(label, [(line["iteration"], line.get(name)) for line in steps])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# ---- pictures --------------------------------------------------------------------------------------------------------


def _view(view: ShownView) -> dict[str, Any]:
    """A view as the template takes it."""
    others = [
        {"title": each.title, "source": _jpeg(each.pixels, SMALL_WIDTH), "legend": _legend(each.scale)}
        for each in view.others
    ]
    return {
        "title": view.title,
        "note": view.note,
        "ratio": f"{view.photo.shape[1] / view.photo.shape[0]:.4f}",
        "photo": _jpeg(view.photo, COMPARED_WIDTH),
        "render": _jpeg(view.render, COMPARED_WIDTH),
        "others": others,
    }


def _legend(scale: ColorScale | None) -> dict[str, str] | None:
    if scale is None:
        return None
    how = {"linear": "", "square root": ", √ scale", "logarithmic": ", log scale"}[scale.scale]
    bar = "data:image/png;base64," + base64.b64encode(encode_png(scale.bar(128, 1))).decode()
    return {"bar": bar, "low": f"{scale.low:.3g}", "high": f"{scale.high:.3g}", "unit": scale.unit + how}


def _jpeg(picture: np.ndarray, width: int) -> str:
    """A picture, at most `width` pixels wide, as an address that holds it."""
    if picture.shape[1] > width:
        picture = resized(picture, width)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(bytes(data)).decode()
