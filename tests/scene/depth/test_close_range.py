"""A depth camera near its subject, whose maps have a grid of holes: found, understood and used without a flag."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from scene import load_scene
from scene.depth.fusion import fuse_depth
from scene.depth.maps import read_numbers
from scene.readers import colmap
from scene.types import PointCloud, Scene
from tests.helpers import rgbd
from tests.helpers.rgbd import depth_of
from tests.helpers.room import write_room
from tests.scene.synthetic.test_synthetic import distance_to_surface

pytestmark = pytest.mark.slow

SMALLER = 0.15  # than the room of scene.synthetic: depths from 0.2 to 0.8 m
HOLES = {  # row, column -> where there is nothing
    "none": lambda row, column: row < 0,
    "lines": lambda row, column: (row % 8 == 3) | (column % 8 == 3),
    "dots": lambda row, column: (row % 4 == 1) & (column % 4 == 1),
    "narrow": lambda row, column: (row % 3 == 0) | (column % 3 == 0),
    "lattice": lambda row, column: (row % 2 == 1) | (column % 2 == 1),  # a coarse map drawn into a finer one
}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("close") / "room"
    write_room(folder, views=8, width=160, height=120)
    return folder


def write_close(room: Path, folder: Path, holes: str, *, steps: int = 1, as_transforms: bool = False) -> None:
    """With so many steps of depth in a millimetre; transforms.json comes without points."""
    cameras = rgbd.scaled([view.camera for view in load_scene(room, depths="none").train], SMALLER)
    shutil.copytree(room / "images", folder / "images")
    for camera in cameras:
        numbers = read_numbers(room / "depth" / camera.name)
        row, column = np.mgrid[: camera.height, : camera.width]
        rgbd.write_map(
            folder / "depth" / camera.name, np.where(HOLES[holes](row, column), 0, steps * SMALLER * numbers)
        )
    if as_transforms:
        rgbd.write_transforms(folder, cameras)
    else:
        points = colmap.read_model(room / "sparse" / "0").points
        cloud = PointCloud(points.positions * np.float32(SMALLER), points.colors)
        colmap.write_model(folder / "sparse" / "0", cameras, cloud)


def nearest(scene: Scene) -> float:
    depth, valid = depth_of(scene.train[0])
    return float(np.percentile(depth[valid], 1))


@pytest.mark.parametrize("holes", HOLES)
def test_depth_is_understood_and_fused(room: Path, tmp_path: Path, holes: str) -> None:
    write_close(room, tmp_path / "close", holes)
    scene = load_scene(tmp_path / "close", eval_split=True)
    assert scene.warnings == () and "depth: 8 maps, mm, 0." in scene.summary and " m at p1–p50–p99" in scene.summary
    fused = fuse_depth(scene.train).positions.astype(float)
    off = SMALLER * distance_to_surface(fused / SMALLER)
    assert len(fused) > 300 and np.median(off) < 0.005 and np.percentile(off, 90) < 0.015  # a pixel at 0.8 m is 5 mm
    assert 0 < scene.near < 0.1 * nearest(scene)


@pytest.mark.parametrize("holes", ["lines", "dots"])
def test_holes_cost_no_pixels_beside_them(room: Path, tmp_path: Path, holes: str) -> None:
    """Of what was measured as much is used as without holes, and nearly the same."""
    for name in ("none", holes):
        write_close(room, tmp_path / name, name)
    whole, holed = (load_scene(tmp_path / name).train for name in ("none", holes))
    there, used, used_of_whole, lost = 0, 0, 0, 0
    for one, other in zip(whole, holed, strict=True):
        assert other.depth is not None
        measured = read_numbers(other.depth.path) > 0
        here, before = depth_of(other)[1], depth_of(one)[1] & measured
        there, used, used_of_whole = there + measured.sum(), used + here.sum(), used_of_whole + before.sum()
        lost += (before & ~here).sum()
    assert used >= used_of_whole and lost < 0.02 * there


@pytest.mark.parametrize(("steps", "unit"), [(1, "mm"), (5, "TUM's 1/5000 m")])
def test_the_same_as_transforms(room: Path, tmp_path: Path, steps: int, unit: str) -> None:
    write_close(room, tmp_path / "close", "lines", steps=steps, as_transforms=True)
    scene = load_scene(tmp_path / "close", eval_split=True)
    assert scene.warnings == () and f"depth: 8 maps, {unit}, 0." in scene.summary and "fused from" in scene.summary
    off = SMALLER * distance_to_surface(scene.points.positions.astype(float) / SMALLER)
    assert len(scene.points) > 3000 and np.median(off) < 0.005 and np.percentile(off, 90) < 0.015
