"""COLMAP models, binary and text, whole and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene import load_scene
from scene.io.points import write_points
from scene.readers import colmap
from scene.types import Camera, PointCloud
from tests.conftest import real_scene
from tests.helpers import scenes
from utils.errors import UserError


def write_binary(folder: Path, cameras: list[Camera], points: PointCloud) -> None:
    """The same as colmap.write_model, in COLMAP's binary layout, with observations and tracks to step over."""
    folder.mkdir(parents=True)
    camera_bytes, image_bytes, point_bytes = (struct.pack("<Q", n) for n in (len(cameras), len(cameras), len(points)))
    for number, camera in enumerate(cameras, start=1):
        camera_bytes += struct.pack(
            "<iiQQ4d", number, 1, camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy
        )
        x, y, z, w = Rotation.from_matrix(camera.camera_from_world[:3, :3]).as_quat()
        image_bytes += struct.pack("<i7di", number, w, x, y, z, *camera.camera_from_world[:3, 3], number)
        image_bytes += camera.name.encode() + b"\0" + struct.pack("<Q", number) + bytes(24 * number)
    for number, (position, color) in enumerate(zip(points.positions, points.colors, strict=True)):
        rgb = np.round(255 * color).astype(int)
        track = number % 3
        point_bytes += struct.pack("<Q3d3BdQ", number, *position, *rgb, 0.5, track) + bytes(8 * track)
    for stem, data in (("cameras", camera_bytes), ("images", image_bytes), ("points3D", point_bytes)):
        (folder / f"{stem}.bin").write_bytes(data)


def write_photos(folder: Path, cameras: list[Camera]) -> None:
    for camera in cameras:
        scenes.write_photo(folder / camera.name, camera.width, camera.height)


def assert_same(model: colmap.Model, cameras: list[Camera], points: PointCloud) -> None:
    assert [image.name for image in model.images] == [camera.name for camera in cameras]
    for image, camera in zip(model.images, cameras, strict=True):
        np.testing.assert_allclose(image.camera_from_world, camera.camera_from_world, atol=1e-12)
        assert image.lens.params == (camera.fx, camera.fy, camera.cx, camera.cy)
        assert (image.lens.width, image.lens.height) == (camera.width, camera.height)
    np.testing.assert_array_equal(model.points.positions, points.positions)
    np.testing.assert_allclose(model.points.colors, points.colors, atol=1e-6)


def test_text_round_trip(tmp_path: Path) -> None:
    cameras, points = scenes.cameras(4), scenes.points()
    colmap.write_model(tmp_path, cameras, points)
    assert_same(colmap.read_model(tmp_path), cameras, points)


def test_binary(tmp_path: Path) -> None:
    cameras, points = scenes.cameras(4), scenes.points()
    write_binary(tmp_path / "sparse", cameras, points)
    assert_same(colmap.read_model(tmp_path / "sparse"), cameras, points)


def test_points_found_in_an_image_are_known(tmp_path: Path) -> None:
    cameras, points = scenes.cameras(3), scenes.points(6)
    colmap.write_model(tmp_path / "text", cameras, points)
    file = tmp_path / "text" / "images.txt"
    lines = file.read_text().splitlines()
    lines[1], lines[3] = "1.5 2.5 4 3.5 4.5 -1 5.5 6.5 2 1 1 4", "1 1 99"  # ids start at 1; 99 is no point
    file.write_text("\n".join(lines))
    observed = [image.observed.tolist() for image in colmap.read_model(tmp_path / "text").images]
    assert observed == [[1, 3], [], []]
    write_binary(tmp_path / "binary", cameras, points)  # whose observations are all of the point with id 0
    observed = [image.observed.tolist() for image in colmap.read_model(tmp_path / "binary").images]
    assert observed == [[0], [0], [0]]


