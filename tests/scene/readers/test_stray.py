"""Stray Scanner: frames of the video with their own poses and depth; damage is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene import load_scene
from scene.types import Camera, Scene
from tests.helpers import recordings, rgbd
from tests.helpers.rgbd import depth_of
from tests.helpers.videos import write_video
from tests.helpers.whole import assert_complete
from utils.errors import UserError

COUNT = 6


def write(folder: Path) -> list[Camera]:
    cameras = recordings.cameras_of(recordings.PHONE, [f"{number:06}.jpg" for number in range(COUNT)])
    rng = np.random.default_rng(0)
    write_video(folder / "rgb.mp4", [rng.integers(0, 255, (60, 80, 3), np.uint8) for _ in cameras])
    rows = ["timestamp, frame, x, y, z, qx, qy, qz, qw"]
    for number, camera in enumerate(cameras):
        stem = f"{number:06}.png"
        recordings.write_sensor(folder / "depth" / stem, folder / "confidence" / stem, camera, (1, 2))
        pose = recordings.world_from(camera)
        values = [*pose[:3, 3], *recordings.xyzw(pose)]
        rows.append(", ".join([f"{number / 60:.4f}", f"{number:06}", *(f"{value:.9g}" for value in values)]))
    (folder / "odometry.csv").write_text("\n".join(rows) + "\n")
    lines = [", ".join(map(str, row)) for row in recordings.PHONE_MATRIX]
    (folder / "camera_matrix.csv").write_text("\n".join(lines) + "\n")
    (folder / "imu.csv").write_text("timestamp, a_x\n")
    return cameras


def load(folder: Path, frames: int = 100) -> Scene:
    return load_scene(folder / "scan", workspace=folder / "model", frames=frames)


def test_what_is_loaded_is_the_truth(tmp_path: Path) -> None:
    cameras = {camera.name: camera for camera in write(tmp_path / "scan")}
    scene = load(tmp_path)
    assert scene.kind == "Stray Scanner" and scene.warnings == () and len(scene.train) == COUNT
    assert "6 frames of rgb.mp4" in scene.summary and "depth of the highest confidence alone" in scene.summary
    for view in scene.train:
        truth = cameras[view.camera.name]
        np.testing.assert_allclose(view.camera.camera_from_world, truth.camera_from_world, atol=1e-6)
        found, true = ([c.fx, c.fy, c.cx, c.cy, c.width, c.height] for c in (view.camera, truth))
        np.testing.assert_allclose(found, true)
        depth, valid = depth_of(view)
        assert valid.mean() > 0.8 and np.abs(depth / rgbd.sphere_depth(view.camera) - 1)[valid].max() < 0.001
    assert_complete(tmp_path / "scan", scene.ledger)
    assert scene.ledger.unused == {"imu.csv": "no part of this format"}


def test_a_part_of_the_frames_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "scan")
    scene = load(tmp_path, frames=3)
    assert len(scene.train) == 3
    assert len([why for why in scene.ledger.unused.values() if why == "a part of the frames is enough"]) == 6
    with pytest.raises(UserError, match="the frames of a video need a folder to be kept in"):
        load_scene(tmp_path / "scan")


@pytest.mark.parametrize(
    "name, old, new, message",
    [("odometry.csv", "qw", "w", "its first line names no qw"),
     ("odometry.csv", "000002", "two", r"odometry\.csv, line 4: .* must be frame, x"),
     ("camera_matrix.csv", "70.0", "x", "is no camera matrix"),
     ("camera_matrix.csv", "70.0", "-1", "cannot be")],
)  # fmt: skip
def test_damage_is_named(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    write(tmp_path / "scan")
    path = tmp_path / "scan" / name
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_a_matrix_of_frames_of_another_size_is_refused(tmp_path: Path) -> None:
    """The video was encoded again, smaller, and its matrix forgotten."""
    write(tmp_path / "scan")
    write_video(tmp_path / "scan" / "rgb.mp4", [np.full((30, 40, 3), 9 * k, np.uint8) for k in range(COUNT)])
    with pytest.raises(UserError, match=r"camera_matrix\.csv has the principal point .*, and its pictures are 40×30"):
        load(tmp_path)


def test_frames_without_a_finite_pose_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "scan")
    path = tmp_path / "scan" / "odometry.csv"
    lines = path.read_text().splitlines()
    lines[3] = "0.03, 000002, nan, 0, 0, 0, 0, 0, 1"
    path.write_text("\n".join(lines) + "\n")
    scene = load(tmp_path)
    assert len(scene.train) == COUNT - 1 and "1 frames are skipped, such as 2 of" in scene.warnings[0]
