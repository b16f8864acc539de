"""Points fused from depth maps: on the surface, in its colors, the same each time, and only where they are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.depth.fusion import add_fused, back_project, fuse_depth
from scene.images import load_image
from scene.types import DepthMap, PointCloud, View
from tests.helpers import rgbd, scenes
from tests.helpers.room import write_room
from tests.scene.synthetic.test_synthetic import distance_to_surface


@pytest.fixture
def views(tmp_path: Path) -> list[View]:
    """Four views in a sphere, with exact depth."""
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    return list(load_scene(tmp_path).train)


def test_pixels_go_back_to_where_they_are_from(views: list[View]) -> None:
    positions, colors = back_project(views[1])
    assert positions.shape == colors.shape == (80 * 60, 3)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), rgbd.RADIUS, atol=0.001)
    camera = views[1].camera
    x, y, z = camera.camera_from_world[:3, :3] @ positions.T + camera.camera_from_world[:3, 3:]
    columns, rows = np.meshgrid(np.arange(80) + 0.5, np.arange(60) + 0.5)
    np.testing.assert_allclose(camera.fx * x / z + camera.cx, columns.ravel(), atol=1e-6)
    np.testing.assert_allclose(camera.fy * y / z + camera.cy, rows.ravel(), atol=1e-6)
    np.testing.assert_array_equal(colors, load_image(views[1]).color.reshape(3, -1).T)
    assert len(back_project(views[1], every=16)[0]) == 20 * 15


def test_masked_pixels_make_no_points(views: list[View], tmp_path: Path) -> None:
    drawn = np.zeros((60, 80), np.uint8)
    drawn[:, 40:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), drawn)
    masked = replace(views[0], mask_path=tmp_path / "mask.png")
    assert len(back_project(masked)[0]) == 40 * 60


def test_fused_points_lie_on_the_surface_and_repeat(views: list[View]) -> None:
    cloud = fuse_depth(views, cells=400)
    assert 200 < len(cloud) <= 440 and cloud.positions.dtype == cloud.colors.dtype == np.float32
    off = np.abs(np.linalg.norm(cloud.positions, axis=1) - rgbd.RADIUS)
    assert off.max() < 0.1  # a mean over a cell of a curved surface lies a little inside
    assert cloud.colors.min() >= 0 and cloud.colors.max() <= 1 and cloud.colors.std() > 0.1
    again = fuse_depth(views, cells=400)
    assert np.array_equal(cloud.positions, again.positions) and np.array_equal(cloud.colors, again.colors)
    assert len(fuse_depth(views, cells=100)) < len(cloud)


def test_a_stray_that_one_view_saw_makes_no_point(tmp_path: Path) -> None:
    cameras = [replace(rgbd.make_cameras(1)[0], name=f"{number:03}.png") for number in range(3)]
    rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    numbers = 1000 * rgbd.sphere_depth(cameras[0])
    numbers[20:40, 20:40] = 1500  # a thing that was there for one photo
    views = list(load_scene(tmp_path, depths="none").train)[:3]
    rgbd.write_map(tmp_path / "depth" / "001.png", numbers)
    posed = [
        replace(view, camera=camera, depth=DepthMap(tmp_path / "depth" / camera.name, 0.001))
        for view, camera in zip(views, cameras, strict=True)
    ]
    inside = np.linalg.norm(fuse_depth(posed, cells=500).positions, axis=1) < rgbd.RADIUS - 0.5
    alone = np.linalg.norm(fuse_depth(posed[1:2], cells=500).positions, axis=1) < rgbd.RADIUS - 0.5
    assert not inside.any() and alone.any()  # with a single view there is nothing to compare with


def test_without_depth_there_is_nothing(views: list[View]) -> None:
    plain = [replace(view, depth=None) for view in views]
    assert len(fuse_depth(plain)) == 0
    few = scenes.points(5)
    assert add_fused(few, plain) == (few, "")


def test_points_are_added_where_there_are_none(views: list[View]) -> None:
    cloud = rgbd.sphere_points(1000)
    half = cloud.positions[:, 0] < 0
    given = PointCloud(cloud.positions[half], cloud.colors[half])
    both, said = add_fused(given, views)
    added = both.positions[len(given) :]
    np.testing.assert_array_equal(both.positions[: len(given)], given.positions)
    assert said == f"{len(added):,} of the points are fused from depth" and len(added) > 100
    fused = fuse_depth(views).positions
    assert (added[:, 0] > 0).sum() > 0.95 * (fused[:, 0] > 0).sum()
    assert (added[:, 0] < -0.2).sum() < (fused[:, 0] < -0.2).sum()


def test_enough_points_are_left_alone(views: list[View]) -> None:
    many = rgbd.sphere_points(30_000)
    assert add_fused(many, views) == (many, "")


def test_only_training_views_are_fused(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, points=rgbd.sphere_points(300))
    rgbd.write_depth(tmp_path, cameras[:1])
    scene = load_scene(tmp_path, eval_split=True)
    assert [view.camera.name for view in scene.test] == ["000.png"] and scene.test[0].depth is not None
    assert len(scene.measured) == 300


@pytest.mark.slow
def test_the_synthetic_room_starts_from_its_depth(tmp_path: Path) -> None:
    write_room(tmp_path / "room", views=4, width=96, height=72)
    scene, plain = load_scene(tmp_path / "room"), load_scene(tmp_path / "room", depths="none")
    assert scene.warnings == () and "depth: 4 maps, mm, " in scene.summary
    assert len(scene.measured) > len(plain.measured) + 200
    added = scene.measured.positions[len(plain.measured) :]
    assert np.median(distance_to_surface(added.astype(float))) < 0.04  # pixels are 4 cm wide at 4 m
