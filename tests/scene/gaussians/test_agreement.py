"""By how much photos differ at a place: in small, by the half that differs least, and where none shows it."""

from __future__ import annotations

import numpy as np
import pytest

from scene.gaussians.agreement import UNSEEN, Thumbnail, disagreement, thumbnail
from scene.types import Camera

RED = np.array([0.9, 0.1, 0.1], np.float32)
PLACE = np.array([[[0.0, 0.0, 4.0]]])  # before all cameras, in the middle


def camera(x: float) -> Camera:
    pose = np.eye(4)
    pose[0, 3] = -x
    return Camera(f"{x}", 40, 30, 40.0, 40.0, 20.0, 15.0, pose)


def plain(x: float, color: np.ndarray, cover: np.ndarray | None = None) -> Thumbnail:
    return thumbnail(camera(x), np.tile(color, (30, 40, 1)).astype(np.float32), cover)


def test_photos_from_which_the_place_is_hidden_do_not_count() -> None:
    photos = [plain(0.1, RED), plain(0.2, RED), plain(0.3, 0 * RED), plain(0.4, 0 * RED)]
    assert disagreement(PLACE, RED[None], photos).item() == pytest.approx(0, abs=1e-6)
    one_of_three = disagreement(PLACE, RED[None], photos[1:]).item()  # the half of three is two
    assert one_of_three == pytest.approx(RED.mean() / 2, rel=1e-5)


def test_each_color_has_its_own_places() -> None:
    ways = np.array([[[0.0, 0.0, 4.0], [90.0, 0.0, 4.0]], [[0.0, 0.0, 2.0], [0.0, 0.0, 3.0]]])  # the second is aside
    found = disagreement(ways, np.stack([RED, 0 * RED]), [plain(0.0, RED)])
    np.testing.assert_allclose(found, [[0, UNSEEN], [0, RED.mean()]], atol=1e-6)


def test_pixels_that_do_not_count_show_nothing() -> None:
    assert disagreement(PLACE, RED[None], [plain(0.0, 0 * RED, np.zeros((30, 40), np.float32))]).item() == UNSEEN


def test_a_thumbnail_has_the_colors_of_the_photo() -> None:
    colors = np.random.default_rng(0).random((600, 400, 3)).astype(np.float32)
    colors[:300] *= 0.5
    made = thumbnail(Camera("a", 400, 600, 400.0, 400.0, 200.0, 300.0, np.eye(4)), colors, None)
    assert made.colors.shape == (96, 64, 3)
    shown = made.shown(np.array([0.0, 599.9]), np.array([399.9, 0.0]))
    np.testing.assert_array_equal(shown, [made.colors[0, 63], made.colors[95, 0]])
    assert made.colors[:48].mean() == pytest.approx(colors[:300].mean(), rel=1e-3)
