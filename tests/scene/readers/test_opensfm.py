"""OpenSfM and OpenDroneMap: cameras equal the truth, whichever place of the file; lenses; damage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scene import camera_models, load_scene
from scene.readers import opensfm
from scene.readers.base import ReadOptions
from tests.conftest import real_scene
from tests.helpers import recordings, rgbd
from utils.errors import UserError


@pytest.mark.parametrize("place", ["", "opensfm", "undistorted", "opensfm/undistorted"])
def test_what_is_loaded_is_the_truth(tmp_path: Path, place: str) -> None:
    cameras = recordings.write_opensfm(tmp_path, place=place)
    scene = load_scene(tmp_path)
    assert scene.kind == "OpenSfM" and scene.warnings == () and len(scene.train) == 4
    assert "one of " in scene.summary and f"{opensfm.FILE} with 3" in scene.summary
    for view, truth in zip(scene.train, cameras, strict=True):
        assert view.camera.name == truth.name and view.camera_model is None
        np.testing.assert_allclose(view.camera.camera_from_world, truth.camera_from_world, atol=1e-9)
        found, true = ([c.fx, c.fy, c.cx, c.cy, c.width, c.height] for c in (view.camera, truth))
        np.testing.assert_allclose(found, true)
    np.testing.assert_allclose(scene.measured.positions, rgbd.sphere_points(200).positions, rtol=1e-5)
    np.testing.assert_allclose(scene.measured.colors, rgbd.sphere_points(200).colors, atol=1e-5)


def test_photos_of_open_drone_map_lie_beside_its_folder(tmp_path: Path) -> None:
    recordings.write_opensfm(tmp_path, place="opensfm")
    (tmp_path / "opensfm" / "images").rename(tmp_path / "images")
    assert len(load_scene(tmp_path).train) == len(load_scene(tmp_path / "opensfm").train) == 4


def test_undistorted_photos_have_a_suffix_more(tmp_path: Path) -> None:
    recordings.write_opensfm(tmp_path)
    recordings.write_opensfm(tmp_path, place="undistorted")
    for photo in list((tmp_path / "undistorted" / "images").iterdir()):
        photo.rename(photo.with_name(f"{photo.name}.jpg"))
    distorted = load_scene(tmp_path)
    assert distorted.train[0].image_path == tmp_path / "images" / "0.jpg"
    assert distorted.ledger.unused["undistorted/images/0.jpg.jpg"] == "another version of the photos is used"
    (tmp_path / "images" / "0.jpg").unlink()
    assert load_scene(tmp_path).train[0].image_path == tmp_path / "undistorted" / "images" / "0.jpg.jpg"
    named = opensfm.read(tmp_path, ReadOptions(images="undistorted/images"))
    assert named.frames[0].image_path == tmp_path / "undistorted" / "images" / "0.jpg.jpg"


@pytest.mark.parametrize(
    "lens, model, params",
    [({"projection_type": "perspective", "focal": 0.9, "k1": 0.1, "k2": -0.02}, "RADIAL", (72, 40, 30, 0.1, -0.02)),
     ({"projection_type": "brown", "focal_x": 0.9, "focal_y": 0.8, "c_x": 0.01, "c_y": -0.02, "k1": 0.1, "k2": 0.02,
       "k3": 0.03, "p1": 0.001, "p2": 0.002}, "FULL_OPENCV",
      (72, 64, 40.8, 28.4, 0.1, 0.02, 0.001, 0.002, 0.03, 0, 0, 0)),
     ({"projection_type": "fisheye", "focal": 0.5, "k1": 0.01}, "RADIAL_FISHEYE", (40, 40, 30, 0.01, 0)),
     ({"projection_type": "fisheye_opencv", "focal_x": 0.5, "focal_y": 0.5, "k1": 0.01, "k4": 0.001},
      "OPENCV_FISHEYE", (40, 40, 40, 30, 0.01, 0, 0, 0.001)),
     ({"focal": 0.9}, "RADIAL", (72, 40, 30, 0, 0))],
)  # fmt: skip
def test_lenses_are_those_of_colmap(tmp_path: Path, lens: dict, model: str, params: tuple[float, ...]) -> None:
    """Whose formulas stand in scene.camera_models; OpenSfM documents the same."""
    cameras = recordings.write_opensfm(tmp_path)
    content = recordings.opensfm_file(cameras, {"width": 80, "height": 60, **lens}, rgbd.sphere_points(5))
    (tmp_path / "reconstruction.json").write_text(json.dumps([content]))
    (frame, *_) = opensfm.read(tmp_path, ReadOptions()).frames
    assert frame.lens.model == model
    np.testing.assert_allclose(frame.lens.params, params)


@pytest.mark.parametrize(
    "change, message",
    [({"projection_type": "spherical"}, "'spherical', which is not read; these are: perspective, .*brown"),
     ({"focal": None}, "has no focal length"),
     ({"width": 0}, r"in \[0\]\.cameras\[\.\.\.\]\.width: it must be a number >= 1"),
     ({"focal": -1}, r"in \[0\]\.cameras\[\.\.\.\]\.focal: it must be a number > 0")],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, change: dict, message: str) -> None:
    cameras = recordings.write_opensfm(tmp_path)
    lens = {"width": 80, "height": 60, "focal": 0.9, **change}
    content = recordings.opensfm_file(cameras, lens, rgbd.sphere_points(5))
    (tmp_path / "reconstruction.json").write_text(json.dumps([content]))
    with pytest.raises(UserError, match=rf"reconstruction\.json.*{message}"):
        load_scene(tmp_path)


def test_a_pose_that_is_not_finite_costs_itself(tmp_path: Path) -> None:
    recordings.write_opensfm(tmp_path)
    content = json.loads((tmp_path / "reconstruction.json").read_text())
    content[1]["shots"]["1.jpg"]["translation"][2] = float("nan")
    (tmp_path / "reconstruction.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "1 frames are skipped" in scene.warnings[0]
    assert scene.ledger.unused["images/1.jpg"] == "its pose is not finite"


def test_tracks_of_a_real_scene_are_where_its_cameras_see_their_points() -> None:
    source = real_scene("opensfm_bathtub")
    dataset = opensfm.read(source, ReadOptions())
    (content,) = json.loads((source / "reconstruction.json").read_text())
    frames = {frame.name: frame for frame in dataset.frames}
    errors = []
    for row in (source / "tracks.csv").read_text().splitlines()[1:]:
        name, track, _, x, y, *_ = row.split("\t")
        if name in frames and track in content["points"]:
            frame, place = frames[name], content["points"][track]["coordinates"]
            seen = frame.camera_from_world[:3, :3] @ place + frame.camera_from_world[:3, 3]
            pixel = camera_models.distort(frame.lens, seen[None, :2] / seen[2])[0]
            size = max(frame.lens.width, frame.lens.height)
            middle = np.array([frame.lens.width, frame.lens.height]) / 2
            errors.append(np.linalg.norm(pixel - (size * np.array([float(x), float(y)]) + middle)))
    assert len(frames) == 19 and len(errors) > 2000 and np.mean(errors) < 1
