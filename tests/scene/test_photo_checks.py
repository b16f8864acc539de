"""What is found out of photos, masks and depth maps before the first of them is decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.image_header import read_header
from scene.readers import colmap
from tests.helpers import rgbd, scenes
from utils.errors import UserError


def write(folder: Path, count: int = 4) -> list[Path]:
    """A COLMAP scene with 40 × 30 photos, whose paths are returned."""
    cameras = scenes.cameras(count)
    colmap.write_model(folder / "sparse" / "0", cameras, scenes.points())
    for camera in cameras:
        scenes.write_photo(folder / "images" / camera.name, camera.width, camera.height)
    return sorted((folder / "images").iterdir())


def huge_png(path: Path, width: int, height: int) -> None:
    """A valid header of a size that would take gigabytes, and no pixels behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".ppm", ".webp"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.95])
def test_a_photo_that_is_cut_short_costs_itself(tmp_path: Path, suffix: str, kept: float) -> None:
    path = write(tmp_path)[1]
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    encoded = cv2.imencode(suffix, pixels)[1].tobytes()
    path.write_bytes(encoded)
    assert len(load_scene(tmp_path).train) == 4
    path.write_bytes(encoded[: int(kept * len(encoded))])
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "1 photos are left out" in scene.warnings[0] and "001.png" in scene.warnings[0]


def test_a_png_with_a_wrong_bit_costs_itself(tmp_path: Path) -> None:
    path = write(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "001.png is damaged" in scene.warnings[0]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"P6\n1e9 x\n", b"BM" + bytes(60), b"P6\n-1 5\n255\n"]
)
def test_what_is_no_photo_costs_itself(tmp_path: Path, content: bytes) -> None:
    write(tmp_path)[0].write_bytes(content)
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "000.png cannot be decoded as an image" in scene.warnings[0]


def test_where_no_photo_is_whole_the_run_stops(tmp_path: Path) -> None:
    for path in write(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"4 photos are left out: .*000\.png cannot be decoded"):
        load_scene(tmp_path)


def test_what_phones_append_and_put_before_is_no_damage(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    whole = cv2.imencode(".jpg", pixels)[1].tobytes()
    exif = (
        b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(whole)) + b"Exif\0\0" + whole
    )  # a thumbnail with an end of its own
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:2] + exif + whole[2:] + b"SEFT" + bytes(1000))
    assert read_header(path).width == 40
    path.write_bytes(whole[:2] + exif + whole[2 : len(whole) // 2])
    with pytest.raises(UserError, match="damaged or cut short"):
        read_header(path)


# ---- sizes


def test_a_photo_turned_against_its_camera_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)[2]
    scenes.write_photo(path, 30, 40)
    sizes = r"002\.png is 30×40 pixels, and its camera 40×30"
    with pytest.raises(UserError, match=f"{sizes}: it is turned by 90 degrees, and no EXIF data say which way; turn"):
        load_scene(tmp_path)


@pytest.mark.parametrize("size", [(40, 20), (60, 30), (41, 36)])
def test_a_photo_of_another_shape_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    scenes.write_photo(write(tmp_path)[2], *size)
    with pytest.raises(UserError, match=r"002\.png is .* pixels, and its camera 40×30: a photo must be its camera's"):
        load_scene(tmp_path)


@pytest.mark.parametrize("size", [(20, 15), (80, 60), (13, 10), (79, 60), (320, 240)])
def test_a_photo_that_is_scaled_is_not(tmp_path: Path, size: tuple[int, int]) -> None:
    scenes.write_photo(write(tmp_path)[2], *size)
    assert len(load_scene(tmp_path).train) == 4


def test_a_photo_far_larger_than_its_camera_is_refused(tmp_path: Path) -> None:
    scenes.write_photo(write(tmp_path)[0], 4000, 3000)
    with pytest.raises(UserError, match=r"000\.png is 4000×3000 pixels, .* at most 16 times as wide as its camera"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "size, message", [((4000, 3000), "is damaged or cut short"), ((40000, 30000), "is not decoded")]
)
def test_a_photo_that_claims_to_be_huge_is_left_out(tmp_path: Path, size: tuple[int, int], message: str) -> None:
    path = write(tmp_path)[0]
    huge_png(path, *size)
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and str(path) in scene.warnings[0] and message in scene.warnings[0]


@pytest.mark.parametrize(
    "size, fits", [((40, 30), True), ((80, 60), True), ((20, 15), True), ((30, 40), False), ((40, 20), False)]
)
def test_masks_may_be_scaled_but_not_of_another_shape(tmp_path: Path, size: tuple[int, int], fits: bool) -> None:
    write(tmp_path)
    scenes.write_photo(tmp_path / "masks" / "001.png", *size, channels=1)
    if fits:
        assert load_scene(tmp_path).train[1].mask_path is not None
    else:
        with pytest.raises(UserError, match=r"masks.001\.png is .*; its photo is 40×30: a mask must be"):
            load_scene(tmp_path)


def test_masks_of_the_full_size_fit_smaller_photos(tmp_path: Path) -> None:
    from scene.images import load_image

    for path in write(tmp_path):
        scenes.write_photo(tmp_path / "images_2" / path.name, 20, 15)
        mask = np.zeros((30, 40), np.uint8)
        mask[:, 20:] = 255
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / path.name), mask)
    loaded = load_image(load_scene(tmp_path, images="images_2").train[0]).mask
    assert loaded is not None and loaded.shape == (1, 15, 20)
    assert loaded[0, :, :10].max() == 0 and loaded[0, :, 10:].min() == 1


