"""Photos that EXIF turns: as stored where their camera has that shape, turned where it has the other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from scene import load_scene
from scene.images import load_image
from scene.orientation import turned
from scene.types import View
from tests.helpers import rgbd, scenes
from tests.helpers.rgbd import depth_of
from utils.errors import UserError

ORIENTATION = 0x0112
UNDONE = {5: 5, 6: 8, 7: 7, 8: 6}  # the turn that undoes each


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_turn_as_pillow_turns_them(orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.getexif()[ORIENTATION] = orientation
    np.testing.assert_array_equal(turned(pixels, orientation), np.asarray(ImageOps.exif_transpose(image)))
    assert turned(pixels, 99) is pixels


def tag(path: Path, orientation: int, pixels: np.ndarray | None = None) -> None:
    """Store a photo, of other pixels if they are given, with its EXIF tag."""
    image = Image.open(path) if pixels is None else Image.fromarray(pixels)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif)


def write_turned(folder: Path, orientation: int) -> tuple[View, np.ndarray]:
    """A scene whose photo 001 is stored on its side, with masks; its view as it would be, and the photo's pixels."""
    cameras = rgbd.write_scene(folder)
    rgbd.write_depth(folder, cameras)
    path = folder / "images" / "001.png"
    upright = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    tag(path, orientation, turned(upright, UNDONE[orientation]))
    return load_scene(folder).train[1], upright


@pytest.mark.parametrize("orientation", UNDONE)
def test_a_photo_stored_on_its_side_is_turned_to_its_camera(tmp_path: Path, orientation: int) -> None:
    view, upright = write_turned(tmp_path, orientation)
    assert (view.camera.width, view.camera.height) == (80, 60) and view.orientation == orientation
    np.testing.assert_array_equal(np.round(255 * load_image(view).color).transpose(1, 2, 0), upright)
    small = load_scene(tmp_path, resolution=2).train[1]
    assert load_image(small).color.shape == (3, 30, 40)


@pytest.mark.parametrize("orientation", UNDONE)
@pytest.mark.parametrize("as_stored", [True, False])
def test_its_mask_and_depth_may_have_either_shape(tmp_path: Path, orientation: int, as_stored: bool) -> None:
    truth, _ = write_turned(tmp_path, orientation)
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 30:70] = 255
    numbers = np.round(1000 * rgbd.sphere_depth(truth.camera)).astype(np.uint16)
    if as_stored:
        mask, numbers = (turned(each, UNDONE[orientation]) for each in (mask, numbers))
    (tmp_path / "masks").mkdir()
    assert cv2.imwrite(str(tmp_path / "masks" / "001.png"), mask)
    assert cv2.imwrite(str(tmp_path / "depth" / "001.png"), numbers)
    scene = load_scene(tmp_path)
    view = scene.train[1]
    loaded = load_image(view).mask
    assert scene.warnings == () and loaded is not None
    expected = np.zeros((60, 80))
    expected[10:20, 30:70] = 1
    np.testing.assert_array_equal(loaded[0], expected)
    depth, valid = depth_of(view)
    assert valid.mean() > 0.9 and np.abs(depth / rgbd.sphere_depth(view.camera) - 1)[valid].max() < 0.001


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_that_fits_as_stored_is_not_turned(tmp_path: Path, orientation: int) -> None:
    """As COLMAP and OpenSfM see it, which ignore the tag."""
    rgbd.write_scene(tmp_path)
    path = tmp_path / "images" / "001.png"
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    tag(path, orientation)
    view = load_scene(tmp_path).train[1]
    assert view.orientation == 1
    np.testing.assert_array_equal(np.round(255 * load_image(view).color).transpose(1, 2, 0), pixels)


@pytest.mark.parametrize("size, orientation", [((60, 60), 6), ((60, 80), 3), ((40, 80), 8)])
def test_a_photo_that_fits_neither_way_is_refused(tmp_path: Path, size: tuple[int, int], orientation: int) -> None:
    rgbd.write_scene(tmp_path)
    path = tmp_path / "images" / "001.png"
    scenes.write_photo(path, *size)
    tag(path, orientation)
    why = "no EXIF data say which way" if orientation == 3 else "also when it is turned as its EXIF data say"
    with pytest.raises(UserError, match=rf"001\.png is {size[0]}×{size[1]} pixels, and its camera 80×60.*{why}"):
        load_scene(tmp_path)


def test_a_mask_that_fits_neither_way_is_refused(tmp_path: Path) -> None:
    write_turned(tmp_path, 6)
    scenes.write_photo(tmp_path / "masks" / "001.png", 60, 60, channels=1)
    with pytest.raises(UserError, match=r"masks.001\.png is 60×60 pixels; its photo is 80×60"):
        load_scene(tmp_path)
