"""Meshes fused from exact depth maps of a ball and of a box: closed, accurate, in the right colors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scene.mesh.colors import UNSEEN, vertex_colors
from scene.mesh.scores import Truth, mesh_scores
from scene.mesh.surface import make_mesh, usual_voxel
from scene.mesh.tsdf import DepthView, planes, without_edges
from scene.synthetic.camera_path import look_at
from scene.synthetic.render import rays
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.shapes import Box, Shape
from scene.types import Camera, Mesh
from tests.scene.mesh.test_cutting import half_edges, is_closed
from utils.errors import UserError

BALL, BOX = Ellipsoid(np.eye(4), (0.5, 0.5, 0.5)), Box(np.eye(4), (0.9, 0.6, 0.5))
TURN = np.pi * (3 - np.sqrt(5)) * np.arange(24)
LEVEL = (np.arange(24) + 0.5) / 12 - 1
WAYS = np.stack([np.sqrt(1 - LEVEL**2) * np.cos(TURN), LEVEL, np.sqrt(1 - LEVEL**2) * np.sin(TURN)], axis=1)  # evenly


def color_of(points: np.ndarray) -> np.ndarray:
    return np.clip(128 + 200 * points, 0, 255)


def views_of(shape: Shape, size: int = 96) -> list[DepthView]:
    """The shape from all sides, 2 m away."""
    views = []
    for k, way in enumerate(WAYS):
        pose = look_at(2 * way, np.zeros(3))
        camera = Camera(f"{k}.png", size, size, 1.6 * size, 1.6 * size, size / 2 + 0.3, size / 2 - 0.2, pose)
        row, column = (grid.ravel() for grid in np.mgrid[0:size, 0:size])
        o, d = rays(camera, column + 0.5, row + 0.5)
        z = shape.hit(o, d)
        hit = np.isfinite(z)
        depth = torch.from_numpy(np.where(hit, z, 0).astype(np.float32).reshape(size, size))
        color = color_of((o + np.where(hit, z, 0) * d).T).astype(np.uint8).reshape(size, size, 3)
        views.append(DepthView(camera, depth, torch.from_numpy(color)))
    return views


def truth_of(shape: Shape) -> Truth:
    rng = np.random.default_rng(1)
    areas = [chart.width * chart.height for chart in shape.charts]
    points = []
    for chart, area in enumerate(areas):
        u, v = rng.random((2, int(8_000 * area / sum(areas))))
        v = np.arccos(1 - 2 * v) / np.pi if shape.charts[chart].wraps else v  # uniform by area on a ball, too
        points.append(shape.place(chart, u, v).T)
    return Truth(np.concatenate(points), lambda p: shape.distance(np.ascontiguousarray(p.T)))


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return make_mesh(views_of(BALL), 0.025, max_depth=4.0)


def test_a_ball_is_closed_and_accurate(ball: Mesh) -> None:
    edges, count = half_edges(ball.faces)
    assert is_closed(ball.faces) and (count == 1).all()
    assert len(ball.vertices) - len(edges) // 2 + len(ball.faces) == 2
    scores = mesh_scores(ball, truth_of(BALL))
    assert scores["f_1cm"] > 0.99 and scores["accuracy"] < 0.003 and scores["completion"] < 0.003
    assert scores["normal_error"] < 4 and scores["normal_consistency"] > 0.99
    a, b, c = (ball.vertices[ball.faces[:, k]].astype(float) for k in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(
        4 / 3 * np.pi * 0.5**3, rel=0.02
    )  # and not turned inside out


def test_vertices_have_the_colors_of_the_views(ball: Mesh) -> None:
    error = np.abs(ball.colors - color_of(ball.vertices.astype(float)))
    assert np.median(error) <= 2 and error.mean() < 4
    hidden = vertex_colors(np.zeros((1, 3)), views_of(BALL)[:2], 0.1)
    assert hidden.tolist() == [[UNSEEN] * 3]


def test_a_box_keeps_its_flat_sides() -> None:
    mesh = make_mesh(views_of(BOX, 128), 0.0125, max_depth=4.0)
    scores = mesh_scores(mesh, truth_of(BOX))
    assert scores["f_1cm"] > 0.97 and scores["accuracy_median"] < 0.001 and scores["normal_error"] < 1


def test_memory_changes_nothing(ball: Mesh) -> None:
    small = make_mesh(views_of(BALL), 0.025, max_depth=4.0, max_bytes=1e6)
    np.testing.assert_array_equal(small.vertices, ball.vertices)
    np.testing.assert_array_equal(small.colors, ball.colors)
    assert len(small.faces) == len(ball.faces) and is_closed(small.faces)


def test_what_no_view_saw_has_no_surface() -> None:
    """One side alone is an open sheet, and nothing behind it."""
    sheet = make_mesh(views_of(BALL)[:1], 0.025, max_depth=4.0)
    assert not is_closed(sheet.faces)
    from_camera = views_of(BALL)[0].camera.camera_from_world
    z = (sheet.vertices @ from_camera[:3, :3].T + from_camera[:3, 3])[:, 2]
    assert z.max() < 2.05  # the middle of the ball is at 2
    with pytest.raises(UserError, match="no surface"):
        make_mesh(views_of(BALL), 0.025, max_depth=0.5)


def test_the_voxel_follows_pixels_and_the_unit() -> None:
    views = views_of(BALL)
    pixel = float(np.median(np.concatenate([v.depth[v.depth > 0] for v in views]))) / (1.6 * 96)
    assert usual_voxel(views, None) == pytest.approx(2 * pixel, rel=0.02)
    assert usual_voxel(views, 0.1) == pytest.approx(0.1)  # a centimeter
    nothing = [DepthView(view.camera, torch.zeros_like(view.depth), view.color) for view in views]
    with pytest.raises(UserError, match="no view shows a surface"):
        usual_voxel(nothing, None)


@pytest.mark.parametrize("shape", [BALL, BOX])
def test_planes_touch_the_surface(shape: Shape) -> None:
    """Each pixel's plane holds its point, and stands as the surface's normal there."""
    view = views_of(shape)[0]
    flat, depth = planes(view), without_edges(view.depth)
    row, column = torch.nonzero(depth > 0, as_tuple=True)
    points = view.camera.unproject(row.numpy(), column.numpy(), depth[row, column].double().numpy())
    in_camera = points @ view.camera.camera_from_world[:3, :3].T + view.camera.camera_from_world[:3, 3]
    n, offset, weight = (flat[row, column][:, part].double().numpy() for part in (slice(3), 3, 4))
    used = weight > 0
    assert used.mean() > 0.8
    np.testing.assert_allclose((n * in_camera).sum(axis=1)[used], offset[used], atol=1e-5)
    normal = shape.local_normal(np.ascontiguousarray(points.T)).T @ view.camera.camera_from_world[:3, :3].T
    assert np.median((n * normal).sum(axis=1)[used]) < -0.999  # away from the camera
    cosine = -(normal * in_camera).sum(axis=1) / np.linalg.norm(in_camera, axis=1)
    np.testing.assert_allclose(np.median(weight[used] * in_camera[used, 2] ** 2 / cosine[used]), 1, atol=0.02)


def test_distances_behind_are_not_seen_and_before_are_free() -> None:
    from scene.mesh.tsdf import _distances

    camera = Camera("", 8, 8, 8.0, 8.0, 4.0, 4.0, np.eye(4))
    view = DepthView(camera, torch.full((8, 8), 2.0), torch.zeros((8, 8, 3), dtype=torch.uint8))
    points = torch.tensor([[[0.0, 0, 1.0], [0, 0, 1.98], [0, 0, 2.02], [0, 0, 2.1], [9, 0, 2.0], [0, 0, -1.0]]])
    distance, weight = _distances(camera, planes(view).flatten(0, 1), points, 0.01)
    assert (weight > 0).tolist() == [[True, True, True, False, False, False]]
    np.testing.assert_allclose(distance[0, :3], [1, 0.5, -0.5], atol=1e-3)
