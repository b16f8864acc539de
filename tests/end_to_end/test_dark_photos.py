"""A scene in the dark is learned as the same scene in the light: amplified, its photos say as much."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import train
from scene import load_scene
from scene.io import read_gaussians
from scene.readers import colmap
from scene.types import PointCloud
from tests.helpers.ring import make_dataset

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

LIGHT, DARKER = 2, 8
STEADY = "--densify_until_iter 1 --prune_min_weight 0 --spike_ratio 0 --floater_views 0"  # no Gaussian comes or goes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same photos and points, bright and an eighth as bright, with the same number of levels in both."""
    folder = tmp_path_factory.mktemp("scenes")
    bright, dark = folder / "bright", folder / "dark"
    for path, factor in ((bright, DARKER), (dark, 1)):
        make_dataset(path)
        for photo in (path / "images").glob("*.png"):
            pixels = cv2.imread(str(photo))
            assert pixels is not None
            light = np.minimum(255, LIGHT * pixels.astype(int))
            cv2.imwrite(str(photo), (light // DARKER * factor).astype(np.uint8))
    model = colmap.read_model(dark / "sparse" / "0")
    points = model.points.positions, model.points.colors / DARKER
    cameras = [view.camera for view in load_scene(dark).train]
    colmap.write_model(dark / "sparse" / "0", cameras, PointCloud(*points))
    return {"bright": bright, "dark": dark}


def means_after(scene: Path, model: Path, *flags: str, iterations: int = 40) -> np.ndarray:
    words = ["-s", str(scene), "-m", str(model), "--quiet", "--iterations", str(iterations), "--lambda_dist", "0"]
    train.main([*words, *STEADY.split(), "--sh_degree", "0", "--exposure", "off", *flags])
    return read_gaussians(model / "point_cloud" / f"iteration_{iterations}" / "point_cloud.ply").means


def test_it_is_learned_as_in_the_light(scenes: dict[str, Path], tmp_path: Path) -> None:
    bright = means_after(scenes["bright"], tmp_path / "bright", "--contrast_gain", "1")
    moved = np.abs(bright - means_after(scenes["bright"], tmp_path / "start", "--contrast_gain", "1", iterations=1))
    assert np.median(moved) > 1e-3
    plain, amplified = (
        np.median(np.abs(means_after(scenes["dark"], tmp_path / gain, "--contrast_gain", gain) - bright))
        for gain in ("1", str(DARKER))
    )
    assert amplified < 0.1 * np.median(moved)
    assert amplified < 0.2 * plain


def test_it_is_found_said_and_kept(scenes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    words = ["-s", str(scenes["dark"]), "-m", str(model), "--iterations", "3", "--checkpoint_iterations", "3"]
    train.main(words)
    said = re.search(r"The loss compares colors ([\d.]+) times as strong \(--contrast_gain\)", capsys.readouterr().out)
    stored = json.loads((model / "config.json").read_text())["optimization"]["contrast_gain"]
    assert said is not None and float(said[1]) == pytest.approx(stored, rel=0.05) and stored > 4
    train.main(["-m", str(model), "--resume", "--iterations", "4"])
    assert json.loads((model / "config.json").read_text())["optimization"]["contrast_gain"] == stored
    capsys.readouterr()
    train.main([*words[:3], str(tmp_path / "off"), "--iterations", "3", "--contrast_gain", "1"])
    assert "contrast_gain" not in capsys.readouterr().out


def test_a_gain_of_1_changes_no_bit(scenes: dict[str, Path], tmp_path: Path) -> None:
    by_itself = means_after(scenes["bright"], tmp_path / "itself")
    stored = json.loads((tmp_path / "itself" / "config.json").read_text())["optimization"]["contrast_gain"]
    assert stored == 1.0, "the photos have contrast, or this shows nothing"
    np.testing.assert_array_equal(by_itself, means_after(scenes["bright"], tmp_path / "off", "--contrast_gain", "1"))
