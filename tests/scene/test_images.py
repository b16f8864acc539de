"""What load_image makes of files: sizes, channels, bit depths, masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scene.image_header import read_header
from scene.images import ROUGH, load_image, resized, roughly
from scene.types import Camera, CameraModel, View
from tests.helpers import scenes
from tests.helpers.decoded import parts_decoded
from utils.errors import DamagedFile, UserError


def view(path: Path, width: int = 40, height: int = 30, **fields: object) -> View:
    camera = Camera(path.name, width, height, 35.0, 35.0, width / 2, height / 2, np.eye(4))
    return View(camera, path, **fields)


def test_rgb(tmp_path: Path) -> None:
    pixels = scenes.write_photo(tmp_path / "a.png", 40, 30)
    loaded = load_image(view(tmp_path / "a.png"))
    assert loaded.mask is None and loaded.color.dtype == np.float32
    np.testing.assert_allclose(loaded.color, pixels.transpose(2, 0, 1) / 255, atol=1e-6)


def test_gray_and_16_bit(tmp_path: Path) -> None:
    values = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40) * 50
    cv2.imwrite(str(tmp_path / "a.png"), values)
    loaded = load_image(view(tmp_path / "a.png"))
    np.testing.assert_allclose(loaded.color, np.stack([values / 65535] * 3), atol=1e-6)


def test_alpha_is_a_mask_or_a_background(tmp_path: Path) -> None:
    pixels = scenes.write_photo(tmp_path / "a.png", 40, 30, channels=4) / 255
    color, alpha = pixels[..., :3].transpose(2, 0, 1), pixels[..., 3]
    masked = load_image(view(tmp_path / "a.png"))
    assert masked.mask is not None
    np.testing.assert_allclose(masked.mask[0], alpha, atol=1e-6)
    np.testing.assert_allclose(masked.color, color, atol=1e-6)
    on_white = load_image(view(tmp_path / "a.png", background=1.0))
    assert on_white.mask is None
    np.testing.assert_allclose(on_white.color, color * alpha + 1 - alpha, atol=1e-6)


def test_a_mask_file(tmp_path: Path) -> None:
    scenes.write_photo(tmp_path / "a.png", 40, 30)
    drawn = np.zeros((30, 40), np.uint8)
    drawn[10:20] = 255
    cv2.imwrite(str(tmp_path / "m.png"), drawn)
    loaded = load_image(view(tmp_path / "a.png", mask_path=tmp_path / "m.png"))
    assert loaded.mask is not None
    np.testing.assert_array_equal(loaded.mask[0], drawn / 255)
    cv2.imwrite(str(tmp_path / "m.png"), drawn[:5])
    with pytest.raises(UserError, match=r"m\.png is 40×5 pixels; its photo is 40×30"):
        load_image(view(tmp_path / "a.png", mask_path=tmp_path / "m.png"))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda shown: shown.astype(np.uint8),  # 0 and 1, as arrays of booleans are saved
        lambda shown: shown.astype(np.uint16) * 255,  # bytes in 16 bits
        lambda shown: shown.astype(np.uint16) * 65535,
        lambda shown: np.dstack([np.full((30, 40, 3), 255, np.uint8), shown.astype(np.uint8) * 255]),  # in its alpha
        lambda shown: np.dstack([np.zeros((30, 40, 3), np.uint8), shown.astype(np.uint8) * 255]),
        lambda shown: np.dstack([shown.astype(np.uint8) * 255] * 3 + [np.full((30, 40), 255, np.uint8)]),
    ],
    ids=["0 and 1", "bytes in 16 bits", "16 bits", "white with alpha", "black with alpha", "all opaque"],
)
def test_masks_that_programs_save(tmp_path: Path, drawn: Callable[[np.ndarray], np.ndarray]) -> None:
    scenes.write_photo(tmp_path / "a.png", 40, 30)
    shown = np.zeros((30, 40), bool)
    shown[10:20] = True
    cv2.imwrite(str(tmp_path / "m.png"), drawn(shown))
    loaded = load_image(view(tmp_path / "a.png", mask_path=tmp_path / "m.png"))
    assert loaded.mask is not None
    np.testing.assert_array_equal(loaded.mask[0], shown)


def test_sizes_follow_the_flag() -> None:
    assert resized(3200, 2400, -1) == (1600, 1200)
    assert resized(1000, 600, -1) == (1000, 600)
    assert resized(1000, 600, 4) == (250, 150)
    assert resized(1000, 600, 500) == (500, 300)
    assert resized(1000, 600, 16_384) == (1000, 600)
    assert resized(3, 1, 8) == (1, 1)


def test_shrinking_averages_and_matches_the_camera(tmp_path: Path) -> None:
    pixels = scenes.write_photo(tmp_path / "a.png", 40, 30)
    loaded = load_image(view(tmp_path / "a.png", 20, 15))
    expected = pixels.reshape(15, 2, 20, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(loaded.color, expected.transpose(2, 0, 1), atol=1e-4)


def test_a_lens_is_undone(tmp_path: Path) -> None:
    pixels = scenes.write_photo(tmp_path / "a.png", 40, 30)
    lens = CameraModel("SIMPLE_RADIAL", 40, 30, (35.0, 20.0, 15.0, 0.3))
    straight = load_image(view(tmp_path / "a.png", camera_model=lens)).color
    assert np.abs(straight - pixels.transpose(2, 0, 1) / 255).max() > 0.02  # something was moved
    assert np.abs(straight[:, 15, 20] - pixels[15, 20] / 255).max() < 0.01  # not the center


def smooth(width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8 that varies over many pixels."""
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    waves = [np.sin(7 * x + 2 * y), np.cos(5 * y - 3 * x), np.sin(9 * x * y)]
    return np.round(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("lens", [None, "SIMPLE_RADIAL"])
@pytest.mark.parametrize(("size", "reduced"), [((80, 60), 8), ((100, 75), 4), ((320, 240), 2), ((400, 300), 1)])
@pytest.mark.parametrize("stored", [(640, 480), (643, 483)])  # the latter, no multiple of 8, may shift by a pixel
def test_a_rough_look_decodes_less_and_shows_the_same(
    stored: tuple[int, int], size: tuple[int, int], reduced: int, lens: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(*stored)).save(path, quality=95)
    model = None if lens is None else CameraModel(lens, *stored, (500.0, stored[0] / 2, stored[1] / 2, 0.2))
    seen = view(path, *size, camera_model=model)
    whole, asked = load_image(seen), parts_decoded(monkeypatch)
    rough = load_image(seen, rough=True)
    assert asked == [reduced] and rough.color.shape == whole.color.shape == (3, *size[::-1])
    assert whole.color.std() > 0.2
    shift = 0.0 if stored == (640, 480) else max(np.abs(np.diff(whole.color, axis=axis)).max() for axis in (1, 2))
    assert np.abs(rough.color - whole.color).max() < 0.02 + shift


def test_a_rough_look_at_a_photo_that_is_turned_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(smooth(640, 480)).save(tmp_path / "a.jpg", quality=95, exif=exif)
    for seen in (view(tmp_path / "a.jpg", 60, 80, orientation=6), view(tmp_path / "a.jpg", 80, 60)):
        assert np.abs(load_image(seen, rough=True).color - load_image(seen).color).max() < 0.03


def test_only_jpeg_files_without_a_mask_are_decoded_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = parts_decoded(monkeypatch)
    for name in ("a.jpg", "a.png", "mask.png"):
        Image.fromarray(smooth(640, 480)).save(tmp_path / name)
    (tmp_path / "named.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    for name, mask in (("a.jpg", None), ("a.png", None), ("a.jpg", tmp_path / "mask.png"), ("named.png", None)):
        load_image(view(tmp_path / name, 80, 60, mask_path=mask), rough=True)
    assert asked == [8, 1, 1, 1, 8]  # the mask's own, too


def test_a_damaged_photo_is_named_at_a_rough_look_too(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff and no more")
    with pytest.raises(DamagedFile, match=r"a\.jpg cannot be decoded"):
        load_image(view(tmp_path / "a.jpg"), rough=True)


def test_roughly_is_the_same_picture_in_fewer_pixels() -> None:
    large, point = view(Path("a.jpg"), 4000, 3000), np.array([[0.3, -0.2, 1.7]])
    small = roughly(large)
    assert (small.camera.width, small.camera.height) == (ROUGH, 600)
    whole, part = (each.camera.project(point) for each in (large, small))
    assert part[0] * 5 == pytest.approx(whole[0]) and part[1] * 5 == pytest.approx(whole[1])
    assert roughly(small) is small and roughly(view(Path("a.jpg"))).camera.width == 40


def test_colors_of_another_space_than_rgb_are_refused(tmp_path: Path) -> None:
    """A decoder hands the numbers of Lab over as if they were RGB."""
    Image.new("LAB", (40, 30), (90, 150, 100)).save(tmp_path / "a.tiff")
    with pytest.raises(UserError, match=r"a\.tiff has Lab colors, which are not read; convert it to RGB"):
        read_header(tmp_path / "a.tiff")


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"a\.png cannot be decoded"):
        load_image(view(tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"gone\.png cannot be decoded"):
        load_image(view(tmp_path / "gone.png"))
