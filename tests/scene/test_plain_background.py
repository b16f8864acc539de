"""A plain background that all photos share is told from a scene that has one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import render
import train
from scene import load_scene
from scene.images import load_image
from scene.plain_background import plain_background
from tests.helpers import plain
from tests.helpers.scenes import views_of

WHITE, BLACK, GRAY = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 0.55, 0.6)


def balls(background: plain.Color, count: int = 6) -> list[np.ndarray]:
    return [plain.photo(camera, background)[..., ::-1] for camera in plain.make_cameras(count)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("background", "name"), [(WHITE, "white"), (BLACK, "black"), (GRAY, r"\(12\d, 1[34]\d, 15\d\)")]
)
def test_it_is_found_and_said(background: plain.Color, name: str, suffix: str, tmp_path: Path) -> None:
    plain.write_scene(tmp_path, background, suffix=suffix)
    scene = load_scene(tmp_path)
    assert re.search(f"the plain background of the photos, {name}, is taken for transparent", scene.summary)
    assert scene.background == (1.0 if background == WHITE else 0.0) and len(scene.train) == 7
    for view in scene.train:
        assert view.plain is not None and view.background == scene.background
        np.testing.assert_allclose(view.plain.color, background, atol=3 / 255)
    kept = load_scene(tmp_path, keep_background=True)
    assert kept.background == 0 and "transparent" not in kept.summary
    assert all(view.plain is None and view.background is None for view in kept.train)


@pytest.mark.parametrize(
    ("background", "asked", "shown"), [(WHITE, False, 1.0), (WHITE, True, 1.0), (BLACK, False, 0.0), (BLACK, True, 1.0)]
)
def test_test_photos_are_compared_as_they_are(
    background: plain.Color, asked: bool, shown: float, tmp_path: Path
) -> None:
    plain.write_scene(tmp_path, background)
    scene = load_scene(tmp_path, white_background=asked)
    assert scene.background == shown
    as_stored = plain.photo(plain.make_cameras(8)[7], background).transpose(2, 0, 1) / 255
    color, remains = load_image(scene.test[0]).color, background == (shown,) * 3
    assert (scene.test[0].plain is None) == remains
    np.testing.assert_allclose(color[:, 0, 0], shown, atol=0.01)
    assert (np.abs(color - as_stored).max() < 0.01) == remains


def test_what_is_no_plain_background(tmp_path: Path) -> None:
    sky = balls(WHITE)
    for pixels in sky:
        pixels[30:] = np.random.default_rng(0).integers(0, 255, pixels[30:].shape)
    assert plain_background(views_of(tmp_path, sky)) is None
    assert plain_background(views_of(tmp_path, [*balls(WHITE, 3), *balls(GRAY, 3)])) is None
    filled = [np.random.default_rng(k).integers(0, 255, (48, 48, 3), dtype=np.uint8) for k in range(6)]
    assert plain_background(views_of(tmp_path, filled)) is None
    for pixels in filled:
        pixels[[0, -1]], pixels[:, [0, -1]] = 255, 255
    assert plain_background(views_of(tmp_path, filled)) is None, "a thin frame"
    dark = [pixels // 10 for pixels in balls(BLACK)]
    assert plain_background(views_of(tmp_path, dark)) is None, "photos that are dark all over"
    assert plain_background([]) is None
    masked = [replace(view, mask_path=view.image_path) for view in views_of(tmp_path, balls(WHITE))]
    assert plain_background(masked) is None


def test_what_a_lens_leaves_black_is_no_background(tmp_path: Path) -> None:
    row, column = np.mgrid[:48, :48] - 23.5
    seen = np.hypot(row, column) < 22
    photos = [np.random.default_rng(k).integers(60, 255, (48, 48, 3)) * seen[..., None] for k in range(6)]
    assert plain_background(views_of(tmp_path, photos)) is None
    assert plain_background(views_of(tmp_path, balls(BLACK))) is not None


def test_one_close_up_and_one_damaged_photo_of_many_change_nothing(tmp_path: Path) -> None:
    close = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    views = views_of(tmp_path, [*balls(WHITE, 22), close, balls(WHITE)[0]])
    views[-1].image_path.write_bytes(b"")
    found = plain_background(views)
    assert found is not None and found.color == WHITE


def test_alpha_that_says_nothing_is_none(tmp_path: Path) -> None:
    opaque = [np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]) for pixels in balls(WHITE)]
    views = views_of(tmp_path, opaque)
    found = plain_background(views)
    assert found is not None
    image = load_image(replace(views[0], plain=found))
    assert image.mask is not None and image.mask.min() == 0  # and with it, its color says what is transparent
    opaque[2][:9, :9, 3] = 0
    assert plain_background(views_of(tmp_path, opaque)) is None


def test_an_object_on_white_is_trained_and_rendered_on_white(tmp_path: Path) -> None:
    plain.write_scene(tmp_path / "ball", WHITE, count=24, test=2)
    model = tmp_path / "out"
    train.main(["-s", str(tmp_path / "ball"), "-m", str(model), "--iterations", "120", "--eval", "--quiet"])
    assert json.loads((model / "config.json").read_text())["model"]["white_background"]
    render.main(["-m", str(model), "--quiet"])
    (folder,) = (model / "test").iterdir()
    for path in sorted((folder / "renders").iterdir()):
        shown, truth = (cv2.imread(str(each)) for each in (path, folder / "gt" / path.name))
        assert shown is not None and truth is not None
        assert shown[:4].min() > 247, "fog before the white"
        assert cv2.PSNR(shown, truth) > 22
