"""The doctor: photos that agree with their poses, and each thing that it must find."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import check, load_scene
from scene.photo_agreement import compare_pairs, epipolar_distances
from scene.readers import colmap
from scene.types import Camera
from tests.helpers import scenes
from utils.errors import UserError

pytestmark = pytest.mark.slow

WIDTH, HEIGHT, FOCAL, COUNT = 200, 150, 180.0, 6


def cameras() -> list[Camera]:
    """In a row, turned a little towards each other."""
    result = []
    for number in range(COUNT):
        angle = 0.06 * (number - 2.5)
        pose = np.eye(4)
        pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        center = np.array([0.35 * number - 0.9, 0.1 * (number % 2), 0.1 * (number % 3)])
        pose[:3, 3] = -pose[:3, :3] @ center
        result.append(Camera(f"{number}.png", WIDTH, HEIGHT, FOCAL, FOCAL, 100.0, 75.0, pose))
    return result


def shoot(camera: Camera) -> np.ndarray:
    """The photo of two walls with a random pattern, one behind the other."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    pattern = cv2.resize(noise, (1600, 1600), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones_like(rows)], -1)
    rays = rays @ camera.camera_from_world[:3, :3]
    near, far = (camera.center + rays * ((z - camera.center[2]) / rays[..., 2])[..., None] for z in (3.0, 4.5))
    hit = np.where(near[..., :1] > 0, far, near)
    place = ((hit[..., :2] + 5) * 160).astype(np.float32)
    gray = cv2.remap(pattern, place[..., 0] - hit[..., 2].astype(np.float32), place[..., 1], cv2.INTER_LINEAR)
    return np.repeat(gray[..., None], 3, axis=2)


def write(folder: Path) -> list[np.ndarray]:
    """The scene, with a model and its photos, which are returned."""
    photos = [shoot(camera) for camera in cameras()]
    colmap.write_model(folder / "sparse" / "0", cameras(), scenes.points())
    (folder / "images").mkdir()
    for number, photo in enumerate(photos):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), photo)
    return photos


def said(folder: Path) -> list[str]:
    return check.report(load_scene(folder))


def test_matches_lie_on_epipolar_lines() -> None:
    one, other = cameras()[:2]
    points = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 5), (50, 3))

    def seen(camera: Camera) -> np.ndarray:
        x, y, z = camera.camera_from_world[:3, :3] @ points.T + camera.camera_from_world[:3, 3:]
        return np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=1)

    assert epipolar_distances(one, other, seen(one), seen(other)).max() < 1e-9
    off = epipolar_distances(one, other, seen(one), seen(other) + np.array([0, 3.0]))  # the baseline is mostly along x
    assert np.median(off) == pytest.approx(3, rel=0.1)


def test_a_sound_scene_is_said_to_be_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    pairs = compare_pairs(load_scene(tmp_path).train, 1.0)
    assert len(pairs) >= 3 and max(pair.error for pair in pairs) < 0.5 and min(pair.matches for pair in pairs) >= 20
    check.main([str(tmp_path)])
    text = capsys.readouterr().out
    for part in (
        "COLMAP, 6 training",
        "Files used: 6 photos, 3 COLMAP files",
        "Cameras: 6, 0.37",
        "agree to 0.",
    ):
        assert part in text
    assert "warning" not in text and "nothing looks wrong" in text


def test_photos_of_other_poses_are_found(tmp_path: Path) -> None:
    photos = write(tmp_path)
    moved = [np.roll(photo, 12 * number, axis=0) for number, photo in enumerate(photos)]
    for number, photo in enumerate(moved):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), photo)
    assert any(line.startswith("warning: poses and photos disagree by") for line in said(tmp_path))


def test_dark_and_blurred_photos_are_named(tmp_path: Path) -> None:
    photos = write(tmp_path)
    cv2.imwrite(str(tmp_path / "images" / "1.png"), photos[1] // 4)
    cv2.imwrite(str(tmp_path / "images" / "4.png"), cv2.GaussianBlur(photos[4], (0, 0), 4))
    lines = said(tmp_path)
    assert "warning: 1 photo is over 1 stop darker or brighter than the median one: 1.png" in lines
    assert any(
        line.startswith("warning: ")
        and "blurred, less than 20 % as sharp as the median one: " in line
        and "4.png" in line
        for line in lines
    )


def test_photos_that_share_nothing_are_said_not_to_be_compared(tmp_path: Path) -> None:
    write(tmp_path)
    for path in (tmp_path / "images").iterdir():
        cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    assert any("were not compared" in line for line in said(tmp_path))


def test_what_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no dataset"):
        check.main([str(tmp_path)])


def test_every_group_of_files_that_are_not_used_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    for number in range(12):
        (tmp_path / f"a.{number}").touch()
    line = next(line for line in said(tmp_path) if line.startswith("Files used"))
    assert all(f"a.{number} (no part of this format)" in line for number in range(12)) and "more groups" not in line


def test_photos_that_are_almost_black_are_said(tmp_path: Path) -> None:
    """As of 12 bits in files of 16."""
    for number, photo in enumerate(write(tmp_path)):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), photo.astype(np.uint16) * 16)
    assert any("warning: no photo is brighter than 6 % of white" in line for line in said(tmp_path))


def test_masks_that_hide_whole_photos_are_said(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "masks").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    assert any("warning: 4 photos are hidden by their masks: 0.png" in line for line in said(tmp_path))
