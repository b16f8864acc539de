"""Where training starts without points: in the hull of what most cameras see, or around cameras that look outward."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.gaussians.random_start import aim_of, random_start
from scene.synthetic.camera_path import look_at
from scene.synthetic.write_open import write_object
from scene.types import Camera, PointCloud, View

SIZE = 40
BALL = np.array([0.4, -0.2, 5.0])  # what the cameras look at is not the origin
DISTANCE, RADIUS = 4.0, 0.5


def directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread over the sphere."""
    k = np.arange(count) + 0.5
    level, turn = 0.9 * (1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    out = np.sqrt(1 - level**2)
    return np.stack([out * np.cos(turn), level, out * np.sin(turn)], axis=1)


def pictures(
    folder: Path, poses: list[np.ndarray], alpha: bool, tint: tuple[int, int, int] = (30, 60, 200)
) -> list[View]:
    """Views that show a disc of BALL's apparent size in the middle, blue-green-red `tint`, transparent around it."""
    folder.mkdir()
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    disc = np.hypot(rows - SIZE / 2, columns - SIZE / 2) < SIZE * RADIUS / np.sqrt(DISTANCE**2 - RADIUS**2)
    pixels = np.dstack([np.full((SIZE, SIZE, 3), tint), disc * 255]).astype(np.uint8)
    views = []
    for k, pose in enumerate(poses):
        path = folder / f"{k:02}.png"
        assert cv2.imwrite(str(path), pixels if alpha else pixels[..., :3])
        camera = Camera(path.name, SIZE, SIZE, SIZE, SIZE, SIZE / 2, SIZE / 2, pose)
        views.append(View(camera, path, background=0.0 if alpha else None))
    return views


def inward() -> list[np.ndarray]:
    return [look_at(BALL + DISTANCE * way, BALL) for way in directions(24)]


def outward() -> list[np.ndarray]:
    return [look_at(BALL + 0.1 * way, BALL + way) for way in directions(24)]


def away_from_ball(points: PointCloud) -> np.ndarray:
    return np.asarray(np.linalg.norm(points.positions - BALL, axis=1))


@pytest.mark.slow
def test_alpha_carves_the_start(tmp_path: Path) -> None:
    points, text = random_start(pictures(tmp_path / "a", inward(), alpha=True), 4_000)
    distance = away_from_ball(points)
    assert (len(points), points.positions.dtype, points.colors.dtype) == (4_000, np.float32, np.float32)
    assert "4000 random ones where the cameras look" in text
    assert np.mean(distance < 1.4 * RADIUS) > 0.95
    shares = np.histogram(distance, [0, 0.5 * RADIUS, RADIUS])[0]
    assert shares[0] > 0.05 * len(points)  # it is filled, as nobody knows where the surface is
    assert shares[1] > 3 * shares[0]  # evenly in space: seven times the volume
    assert np.allclose(points.colors.mean(axis=0) * 255, (200, 60, 30), atol=6)  # what the photos show


@pytest.mark.slow
def test_without_alpha_it_fills_what_most_cameras_see_and_some_of_what_is_behind(tmp_path: Path) -> None:
    points, _ = random_start(pictures(tmp_path / "a", inward(), alpha=False), 4_000)
    distance = away_from_ball(points)
    seen_by_all = DISTANCE * np.sin(np.arctan(0.5))
    assert 0.4 < np.mean(distance < 1.3 * seen_by_all) < 0.8
    assert np.mean(distance > 2 * DISTANCE) > 0.1
    centers = np.stack([view.camera.center for view in pictures(tmp_path / "b", inward(), alpha=False)])
    nearest = np.linalg.norm(points.positions[:, None] - centers, axis=2).min()
    assert nearest > 0.1 * DISTANCE


def test_cameras_that_look_outward_start_from_all_distances(tmp_path: Path) -> None:
    views = pictures(tmp_path / "a", outward(), alpha=False)
    points, text = random_start(views, 4_000)
    assert "along the rays of all cameras" in text
    distance = away_from_ball(points)
    assert np.isfinite(points.positions).all()
    by_scale = np.histogram(np.log(distance), 4)[0]
    assert by_scale.min() > 200  # near, far and between
    assert distance.max() > 10 * distance.min()
    spread = np.abs((points.positions - BALL) / distance[:, None]).mean(axis=0)
    assert spread.min() > 0.3  # to all sides


def test_one_camera_and_cameras_in_one_place_have_a_start(tmp_path: Path) -> None:
    for name, poses in (("one", inward()[:1]), ("still", [look_at(BALL, BALL + way) for way in directions(6)])):
        points, _ = random_start(pictures(tmp_path / name, poses, alpha=False), 500)
        assert len(points) == 500
        assert np.isfinite(points.positions).all()


def test_alpha_that_contradicts_itself_does_not_leave_nothing(tmp_path: Path) -> None:
    views = pictures(tmp_path / "a", inward(), alpha=True)
    for view in views:
        assert cv2.imwrite(str(view.image_path), np.zeros((SIZE, SIZE, 4), np.uint8))
    points, _ = random_start(views, 500)
    assert len(points) == 500
    assert np.isfinite(points.positions).all()


@pytest.mark.slow
def test_the_same_views_and_seed_give_the_same_points(tmp_path: Path) -> None:
    views = pictures(tmp_path / "a", inward(), alpha=True)
    first, again, other = (random_start(views, 300, seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first.positions, again.positions)
    assert np.array_equal(first.colors, again.colors)
    assert not np.array_equal(first.positions, other.positions)


def test_where_the_axes_meet() -> None:
    def cameras(poses: list[np.ndarray]) -> list[Camera]:
        return [Camera(str(k), SIZE, SIZE, SIZE, SIZE, SIZE / 2, SIZE / 2, pose) for k, pose in enumerate(poses)]

    aim = aim_of(cameras(inward()))
    assert np.allclose(aim.middle, BALL)
    assert aim.distance == pytest.approx(DISTANCE)
    assert aim.share == 1
    assert aim_of(cameras(outward())).share == 0


def test_one_camera_with_a_wrong_pose_does_not_move_where_the_axes_meet() -> None:
    astray = inward()
    astray[2] = astray[2].copy()
    astray[2][:3, 3] += (300, -200, 100)
    made = [Camera(str(k), SIZE, SIZE, SIZE, SIZE, SIZE / 2, SIZE / 2, pose) for k, pose in enumerate(astray)]
    aim = aim_of(made)
    assert np.allclose(aim.middle, BALL)
    assert aim.distance == pytest.approx(DISTANCE) and aim.share == 1


@pytest.mark.slow
def test_the_object_scene_starts_inside_the_object(tmp_path: Path) -> None:
    write_object(tmp_path / "made", views=16, test_views=1, size=64, quiet=True)
    points = load_scene(tmp_path / "made").points
    low, high = np.array([-0.95, -0.95, -0.5]) - 0.1, np.array([1.05, 0.75, 0.5]) + 0.1  # of all solids, padded
    inside = ((points.positions > low) & (points.positions < high)).all(axis=1)
    assert inside.mean() > 0.95
    assert len(points) >= 20_000


def test_along_rays_points_lie_where_photos_agree(tmp_path: Path) -> None:
    """Cameras side by side before a wall of random patches: what they look at in common is nowhere."""
    wall_z, views = 12.0, []
    patches = np.random.default_rng(3).integers(0, 256, (80, 160, 3)).astype(np.uint8)
    for k in range(6):
        pose = np.eye(4)
        pose[0, 3] = 1.5 - 0.6 * k
        camera = Camera(f"{k}.png", 120, 80, 100.0, 100.0, 60.0, 40.0, pose)
        rows, columns = np.mgrid[0:80, 0:120]
        places = camera.unproject(rows.ravel(), columns.ravel(), np.full(rows.size, wall_z))
        wall = patches[(places[:, 1] / 0.5).astype(int) + 40, (places[:, 0] / 0.5).astype(int) + 80]
        cv2.imwrite(str(tmp_path / camera.name), wall.reshape(80, 120, 3))
        views.append(View(camera, tmp_path / camera.name))
    points, said = random_start(views, 4000)
    near = np.abs(np.log2(points.positions[:, 2] / wall_z)) < 0.3
    assert "along the rays" in said and near.mean() > 0.35  # of one distance drawn 15 % would be, of the best of 6 62 %
