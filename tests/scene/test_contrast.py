"""The contrast of photos: of what counts in them, from percentiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene.contrast import ENOUGH, LEAST, contrast, contrast_gain
from tests.helpers.scenes import views_of

WIDTH, HEIGHT = 40, 30


def ramp(low: float, high: float) -> np.ndarray:
    """(H,W,3) uint8, evenly from `low` to `high` of the range."""
    values = np.linspace(low, high, WIDTH * HEIGHT * 3).reshape(HEIGHT, WIDTH, 3)
    return np.round(255 * values).astype(np.uint8)


@pytest.mark.parametrize(
    ("low", "high", "gain"),
    [
        (0.0, 1.0, 1.0),
        (0.3, 0.95, 1.0),
        (0.0, 0.12, ENOUGH / (0.98 * 0.12)),
        (0.4, 0.65, ENOUGH / (0.98 * 0.25)),
        (0.5, 0.5, ENOUGH / LEAST),
    ],
)
def test_dark_and_foggy_photos_are_amplified(low: float, high: float, gain: float, tmp_path: Path) -> None:
    views = views_of(tmp_path, [ramp(low, high)] * 3)
    assert contrast(views) == pytest.approx(0.98 * (high - low), abs=2 / 255)
    assert contrast_gain(views) == pytest.approx(gain, rel=0.04)


def test_photos_together_have_the_contrast(tmp_path: Path) -> None:
    """One of a dark corner and one of a window are no dark scene."""
    assert contrast_gain(views_of(tmp_path, [ramp(0.0, 0.1), ramp(0.8, 1.0)])) == 1.0


def test_a_lamp_is_no_contrast(tmp_path: Path) -> None:
    photo = ramp(0.0, 0.12)
    photo[:2, :4] = 255
    assert contrast(views_of(tmp_path, [photo])) == pytest.approx(0.12, abs=0.01)


@pytest.mark.parametrize("background", [None, 0.0, 1.0])
def test_what_is_transparent_or_masked_is_no_contrast(background: float | None, tmp_path: Path) -> None:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[5:25, 5:30] = 255
    color = ramp(0.0, 1.0)
    color[5:25, 5:30] = ramp(0.1, 0.3)[5:25, 5:30]
    views = views_of(tmp_path, [np.dstack([color, alpha])] * 2, background)
    assert contrast(views) == pytest.approx(0.98 * 0.2 * 20 / 30, abs=0.02)


def test_photos_of_nothing_that_counts_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    views = views_of(tmp_path, [np.dstack([ramp(0, 1), np.zeros((HEIGHT, WIDTH), np.uint8)])])
    assert contrast(views) == 1.0 and contrast_gain(views) == 1.0
    more = views_of(tmp_path, [ramp(0.0, 0.2), ramp(0.0, 1.0)])
    more[1].image_path.write_bytes(b"no photo")
    assert contrast(more) == pytest.approx(0.2, abs=0.01)
