"""Far views from training to the pages: measured apart from the test views, wherever those are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import metrics
import render
import train
from tests.helpers import rgbd
from tests.scene.test_far import write_far
from utils.metrics.renders import evaluate_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 steps on photos inside a sphere, with two far views and a test view."""
    folder = tmp_path_factory.mktemp("far")
    rgbd.write_depth(folder / "data", rgbd.write_scene(folder / "data", 5))
    write_far(folder / "data" / "test_far", rgbd.make_cameras(7)[5:])
    flags = "--eval --iterations 30 --test_iterations 10 --sh_degree 0".split()
    train.main(["-s", str(folder / "data"), "-m", str(folder / "model"), *flags])
    return folder / "model"


def test_a_run_measures_its_far_views(model: Path) -> None:
    results = json.loads((model / "results.json").read_text())["ours_30"]
    far = results["far"]
    assert (results["set"], results["views"], far["set"], far["views"]) == ("test", 1, "far", 2)
    assert far["PSNR"] != results["PSNR"] and far["SSIM"] is not None and far["depth"]["in_front_limit"] == "10 cm"
    assert 0 < far["depth"]["median"] <= 2 * far["depth"]["MAE"] and 0 <= far["depth"]["in_front"] < 1
    lines = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    measured = {line["iteration"]: line["far"] for line in lines if "far" in line}
    assert measured.keys() == {10, 30} and measured[30]["PSNR"] == far["PSNR"]
    assert measured[30]["depth_median"] == far["depth"]["median"] and measured[30]["views"] == 2
    page = (model / "report.html").read_text()
    assert "PSNR, far" in page and "Pixels over 10 cm before the surface, far" in page and "Far views" in page
    per_view = json.loads((model / "per_view.json").read_text())
    assert per_view.keys() == {"ours_30", "far/ours_30"} and len(per_view["far/ours_30"]["PSNR"]) == 2


def test_masked_pixels_of_depth_do_not_count(model: Path) -> None:
    """The far masks show the left half: the same photos without masks have other scores."""
    scores = json.loads((model / "far" / "ours_30" / "depth_scores.json").read_text())
    for mask in (model.parent / "data" / "test_far" / "masks").glob("*.png"):
        mask.rename(mask.with_suffix(".off"))
    try:
        render.main(["-m", str(model), "--skip_train", "--skip_test", "--quiet"])
        unmasked = json.loads((model / "far" / "ours_30" / "depth_scores.json").read_text())
    finally:
        for mask in (model.parent / "data" / "test_far" / "masks").glob("*.off"):
            mask.rename(mask.with_suffix(".png"))
    assert scores.keys() == unmasked.keys() and len(scores) == 3
    assert scores["00000.png"]["MAE"] != unmasked["00000.png"]["MAE"]


def test_render_and_metrics_know_far_views(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = evaluate_model(model)
    render.main(["-m", str(model), "--skip_train", "--skip_test"])
    assert f"Rendering {model / 'far' / 'ours_30'} (2)" in capsys.readouterr().out
    metrics.main(["-m", str(model)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:4] for line in lines[1:3]] == [["1", "test"], ["2", "far"]]
    said = next(line for line in lines if "far: depth error" in line)
    assert said.endswith("of the pixels over 10 cm before the surface")
    assert evaluate_model(model)["ours_30"].keys() == before["ours_30"].keys()
    render.main(["-m", str(model), "--skip_train", "--skip_test", "--skip_far"])
    assert "Rendering" not in capsys.readouterr().out
