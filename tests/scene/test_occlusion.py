"""Which points others hide, where nothing but points says it."""

from __future__ import annotations

import numpy as np
import pytest

from scene.occlusion import in_sight
from scene.types import Camera


@pytest.fixture
def camera() -> Camera:
    return Camera("", 320, 240, 300.0, 300.0, 160.0, 120.0, np.eye(4))


def pixels(camera: Camera, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, camera.height, count), rng.integers(0, camera.width, count)


@pytest.mark.parametrize("hidden_by", [1, 2])
def test_a_wall_hides_what_is_behind_it(camera: Camera, hidden_by: int) -> None:
    row, column = pixels(camera, 4000)
    z = np.where(np.arange(4000) % 2 == 0, 2.0, 5.0)
    assert (
        in_sight(camera, row, column, z, margin=0.1, hidden_by=hidden_by) == (z == 2.0)
    ).mean() > 0.98  # but for cells that no near one fell into


def test_beside_a_wall_all_is_in_sight(camera: Camera) -> None:
    row, column = pixels(camera, 4000)
    z = np.where(column < camera.width // 2, 2.0, 5.0)
    open_ = in_sight(camera, row, column, z, margin=0.1, hidden_by=2)
    assert open_[column < camera.width // 2].all() and open_.mean() > 0.94  # cells on the edge hold both


def test_one_wrong_point_before_the_others_hides_nothing(camera: Camera) -> None:
    row, column = pixels(camera, 500)
    z = np.full(500, 5.0)
    z[100] = 0.5
    assert in_sight(camera, row, column, z, margin=0.1, hidden_by=2).all()
    assert not in_sight(camera, row, column, z, margin=0.1, hidden_by=1).all()  # where it must not be evidence


def test_the_margin_is_a_part_of_the_depth(camera: Camera) -> None:
    row, column, z = np.full(4, 7), np.full(4, 9), np.array([2.0, 2.0, 2.19, 2.21])
    assert in_sight(camera, row, column, z, margin=0.1, hidden_by=2).tolist() == [True, True, True, False]
    assert in_sight(camera, row, column, z, margin=0.11, hidden_by=2).all()


def test_of_no_points_none_is_seen(camera: Camera) -> None:
    nothing = np.zeros(0)
    assert in_sight(camera, nothing, nothing, nothing, margin=0.1, hidden_by=1).shape == (0,)
