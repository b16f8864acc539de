"""Datasets in the coordinates of a country: moved in float64 to a local origin, and no other is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import train
from scene import load_scene
from scene.readers import colmap
from scene.types import PointCloud, Scene
from tests.helpers import rgbd

UTM = np.array([548_227.3, 5_804_411.7, 103.2])


def write_moved(source: Path, folder: Path, offset: np.ndarray) -> None:
    """The same scene elsewhere, in float64; the photos are the same files."""
    scene, points = load_scene(source), colmap.read_model(source / "sparse" / "0").points
    cameras = []
    for camera in (view.camera for view in scene.train):
        pose = camera.camera_from_world.copy()
        pose[:3, 3] -= pose[:3, :3] @ offset
        cameras.append(replace(camera, camera_from_world=pose))
    cloud = PointCloud(points.positions.astype(np.float64) + offset, points.colors)
    colmap.write_model(folder / "sparse" / "0", cameras, cloud)
    (folder / "images").symlink_to(source / "images")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("origin")
    rgbd.write_scene(folder / "here", 6)
    write_moved(folder / "here", folder / "utm", UTM)
    return folder / "here", folder / "utm"


def centers(scene: Scene) -> np.ndarray:
    return np.stack([view.camera.center for view in scene.train])


def test_an_ordinary_scene_stays_where_it_is(sources: tuple[Path, Path]) -> None:
    scene = load_scene(sources[0])
    assert scene.origin == (0.0, 0.0, 0.0) and "local origin" not in scene.summary
    assert scene.points.positions.dtype == np.float32


def test_cameras_that_hardly_move_are_not_far_from_what_they_see(sources: tuple[Path, Path], tmp_path: Path) -> None:
    points = colmap.read_model(sources[0] / "sparse" / "0").points
    cameras = [view.camera for view in load_scene(sources[0]).train]
    still = [replace(camera, camera_from_world=cameras[0].camera_from_world.copy()) for camera in cameras]
    for index, camera in enumerate(still):
        camera.camera_from_world[:3, 3] += 1e-3 * index
    colmap.write_model(tmp_path / "sparse" / "0", still, points)
    (tmp_path / "images").symlink_to(sources[0] / "images")
    assert load_scene(tmp_path).origin == (0.0, 0.0, 0.0)


def test_a_far_scene_is_moved_before_anything_is_rounded(sources: tuple[Path, Path]) -> None:
    here, utm = (load_scene(source) for source in sources)
    assert np.linalg.norm(np.array(utm.origin) - UTM) < 10 and "local origin" in utm.summary
    assert np.abs(centers(utm)).max() < 10
    back = np.array(utm.origin) - UTM  # from local coordinates to those of the scene as it was
    np.testing.assert_allclose(centers(utm) + back, centers(here), atol=1e-7)
    np.testing.assert_allclose(utm.points.positions + back, here.points.positions, atol=1e-6)
    assert utm.points.positions.dtype == np.float32
    assert utm.extent == pytest.approx(here.extent, rel=1e-6) and utm.near == pytest.approx(here.near, rel=1e-5)


def test_one_far_camera_keeps_no_scene_from_being_moved(sources: tuple[Path, Path], tmp_path: Path) -> None:
    model = sources[1] / "sparse" / "0"
    points, cameras = (
        colmap.read_model(model).points,
        [image.camera_from_world for image in colmap.read_model(model).images],
    )
    assert np.abs(cameras[0][:3, 3]).max() > 1e5
    views = [view.camera for view in load_scene(sources[1]).train]
    poses = [cameras[0].copy(), *cameras[1:]]
    poses[0][:3, 3] += 1e6
    moved = [replace(camera, camera_from_world=pose) for camera, pose in zip(views, poses, strict=True)]
    colmap.write_model(tmp_path / "sparse" / "0", moved, points)
    (tmp_path / "images").symlink_to(sources[0] / "images")
    assert np.linalg.norm(np.array(load_scene(tmp_path).origin) - UTM) < 10


def test_one_far_camera_moves_no_scene(sources: tuple[Path, Path], tmp_path: Path) -> None:
    points = colmap.read_model(sources[0] / "sparse" / "0").points
    cameras = [view.camera for view in load_scene(sources[0]).train]
    far = cameras[0].camera_from_world.copy()
    far[:3, 3] += 1e6
    colmap.write_model(tmp_path / "sparse" / "0", [replace(cameras[0], camera_from_world=far), *cameras[1:]], points)
    (tmp_path / "images").symlink_to(sources[0] / "images")
    assert load_scene(tmp_path).origin == (0.0, 0.0, 0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pages")
def test_training_is_as_good_there(sources: tuple[Path, Path], tmp_path: Path) -> None:
    flags = ["--iterations", "60", "--densify_until_iter", "0", "--eval", "--quiet"]  # growth chooses by rounding, too
    scores = []
    for name, source in zip(("here", "utm"), sources, strict=True):
        train.main(["-s", str(source), "-m", str(tmp_path / name), *flags])
        scores.append(json.loads((tmp_path / name / "results.json").read_text())["ours_60"]["PSNR"])
    assert abs(scores[0] - scores[1]) < 0.05 and min(scores) > 8
    assert not (tmp_path / "here" / "origin.json").exists()
    origin = np.array(json.loads((tmp_path / "utm" / "origin.json").read_text())["origin"])
    run = json.loads((tmp_path / "utm" / "run.json").read_text())
    assert run["origin"] == origin.tolist()
    first, second = (json.loads((tmp_path / name / "cameras.json").read_text())[0] for name in ("here", "utm"))
    np.testing.assert_allclose(np.array(second["position"]) + origin - UTM, first["position"], atol=1e-6)
