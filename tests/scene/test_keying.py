"""The alpha of photos before a plain color."""

from __future__ import annotations

import numpy as np
import pytest

from scene.keying import with_alpha
from scene.types import Plain
from tests.helpers import plain

WHITE, BLACK, GREEN = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.1, 0.8, 0.2)
TOLERANCE = 1.5 / 255


@pytest.mark.parametrize("background", [WHITE, BLACK, GREEN])
def test_color_and_alpha_make_the_photo_again(background: plain.Color) -> None:
    photo = (plain.photo(plain.make_cameras(1)[0], background) / np.float32(255)).astype(np.float32)
    found = with_alpha(photo, Plain(background, TOLERANCE))
    color, alpha = found[..., :3], found[..., 3:]
    assert 0.1 < alpha.mean() < 0.9 and found.min() >= 0 and found.max() <= 1
    again = color * alpha + np.float32(background) * (1 - alpha)
    assert np.abs(again - photo)[alpha[..., 0] > 0].max() < 1e-5 and np.abs(again - photo).max() <= TOLERANCE


@pytest.mark.parametrize("background", [WHITE, BLACK, GREEN])
def test_alpha_is_that_of_the_outline(background: plain.Color) -> None:
    camera = plain.make_cameras(1)[0]
    _, truth = plain.ball(camera)
    photo = (plain.photo(camera, background) / 255).astype(np.float32)
    found = with_alpha(photo, Plain(background, TOLERANCE))[..., 3]
    mixed = (truth > 0.02) & (truth < 0.98)
    assert mixed.sum() > 30 and np.abs(found - truth)[mixed].mean() < 0.15
    assert (found[truth == 0] == 0).all() and (found[truth == 1] > 0.9).mean() > 0.99


def test_holes_are_transparent_and_glints_are_not() -> None:
    photo = np.ones((200, 200, 3), np.float32)
    photo[50:150, 50:150] = 0.4
    photo[80:110, 80:110] = 1.0  # a hole, 900 pixels
    photo[130, 130] = 1.0  # a glint
    photo[140:144, 140:144] = 1.0  # a small hole
    photo[:4, :4] = 0.4
    photo[0, 0] = 1.0  # cut off from the background, at the photo's edge
    alpha = with_alpha(photo, Plain(WHITE, TOLERANCE))[..., 3]
    assert (alpha[140:144, 140:144] == 0).all() and alpha[0, 0] == 0
    assert (alpha[80:110, 80:110] == 0).all() and alpha[130, 130] == 1 and (alpha[60:75, 60:75] == 1).all()


def test_what_deviates_by_more_than_the_tolerance_is_something() -> None:
    photo = np.full((20, 20, 3), 0.5, np.float32)
    photo[5:9, 5:9, 1] += 0.03
    alpha = with_alpha(photo, Plain((0.5, 0.5, 0.5), 0.02))[..., 3]
    assert (alpha[5:9, 5:9] > 0.9).all() and alpha.sum() == pytest.approx(16, rel=0.01)
    assert with_alpha(photo, Plain((0.5, 0.5, 0.5), 0.04))[..., 3].sum() == 0


def test_traces_of_compression_are_nothing_and_small_things_are_something() -> None:
    photo = np.ones((200, 200, 3), np.float32)
    photo[50:150, 50:150] = 0.4
    photo[20, 20] = 0.9
    compressed = with_alpha(photo, Plain(WHITE, 4 / 255))[..., 3]
    assert compressed[20, 20] == 0 and compressed[100, 100] == 1
    assert with_alpha(photo, Plain(WHITE, TOLERANCE))[20, 20, 3] == 1
