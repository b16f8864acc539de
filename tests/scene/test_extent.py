"""The extent and the near plane: what one camera in the wrong place, a long street or two places do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from scene.extent import measure_extent
from scene.types import Camera, PointCloud
from tests.helpers import scenes
from tests.helpers.whole import from_cameras_alone

NO_POINTS = PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def moved(camera: Camera, by: Sequence[float]) -> Camera:
    pose = camera.camera_from_world.copy()
    pose[:3, 3] -= pose[:3, :3] @ np.asarray(by)
    return replace(camera, camera_from_world=pose)


def cloud(positions: np.ndarray) -> PointCloud:
    return PointCloud(positions.astype(np.float32), np.zeros((len(positions), 3), np.float32))


def ball(count: int = 400) -> PointCloud:
    return cloud(0.4 * np.random.default_rng(0).normal(size=(count, 3)))


def sites(counts: Sequence[int], apart: float) -> tuple[list[Camera], PointCloud]:
    """So many cameras around each of some balls of points, in a row."""
    cameras = [moved(c, [apart * k, 0, 0]) for k, n in enumerate(counts) for c in scenes.cameras(n)]
    points = [ball().positions + np.array([apart * k, 0, 0]) for k in range(len(counts))]
    return cameras, cloud(np.concatenate(points))


@pytest.mark.parametrize("points", [ball(), NO_POINTS], ids=["points", "no points"])
@pytest.mark.parametrize("away", [100.0, 500.0, 5000.0])
def test_a_camera_far_away_is_named_and_left_out(points: PointCloud, away: float) -> None:
    cameras = scenes.cameras(20)
    rest = [*cameras[:7], *cameras[8:]]
    extent, near, warnings = measure_extent([*cameras[:7], moved(cameras[7], [away, 0, 0]), *cameras[8:]], points)
    assert extent == from_cameras_alone(rest) and near == 0.01 * extent
    (warning,) = warnings
    assert "1 of 20 cameras are far" in warning and "007.png at" in warning and "006.png" not in warning


@pytest.mark.parametrize("points", [ball(), NO_POINTS], ids=["points", "no points"])
@pytest.mark.parametrize("count", [2, 4, 20])
def test_without_outliers_nothing_changes(points: PointCloud, count: int) -> None:
    cameras = scenes.cameras(count)
    extent = from_cameras_alone(cameras)
    assert measure_extent(cameras, points) == (extent, 0.01 * extent, [])


def test_a_single_camera_has_an_extent() -> None:
    assert measure_extent(scenes.cameras(1), NO_POINTS) == (1.0, 0.01, [])


@pytest.mark.parametrize("counts", [(10, 10), (19, 1)])
def test_two_places_are_no_outliers_and_are_seen_from_near(counts: tuple[int, int]) -> None:
    """Each has points of its own. A hundredth of the extent would hide them all."""
    cameras, points = sites(counts, 800.0)
    extent, near, warnings = measure_extent(cameras, points)
    assert warnings == [] and extent == from_cameras_alone(cameras) and 0.01 * extent > 3
    assert 0 < near < 1  # the cameras are 3 from the middle of what they see


def test_a_street_is_no_outlier_and_is_seen_from_near() -> None:
    cameras, points = sites([1] * 40, 10.0)
    extent, near, warnings = measure_extent(cameras, points)
    assert warnings == [] and extent == from_cameras_alone(cameras) > 200 and 0 < near < 1


def test_one_step_aside_from_a_tripod_is_no_outlier() -> None:
    """Cameras on a tripod have no reach of their own."""
    first = scenes.cameras(1)[0]
    cameras = [*(moved(first, [0.001 * k, 0, 0]) for k in range(12)), moved(first, [1, 0, 0])]
    for points in (ball(), NO_POINTS):
        assert measure_extent(cameras, points)[2] == []


@pytest.mark.parametrize("place", [0.0, 1e3])
def test_cameras_at_one_place_have_the_extent_of_what_they_see(place: float) -> None:
    """Files round, so that their places differ by the last digits: that is no extent."""
    turned = [moved(camera, camera.center * (1e-15 * k - 1) + place) for k, camera in enumerate(scenes.cameras(8))]
    shell = np.random.default_rng(0).normal(size=(4000, 3))
    points = cloud(place + 40 * shell / np.linalg.norm(shell, axis=1, keepdims=True))
    extent, near, warnings = measure_extent(turned, points)
    assert 20 < extent < 40 and 0 < near < 10
    assert warnings == ["all 8 cameras are at one place: photos of it do not tell how far anything is"]
    assert measure_extent(turned, NO_POINTS) == (1.0, 0.01, warnings)
