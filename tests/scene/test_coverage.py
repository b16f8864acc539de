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
