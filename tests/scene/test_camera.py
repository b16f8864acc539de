"""A camera's pixels and the world: each the inverse of the other."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from scene.types import Camera

POSE = np.eye(4)
POSE[:3, :3], POSE[:3, 3] = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(), [0.4, -0.2, 1.0]
CAMERA = Camera("a", 40, 30, 50.0, 47.0, 18.0, 16.0, POSE)


def test_project_is_the_inverse_of_unproject() -> None:
    rng = np.random.default_rng(0)
    row, column, z = rng.integers(0, 30, 200), rng.integers(0, 40, 200), rng.uniform(0.5, 9, 200)
    found = CAMERA.project(CAMERA.unproject(row, column, z))
    for one, other in zip(found[:3], (row + 0.5, column + 0.5, z), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert found[3].all()


def test_what_is_beside_or_behind_is_not_in_the_picture() -> None:
    pixels = np.array([[15, 20], [-2, 20], [31, 20], [15, -2], [15, 41], [15, 20]])
    points = CAMERA.unproject(pixels[:, 0], pixels[:, 1], np.array([1.0, 1, 1, 1, 1, -1]))
    assert CAMERA.project(points)[3].tolist() == [True, False, False, False, False, False]


def test_positions_that_are_not_finite_are_in_no_picture() -> None:
    camera = Camera("a", 60, 40, 50.0, 50.0, 30.0, 20.0, np.eye(4))
    places = np.array([[0, 0, 5], [np.nan, 0, 5], [np.inf, 0, 5], [0, -np.inf, 5], [0, 0, np.inf]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, _, inside = camera.project(places)
    assert inside.tolist()[:4] == [True, False, False, False]
