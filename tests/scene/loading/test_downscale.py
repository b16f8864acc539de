"""Half the size: the same view, with pixels twice as large."""

from __future__ import annotations

import numpy as np
import torch

from scene.loading.downscale import downscale_2x
from scene.loading.image_cache import LoadedView
from scene.types import Camera


def photo(width: int, height: int) -> LoadedView:
    camera = Camera("a.png", width, height, 30.0, 31.0, 10.5, 7.25, np.eye(4))
    generator = torch.Generator().manual_seed(0)
    color, mask = (torch.rand((channels, height, width), generator=generator) for channels in (3, 1))
    return LoadedView(camera, color, mask, None)


def test_pixels_are_means_of_four() -> None:
    full = photo(21, 14)
    small = downscale_2x(full)
    assert small.color.shape == (3, 7, 10) and small.mask is not None and small.mask.shape == (1, 7, 10)
    assert (small.camera.width, small.camera.height) == (10, 7) and small.alpha is None
    assert full.mask is not None
    for row, column in ((0, 0), (6, 9)):
        block = np.s_[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert torch.allclose(small.color[:, row, column], full.color[block].mean(dim=(1, 2)))
        assert torch.allclose(small.mask[:, row, column], full.mask[block].mean(dim=(1, 2)))


def test_a_point_keeps_its_place_in_the_picture() -> None:
    full, small = photo(20, 14).camera, downscale_2x(photo(20, 14)).camera
    x, y, z = 0.3, -0.2, 2.0
    for one, half in ((full.fx * x / z + full.cx, small.fx * x / z + small.cx),
                      (full.fy * y / z + full.cy, small.fy * y / z + small.cy)):  # fmt: skip
        assert np.isclose(half, one / 2)
    assert (small.cx, small.cy) == (5.25, 3.625)
