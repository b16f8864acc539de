from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.pictures import noise, write_log, write_views
from utils.errors import UserError
from utils.image_io import NOTHING, ColorScale, read_png
from utils.metrics import renders
from utils.reporting import figures, html_report
from utils.sampling import subsample

BACKGROUND = tuple(int(figures.BACKGROUND[start : start + 2], 16) for start in (1, 3, 5))


def is_drawn(sheet: np.ndarray) -> np.ndarray:
    """(H,W) bool: where there is something else than background."""
    return (sheet != np.array(BACKGROUND)).any(axis=2)


def test_error_map_grows_with_the_error():
    target = np.zeros((1, 3, 3), np.uint8)
    picture = np.array([[[0, 0, 0], [30, 30, 30], [255, 255, 255]]], np.uint8)
    brightness = figures.error_map(picture, target).astype(int).sum(axis=2)[0]
    assert brightness[0] < brightness[1] < brightness[2]
    assert figures.error_map(picture, picture).astype(int).sum() < 30
    masked = figures.error_map(picture, target, np.array([[255, 1, 0]], np.uint8))[0]
    assert masked[2].tolist() == list(NOTHING) != masked[1].tolist()


def sheet_of(rows: int, columns: int) -> np.ndarray:
    scale = ColorScale("turbo", 0, 1, unit="$x")  # a dollar sign must not start a formula
    heads = [figures.Column(f"column {index}", scale if index else None) for index in range(columns)]
    lines = [
        figures.Row(f"row_{index}$.png", "PSNR", [noise(10 * index + k, (30, 40)) for k in range(columns)])
        for index in range(rows)
    ]
    return figures.contact_sheet("title", "subtitle", heads, lines, cell_area=240 * 180)


def test_a_sheet_grows_by_its_cells():
    one, more = sheet_of(1, 2), sheet_of(3, 4)
    assert more.shape[0] - one.shape[0] == 2 * (180 + 38)
    assert more.shape[1] - one.shape[1] == 2 * (240 + 12)
    assert more.dtype == np.uint8 and more.shape[2] == 3


def test_portraits_are_narrower_than_landscapes():
    column, size = figures.Column("a"), 2 * 28
    widths = [
        figures.contact_sheet("", "", [column], [figures.Row("", "", [noise(0, shape)])]).shape[1] - size
        for shape in ((30, 40), (40, 30), (90, 10))
    ]
    assert widths == [320, 240, figures.MIN_CELL_WIDTH]


def test_a_sheet_shows_its_pictures_and_words():
    pictures = [np.full((30, 40, 3), value, np.uint8) for value in (50, 200)]
    columns = [figures.Column("a"), figures.Column("b")]
    row = figures.Row("name", "note", pictures)
    sheet = figures.contact_sheet("title", "sub", columns, [row], cell_area=240 * 180)
    for value in (50, 200):
        assert (sheet == value).all(axis=2).sum() == pytest.approx(240 * 180, abs=20)  # and at most some text besides
    drawn = is_drawn(sheet)
    assert drawn[:75].sum() > 200, "title"
    assert drawn[75:106].sum() > 20, "column heads"
    assert drawn[106:144].sum() > 100, "row title"
    untitled = figures.contact_sheet("title", "sub", columns, [figures.Row("", "", pictures)], cell_area=240 * 180)
    assert untitled.shape[0] < sheet.shape[0]


def test_curves_show_every_line():
    lines = [
        {"iteration": at, "seconds": 1, "loss": 20 / at, "l1": 5 / at, "gaussians": at, "schedules": {"l1": 1}}
        for at in range(1, 500, 50)
    ]
    evaluations = [{"iteration": at, "seconds": 1, "test": {"PSNR": at / 20, "SSIM": 0.5}} for at in (100, 400)]
    drawn = figures.curves([*lines, *evaluations])
    for color in figures.LINES[:3]:
        rgb = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)])
        assert (np.abs(drawn.astype(int) - rgb).max(axis=2) < 12).sum() > 200, color
    without = figures.curves(lines)
    assert without.shape == drawn.shape
    assert is_drawn(without[:, 500:1000]).sum() < is_drawn(drawn[:, 500:1000]).sum()


@pytest.mark.parametrize("lines", [[], [{"iteration": 1, "seconds": 0, "loss": 0.0, "gaussians": 0}]])
def test_curves_of_next_to_nothing(lines):
    assert is_drawn(figures.curves(lines)).any()


def test_preview_shows_both():
    drawn = figures.preview(np.full((30, 40, 3), 60, np.uint8), np.full((30, 40, 3), 210, np.uint8), "t", "s")
    assert (drawn == 60).all(axis=2).sum() > 100_000 and (drawn == 210).all(axis=2).sum() > 100_000


# ---- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_summary_of_a_whole_run(tmp_path):
    write_views(tmp_path / "test" / "ours_300", 7)
    write_log(tmp_path)
    renders.evaluate_model(tmp_path)
    written = html_report.write_summary(tmp_path, 300)
    assert [path.name for path in written] == ["contact_sheet.png", "curves.png", "report.html"]
    sheet = read_png(written[0])
    assert sheet.shape[1] == 2 * 28 + 5 * 320 + 4 * 12
    assert sheet.shape[0] > html_report.ROWS * 240


def test_summary_without_a_log(tmp_path):
    write_views(tmp_path / "train" / "ours_5", 1)
    assert [path.name for path in html_report.write_summary(tmp_path)] == ["contact_sheet.png", "report.html"]


def test_summary_of_nothing(tmp_path):
    with pytest.raises(UserError, match="render.py"):
        html_report.write_summary(tmp_path)


def test_the_sheet_goes_from_the_best_view_to_the_worst(tmp_path, monkeypatch):
    folder = tmp_path / "test" / "ours_1"
    write_views(folder, 4)
    shown = []
    monkeypatch.setattr(figures, "contact_sheet", lambda title, subtitle, columns, rows: shown.extend(rows))
    scores = {"PSNR": {"00000.png": 20.0, "00001.png": 10.0, "00002.png": 40.0, "00003.png": 30.0}}
    html_report.view_sheet(folder, "name", "", scores)
    assert [row.title for row in shown] == [f"photo <{index}>.jpg" for index in (2, 3, 0, 1)]
    assert [row.note for row in shown] == ["PSNR 40.00 dB", "PSNR 30.00 dB", "PSNR 20.00 dB", "PSNR 10.00 dB"]
    assert np.array_equal(shown[0].pictures[0], read_png(folder / "gt/00002.png"))


@pytest.mark.parametrize("count, expected", [(3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (9, [0, 2, 4, 6, 8])])
def test_spread_keeps_the_ends(count, expected):
    assert subsample(list(range(count)), 5) == expected
