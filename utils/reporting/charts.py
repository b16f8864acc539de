"""Diagrams of a page: numbers become positions, which the template draws as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from matplotlib.ticker import LogLocator, MaxNLocator

from utils.metrics_log import is_number
from utils.sampling import subsample

COLORS = ("#6cb6ff", "#ffb454", "#7ee0a1", "#ff7b8a", "#c9a4ff", "#8bd9e8")
WIDTH, HEIGHT = 400, 170  # of the area of the curves, SVG units
MAX_POINTS = 400  # of a curve
DOTTED = 40  # a curve of fewer points shows each
LEAST_SHARE = 1e-7  # of the largest value: what is lower has no place on a logarithmic axis


class Tick(NamedTuple):
    """A line of the grid."""

    at: float
    text: str


class Curve(NamedTuple):
    """A line and its dots, as SVG has them."""

    label: str
    color: str
    last: str  # value
    points: str
    dots: Sequence[tuple[str, str]]


class Bar(NamedTuple):
    """A rectangle that stands on the axis, and what it says."""

    left: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Series:
    """A curve's numbers, (x, y); what is no finite number is left out."""

    label: str
    points: Sequence[tuple[float, Any]]


@dataclass(frozen=True)
class Chart:
    """A diagram in SVG units, y downward."""

    title: str
    note: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    curves: Sequence[Curve] = ()
    bars: Sequence[Bar] = ()
    width: int = field(default=WIDTH)
    height: int = field(default=HEIGHT)


def line_chart(
    title: str, series: Sequence[Series], end: float, *, log: bool = False, zero: bool = False, note: str = ""
) -> Chart | None:
    """Curves over iterations from 0 to `end`; None where there is nothing to draw. `zero` begins the axis at 0, `log`
    makes it logarithmic where all is positive."""
    known = [Series(each.label, _numbers(each.points)) for each in series]
    known = [each for each in known if each.points]
    if not known:
        return None
    values = [y for each in known for _, y in each.points]
    log = log and min(values) > LEAST_SHARE * max(values) > 0
    low, high = (0.0 if zero else min(values)), max(values)
    y_at, y_ticks = _axis(low, high, HEIGHT, log)
    x_at, x_ticks = _axis(0.0, max(end, 1.0), WIDTH, False)
    curves = []
    for each, color in zip(known, COLORS * len(known), strict=False):
        places = [(f"{x_at(x):.1f}", f"{HEIGHT - y_at(y):.1f}") for x, y in subsample(list(each.points), MAX_POINTS)]
        dots = places if len(places) < DOTTED else []
        curves.append(Curve(each.label, color, number(each.points[-1][1]), " ".join(map(",".join, places)), dots))
    return Chart(title, note, x_ticks, [Tick(HEIGHT - tick.at, tick.text) for tick in y_ticks], curves)


def bar_chart(title: str, counts: Sequence[tuple[float, Any]], end: float, note: str = "") -> Chart | None:
    """A bar for each (iteration, count) from 0 to `end`; None where all counts are 0."""
    known = [(x, y) for x, y in _numbers(counts) if y > 0]
    if not known:
        return None
    x_at, x_ticks = _axis(0.0, max(end, 1.0), WIDTH, False)
    y_at, y_ticks = _axis(0.0, max(y for _, y in known), HEIGHT, False)
    width = max(1.0, min(6.0, 0.6 * WIDTH / len(known)))
    bars = [Bar(x_at(x) - width / 2, width, y_at(y), f"{y:,.0f} at iteration {x:,.0f}") for x, y in known]
    return Chart(title, note, x_ticks, [Tick(HEIGHT - tick.at, tick.text) for tick in y_ticks], bars=bars)


def histogram(title: str, edges: Sequence[float], counts: Sequence[float], note: str = "") -> Chart | None:
    """Counts between B + 1 edges that nowhere fall, (B,); on a logarithmic axis where the edges rise by a factor. None
    without any, and for what is no histogram."""
    if len(edges) != len(counts) + 1 or not counts or not all(map(is_number, [*edges, *counts])) or max(counts) <= 0:
        return None
    if any(low > high for low, high in pairwise(edges)):
        return None
    log = edges[0] > 0 and edges[-1] > 20 * edges[0]
    x_at, x_ticks = _axis(edges[0], edges[-1], WIDTH, log)
    y_at, y_ticks = _axis(0.0, max(counts), HEIGHT, False)
    bars = [
        Bar(
            x_at(low),
            max(x_at(high) - x_at(low) - 0.6, 0.4),
            y_at(count),
            f"{number(low)} to {number(high)}: {count:,}",
        )
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return Chart(title, note, x_ticks, [Tick(HEIGHT - tick.at, tick.text) for tick in y_ticks], bars=bars)


def number(value: float) -> str:
    """A number for people, of three digits where it has a fraction."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _numbers(points: Sequence[tuple[float, Any]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if is_number(x) and is_number(y)]


def _axis(low: float, high: float, length: int, log: bool) -> tuple[Callable[[float], float], list[Tick]]:
    """Where a value lies on an axis of this length from `low` to `high`, and the ticks in between."""
    if high <= low:
        margin = 0.1 * (abs(low) or 10.0)
        low, high = low - margin, low + margin
    scale = math.log if log else float
    first, last = scale(low), scale(high)

    def place(value: float) -> float:
        return (scale(value) - first) / (last - first) * length

    if log and high > 10 * low:
        ticks = LogLocator(numticks=6).tick_values(low, high)
    else:
        ticks = MaxNLocator(4).tick_values(low, high)
    shown = [float(value) for value in ticks if low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high)]
    return place, [Tick(round(place(value), 1), number(value)) for value in shown if not log or value > 0]
