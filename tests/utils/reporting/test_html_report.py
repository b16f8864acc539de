"""The page and the sheet of a run whose views do not all have the same."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import pictures
from utils.files import write_json
from utils.image_io import read_png
from utils.metrics.renders import evaluate_model
from utils.reporting.html_report import view_table, write_summary


def test_a_view_without_a_score_has_an_empty_cell() -> None:
    per_view = {"PSNR": {"0.png": 20.0, "1.png": 21.0}, "depth_MAE": {"1.png": 0.5}, "LPIPS": {"0.png": None}}
    assert view_table(per_view, {"0.png": "a.jpg"}) == [
        ("file", "photo", "PSNR", "depth_MAE"),
        ("0.png", "a.jpg", "20.0000", ""),
        ("1.png", "", "21.0000", "0.5000"),
    ]


def test_pages_of_a_run_where_one_view_has_no_depth_map(tmp_path: Path) -> None:
    views = tmp_path / "test" / "ours_300"
    pictures.write_views(views, 2)
    pictures.write_log(tmp_path)
    score = {"MAE": 0.1, "median": 0.1, "RMSE": 0.2, "delta<1.25": 0.9, "completeness": 1.0}
    write_json(views / "depth_scores.json", {"00001.png": score})
    results = evaluate_model(tmp_path)
    assert results["ours_300"]["depth"]["MAE"] == 0.1 and results["ours_300"]["views"] == 2
    assert {path.name for path in write_summary(tmp_path)} >= {"report.html", "contact_sheet.png"}
    assert read_png(tmp_path / "contact_sheet.png").size > 0 and "0.1000" in (tmp_path / "report.html").read_text()
