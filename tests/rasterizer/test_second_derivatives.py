"""A second derivative that does not exist is an error; torch would take it for 0 and say nothing."""

from __future__ import annotations

import pytest
import torch

from diff_gaussian_rasterization import photometric, rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import IMAGES, RasterScene, random_scene
from tests.rasterizer.test_gradcheck import SCENES, STEP

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
    with pytest.raises(RuntimeError, match=r"(project|blend) is differentiable once.*rasterize_reference"):
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


# ---- where there are second derivatives


def fixed_sum(images: dict[str, torch.Tensor], seed: int = 0) -> torch.Tensor:
    """A number that depends on every pixel of all images, not linearly."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(image.shape, generator=generator).to(image) for name, image in images.items()}
    return sum((weights[name] * image).square().sum() for name, image in images.items())  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["harmonics", "needles", "antialiased"])
def test_the_reference_has_second_derivatives(case: str) -> None:
    """Of a sum over all images, by every pair of inputs, against central differences of the first ones."""
    scene = random_scene(**SCENES[case], width=12, height=10)
    leaves = scene.leaves()

    def total(*values: torch.Tensor) -> torch.Tensor:
        tensors = dict(zip(leaves, values, strict=True))
        output = rasterize_reference(**tensors, **scene.settings)
        return fixed_sum({name: getattr(output, name) for name in IMAGES})

    first = torch.autograd.grad(total(*leaves.values()), list(leaves.values()), create_graph=True)
    for name, gradient in zip(leaves, first, strict=True):
        (second,) = torch.autograd.grad(gradient.sum(), leaves[name], retain_graph=True)
        assert second.abs().max() > 1e-3, name
    assert torch.autograd.gradgradcheck(total, tuple(leaves.values()), eps=STEP, atol=1e-6, rtol=1e-4)