def test_text_with_comments_observations_and_spaces_in_names(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text("# comment\n7 SIMPLE_RADIAL 40 30 35 20 15 -0.1\n")
    (tmp_path / "images.txt").write_text(
        "# comment\n3 1 0 0 0 0.5 0 2 7 a b.png\n1.0 2.0 -1 3.0 4.0 9\n4 1 0 0 0 0 0 3 7 c.png\n\n"
    )
    model = colmap.read_model(tmp_path)
    assert [image.name for image in model.images] == ["a b.png", "c.png"]
    assert model.images[0].lens.model == "SIMPLE_RADIAL" and len(model.points) == 0
    np.testing.assert_array_equal(model.images[0].camera_from_world[:3, 3], [0.5, 0, 2])


def test_empty_lines_between_images_are_stepped_over(tmp_path: Path) -> None:
    """COLMAP steps over them; taken for observations, they cost every image behind the first."""
    cameras = scenes.cameras(8)
    colmap.write_model(tmp_path, cameras, scenes.points())
    path = tmp_path / "images.txt"
    for text in (path.read_text().replace("\n\n", "\n\n\n"), "\n" + path.read_text().replace("\n\n", "\n\n\n", 1)):
        path.write_text(text)
        names = [image.name for image in colmap.read_model(tmp_path).images]
        assert names == [camera.name for camera in cameras]


def test_the_model_with_most_photos_is_taken(tmp_path: Path) -> None:
    cameras = scenes.cameras(8)
    write_photos(tmp_path / "images", cameras)
    colmap.write_model(tmp_path / "sparse" / "0", cameras[:2], scenes.points())
    colmap.write_model(tmp_path / "sparse" / "1", cameras, scenes.points())
    scene = load_scene(tmp_path)
    assert len(scene.train) == 8
    assert "sparse/1 is used, and not sparse/0 with 2 photos" in scene.summary


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg"])
def test_masks_of_any_suffix_are_used(tmp_path: Path, suffix: str) -> None:
    cameras = scenes.cameras(3)
    write_photos(tmp_path / "images", cameras)
    colmap.write_model(tmp_path / "sparse" / "0", cameras, scenes.points())
    photo = next((tmp_path / "images").iterdir())
    mask = (tmp_path / "masks" / photo.name).with_suffix(suffix)
    mask.parent.mkdir()
    scenes.write_photo(mask, cameras[0].width, cameras[0].height, channels=1)
    masks = [view.mask_path for view in load_scene(tmp_path).train]
    assert [path for path in masks if path] == [mask]


def test_points_of_a_ply_are_used_where_a_model_has_no_others(tmp_path: Path) -> None:
    points = scenes.points()
    colmap.write_model(tmp_path, scenes.cameras(3), points)
    (tmp_path / "points3D.txt").unlink()
    write_points(tmp_path / "points3D.ply", points)
    found = colmap.read_model(tmp_path)
    np.testing.assert_array_equal(found.points.positions, points.positions)
    np.testing.assert_allclose(found.points.colors, points.colors, atol=0.5 / 255 + 1e-6)
    assert all(len(image.observed) == 0 for image in found.images)


@pytest.mark.parametrize("stem", ["cameras", "images", "points3D"])
def test_a_file_cut_short_is_named(tmp_path: Path, stem: str) -> None:
    write_binary(tmp_path / "sparse", scenes.cameras(3), scenes.points())
    path = tmp_path / "sparse" / f"{stem}.bin"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=f"{stem}.bin"):
        colmap.read_model(tmp_path / "sparse")


def test_a_missing_file_and_an_unknown_camera_are_named(tmp_path: Path) -> None:
    colmap.write_model(tmp_path, scenes.cameras(2), scenes.points())
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 40 30 35 36 19.5 15.5\n")
    with pytest.raises(UserError, match="camera 2, which the cameras file does not list"):
        colmap.read_model(tmp_path)
    (tmp_path / "images.txt").unlink()
    with pytest.raises(UserError, match=r"neither images\.bin nor images\.txt"):
        colmap.read_model(tmp_path)


def test_real_models() -> None:
    fox = colmap.read_model(real_scene("fox") / "sparse" / "0")
    assert len(fox.images) == 50 and len(fox.points) == 12_934
    kitchen = colmap.read_model(real_scene("rgbd_kitchen") / "sparse_sfm" / "0")
    assert len(kitchen.images) == 80 and len(kitchen.points) == 10_359
