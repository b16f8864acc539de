"""The gradient of the projected means, signed and as a sum of absolute values, against one backward pass per pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import IMAGES, RasterScene, forward, random_cotangents, random_scene


def by_brute_force(scene: RasterScene, cotangents: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Σ and Σ|·| over pixels of ∂(the pixel's part of the loss)/∂means2d, (N, 2) pixels."""
    output, _ = forward(rasterize_reference, scene)
    loss = torch.stack([(cotangents[name] * getattr(output, name)).sum(dim=0) for name in cotangents]).sum(dim=0)
    parts = [torch.autograd.grad(part, output.means2d, retain_graph=True)[0] for part in loss.flatten()]
    return torch.stack(parts).sum(dim=0), torch.stack(parts).abs().sum(dim=0)


@pytest.mark.parametrize("images", [IMAGES, ("color",), ("distortion",)], ids=["all", "color", "distortion"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_means2d_receives_both(seed: int, images: tuple[str, ...]) -> None:
    scene = random_scene(seed, n=25, width=18, height=17, distortion_space=("linear", "inverse")[seed])
    cotangents = random_cotangents(scene.render(rasterize_reference), seed, images)
    signed, absolute = by_brute_force(scene, cotangents)
    assert (absolute > signed.abs() * 1.01).any(), "nothing cancels: the two would look alike"
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
        output = rasterize(**scene.leaves(dtype), **scene.settings, absgrad=True)
        output.means2d.retain_grad()
        torch.autograd.backward([getattr(output, name) for name in images], [v.to(dtype) for v in cotangents.values()])
        assert output.means2d.grad is not None
        for found, expected in ((output.means2d.grad, signed), (output.means2d.absgrad, absolute)):  # type: ignore[attr-defined]
            assert found.shape == (25, 2)
            assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("channels", [1, 2, 4, 8, 16])
def test_channels_count_together(channels: int) -> None:
    """A pixel's absolute value is of what all its channels say, not of each."""
    scene = random_scene(6, n=20, width=17, height=12, sh_degree=None, channels=channels)
    cotangents = random_cotangents(scene.render(rasterize_reference), channels)
    _, absolute = by_brute_force(scene, cotangents)
    output = rasterize(**scene.leaves(), **scene.settings, absgrad=True)
    torch.autograd.backward([getattr(output, name) for name in cotangents], list(cotangents.values()))
    found = output.means2d.absgrad  # type: ignore[attr-defined]
    assert absolute.any() and (found - absolute).abs().max() <= 1e-9 * absolute.max()


def test_a_second_backward_pass_brings_its_own() -> None:
    """`absgrad` is of the latest backward pass, while `grad` adds up as torch's gradients do."""
    scene = random_scene(3, n=10)
    output = rasterize(**scene.leaves(), **scene.settings, absgrad=True)
    output.means2d.retain_grad()
    output.color.sum().backward(retain_graph=True)
    first = output.means2d.absgrad.clone()  # type: ignore[attr-defined]
    (2 * output.color.sum()).backward()
    torch.testing.assert_close(output.means2d.absgrad, 2 * first)  # type: ignore[attr-defined]


def test_an_offset_shifts_the_splats_and_receives_the_gradient() -> None:
    scene = random_scene(4, n=20)
    whole = scene.with_settings(cx=scene.settings["cx"] + 2, cy=scene.settings["cy"] - 1)
    offset = torch.tensor([2.0, -1.0], dtype=torch.float64).expand(20, 2)
    moved = rasterize(**scene.leaves(), **scene.settings, means2d_offset=offset)
    torch.testing.assert_close(moved.color, whole.render(rasterize_reference).color)
