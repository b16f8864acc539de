"""The part of a view that is shown larger: where the remedy brings most, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from troubleshooting_pictures import best_part, zoomed

from tests.helpers.ring import camera_at


def test_the_part_with_most_gain_is_shown_larger() -> None:
    gain = np.zeros((30, 40))
    gain[12:22, 20:30] = 2.0
    gain[0, 0] = 50.0
    share, corner = best_part(gain, 3)
    assert share == pytest.approx(2.0 * 100 / 130) and corner[0] == 12 and corner[1] in range(17, 21)
    camera = camera_at(0.4, "a")
    shown = zoomed(camera, (9, 16), 2)
    points = np.random.default_rng(0).normal(size=(20, 3))
    row, column, z, _ = camera.project(points)
    larger = shown.project(points)
    np.testing.assert_allclose(larger[0], 2 * (row - 9))
    np.testing.assert_allclose(larger[1], 2 * (column - 16))
    np.testing.assert_array_equal(larger[2], z)
    assert (shown.width, shown.height) == (camera.width, camera.height)
