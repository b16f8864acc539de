"""Scores of meshes whose distance from the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from scene.mesh.scores import (
    Truth,
    face_normals,
    mesh_scores,
    nearest_on_mesh,
    point_to_triangle,
    sample_surface,
    surface_normals,
    uniform,
)
from scene.types import Mesh


def sheet(height: float, side: float = 1.0, cells: int = 20) -> Mesh:
    """A square of small triangles in the plane z = height."""
    steps = np.linspace(0, side, cells + 1)
    x, y = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    k = np.arange(cells * (cells + 1)).reshape(cells, cells + 1)[:, :-1].ravel()
    faces = np.concatenate([np.stack([k, k + cells + 1, k + 1], 1), np.stack([k + 1, k + cells + 1, k + cells + 2], 1)])
    vertices = np.stack([x, y, np.full(len(x), height)], axis=1).astype(np.float32)
    return Mesh(vertices, faces.astype(np.int32), np.zeros((len(x), 3), np.uint8))


def plane(count: int = 4000) -> Truth:
    points = np.random.default_rng(0).random((count, 3)) * [1, 1, 0]
    return Truth(points, lambda p: np.abs(p[:, 2]))


def test_a_sheet_over_a_plane() -> None:
    scores = mesh_scores(sheet(0.015), plane())
    assert scores["accuracy"] == scores["accuracy_median"] == pytest.approx(0.015, abs=1e-6)
    assert scores["completion"] == scores["chamfer_l1"] == pytest.approx(0.015, abs=1e-6)
    assert (scores["f_1cm"], scores["f_2cm"], scores["f_5cm"]) == (0, 1, 1)
    assert scores["normal_consistency"] == pytest.approx(1) and scores["normal_error"] == pytest.approx(0, abs=1e-3)


def test_half_a_sheet_is_accurate_and_not_complete() -> None:
    half = sheet(0.0, side=0.5)  # a quarter of the plane
    scores = mesh_scores(half, plane())
    assert scores["precision_2cm"] == 1
    assert scores["recall_2cm"] == pytest.approx(0.25 + 2 * 0.02 * 0.5, abs=0.03)
    assert scores["f_2cm"] == pytest.approx(2 * scores["recall_2cm"] / (1 + scores["recall_2cm"]))
    assert scores["completion"] > 0.15


def test_lengths_are_meters_whatever_the_unit() -> None:
    mesh = sheet(0.015)
    truth = plane()
    tenth = Mesh(mesh.vertices / 10, mesh.faces, mesh.colors)  # in units of ten meters
    scores = mesh_scores(tenth, Truth(truth.points / 10, truth.distance, meters_per_unit=10.0))
    assert scores["accuracy"] == pytest.approx(0.015, rel=1e-5)
    assert scores["completion"] == pytest.approx(0.015, rel=1e-5)


def test_points_are_uniform_by_area() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], np.float32)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32), np.zeros((6, 3), np.uint8))
    points, normals = sample_surface(mesh, 20_000, np.random.default_rng(0))
    assert (points[:, 2] == 1).mean() == pytest.approx(0.1, abs=0.01)
    assert points[points[:, 2] == 0, :2].mean() == pytest.approx(1, abs=0.03)  # the center of the large one
    assert (points[:, :2].sum(axis=1) <= 3 + 1e-6).all() and np.allclose(normals, [0, 0, 1])
    assert len(uniform(points, 0.5, np.random.default_rng(0))) < 60


def test_distance_to_a_triangle_is_that_to_its_nearest_point() -> None:
    rng = np.random.default_rng(2)
    p, a, b, c = rng.normal(size=(4, 300, 3))
    u, v = rng.random((2, 40_000, 1))
    inside = u + v <= 1
    u, v = u[inside[:, 0]], v[inside[:, 0]]
    edge = np.linspace(0, 1, 400)[:, None]
    for k, distance in enumerate(point_to_triangle(p, a, b, c)):
        filled = a[k] + u * (b[k] - a[k]) + v * (c[k] - a[k])
        rim = [x + edge * (y - x) for x, y in ((a[k], b[k]), (b[k], c[k]), (c[k], a[k]))]
        nearest = np.linalg.norm(np.concatenate([filled, *rim]) - p[k], axis=1).min()
        assert distance <= nearest + 1e-12 and distance == pytest.approx(nearest, abs=0.02)
    flat = point_to_triangle(np.array([[0.0, 2, 0]]), *(np.array([[x, 0.0, 0]]) for x in (0, 1, 2)))
    assert flat[0] == 2


def test_the_nearest_face_is_found() -> None:
    mesh = sheet(0.0)
    points = np.array([[0.51, 0.26, 0.1], [-0.3, 0.5, 0.4]])
    distance, face = nearest_on_mesh(mesh, points)
    np.testing.assert_allclose(distance, [0.1, 0.5], atol=1e-6)
    corners = mesh.vertices[mesh.faces[face[0]]]
    assert (corners.min(axis=0)[:2] <= points[0, :2]).all() and (corners.max(axis=0)[:2] >= points[0, :2]).all()
    np.testing.assert_allclose(face_normals(mesh)[face], [[0, 0, 1]] * 2, atol=1e-9)


def test_normals_of_a_distance() -> None:
    points = np.random.default_rng(3).normal(size=(50, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    normals = surface_normals(points, lambda p: np.abs(np.linalg.norm(p, axis=1) - 1))
    np.testing.assert_allclose(np.abs((normals * points).sum(axis=1)), 1, atol=1e-6)
