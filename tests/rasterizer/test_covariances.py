"""Gaussians by their covariances: the same images as by scales and rotations, and gradients that are exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import rasterize
from diff_gaussian_rasterization.covariances import quaternions
from diff_gaussian_rasterization.reference import axes
from tests.rasterizer.scenes import IMAGES, backward, forward, random_cotangents, random_scene
from tests.rasterizer.test_gradcheck import steady


def by_covariances(*, scales: Tensor, quats: Tensor, **others: Any) -> Any:
    """`rasterize` through Σ = axes·axesᵀ."""
    shape = axes(quats, scales)
    return rasterize(scales=None, quats=None, covariances=shape @ shape.mT, **others)


@pytest.mark.parametrize("depth_model", ["center", "ray"])
@pytest.mark.parametrize("seed", range(6))
def test_they_are_what_scales_and_rotations_give(seed: int, depth_model: str) -> None:
    scene = random_scene(
        seed, n=40, depth_model=depth_model, antialiasing=seed % 2 == 1, scale_modifier=1.3 if seed > 3 else 1.0,
        kinds=["ordinary", "border", "opaque", "huge", "behind"], sh_degree=None if seed == 2 else 3,
    )  # fmt: skip
    expected, inputs = forward(rasterize, scene)
    cotangents = random_cotangents(expected, seed)
    found, found_inputs = forward(by_covariances, scene)
    assert torch.equal(found.radii, expected.radii) and (expected.radii > 0).sum() > 10
    for name in IMAGES:
        image = getattr(expected, name)
        assert image.std() > 0
        torch.testing.assert_close(getattr(found, name), image, rtol=0, atol=1e-9 * float(image.detach().abs().max()))
    truth, gradients = (backward(*each) for each in ((expected, cotangents, inputs), (found, cotangents, found_inputs)))
    for name, gradient in truth.items():
        assert (gradient != 0).any(), name
        assert (gradients[name] - gradient).norm() <= 1e-8 * gradient.norm(), name


@pytest.mark.parametrize("depth_model", ["center", "ray"])
@pytest.mark.parametrize("shape", ["any", "balls"])
def test_central_differences(shape: str, depth_model: str) -> None:
    """Also of balls, whose principal axes are not defined."""
    scene = random_scene(1, n=4, width=8, height=6, kinds=["ordinary"], sh_degree=None, depth_model=depth_model)
    steady(scene, depth_model)
    tensors = {name: scene.tensors[name] for name in ("means", "opacities", "colors", "viewmat", "background")}
    scales = scene.tensors["scales"]
    if shape == "balls":
        scales = scales.mean(dim=1, keepdim=True).expand(-1, 3)
    factor = axes(scene.tensors["quats"], scales)
    leaves = [each.clone().requires_grad_() for each in (factor @ factor.mT, *tensors.values())]

    def images(covariances: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        arguments: dict[str, Any] = dict(zip(tensors, others, strict=True))
        output = rasterize(scales=None, quats=None, covariances=covariances, **arguments, **scene.settings)
        return tuple(getattr(output, name) for name in IMAGES)

    found = torch.autograd.grad([image.sum() for image in images(*leaves)], leaves)
    assert all(each.abs().max() > 1e-3 for each in found) and all(each.std() > 0 for each in images(*leaves))
    assert gradcheck(images, leaves, eps=1e-6, atol=1e-6, rtol=1e-6)


def test_float32_and_rows_that_are_not_finite() -> None:
    scene = random_scene(3, n=40, kinds=["ordinary", "needle", "opaque"])
    expected = scene.render(rasterize)
    found = scene.render(by_covariances, torch.float32)
    error = (found.color.double() - expected.color).abs()
    assert found.color.dtype == torch.float32 and expected.color.std() > 0.05 and error.quantile(0.99) < 1e-3
    broken = scene.tensors["scales"].clone()
    broken[4, 1] = torch.nan
    output = scene.with_tensors(scales=broken).render(by_covariances, torch.float32)
    assert output.num_nonfinite == 1 and output.radii[4] == 0 and output.color.isfinite().all()


def test_quaternions_of_any_rotation() -> None:
    quats = torch.randn(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    quats[:4] = torch.eye(4)
    rotations = axes(quats, torch.ones(200, 3, dtype=torch.float64))
    again = axes(quaternions(rotations), torch.ones(200, 3, dtype=torch.float64))
    torch.testing.assert_close(again, rotations, atol=1e-12, rtol=0)


def test_both_shapes_are_refused() -> None:
    scene = random_scene(1, n=3)
    with pytest.raises(ValueError, match="covariances are given, and so are scales or quats"):
        scene.render(rasterize, covariances=torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
