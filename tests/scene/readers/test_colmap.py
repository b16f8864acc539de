"""COLMAP models, binary and text, whole and damaged."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene import camera_models, load_scene
from scene.io.points import write_points
from scene.readers import colmap
from scene.readers.colmap_files import MODELS
from scene.types import Camera, PointCloud
from tests.conftest import real_scene
from tests.helpers import rgbd, scenes
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
    (tmp_path / "cameras.txt").write_text("# comment\n \t# another\n7 SIMPLE_RADIAL 40 30 35 20 15 -0.1\n")
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


# ---- numbers that cannot be


@pytest.mark.parametrize("stem", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("count", [2**63, 2**64 - 1, 2**40, 10_000])
def test_counts_are_checked_against_the_bytes_that_are_there(tmp_path: Path, stem: str, count: int) -> None:
    write_binary(tmp_path / "sparse", scenes.cameras(3), scenes.points())
    path = tmp_path / "sparse" / f"{stem}.bin"
    path.write_bytes(struct.pack("<Q", count) + path.read_bytes()[8:])
    with pytest.raises(UserError, match=rf"{stem}\.bin is damaged.*it says {count} entries, and has bytes for at most"):
        colmap.read_model(tmp_path / "sparse")


@pytest.mark.parametrize("length", [2**63, 2**61 - 7, 2**64 - 1])
def test_lengths_within_entries_are_checked(tmp_path: Path, length: int) -> None:
    cameras = scenes.cameras(3)
    write_binary(tmp_path / "sparse", cameras, scenes.points())
    points, images = tmp_path / "sparse/points3D.bin", tmp_path / "sparse/images.bin"
    whole, packed = points.read_bytes(), struct.pack("<Q", length)
    points.write_bytes(whole[: 8 + 43] + packed + whole[8 + 51 :])
    with pytest.raises(UserError, match=r"points3D\.bin is cut short"):
        colmap.read_model(tmp_path / "sparse")
    points.write_bytes(whole)
    data = images.read_bytes()
    end = data.index(b"\0", 8 + 64)
    images.write_bytes(data[: end + 1] + packed + data[end + 9 :])
    with pytest.raises(UserError, match=r"images\.bin is cut short"):
        colmap.read_model(tmp_path / "sparse")


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("value", ["nan", "-inf", "1e200", "x"])
def test_poses_that_are_none_are_refused_by_photo(tmp_path: Path, at: int, value: str) -> None:
    cameras = scenes.cameras(3)
    colmap.write_model(tmp_path, cameras, scenes.points())
    path = tmp_path / "images.txt"
    first, *rest = path.read_text().splitlines()
    parts = first.split()
    parts[at] = value
    path.write_text("\n".join([" ".join(parts), *rest]))
    named = "damaged" if value == "x" else r"000\.png has the (rotation|translation)"
    with pytest.raises(UserError, match=rf"images\.txt.* ?{named}"):
        colmap.read_model(tmp_path)


@pytest.mark.parametrize(
    "stem, line", [("images", "1 0 0 0 0 0 0 0 1 a.png"), ("images", "1 1 0 0 0 0 0 0 1"), ("images", "1"),
                   ("images", "1 1 0 0 0 0 0 0 1 a.png\n1 2 99999999999999999999"), ("points3D", "1e400 0 0 0 1 1 1 0"),
                   ("points3D", "1 2"), ("cameras", "1 PINHOLE 40 30 nan 36 19 15"), ("cameras", "1 PINHOLE"),
                   ("cameras", "1 PINHOLE 1e5 30 35 36 19 15"), ("cameras", "1 EQUIRECTANGULAR 40 30 40 30")]
)  # fmt: skip
def test_lines_that_are_none_are_refused_by_file(tmp_path: Path, stem: str, line: str) -> None:
    colmap.write_model(tmp_path, scenes.cameras(3), scenes.points())
    (tmp_path / f"{stem}.txt").write_text(line + "\n")
    with pytest.raises(UserError, match=rf"{stem}\.txt"):
        colmap.read_model(tmp_path)


def test_points_that_are_nowhere_are_left_out(tmp_path: Path) -> None:
    colmap.write_model(tmp_path, scenes.cameras(3), scenes.points(4))
    path = tmp_path / "points3D.txt"
    path.write_text(path.read_text() + "8 nan 0 0 1 1 1 0\n9 1e200 0 0 1 1 1 0\n")
    assert len(colmap.read_model(tmp_path).points) == 4


@pytest.mark.parametrize("size", [0, 7])
def test_a_file_without_even_its_number_of_entries_is_cut_short(tmp_path: Path, size: int) -> None:
    write_binary(tmp_path / "sparse" / "0", scenes.cameras(2), scenes.points())
    (tmp_path / "sparse" / "0" / "images.bin").write_bytes(bytes(size))
    with pytest.raises(UserError, match=rf"images\.bin is cut short: it has {size} bytes"):
        colmap.read_model(tmp_path / "sparse" / "0")


# ---- photos, and which are held out


def write_scene(folder: Path, names: list[str], photos: list[str]) -> None:
    """A model whose images have `names`, and photos at `photos`."""
    cameras = [replace(camera, name=name) for camera, name in zip(scenes.cameras(len(names)), names, strict=True)]
    colmap.write_model(folder / "sparse" / "0", cameras, scenes.points())
    for path in photos:
        scenes.write_photo(folder / path, 40, 30)


def test_test_views_are_those_of_test_txt(tmp_path: Path) -> None:
    names = [f"{number:03}.png" for number in range(6)]
    write_scene(tmp_path, names, [f"images/{name}" for name in names[:5]])
    listed = tmp_path / "sparse/0/test.txt"
    listed.write_text("003.png\n001\n\n005.png\n")  # of which the last is a photo that is missing
    assert [view.camera.name for view in load_scene(tmp_path).test] == ["001.png", "003.png"]
    assert [view.camera.name for view in load_scene(tmp_path, test_images=["000"]).test] == ["000.png"]
    listed.write_text("x.png\n")
    with pytest.raises(UserError, match=r"test\.txt lists x\.png, which is no photo of the model"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "listed, there",
    [("cam0\\{}.png", "images/cam0/{}.png"), ("IM{}.png", "images/im{}.PNG"), ("images/{}.png", "images/{}.png"),
     ("C:/data/images/{}.png", "images/{}.png"), ("{}.jpg", "images/{}.png"), ("cam0/{}.JPEG", "images/cam0/{}.png")],
)  # fmt: skip
def test_photos_are_found_by_names_of_other_machines(tmp_path: Path, listed: str, there: str) -> None:
    names = [listed.format(number) for number in range(3)]
    write_scene(tmp_path, names, [there.format(number) for number in range(3)])
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "3 photos are not where they are listed" in scene.summary


def test_colors_that_are_none_become_some(tmp_path: Path) -> None:
    colmap.write_model(tmp_path, scenes.cameras(2), scenes.points(1))
    (tmp_path / "points3D.txt").write_text("1 0 0 0 300 nan 51 0\n2 0 0 0 -5 inf 255 0\n")
    np.testing.assert_allclose(colmap.read_model(tmp_path).points.colors, [[1, 0, 0.2], [0, 1, 1]], atol=1e-6)


@pytest.mark.parametrize("stem", ["cameras", "images"])
def test_a_model_that_lacks_a_file_is_no_folder_of_photos(tmp_path: Path, stem: str) -> None:
    """Whose poses would be looked for again."""
    cameras = scenes.cameras(4)
    write_photos(tmp_path / "images", cameras)
    colmap.write_model(tmp_path / "sparse" / "0", cameras, scenes.points())
    (tmp_path / "sparse" / "0" / f"{stem}.txt").unlink()
    with pytest.raises(UserError, match=rf"sparse/0 has neither {stem}\.bin nor {stem}\.txt"):
        load_scene(tmp_path)
    colmap.write_model(tmp_path / "sparse" / "1", cameras, scenes.points())
    assert len(load_scene(tmp_path).train) == 4


def test_a_photo_that_is_no_file_is_missing(tmp_path: Path) -> None:
    cameras = scenes.cameras(4)
    write_photos(tmp_path / "images", cameras)
    colmap.write_model(tmp_path / "sparse" / "0", cameras, scenes.points())
    for path in (tmp_path / "images").glob("00[012].png"):
        path.unlink()
    os.mkfifo(tmp_path / "images" / "000.png")
    (tmp_path / "images" / "001.png").symlink_to("nowhere")
    (tmp_path / "images" / "002.png").mkdir()
    scene = load_scene(tmp_path)
    assert len(scene.train) == 1 and "3 listed photos are missing" in scene.summary


def test_a_mask_that_fits_two_photos_is_used_for_none(tmp_path: Path) -> None:
    names = ["cam0/0.png", "cam1/0.png", "cam1/1.png"]
    write_scene(tmp_path, names, [f"images/{name}" for name in names] + ["masks/0.png", "masks/1.png"])
    scene = load_scene(tmp_path)
    assert [view.mask_path is not None for view in scene.train] == [False, False, True]
    assert any("0.png fits the photos cam0/0.png, cam1/0.png" in warning for warning in scene.warnings)


@pytest.mark.parametrize("number", range(18))
def test_all_models_of_colmap_are_known_by_number(tmp_path: Path, number: int) -> None:
    model = MODELS[number]
    count = 2 if model == "EQUIRECTANGULAR" else len(camera_models.PARAMETERS[model].split())
    write_binary(tmp_path / "sparse", scenes.cameras(1), scenes.points())
    values = [40.0, 30.0] if count == 2 else [35.0, 36.0, 20.0, 15.0, *[0.01] * 12][:count]
    data = struct.pack(f"<QiiQQ{count}d", 1, 1, number, 40, 30, *values)
    (tmp_path / "sparse/cameras.bin").write_bytes(data)
    if model == "EQUIRECTANGULAR":
        with pytest.raises(UserError, match=r"cameras\.bin: the camera is EQUIRECTANGULAR"):
            colmap.read_model(tmp_path / "sparse")
    else:
        assert colmap.read_model(tmp_path / "sparse").images[0].lens.params == tuple(values)


# ---- other places


@pytest.mark.parametrize(
    "model, photos",
    [("sparse", "images"), ("sparse/0", "images_4"), ("colmap/sparse/0", "images"), ("colmap/sparse", "images_4"),
     ("dense/0/sparse", "dense/0/images"), ("dense/sparse", "dense/images"), ("dense/0/sparse", "images"),
     (".", "images")],
)  # fmt: skip
def test_models_are_found_where_tools_put_them(tmp_path: Path, model: str, photos: str) -> None:
    cameras = scenes.cameras(4)
    colmap.write_model(tmp_path / model, cameras, scenes.points())
    for camera in cameras:
        scenes.write_photo(tmp_path / photos / camera.name, 20, 15)
    scene = load_scene(tmp_path, images=Path(photos).name)
    assert scene.kind == "COLMAP" and len(scene.train) == 4 and len(scene.measured) == 50
    assert scene.train[0].camera.width == 20 and scene.train[0].camera.fx == pytest.approx(cameras[0].fx / 2)
    assert set(scene.ledger.unused.values()) == set()


def test_what_else_describes_the_folder_comes_before_colmap(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    (tmp_path / "colmap").mkdir()
    (tmp_path / "sparse").rename(tmp_path / "colmap" / "sparse")
    assert load_scene(tmp_path).kind == "COLMAP"
    rgbd.write_depth(tmp_path, cameras)
    rgbd.write_transforms(tmp_path, cameras)
    scene = load_scene(tmp_path)
    assert scene.kind == "nerfstudio" and "there are files of colmap/sparse/0, dense/0" in scene.summary


def test_points_of_a_ply_alone(tmp_path: Path) -> None:
    rgbd.write_scene(tmp_path)
    points = rgbd.sphere_points(700)
    (tmp_path / "sparse" / "0" / "points3D.txt").unlink()
    write_points(tmp_path / "sparse" / "0" / "points3D.ply", points)
    scene = load_scene(tmp_path)
    np.testing.assert_allclose(scene.measured.positions, points.positions, atol=1e-6)
    assert scene.ledger.unused == {}


@pytest.mark.parametrize("pose", ["1 0 0 0 2 0 0", "0.9 0.1 0 0 0.5 0 2"])
def test_images_of_one_line_are_refused(tmp_path: Path, pose: str) -> None:
    """Every second one would be taken for the observations of the one before it."""
    colmap.write_model(tmp_path, scenes.cameras(4), scenes.points())
    lines = [f"{number} {pose} {number} {number:03}.png" for number in range(1, 5)]
    (tmp_path / "images.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"images\.txt: behind 001\.png .* an image has a second line"):
        colmap.read_model(tmp_path)


def test_a_camera_that_is_listed_twice_must_be_the_same(tmp_path: Path) -> None:
    colmap.write_model(tmp_path, scenes.cameras(2), scenes.points())
    text = (tmp_path / "cameras.txt").read_text()
    (tmp_path / "cameras.txt").write_text(text + text)
    assert len(colmap.read_model(tmp_path).images) == 2
    (tmp_path / "cameras.txt").write_text(text + text.replace(" 35.0 ", " 45.0 "))
    with pytest.raises(UserError, match=r"cameras\.txt lists the camera 1 twice, with different parameters"):
        colmap.read_model(tmp_path)
