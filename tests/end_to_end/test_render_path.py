"""render.py --path: from the command line to frames and a video."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import render as script
from arguments import ModelOptions, TrainOptions, to_json
from gaussian_renderer import RenderSettings, render
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians, write_gaussians
from scene.paths import PathRequest, camera_path
from tests.helpers.clouds import random_gaussians
from utils.errors import UserError
from utils.image_io import NOTHING, ColorScale, read_png, to_bytes
from utils.output_dir import point_cloud_path

pytestmark = pytest.mark.slow
FAST = ("--seconds", "1", "--fps", "4", "--size", "40x30")


@pytest.fixture
def model(dataset: Path, tmp_path: Path) -> Path:
    """A model folder of the ring's dataset."""
    options = TrainOptions(model=ModelOptions(str(dataset), str(tmp_path / "out"), sh_degree=0))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text(to_json(options))
    gaussians = random_gaussians(80, sh_degree=0)
    gaussians.scales.detach().add_(1.0)
    write_gaussians(point_cloud_path(tmp_path / "out", 30), gaussians.to_arrays())
    return tmp_path / "out"


def frames(model: Path) -> list[Path]:
    return sorted((model / "path" / "ours_30").glob("*.png"))


@pytest.mark.parametrize("path", ["orbit", "spline"])
def test_frames_and_video(model: Path, dataset: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    video = model.parent / "a.mp4"
    script.main(["-m", str(model), "--path", path, *FAST, "--video", str(video)])
    said = capsys.readouterr().out
    assert "4 frames, 1 s" in said and f"{video}: " in said
    assert [each.name for each in frames(model)] == ["00000.png", "00001.png", "00002.png", "00003.png"]
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4 and capture.get(cv2.CAP_PROP_FPS) == pytest.approx(4)
    there, shown = capture.read()
    drawn = read_png(frames(model)[0])
    assert there and drawn.shape == (30, 40, 3) and drawn.std() > 10
    assert np.abs(shown[..., ::-1].astype(int) - drawn).mean() < 12
    scene = load_scene(dataset)
    request = PathRequest(path, (40, 30), 4.0, 1.0)
    cameras = camera_path(request, [view.camera for view in scene.train], scene.points, scene.extent).cameras
    gaussians = Gaussians.from_arrays(read_gaussians(point_cloud_path(model, 30)), torch.device("cpu"))
    with torch.no_grad():
        output = render(gaussians, cameras[2], torch.zeros(3), RenderSettings(scene.near, 0))
    assert np.array_equal(read_png(frames(model)[2]), to_bytes(output.color))
    assert not (model / "train").exists(), "no views beside the path"


def test_depth_stands_to_the_right_of_color(model: Path) -> None:
    script.main(["-m", str(model), "--path", "orbit", *FAST, "--quiet"])
    color = read_png(frames(model)[1])
    script.main(["-m", str(model), "--path", "orbit", *FAST, "--show", "depth", "--quiet"])
    depth = read_png(frames(model)[1])
    script.main(["-m", str(model), "--path", "orbit", *FAST, "--show", "both", "--quiet"])
    assert np.array_equal(read_png(frames(model)[1]), np.hstack([color, depth]))
    assert depth.std() > 20 and not np.array_equal(color, depth)
    assert (depth == NOTHING).all(axis=2).mean() < 0.9
    scale = ColorScale(**json.loads((model / "path/ours_30/colors.json").read_text())["depth"])
    assert 1 < scale.low < 5 < scale.high < 9, "the ring's radius is 5"


def test_frames_of_an_earlier_path_do_not_stay(model: Path) -> None:
    script.main(["-m", str(model), "--path", "orbit", *FAST, "--quiet", "--show", "both"])
    script.main(["-m", str(model), "--path", "spline", "--seconds", "0.5", "--fps", "4", "--size", "16x16", "--quiet"])
    assert len(frames(model)) == 2 and read_png(frames(model)[0]).shape == (16, 16, 3)
    assert not (model / "path/ours_30/colors.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--video a.mp4 --fps 3", "--fps, --video: only a camera path has that; --path chooses one"),
        ("--path orbit --size 10x1000", "--size 10x1000: it must be widthxheight"),
        ("--path orbit --size big", "--size big: it must be widthxheight"),
        ("--path orbit --fps 0", "--fps must be above 0 and at most 240, not 0"),
        ("--path orbit --seconds nan", "--seconds must be above 0"),
        ("--path orbit --video a.avi", "a.avi: the name must end in"),
        ("--path circle", "--path circle is not known"),
    ],
)
def test_flags_that_mean_nothing_are_refused(model: Path, flags: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        script.main(["-m", str(model), *flags.split()])
    assert not (model / "path").exists()
