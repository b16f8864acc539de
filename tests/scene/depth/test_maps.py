"""Depth maps: where they are found, how they are decoded, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scene import load_scene
from scene.camera_models import pinhole, sampling_map
from scene.depth.maps import flying_pixels, load_depth, z_of
from scene.loading.image_cache import ViewCache
from scene.types import Camera, CameraModel, DepthMap, View
from tests.conftest import real_scene
from tests.helpers import rgbd, scenes
from tests.helpers.rgbd import depth_of, scales
from utils.errors import UserError

# ---- finding


@pytest.mark.parametrize("name", ["depth", "depths"])
def test_usual_folders_are_found(name: str, tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras, name=name)
    scene = load_scene(tmp_path)
    assert scales(scene) == {camera.name: 1 / 1000 for camera in cameras} and scene.warnings == ()
    for view, camera in zip(scene.train, cameras, strict=True):
        depth, valid = depth_of(view)
        assert valid.all()
        np.testing.assert_allclose(depth, rgbd.sphere_depth(camera), atol=0.0006)


def test_the_folder_is_named_or_ignored(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    rgbd.write_depth(tmp_path, cameras[:1], name="kinect")
    assert list(scales(load_scene(tmp_path, depths="kinect"))) == ["000.png"]
    ignored = load_scene(tmp_path, depths="none")
    assert scales(ignored) == {} and "depth" not in ignored.summary and len(ignored.measured) == 3000
    with pytest.raises(UserError, match="the depth folder .*gone is not there"):
        load_scene(tmp_path, depths="gone")


def test_photos_without_a_map_are_counted(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras[:3])
    scene = load_scene(tmp_path)
    assert "depth: 3 maps for 4 photos, mm, " in scene.summary
    photo = ViewCache(scene.train)[3]
    assert photo.depth is None and photo.depth_valid is None


def test_a_folder_with_other_names_is_said(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_map(tmp_path / "depth" / "frame7.png", rgbd.sphere_depth(cameras[0]))
    scene = load_scene(tmp_path)
    assert scales(scene) == {} and "there is no 000.png, .npy, .tiff, .tif, .exr" in scene.warnings[0]


# ---- decoding


def view_of(path: Path, scale: float = 1.0, size: tuple[int, int] = (40, 30), **fields: object) -> View:
    camera = Camera("a", *size, 35.0, 35.0, size[0] / 2, size[1] / 2, np.eye(4))
    return View(camera, Path("photo"), depth=DepthMap(path, scale), **fields)


def loaded(view: View) -> np.ndarray:
    numbers = load_depth(view)
    assert numbers is not None
    return numbers


def test_codes_for_no_reading_are_invalid(tmp_path: Path) -> None:
    numbers = np.full((30, 40), 2000.0)
    numbers[5, 5], numbers[6, 20] = 0, 65535
    rgbd.write_map(tmp_path / "a.png", numbers)
    holes = loaded(view_of(tmp_path / "a.png")) == 0
    assert sorted(zip(*np.nonzero(holes), strict=True)) == [(5, 5), (6, 20)]
    numbers[7:11, 3] = np.nan, np.inf, -1000, -np.inf
    rgbd.write_map(tmp_path / "a.npy", numbers)
    holes = loaded(view_of(tmp_path / "a.npy")) == 0
    assert np.isfinite(loaded(view_of(tmp_path / "a.npy"))).all()
    assert sorted(zip(*np.nonzero(holes), strict=True)) == [(5, 5), (6, 20), (7, 3), (8, 3), (9, 3), (10, 3)]


def test_a_grid_of_holes_does_not_swallow_a_smaller_picture(tmp_path: Path) -> None:
    numbers = np.zeros((30, 40))
    numbers[::2, ::2] = 2000
    rgbd.write_map(tmp_path / "a.png", numbers)
    assert (loaded(view_of(tmp_path / "a.png")) > 0).mean() == 0.25
    assert (loaded(view_of(tmp_path / "a.png", size=(20, 15))) == 2000).all()


def test_inverse_numbers_behind_infinity_are_invalid(tmp_path: Path) -> None:
    rgbd.write_map(tmp_path / "a.png", np.arange(30 * 40).reshape(30, 40))
    depth_map = DepthMap(tmp_path / "a.png", 0.25, "inverse", offset=-25.0, invalid=())
    view = View(Camera("a", 40, 30, 35.0, 35.0, 20.0, 15.0, np.eye(4)), Path(), depth=depth_map)
    numbers = loaded(view)
    np.testing.assert_array_equal(numbers > 0, np.arange(30 * 40).reshape(30, 40) > 100)
    assert z_of(numbers[numbers > 0].astype(float), depth_map).min() > 0
    far = View(view.camera, Path(), depth=DepthMap(tmp_path / "a.png", 0.01, "inverse", 0.5, ()))
    assert (loaded(far) > 0).all()  # 0 is a number like others there: the farthest


def test_a_lens_is_undone_by_the_nearest_pixel(tmp_path: Path) -> None:
    columns = np.tile(1000 + 5 * np.arange(40), (30, 1))
    rgbd.write_map(tmp_path / "a.png", columns)
    lens = CameraModel("SIMPLE_RADIAL", 40, 30, (35.0, 20.0, 15.0, 0.3))
    numbers = loaded(view_of(tmp_path / "a.png", camera_model=lens))
    x, _ = sampling_map(lens)
    np.testing.assert_array_equal(numbers, 1000 + 5 * np.clip(np.floor(x + 0.5), 0, 39).astype(int))
    assert (numbers != columns).any() and pinhole(lens)[0] != 35.0
    half = loaded(view_of(tmp_path / "a.png", size=(20, 15), camera_model=lens))
    np.testing.assert_array_equal(half, numbers[1::2, 1::2])


def test_flying_pixels_between_two_surfaces_go() -> None:
    numbers = np.full((20, 30), 1000, np.uint16)
    numbers[:, 15:] = 2000
    numbers[::2, 15] = 1400
    flying = flying_pixels(numbers, numbers > 0)
    assert flying[:, 14:17].all() and not flying[:, :14].any() and not flying[:, 17:].any()


def test_surfaces_stay_beside_holes_and_steps_of_whole_numbers() -> None:
    row, column = np.mgrid[:20, :30]
    for per_column, per_row in ((0.02, 0.0), (0.03, 0.0), (0.05, -0.02)):
        plane = np.round(1000 / (3 + per_column * column + per_row * row) * 3).astype(np.uint16)
        plane[5:9, 5:9] = 0
        assert not flying_pixels(plane, plane > 0).any()
    bent = np.round(1000 + 2 * (column - 15.0) ** 2).astype(np.uint16)
    assert not flying_pixels(bent, bent > 0)[:, 8:23].any()
    coarse = np.tile(np.arange(30) // 3 + 10, (20, 1)).astype(np.uint8)
    assert not flying_pixels(coarse, coarse > 0).any()


@pytest.mark.parametrize("apart", [1, 2, 3, 2.2])
def test_flying_pixels_of_a_map_drawn_into_a_finer_one(apart: float) -> None:
    """Pixels that lie apart are compared as neighbours would be, whether their spacing is regular or not."""
    row, column = np.mgrid[:40, :60]
    lattice = np.zeros((40, 60), bool)
    lattice[np.ix_(*(np.arange(0, size, apart).astype(int) for size in (40, 60)))] = True
    tilted = np.round(1500 / (1 + 0.01 * column - 0.005 * row))
    assert not flying_pixels(np.where(lattice, tilted, 0).astype(np.uint16), lattice).any()
    columns = np.flatnonzero(lattice.any(axis=0))
    at = int(columns[len(columns) // 2])
    edge = np.where(column < at, 1000, 2000)
    edge[:, at] = 1400
    flying = flying_pixels(np.where(lattice, edge, 0).astype(np.uint16), lattice)
    assert flying[lattice[:, at], at].all() and not flying[:, np.abs(column[0] - at) > 2 * apart].any()


@pytest.mark.parametrize("line", [4, 8])
def test_a_grid_of_holes_costs_no_pixels_beside_them(line: int) -> None:
    """As a plane seen steeply, the hardest case: what is left of it is all kept."""
    row, column = np.mgrid[:60, :80]
    plane = np.round(800 / (1 + 0.012 * column + 0.008 * row)).astype(np.uint16)
    plane[(row % line == 1) | (column % line == 2)] = 0
    assert not flying_pixels(plane, plane > 0).any()


def test_photos_keep_depth_as_it_is_stored(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    photos = ViewCache(load_scene(tmp_path).train)
    photo = photos[0]
    assert photo.depth is not None and photo.depth_valid is not None
    stored = photos._bytes[0][3]
    assert stored is not None and stored.dtype == torch.uint16
    assert photo.depth.shape == photo.depth_valid.shape == (1, 60, 80)
    assert photo.depth.dtype == torch.float32 and photo.depth_valid.dtype == torch.bool
    (tmp_path / "depth" / "000.png").unlink()
    again = photos[0].depth
    assert again is not None and torch.equal(again, photo.depth)


# ---- transforms.json


def test_listed_maps_are_read(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, points=scenes.points(0))
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    rgbd.write_depth(tmp_path, cameras[:3], 2000)
    rgbd.write_transforms(tmp_path, cameras, depth_unit_scale_factor=0.0005)
    scene = load_scene(tmp_path)
    assert scales(scene) == {f"images/{camera.name}": 0.0005 for camera in cameras[:3]}
    assert "1 listed depth maps are missing" in scene.warnings[0] and "depth/003.png" in scene.warnings[0]
    assert "random" not in scene.summary and f"{len(scene.measured):,} of the points are fused" in scene.summary
    np.testing.assert_allclose(np.linalg.norm(scene.measured.positions, axis=1), rgbd.RADIUS, rtol=0.02)
    assert "random" in load_scene(tmp_path, depths="none").summary


def test_listed_maps_without_a_factor_are_millimetres(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    rgbd.write_depth(tmp_path, cameras)
    rgbd.write_transforms(tmp_path, cameras)
    scene = load_scene(tmp_path)
    assert set(scales(scene).values()) == {1 / 1000} and scene.warnings == ()
    rgbd.write_transforms(tmp_path, cameras, depth_unit_scale_factor="mm")
    with pytest.raises(UserError, match=r"transforms\.json: depth_unit_scale_factor is \"mm\""):
        load_scene(tmp_path)


# ---- whole scenes


@pytest.mark.parametrize("world", [1000.0, 100.0])
def test_another_unit_of_length_changes_nothing_but_scale(world: float, tmp_path: Path) -> None:
    found = []
    for name, factor in (("metres", 1.0), ("other", world)):
        cameras = rgbd.write_scene(tmp_path / name, world=factor, points=rgbd.sphere_points(600))
        rgbd.write_depth(tmp_path / name, cameras)
        found.append(load_scene(tmp_path / name))
    metres, other = found
    tolerance = 1e-6 if world == 1000 else 0.002  # millimetres are a unit that is recognised exactly
    assert len(metres.measured) > 1000 and len(other.measured) == pytest.approx(len(metres.measured), rel=0.01)
    if world == 1000:
        np.testing.assert_allclose(metres.measured.positions * world, other.measured.positions, rtol=1e-6, atol=1e-3)
    for one, two in zip(metres.train, other.train, strict=True):
        np.testing.assert_allclose(depth_of(one)[0] * world, depth_of(two)[0], rtol=tolerance)
        np.testing.assert_array_equal(depth_of(one)[1], depth_of(two)[1])


def test_the_kitchen_needs_no_flag() -> None:
    scene = load_scene(real_scene("rgbd_kitchen"), eval_split=True)
    assert scene.warnings == () and len(scene.measured) == 40_552
    assert "depth: 80 maps, mm, " in scene.summary and "74 % valid" in scene.summary
    depth, valid = depth_of(scene.test[0])
    assert 0.4 < valid.mean() < 0.9 and 0.5 < np.median(depth[valid]) < 4


def test_the_fox_has_no_depth() -> None:
    scene = load_scene(real_scene("fox"))
    assert scene.warnings == () and "depth" not in scene.summary
    assert len(scene.points) < 30_000  # few, and nothing to fuse
