"""Pictures of a run for people: contact sheet, curves, preview. All are (H,W,3) uint8 RGB, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from utils.image_io import ColorScale, resized
from utils.text import printable

BACKGROUND, TEXT, FAINT, GRID = "#14161b", "#f1f3f6", "#99a1ad", "#2b2f37"
LINES = ("#6cb6ff", "#ffb454", "#7ee0a1", "#ff7b8a", "#c9a4ff", "#8bd9e8")
DPI = 100
MIN_CELL_WIDTH = 220  # pixels: a legend needs that
ERROR_SCALE = ColorScale("inferno", 0.0, 25.0, unit="% of full scale")  # of `error_map`


@dataclass(frozen=True)
class Column:
    """What the pictures of one column show, and their colors where these stand for numbers."""

    title: str
    scale: ColorScale | None = None


@dataclass(frozen=True)
class Row:
    """One view of a sheet: a title, a fainter note behind it, and a picture, (H,W,3) uint8, per column."""

    title: str
    note: str
    pictures: Sequence[np.ndarray]


# ---- sheets of pictures ----------------------------------------------------------------------------------------------


def error_map(picture: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(H,W,3) colors of the mean absolute difference of the channels; a (H,W) `mask` is 0 where it does not count."""
    difference = np.abs(picture.astype(np.float32) - target.astype(np.float32)).mean(axis=2) * (100 / 255)
    return ERROR_SCALE.paint(difference, None if mask is None else mask > 0)


def contact_sheet(
    title: str, subtitle: str, columns: Sequence[Column], rows: Sequence[Row], cell_area: int = 320 * 240
) -> np.ndarray:
    """A table of pictures: one row per view, one column per kind of picture, legends for those with a color scale.

    Pictures are scaled to the width that gives the first `cell_area` pixels, so that portraits do not get too tall.
    """
    margin, gap, head = 28, 12, 106
    first = rows[0].pictures[0]
    cell_width = max(MIN_CELL_WIDTH, round((cell_area * first.shape[1] / first.shape[0]) ** 0.5))
    row_head = 38 if any(row.title for row in rows) else 4
    foot = 66 if any(column.scale for column in columns) else margin
    pictures = [[resized(picture, cell_width) for picture in row.pictures] for row in rows]
    heights = [max(picture.shape[0] for picture in line) for line in pictures]
    lefts = [margin + index * (cell_width + gap) for index in range(len(columns))]
    page = Page(lefts[-1] + cell_width + margin, head + sum(heights) + len(rows) * row_head + foot)
    page.text(margin, 38, title, size=17, weight="bold")
    page.text(margin, 63, subtitle, size=10.5, color=FAINT)
    for left, column in zip(lefts, columns, strict=True):
        page.text(left, head - 8, column.title, size=11.5, weight="bold")
    top = head
    for row, line, height in zip(rows, pictures, heights, strict=True):
        end = page.text(margin, top + row_head - 10, row.title, size=10)
        page.text(end + 10, top + row_head - 10, row.note, size=10, color=FAINT)
        for left, picture in zip(lefts, line, strict=True):
            page.picture(left, top + row_head, picture)
        top += height + row_head
    for left, column in zip(lefts, columns, strict=True):
        if column.scale is not None:
            _legend(page, left, top + 16, cell_width, column.scale)
    return page.drawn()


def preview(target: np.ndarray, picture: np.ndarray, title: str, subtitle: str) -> np.ndarray:
    """A photo beside its render."""
    return contact_sheet(
        title, subtitle, [Column("Photo"), Column("Render")], [Row("", "", [target, picture])], 480 * 360
    )


def _legend(page: Page, left: int, top: int, width: int, scale: ColorScale) -> None:
    page.picture(left, top, scale.bar(width, 10))
    how = {"linear": "", "square root": ", √ scale", "logarithmic": ", log scale"}[scale.scale]
    page.text(left, top + 26, f"{scale.low:.3g}", size=9, color=FAINT)
    page.text(left + width / 2, top + 26, f"{scale.unit}{how}", size=9, color=FAINT, align="center")
    page.text(left + width, top + 26, f"{scale.high:.3g}", size=9, color=FAINT, align="right")


# ---- curves ----------------------------------------------------------------------------------------------------------


