"""HEIC and AVIF photos: their pixels, how they are turned, damage, and what is said without their library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from scene import heif, load_scene
from scene.image_header import read_header
from scene.images import load_image
from scene.orientation import AS_STORED, turned
from scene.readers import colmap, photos
from scene.readers.base import ReadOptions
from scene.types import View
from tests.helpers import scenes
from utils.errors import UserError

ORIENTATION = 0x0112
HEIC_START = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heicmiaf"  # the type box of an iPhone's photo


def need(suffix: str) -> None:
    """A skip where the photos of this suffix cannot be written here."""
    if suffix == ".avif":
        if not features.check("avif"):
            pytest.skip("this Pillow was built without AVIF")
        return
    plugin = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: pip install pillow-heif")
    plugin.register_heif_opener()
    if not plugin.libheif_info()["encoders"]:
        pytest.skip("this pillow-heif writes no HEIC")


def write(path: Path, width: int = 64, height: int = 48, orientation: int = 1, channels: int = 3) -> np.ndarray:
    """A smooth photo, nearly lossless; returns its pixels as stored."""
    pixels = scenes.write_photo(path.with_suffix(".png"), width, height, channels)
    path.with_suffix(".png").unlink()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    how: dict[str, Any] = {"quality": 100, "exif": exif.tobytes()} if orientation != 1 else {"quality": 100}
    how |= {"subsampling": "4:4:4"} if path.suffix == ".avif" else {"chroma": 444}
    Image.fromarray(pixels).save(path, **how)
    return pixels


formats = pytest.mark.parametrize("suffix", [".heic", ".avif"])


@formats
@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_are_those_of_the_photo(tmp_path: Path, suffix: str, channels: int) -> None:
    need(suffix)
    path = tmp_path / f"a{suffix}"
    pixels = write(path, channels=channels)
    header = read_header(path)
    assert (header.width, header.height, header.has_alpha) == (64, 48, channels == 4)
    loaded = load_image(View(scenes.cameras(1, 64, 48)[0], path))
    np.testing.assert_allclose(loaded.color, pixels[..., :3].transpose(2, 0, 1) / 255, atol=0.04)
    assert (loaded.mask is None) == (channels == 3)
    assert loaded.mask is None or np.abs(loaded.mask[0] - pixels[..., 3] / 255).max() < 0.04


@formats
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_photos_that_are_turned_are_used_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """As a phone held upright writes them: the camera is that of the upright photo."""
    need(suffix)
    sideways = orientation != 3
    cameras = scenes.cameras(3, 48, 64) if sideways else scenes.cameras(3, 64, 48)
    colmap.write_model(tmp_path / "sparse" / "0", cameras, scenes.points())
    (tmp_path / "images").mkdir()
    for camera in cameras:
        stored = write(tmp_path / "images" / Path(camera.name).with_suffix(suffix).name, orientation=orientation)
    scene = load_scene(tmp_path)
    upright = turned(stored, orientation)
    assert len(scene.train) == 3 and scene.warnings == ()
    for view in scene.train:
        color = load_image(view).color
        header = read_header(view.image_path)
        if header.orientation == AS_STORED or sideways:  # a camera that fits both ways sees the pixels as stored
            np.testing.assert_allclose(color, upright.transpose(2, 0, 1) / 255, atol=0.04)
        else:
            np.testing.assert_allclose(color, stored.transpose(2, 0, 1) / 255, atol=0.04)


@formats
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_photo_that_is_cut_short_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    need(suffix)
    path = tmp_path / f"a{suffix}"
    write(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match=rf"a\{suffix} (is damaged or cut short|cannot be decoded as an image)"):
        read_header(path)


def test_without_its_library_one_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for number in range(3):
        (tmp_path / f"IMG_{number}.HEIC").write_bytes(HEIC_START + bytes(100))
    with pytest.raises(UserError, match=r"IMG_0\.HEIC needs a library to be decoded: pip install pillow-heif"):
        read_header(tmp_path / "IMG_0.HEIC")
    with pytest.raises(UserError, match=r"3 photos such as IMG_0\.HEIC need a library .*: pip install pillow-heif"):
        load_scene(tmp_path, workspace=tmp_path / "model")


def test_avif_needs_a_newer_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    (tmp_path / "a.avif").write_bytes(HEIC_START.replace(b"heic", b"avif") + bytes(100))
    assert heif.missing_library(tmp_path / "a.avif") == 'pip install "pillow>=11.3"'


def test_what_a_file_is_counts_and_not_its_name(tmp_path: Path) -> None:
    scenes.write_photo(tmp_path / "a.png", 40, 30)
    (tmp_path / "a.png").rename(tmp_path / "a.heic")
    assert heif.missing_library(tmp_path / "a.heic") == "" and read_header(tmp_path / "a.heic").width == 40
    assert not heif.is_heif(b"\x00\x00\x00\x20ftypisom") and heif.is_heif(HEIC_START) and not heif.is_heif(b"")


def test_a_photo_that_is_there_twice_is_used_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As phones and converters leave it: a copy must not be trained on beside a test view."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("IMG_1.jpg", "IMG_2.JPG"):
        scenes.write_photo(tmp_path / name, 40, 30)
        (tmp_path / name).with_suffix(".HEIC").write_bytes(HEIC_START)
    with pytest.raises(UserError, match="2 photos; at least 3"):
        photos.read(tmp_path, ReadOptions(workspace=tmp_path / "model"))
