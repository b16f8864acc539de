"""How many photos' worth of surface a scene has."""

from __future__ import annotations

import numpy as np
import pytest

from scene.coverage import photos_to_cover
from scene.types import Camera, PointCloud


def above(x: float, width: int = 100) -> Camera:
    """Looks down at the ground from 1 unit above (x, 0); its picture is 1 unit wide and high."""
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = [-x, 0.0, 1.0]
    return Camera("", width, width, width, width, width / 2, width / 2, pose)


def ground(count: int, low: float, high: float) -> PointCloud:
    rng = np.random.default_rng(0)
    positions = np.column_stack([rng.uniform(low, high, count), rng.uniform(-0.5, 0.5, count), np.zeros(count)])
    return PointCloud(positions.astype(np.float32), np.zeros((count, 3), np.float32))


def test_photos_of_one_thing_are_one() -> None:
    assert photos_to_cover([above(0.0)] * 7, ground(500, -0.5, 0.5)) == pytest.approx(1.0)


def test_photos_side_by_side_are_all_needed() -> None:
    assert photos_to_cover([above(float(k)) for k in range(6)], ground(3000, -0.5, 5.5)) == pytest.approx(6.0)


@pytest.mark.parametrize("count", [900, 50_000])
def test_photos_that_overlap_count_by_what_they_add(count: int) -> None:
    along = [above(0.25 * k) for k in range(41)]  # each spot in four photos, but at the ends: 11 units of ground
    assert photos_to_cover(along, ground(count, -0.5, 10.5)) == pytest.approx(11.0, rel=0.03)


def test_what_no_photo_shows_does_not_count() -> None:
    near, far = ground(500, -0.5, 0.5), ground(5000, 50.0, 90.0)
    assert photos_to_cover([above(0.0)] * 3, near.joined(far)) == pytest.approx(1.0)
    assert photos_to_cover([above(0.0), above(1000.0)], near) == pytest.approx(1.0)  # and a photo that shows no point


def test_without_points_it_is_one() -> None:
    assert photos_to_cover([above(0.0), above(5.0)], ground(0, 0.0, 1.0)) == 1.0


def test_what_a_wall_hides_is_another_room() -> None:
    """Two cameras stand back to back with a wall two units ahead of each, and a room beyond each wall."""
    rng = np.random.default_rng(0)

    def wall(distance: float) -> np.ndarray:
        half = abs(distance) / 2
        return np.column_stack([rng.uniform(-half, half, (2000, 2)), np.full(2000, distance)])

    ahead, back = np.eye(4), np.diag([-1.0, 1.0, -1.0, 1.0])
    beyond = np.eye(4)
    beyond[2, 3] = -5.0  # stands behind the first camera's wall and looks on
    cameras = [Camera("", 100, 100, 100, 100, 50, 50, pose) for pose in (ahead, back, beyond)]
    positions = np.concatenate([wall(2.0), wall(-2.0), wall(9.0)]).astype(np.float32)
    shown = PointCloud(positions, np.zeros_like(positions))
    assert photos_to_cover(cameras, shown) == pytest.approx(3.0, rel=0.02)


def below(x: float) -> Camera:
    """Looks up at the ground from as far below it."""
    pose = np.eye(4)
    pose[:3, 3] = [-x, 0.0, 1.0]
    return Camera("", 100, 100, 100, 100, 50, 50, pose)


def test_wrong_points_here_and_there_hide_nothing() -> None:
    rng = np.random.default_rng(1)
    wrong = np.column_stack([rng.uniform(-0.05, 0.05, (60, 2)), np.full(60, 0.9)]).astype(np.float32)
    seen = ground(3000, -0.5, 0.5).joined(PointCloud(wrong, np.zeros_like(wrong)))
    assert photos_to_cover([above(0.0), below(0.0)], seen) == pytest.approx(1.0, rel=0.06)


def along(x: float, way: float) -> Camera:
    """Looks along the ground from (x, 0), half a unit above it, a little downward."""
    forward = np.array([way, 0.0, -0.3]) / np.hypot(1.0, 0.3)
    right = np.array([0.0, -way, 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ [x, 0.0, 0.5]
    return Camera("", 100, 100, 60, 60, 50, 50, pose)


def test_a_floor_does_not_hide_itself() -> None:
    floor = ground(5000, -4.0, 4.0)
    assert photos_to_cover([along(-4.5, 1.0), along(4.5, -1.0)], floor) < 1.6  # 2 where its near part hides the rest