def curves(lines: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Loss, PSNR and number of Gaussians over iterations, from the lines of metrics.jsonl."""
    page = Page(1500, 460)
    end = max((line["iteration"] for line in lines), default=1)
    left, middle, right = (page.axes(start, 74, 400, 316) for start in (76, 570, 1064))
    steps = [line for line in lines if "loss" in line]
    entries = steps[0].items() if steps else ()
    others = ("iteration", "seconds", "gaussians")
    names = [name for name, value in entries if name not in others and not isinstance(value, dict)]
    for name, color in zip(names, LINES * len(names), strict=False):
        _curve(left, steps, [line.get(name) for line in steps], color, name, zorder=3 if name == "loss" else 2)
    _finish(left, "Loss terms", end, log=True)
    for where, color in (("test", LINES[0]), ("far", LINES[2]), ("train", LINES[1])):
        measured = [line for line in lines if line.get(where)]
        _curve(middle, measured, [line[where]["PSNR"] for line in measured], color, where, marker="o")
    _finish(middle, "PSNR, dB", end)
    _curve(right, steps, [line["gaussians"] for line in steps], LINES[2], "")
    _finish(right, "Gaussians", end)
    right.set_ylim(bottom=0)
    return page.drawn()


def _curve(
    axes: Axes, lines: Sequence[Mapping[str, Any]], values: Sequence[Any], color: str, label: str, **style: Any
) -> None:
    if lines:
        style = {"linewidth": 1.7, "markersize": 5} | style
        axes.plot([line["iteration"] for line in lines], values, color=color, label=label, **style)


def _finish(axes: Axes, title: str, end: int, log: bool = False) -> None:
    """Title, grid, ticks and legend of a diagram over the iterations from 0 to `end`."""
    axes.set_title(title, loc="left", color=TEXT, fontsize=12, fontweight="bold", pad=12)
    axes.set_xlabel("iteration", color=FAINT, fontsize=9.5)
    axes.set_facecolor(BACKGROUND)
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(colors=FAINT, labelsize=9.5, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 2.5, 5, 10)))
    for side in axes.spines.values():
        side.set_visible(False)
    if not axes.lines:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not measured", color=FAINT, ha="center", va="center", transform=axes.transAxes)
        return
    axes.xaxis.set_major_formatter(_plain)
    if log and any(np.max(line.get_ydata()) > 0 for line in axes.lines):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_plain)
    axes.set_xlim(0, 1.02 * end)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, labelcolor=TEXT, fontsize=9.5)


_plain = FuncFormatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}")


# ---- the canvas ------------------------------------------------------------------------------------------------------


class Page:
    """A sheet of `width` × `height` pixels; positions in pixels from its top left corner, of texts their baseline."""

    def __init__(self, width: int, height: int) -> None:
        self.height = height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=BACKGROUND)
        self.canvas = FigureCanvasAgg(self.figure)
        self._pictures: list[tuple[int, int, np.ndarray]] = []

    def text(
        self,
        left: float,
        base: float,
        text: str,
        size: float,
        color: str = TEXT,
        weight: str = "normal",
        align: str = "left",
    ) -> float:
        """Write `text`, `size` in points; returns where it ends. Nothing in it is read as a formula."""
        box = self.figure.text(
            left / self.figure.bbox.width, 1 - base / self.height, printable(text),
            fontsize=size, color=color, fontweight=weight, ha=align, parse_math=False,
        )  # fmt: skip
        return float(box.get_window_extent(self.canvas.get_renderer()).x1)

    def picture(self, left: int, top: int, picture: np.ndarray) -> None:
        """Put a picture there, pixel for pixel."""
        self._pictures.append((left, top, picture))

    def axes(self, left: int, top: int, width: int, height: int) -> Axes:
        """Room for a diagram; its tick labels lie outside."""
        total = self.figure.bbox
        place = (left / total.width, 1 - (top + height) / total.height, width / total.width, height / total.height)
        return self.figure.add_axes(place)

    def drawn(self) -> np.ndarray:
        """(H,W,3) uint8."""
        self.canvas.draw()
        sheet = np.asarray(self.canvas.buffer_rgba())[..., :3].copy()
        for left, top, picture in self._pictures:
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return sheet