def test_a_photo_whose_mask_is_damaged_is_left_out(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "001.png").write_bytes(b"x")
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "masks/001.png cannot be decoded" in scene.warnings[0]


# ---- depth


def damaged_npy(shape: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(100))

    return save


@pytest.mark.parametrize(
    "suffix, save",
    [(".png", lambda path: huge_png(path, 4000, 3000)), (".png", lambda path: huge_png(path, 60000, 45000)),
     (".png", lambda path: path.write_bytes(b"")), (".png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n")),
     (".npy", damaged_npy("(1000000000000,)")), (".npy", damaged_npy("(-1, 16)")),
     (".npy", damaged_npy("(9223372036854775808,)")),
     (".npy", damaged_npy("(")), (".npy", damaged_npy("3")),
     (".npy", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(40))),
     (".npy", lambda path: path.write_bytes(b"")), (".npy", lambda path: np.save(path, np.array([{}], object))),
     (".npy", lambda path: np.save(path, np.zeros((3, 4), "c8"))), (".npy", lambda path: np.save(path, np.zeros(5)))],
)  # fmt: skip
def test_a_damaged_depth_map_costs_itself(tmp_path: Path, suffix: str, save: Callable[[Path], None]) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    stem = tmp_path / "depth" / Path(cameras[1].name).stem
    stem.with_suffix(".png").unlink()
    save(stem.with_suffix(suffix))
    scene = load_scene(tmp_path)
    assert len(scene.train) == 4 and sum(view.depth is not None for view in scene.train) == 3
    assert stem.name in scene.warnings[0] and "not used" in scene.warnings[0]


def test_one_depth_map_is_not_given_to_two_photos(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path)
    rgbd.write_depth(tmp_path, cameras)
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    rgbd.write_transforms(tmp_path, cameras)
    path = tmp_path / "transforms.json"
    path.write_text(path.read_text().replace("depth/001.png", "depth/000.png"))
    with pytest.raises(UserError, match=r"the depth map .*000\.png is given to two photos"):
        load_scene(tmp_path)


# ---- focal lengths


@pytest.mark.parametrize(
    "lens, named", [("PINHOLE 40 30 4 4 20 15", True), ("PINHOLE 40 30 35 80 20 15", True),
                    ("PINHOLE 40 30 35 36 20 15", False), ("PINHOLE 40 30 9 9 20 15", False),
                    ("PINHOLE 40 30 5000 5000 20 15", True), ("SIMPLE_FISHEYE 40 30 5 20 15", False)]
)  # fmt: skip
def test_focal_lengths_that_hardly_any_camera_has_are_said(tmp_path: Path, lens: str, named: bool) -> None:
    write(tmp_path)
    (tmp_path / "sparse/0/cameras.txt").write_text("".join(f"{number} {lens}\n" for number in range(1, 5)))
    warnings = load_scene(tmp_path).warnings
    assert any("4 cameras have unlikely focal lengths" in warning for warning in warnings) == named


@pytest.mark.parametrize("center, named", [("0.5 0.5", True), ("0.49 0.51", True), ("20 15", False), ("-30 15", False)])
def test_principal_points_in_another_unit_are_said(tmp_path: Path, center: str, named: bool) -> None:
    write(tmp_path)
    lens = f"PINHOLE 40 30 35 36 {center}\n"
    (tmp_path / "sparse/0/cameras.txt").write_text("".join(f"{number} {lens}" for number in range(1, 5)))
    warnings = load_scene(tmp_path).warnings
    assert any("4 cameras have their principal point in the corner" in warning for warning in warnings) == named
