"""What the numbers of depth maps are taken to mean: units told by the scene's points, inverse depth, unusable files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.depth.maps import load_depth, read_numbers
from scene.depth.mixed_units import fewer_in_another_unit
from scene.depth.sparse_check import middle_of_most, visible_points
from scene.readers import colmap
from scene.types import Camera, PointCloud, View
from tests.helpers import rgbd, scenes
from tests.helpers.rgbd import depth_of, scales
from utils.errors import UserError

# ---- units of sensors


@pytest.mark.parametrize(
    ("per_metre", "unit"),
    [(1000, "mm"), (5000, "TUM's"), (6553.5, "Replica's"), (256, "KITTI's"), (10_000 / 1.5, "Replica's")],
)
def test_units_are_recognised(per_metre: float, unit: str, tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras, per_metre)
    scene = load_scene(tmp_path)
    near, far = np.percentile([rgbd.sphere_depth(camera) for camera in cameras], (1, 99))
    known = 6553.5 if per_metre == 10_000 / 1.5 else per_metre
    assert set(scales(scene).values()) == {1 / known} and scene.warnings == ()
    assert f"depth: 4 maps, {unit}" in scene.summary and "100 % valid" in scene.summary
    assert f"{near * per_metre / known:.3g}–" in scene.summary and "m at p1–p50–p99" in scene.summary
    assert far < 10


def test_float_maps_are_in_the_worlds_unit(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    for camera in cameras:
        rgbd.write_map(tmp_path / "depth" / f"{Path(camera.name).stem}.npy", rgbd.sphere_depth(camera)[None])
    scene = load_scene(tmp_path)
    assert set(scales(scene).values()) == {1.0} and scene.warnings == ()
    np.testing.assert_allclose(depth_of(scene.train[1])[0], rgbd.sphere_depth(cameras[1]), rtol=1e-6)


def test_metric_depth_in_a_world_of_arbitrary_scale_is_scaled_and_said(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, world=0.37)
    rgbd.write_depth(tmp_path, cameras)
    scene = load_scene(tmp_path)
    assert list(scales(scene).values()) == pytest.approx([0.37e-3] * 4, rel=0.002)
    (warning,) = scene.warnings
    assert "in no known unit" in warning and "depth/000.png" in warning and "in millimetres they are 2.7 ×" in warning


def test_a_unit_that_is_nearly_right_is_scaled_and_said(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras, 1150)
    scene = load_scene(tmp_path)
    assert list(scales(scene).values()) == pytest.approx([1 / 1150] * 4, rel=0.002)
    (warning,) = scene.warnings
    assert "in mm depths are 1.15 × those of the scene's points" in warning and "depth/000.png" in warning


def test_a_map_that_disagrees_with_the_points_is_left_out(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    rgbd.write_map(tmp_path / "depth" / "002.png", 1500 * rgbd.sphere_depth(cameras[2]))
    scene = load_scene(tmp_path)
    assert sorted(scales(scene)) == ["000.png", "001.png", "003.png"]
    (warning,) = scene.warnings
    assert "depth/002.png disagrees with the scene's points: its depths are 1.5 ×" in warning


def test_a_map_of_a_wall_with_points_beyond_it_is_used(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    depth = 1000 * rgbd.sphere_depth(cameras[2])
    depth[:, depth.shape[1] // 3 :] *= 0.4
    rgbd.write_map(tmp_path / "depth" / "002.png", depth)
    scene = load_scene(tmp_path)
    assert len(scales(scene)) == 4 and scene.warnings == ()
    depth[:, : depth.shape[1] // 8] *= 1.5  # and points before it, which it cannot hide
    rgbd.write_map(tmp_path / "depth" / "002.png", depth)
    (warning,) = load_scene(tmp_path).warnings
    assert "depth/002.png disagrees with the scene's points" in warning


def test_maps_that_disagree_each_by_its_own_factor(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    for camera, factor in zip(cameras, (0.6, 0.9, 1.1, 1.6), strict=True):
        rgbd.write_map(tmp_path / "depth" / camera.name, 1000 * factor * rgbd.sphere_depth(camera))
    scene = load_scene(tmp_path)
    assert "not all by the same factor" in scene.warnings[0] and sorted(scales(scene)) == ["001.png", "002.png"]
    assert "depth/000.png" in scene.warnings[1] and "depth/003.png" in scene.warnings[2]


def test_a_given_scale_is_taken_and_checked(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras, 4000)
    right = load_scene(tmp_path, depth_scale=1 / 4000)
    assert set(scales(right).values()) == {1 / 4000} and right.warnings == ()
    wrong = load_scene(tmp_path, depth_scale=1 / 1000)
    assert set(scales(wrong).values()) == {1 / 1000}
    assert "with the given scale depths are 4 × those of the scene's points" in wrong.warnings[0]
    with pytest.raises(UserError, match="the scale of the depth maps is -1; it must be above 0"):
        load_scene(tmp_path, depth_scale=-1)


@pytest.mark.parametrize(("world", "scale"), [(1, 1e-3), (1000, 1)])
def test_without_points_the_views_tell_the_unit(world: float, scale: float, tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, world=world, points=scenes.points(0))
    rgbd.write_depth(tmp_path, cameras)
    scene = load_scene(tmp_path)
    assert set(scales(scene).values()) == {scale} and scene.warnings == () and "depth: 4 maps, mm" in scene.summary
    np.testing.assert_allclose(np.linalg.norm(scene.measured.positions, axis=1), world * rgbd.RADIUS, rtol=0.02)


def test_without_points_and_movement_millimetres_are_taken_and_said(tmp_path: Path) -> None:
    cameras = rgbd.scaled(rgbd.write_scene(tmp_path, points=scenes.points(0)), 0.0)
    colmap.write_model(tmp_path / "sparse" / "0", cameras, scenes.points(0))
    rgbd.write_depth(tmp_path, cameras)
    scene = load_scene(tmp_path)
    assert set(scales(scene).values()) == {1 / 1000} and "taken to be millimetres" in scene.warnings[0]
    assert "depth/000.png" in scene.warnings[0]


def test_maps_of_another_unit_than_the_known_are_said(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, world=0.37, points=scenes.points(0))
    rgbd.write_depth(tmp_path, cameras)
    assert "taken to be millimetres" in load_scene(tmp_path).warnings[0]


def test_hidden_points_are_no_evidence() -> None:
    camera = Camera("", 320, 240, 300.0, 300.0, 160.0, 120.0, np.eye(4))
    near, far = np.array([[0.1, 0.0, 2.0]]), np.array([[0.2, 0.0, 4.0]])
    elsewhere, behind = np.array([[1.0, 0.5, 4.0]]), np.array([[0.0, 0.0, -1.0]])
    cloud = PointCloud(np.concatenate([near, far, elsewhere, behind]).astype(np.float32), np.zeros((4, 3)))
    row, column, z = visible_points(View(camera, Path()), cloud, None)
    assert z.tolist() == [2, 4] and row.tolist() == [120, 157] and column.tolist() == [175, 235]
    assert visible_points(View(camera, Path()), cloud, np.array([0, 1]))[2].tolist() == [2, 4]


def test_what_most_agree_on_is_not_pulled_by_others() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.5, 0.01, 600), rng.uniform(-3, 0, 400)])
    assert middle_of_most(values) == pytest.approx(0.5, abs=0.003)
    assert np.median(values) < 0.49


# ---- inverse depth of networks


def write_inverse(folder: Path, camera: Camera, scale: float, offset: float) -> None:
    """Numbers that 1/z = scale · number + offset maps to the truth."""
    rgbd.write_map(folder / "depths" / camera.name, (1 / rgbd.sphere_depth(camera) - offset) / scale)


def test_inverse_depth_is_fitted_to_the_points_map_by_map(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, 5)
    for number, camera in enumerate(cameras):
        write_inverse(tmp_path, camera, (3 + number) * 1e-6, 0.02 * number)
    scene = load_scene(tmp_path)
    assert scene.warnings == () and "5 maps, inverse depth fitted to the points" in scene.summary
    for number, view in enumerate(scene.train):
        assert view.depth is not None and view.depth.kind == "inverse"
        assert view.depth.scale == pytest.approx((3 + number) * 1e-6, rel=0.1)
        depth, valid = depth_of(view)
        truth = rgbd.sphere_depth(cameras[number])
        assert valid.all() and np.median(np.abs(depth / truth - 1)) < 0.01 and np.ptp(truth) > 1


def test_inverse_depth_of_another_scale_is_refused(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, 5)
    for camera in cameras:
        write_inverse(tmp_path, camera, (40e-6 if camera is cameras[1] else 4e-6), 0.0)
    flat = np.random.default_rng(0).integers(1000, 60000, (60, 80))
    rgbd.write_map(tmp_path / "depths" / cameras[3].name, flat)
    scene = load_scene(tmp_path)
    assert sorted(scales(scene)) == ["000.png", "002.png", "004.png"]
    no_fit, other_scale = scene.warnings
    assert "depths/003.png of inverse depth does not fit the points" in no_fit
    assert "depths/001.png of inverse depth fits the points with 9.8" in other_scale


def test_inverse_depth_that_sees_few_points_is_refused(tmp_path: Path) -> None:
    cloud, cameras = rgbd.sphere_points(), rgbd.make_cameras(4)
    behind = cloud.positions @ cameras[0].camera_from_world[2, :3] + cameras[0].camera_from_world[2, 3] < 1
    rgbd.write_scene(tmp_path, points=PointCloud(cloud.positions[behind], cloud.colors[behind]))
    for camera in cameras:
        write_inverse(tmp_path, camera, 4e-6, 0.0)
    scene = load_scene(tmp_path)
    assert "000.png" not in scales(scene) and len(scales(scene)) > 0
    assert "depths/000.png of inverse depth sees only 0 of the scene's points" in scene.warnings[0]


# ---- files that are not as they should be


def test_8_bit_depth_is_said(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    for camera in cameras:
        rgbd.write_map(tmp_path / "depth" / camera.name, (25 * rgbd.sphere_depth(camera)).astype(np.uint8))
    scene = load_scene(tmp_path)
    assert "8 bits a pixel" in scene.warnings[0] and "depth/000.png" in scene.warnings[0]
    assert list(scales(scene).values()) == pytest.approx([1 / 25] * 4, rel=0.02)
    pointless = tmp_path / "pointless"
    rgbd.write_scene(pointless, points=scenes.points(0))
    (tmp_path / "depth").rename(pointless / "depth")
    assert scales(load_scene(pointless)) == {}


def test_a_color_picture_is_no_depth(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    scenes.write_photo(tmp_path / "depth" / "001.png", 80, 60)
    gray = np.round(1000 * rgbd.sphere_depth(cameras[2])).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "depth" / "002.png"), np.stack([gray] * 3, axis=-1))
    scene = load_scene(tmp_path)
    assert sorted(scales(scene)) == ["000.png", "002.png", "003.png"]
    assert "depth/001.png is a color picture, not depth" in scene.warnings[0]


def test_other_sizes_are_resized_and_other_shapes_left_out(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    small = np.arange(30 * 40).reshape(30, 40) % 7 + 1000 * rgbd.sphere_depth(cameras[0])[::2, ::2]
    rgbd.write_map(tmp_path / "depth" / "000.png", small)
    rgbd.write_map(tmp_path / "depth" / "001.png", 1000 * rgbd.sphere_depth(cameras[1])[:, :60])
    scene = load_scene(tmp_path)
    loaded = load_depth(scene.train[0])
    assert loaded is not None
    np.testing.assert_array_equal(loaded, np.round(small).repeat(2, axis=0).repeat(2, axis=1))
    (warning,) = scene.warnings
    assert "depth/001.png is 60×60 pixels, which is not the shape of its photo (80×60)" in warning
    halved = load_depth(load_scene(tmp_path, resolution=2).train[0])
    assert halved is not None
    np.testing.assert_array_equal(halved, np.round(small))


def test_many_unusable_maps_take_few_lines(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, 8)
    for camera in cameras:
        rgbd.write_map(tmp_path / "depth" / camera.name, 1000 * rgbd.sphere_depth(camera)[:40])
    scene = load_scene(tmp_path)
    assert len(scene.warnings) == 4 and "5 more depth maps" in scene.warnings[3]
    assert "depth: no map can be used" in scene.summary


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"])
def test_a_damaged_file_is_named_and_not_used(content: bytes, tmp_path: Path) -> None:
    rgbd.write_depth(tmp_path, rgbd.write_scene(tmp_path))
    (tmp_path / "depth" / "002.png").write_bytes(content)
    scene = load_scene(tmp_path)
    assert "002.png" not in scales(scene) and len(scales(scene)) == len(scene.train) - 1
    assert "depth/002.png cannot be" in scene.warnings[0] and "not used" in scene.warnings[0]
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"the depth map .*a\.npy cannot be decoded"):
        read_numbers(tmp_path / "a.npy")


def test_whole_numbers_and_floats_have_units_of_their_own(tmp_path: Path) -> None:
    """One scale for both would be wrong by 1000 for one of them."""
    cameras = rgbd.write_scene(tmp_path, count=8)
    for number, camera in enumerate(cameras):
        depth, path = rgbd.sphere_depth(camera), tmp_path / "depth" / camera.name
        rgbd.write_map(path if number % 2 else path.with_suffix(".npy"), (1000 if number % 2 else 1) * depth)
    scene = load_scene(tmp_path)
    assert [scales(scene)[f"{number:03}.png"] for number in range(8)] == [1, 1e-3] * 4 and scene.warnings == ()
    assert "depth: 4 maps for 8 photos, scene units" in scene.summary and "4 maps for 8 photos, mm" in scene.summary


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64])
def test_whole_numbers_of_any_width_are_millimetres(tmp_path: Path, kind: type) -> None:
    cameras = rgbd.write_scene(tmp_path)
    for camera in cameras:
        rgbd.write_map(tmp_path / "depth" / f"{camera.name[:3]}.npy", (1000 * rgbd.sphere_depth(camera)).astype(kind))
    assert set(scales(load_scene(tmp_path)).values()) == {1e-3}
    assert read_numbers(tmp_path / "depth" / "000.npy").dtype == np.uint16


def test_without_points_views_tell_that_floats_are_millimetres(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, points=scenes.points(0))
    for camera in cameras:
        rgbd.write_map(tmp_path / "depth" / f"{camera.name[:3]}.npy", 1000 * rgbd.sphere_depth(camera))
    scene = load_scene(tmp_path)
    assert set(scales(scene).values()) == {1e-3} and "depth: 4 maps, mm" in scene.summary


def test_depths_that_cannot_be_those_of_such_cameras_are_said(tmp_path: Path) -> None:
    """With a scale the wrong way round, steps in a unit instead of units in a step, all is 10^6 times too deep."""
    cameras = rgbd.write_scene(tmp_path, points=scenes.points(0))
    rgbd.write_depth(tmp_path, cameras)
    assert load_scene(tmp_path, depth_scale=1e-3).warnings == ()
    (warning,) = load_scene(tmp_path, depth_scale=1000).warnings
    assert "times as far away as the cameras are from each other" in warning and "--depth_scale" in warning


def test_maps_without_any_depth_leave_a_scene_to_start_from(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, points=scenes.points(0))
    for camera in cameras:
        rgbd.write_map(tmp_path / "depth" / f"{camera.name[:3]}.npy", np.nan * rgbd.sphere_depth(camera))
    scene = load_scene(tmp_path)
    assert len(scene.points) > 10_000 and "000.npy has no valid pixel: it is not used" in scene.warnings[0]


def test_a_suffix_that_is_not_read_is_named_with_those_that_are(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    rgbd.write_transforms(tmp_path, cameras)
    path = tmp_path / "transforms.json"
    path.write_text(path.read_text().replace('.png", "transform', '.npz", "transform'))
    for camera in cameras:
        (tmp_path / "depth").mkdir(exist_ok=True)
        np.savez(tmp_path / "depth" / f"{camera.name[:3]}.npz", rgbd.sphere_depth(camera))
    assert "000.npz cannot be used" in load_scene(tmp_path).warnings[0]
    assert "*.npz is not read as depth; .png, .npy, .tiff" in load_scene(tmp_path).warnings[0]


# ---- distances instead of depths


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_distances_from_the_camera_are_no_depths(factor: float, tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    for camera in cameras:
        row, column = np.mgrid[: camera.height, : camera.width] + 0.5
        slant = np.sqrt(1 + ((column - camera.cx) / camera.fx) ** 2 + ((row - camera.cy) / camera.fy) ** 2)
        rgbd.write_map(tmp_path / "depth" / f"{camera.name[:3]}.npy", factor * slant * rgbd.sphere_depth(camera))
    scene = load_scene(tmp_path)
    (warning,) = scene.warnings
    assert scales(scene) == {} and "fit the distances of the scene's points" in warning and "000.npy" in warning


def test_depths_with_a_sensor_s_noise_are_depths(tmp_path: Path) -> None:
    cameras, rng = rgbd.write_scene(tmp_path), np.random.default_rng(0)
    for camera in cameras:
        depth = rgbd.sphere_depth(camera)
        noisy = 1000 * depth * np.exp(rng.normal(0, 0.05, depth.shape))
        rgbd.write_map(tmp_path / "depth" / camera.name, noisy)
    assert set(scales(load_scene(tmp_path)).values()) == {1e-3}


# ---- maps of one kind in several units


@pytest.mark.parametrize("factor", [5.0, 0.1])
def test_without_points_maps_in_another_unit_than_most_are_said(factor: float, tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, points=scenes.points(0))
    rgbd.write_depth(tmp_path, cameras)
    rgbd.write_map(tmp_path / "depth" / "002.png", 1000 * factor * rgbd.sphere_depth(cameras[2]))
    said = [warning for warning in load_scene(tmp_path).warnings if "another unit" in warning]
    assert len(said) == 1 and "depth/002.png" in said[0] and f"{factor:.3g} ×" in said[0]


def test_without_points_floats_half_of_which_are_millimetres_are_said(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, points=scenes.points(0))
    for number, camera in enumerate(cameras):
        depth = rgbd.sphere_depth(camera)[None] * (1000 if number < 2 else 1)
        rgbd.write_map(tmp_path / "depth" / f"{Path(camera.name).stem}.npy", depth)
    assert any("another unit" in warning for warning in load_scene(tmp_path).warnings)


def test_medians_that_differ_step_by_step_are_of_one_unit() -> None:
    steps = 1000 * 3.5 ** np.arange(6)
    assert fewer_in_another_unit(steps) is None and fewer_in_another_unit(steps[:1]) is None
    found = fewer_in_another_unit(np.array([900.0, 5000, 1100, 1000]))
    assert found is not None and found[0].tolist() == [False, True, False, False] and found[1] == 5
