"""The variance of depth within a Gaussian, along a ray, and its term."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import rasterize
from tests.rasterizer.scenes import normal, random_viewmat
from utils.losses.thickness import ray_variance, thickness
from utils.quaternion import rotate

EXTENT = 2.5
CAMERA: dict[str, Any] = dict(fx=20.0, fy=20.0, cx=12.0, cy=9.0, width=24, height=18)


def cloud(count: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means, scales and quaternions before a turned camera, and that camera; the first lies behind it."""
    rng = torch.Generator().manual_seed(5)
    viewmat = random_viewmat(rng)
    points = normal(rng, count, 3) * torch.tensor([1.0, 0.8, 0.5]) + torch.tensor([0.0, 0.0, 4.0])
    points[0, 2] = -1.0
    scales, quats = torch.exp(0.7 * normal(rng, count, 3) - 1), normal(rng, count, 4)
    return (points - viewmat[:3, 3]) @ viewmat[:3, :3], scales, quats, viewmat


def test_it_is_the_conditional_variance_by_the_inverse_covariance() -> None:
    means, scales, quats, viewmat = cloud()
    found = ray_variance(means, scales, quats, viewmat, 0.1)[:, 0]
    axes = torch.stack([rotate(quats, torch.eye(3).double()[k].expand(8, 3)) for k in range(3)], dim=2)
    precision = torch.linalg.inv(axes @ torch.diag_embed(scales**2) @ axes.transpose(1, 2))
    offsets = means + viewmat[:3, 3] @ viewmat[:3, :3]
    z = means @ viewmat[2, :3] + viewmat[2, 3]
    expected = z**2 / torch.einsum("ni,nij,nj->n", offsets, precision, offsets)
    torch.testing.assert_close(found[1:], expected[1:], rtol=1e-10, atol=0)
    assert found[0] == 0 and found[1:].min() > 1e-3


@pytest.mark.parametrize(
    ("scales", "expected"),
    [((0.3, 0.3, 0.3), 0.3), ((9.0, 9.0, 0.01), 0.01), ((0.1, 0.1, 2.0), 2.0), ((1, 1, 1e-25), 0)],
)
def test_plain_shapes_before_the_camera(scales: tuple[float, float, float], expected: float) -> None:
    """Their standard deviation along the axis; a disc's thickness may be less than float32 can square."""
    values = torch.tensor([scales], requires_grad=True)
    found = ray_variance(torch.tensor([[0.0, 0, 5]]), values, torch.tensor([[2.0, 0, 0, 0]]), torch.eye(4), 0.1)
    assert found.sqrt().item() == pytest.approx(expected, rel=1e-5, abs=1e-20)
    assert torch.autograd.grad(found, values)[0].isfinite().all()


def term_of(means: Tensor, scales: Tensor, quats: Tensor, opacities: Tensor, viewmat: Tensor) -> Tensor:
    output = rasterize(
        means, scales, quats, opacities, colors=torch.zeros(len(means), 3).double(), viewmat=viewmat,
        background=torch.zeros(3).double(), near=0.1,
        features=ray_variance(means, scales, quats, viewmat, 0.1), **CAMERA,
    )  # fmt: skip
    assert output.features is not None
    return thickness(output.features, output.alpha, EXTENT)


def test_it_reaches_the_gaussians_exactly() -> None:
    """By every input, the camera included, through the weights too; what lies behind has gradient 0, not NaN."""
    means, scales, quats, viewmat = cloud()
    means[0] = -viewmat[:3, 3] @ viewmat[:3, :3]  # in the camera's center, where the variance is 0/0
    rng = torch.Generator().manual_seed(6)
    leaves = tuple(each.requires_grad_() for each in (means, scales, quats, torch.sigmoid(normal(rng, 8, 1)), viewmat))
    value = term_of(*leaves)
    gradients = torch.autograd.grad(value, leaves)
    assert value > 1e-3
    for each in gradients[:4]:
        assert each[1:].abs().amax(dim=1).min() > 1e-6 and not each[0].any()
    assert gradients[4].abs().max() > 1e-3
    assert gradcheck(term_of, leaves, eps=1e-7, atol=1e-7, rtol=1e-5)


def test_the_mean_is_over_hit_pixels_in_the_mask() -> None:
    rng = torch.Generator().manual_seed(0)
    variance = torch.rand(1, 5, 6, generator=rng, dtype=torch.float64)
    alpha = (torch.rand(1, 5, 6, generator=rng) > 0.4).double()
    expected = (variance[alpha > 0]).mean() / EXTENT**2
    assert thickness(variance, alpha, EXTENT).item() == pytest.approx(expected.item())
    mask = torch.zeros_like(alpha)
    mask[:, 2:] = 0.5
    spoilt = torch.where(mask * alpha > 0, variance, torch.inf).requires_grad_()
    value = thickness(spoilt, alpha, EXTENT, mask)
    inside = variance[(alpha * mask) > 0].mean() / EXTENT**2
    assert value.item() == pytest.approx(inside.item())
    assert not torch.autograd.grad(value, spoilt)[0][mask * alpha == 0].any()
    assert thickness(variance, torch.zeros_like(alpha), EXTENT) == 0
