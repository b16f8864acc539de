"""A second derivative that does not exist is an error; torch would take it for 0 and say nothing."""

from __future__ import annotations

import pytest
import torch

from diff_gaussian_rasterization import photometric, rasterize
from tests.rasterizer.scenes import RasterScene, random_scene

LEAVES = ("means", "scales", "quats", "opacities", "shs", "background", "viewmat")


def first_derivatives(scene: RasterScene, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The input `name`, and the gradient of all images by it, in the graph."""
    leaves = scene.leaves()
    output = rasterize(**leaves, **scene.settings)
    total = sum(getattr(output, image).square().sum() for image in ("color", "depth", "distortion"))
    leaf = leaves[name]
    (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
    return leaf, gradient


@pytest.mark.parametrize("name", LEAVES)
def test_the_rasterizer_is_differentiable_once(name: str) -> None:
    leaf, gradient = first_derivatives(random_scene(0), name)
    assert gradient.abs().max() > 1e-6
    with pytest.raises(RuntimeError, match=r"(project|blend) is differentiable once"):
        torch.autograd.grad(gradient.sum(), leaf)


def test_the_photometric_loss_is_differentiable_once() -> None:
    image, target = (torch.rand(3, 16, 16, dtype=torch.float64) for _ in range(2))
    image.requires_grad_()
    (gradient,) = torch.autograd.grad(sum(photometric(image, target)), image, create_graph=True)
    assert gradient.abs().max() > 1e-6
    with pytest.raises(RuntimeError, match="photometric is differentiable once"):
        torch.autograd.grad(gradient.square().sum(), image)


def test_forward_mode_is_an_error() -> None:
    scene = random_scene(0)
    tensors = dict(scene.tensors)
    with torch.autograd.forward_ad.dual_level(), pytest.raises(RuntimeError, match="means has a forward-mode tangent"):
        tensors["means"] = torch.autograd.forward_ad.make_dual(tensors["means"], torch.ones_like(tensors["means"]))
        rasterize(**tensors, **scene.settings)
