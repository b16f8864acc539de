"""The terms of the loss, from images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arguments import parse_train_options
from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer.objective import Objective
from scene.types import Camera
from scene.views import Photo

CAMERA = Camera("wall", 8, 6, 10.0, 10.0, 4.0, 3.0, np.eye(4))
Z = 2.5


def seen_through(alpha: float) -> tuple[RasterOutput, Photo]:
    """A wall at `Z` of which only a part `alpha` is there, and its photo with the depth measured."""
    plane = torch.full((1, 6, 8), alpha)
    empty = torch.zeros(0)
    output = RasterOutput(
        plane.expand(3, 6, 8), plane / Z, plane * Z, plane, torch.zeros_like(plane), empty, empty, empty, None
    )
    photo = Photo(CAMERA, torch.zeros(3, 6, 8), None, depth=torch.full((1, 6, 8), Z), depth_valid=plane > 0)
    return output, photo


@pytest.mark.parametrize("name", ["inv_l1", "l1"])
@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.3])
def test_a_surface_that_is_seen_through_is_where_it_is(name: str, alpha: float) -> None:
    """The old fault: inverse depth was not over alpha, so what is seen through was pulled nearer than its depth."""
    objective = Objective.of(parse_train_options(["--depth_loss", name]), extent=1.7)
    output, photo = seen_through(alpha)
    assert objective.depth(output, photo).item() == pytest.approx(0, abs=1e-6)
    nearer = output._replace(depth=0.9 * output.depth, inv_depth=output.inv_depth / 0.9)
    assert objective.depth(nearer, photo).item() > 0.05
