"""What the renderer hands to the rasterizer: harmonics in two tensors, and only those in use in the graph."""

from __future__ import annotations

import pytest
import torch

from diff_gaussian_rasterization import rasterize
from gaussian_renderer import RenderSettings, render
from scene.types import Camera
from tests.helpers.clouds import random_gaussians
from tests.helpers.scenes import looking_at_origin

CAMERA = Camera("000.png", 40, 30, 35.0, 36.0, 19.5, 15.5, looking_at_origin(0.3))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_up_to_a_degree(degree: int) -> None:
    """The bits of one tensor of all; without a gradient where none is in use, and 0 above the degree."""
    gaussians = random_gaussians(40)
    gaussians.means.data.mul_(0.5)
    color = render(gaussians, CAMERA, torch.zeros(3), RenderSettings(near=0.1, sh_degree=degree)).color
    color.square().sum().backward()
    shs = torch.cat([gaussians.shs_dc, gaussians.shs_rest], dim=1).detach().requires_grad_()
    shape = (gaussians.means, gaussians.activated_scales, gaussians.quats, gaussians.activated_opacities)
    whole = rasterize(
        *(each.detach() for each in shape), shs, sh_degree=degree, near=0.1, background=torch.zeros(3),
        viewmat=torch.as_tensor(CAMERA.camera_from_world, dtype=torch.float32), depth_model="ray",
        **{name: getattr(CAMERA, name) for name in ("fx", "fy", "cx", "cy", "width", "height")},
    ).color  # fmt: skip
    whole.square().sum().backward()
    assert color.max() > 0.1 and torch.equal(color, whole) and shs.grad is not None
    assert torch.equal(gaussians.shs_dc.grad, shs.grad[:, :1]) and shs.grad[:, 0].any()
    if degree == 0:
        assert gaussians.shs_rest.grad is None
    else:
        assert torch.equal(gaussians.shs_rest.grad, shs.grad[:, 1:])
        used = (degree + 1) ** 2
        assert shs.grad[:, used - 1].any() and not shs.grad[:, used:].any()
