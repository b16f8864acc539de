"""Regularisers against plain formulas, their gradients, and that a change of the scene's unit changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import RasterOutput, rasterize
from utils.losses.regularizers import (
    distortion,
    effective_rank,
    largest_distortion,
    opacity,
    ray_direction,
    ray_ratio,
    scale,
)

EXTENT = 2.5
CENTER = torch.tensor([0.3, -0.2, -3.0], dtype=torch.float64)
RATIO_MAX = 1.1


def cloud(count: int = 12, unit: float = 1.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Means, scales and quaternions (not of unit length); `unit` is the length of one unit."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    means, scales, quats = normal(count, 3), torch.exp(normal(count, 3) - 2), normal(count, 4)
    return tuple(each.to(dtype) for each in (means * unit, scales * unit, quats))  # type: ignore[return-value]


def draw(means: Tensor, scales: Tensor, quats: Tensor, unit: float = 1.0, **settings: Any) -> RasterOutput:
    pose = torch.eye(4, dtype=means.dtype)
    pose[2, 3] = 4 * unit
    count = len(means)
    return rasterize(
        means,
        scales,
        quats,
        torch.full((count, 1), 0.6, dtype=means.dtype),
        colors=torch.full((count, 3), 0.5, dtype=means.dtype),
        viewmat=pose,
        fx=20.0,
        fy=20.0,
        cx=12.0,
        cy=9.0,
        width=24,
        height=18,
        background=torch.zeros(3, dtype=means.dtype),
        near=0.1 * unit,
        **settings,
    )


def some_visible(count: int = 12) -> Tensor:
    visible = torch.ones(count, dtype=torch.bool)
    visible[::4] = False
    return visible


def covariances(scales: Tensor, quats: Tensor) -> Tensor:
    """R·diag(s²)·Rᵀ with R as the textbook writes it."""
    w, x, y, z = (quats / quats.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    rotation = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    return rotation @ torch.diag_embed(scales**2) @ rotation.transpose(1, 2)


def plain_ratio(means: Tensor, scales: Tensor, quats: Tensor) -> Tensor:
    sigma = covariances(scales, quats)
    rays = (means - CENTER) / (means - CENTER).norm(dim=1, keepdim=True)
    along = torch.einsum("ni,nij,nj->n", rays, sigma, rays)
    return torch.sqrt(along / (0.5 * (sigma.diagonal(dim1=1, dim2=2).sum(dim=1) - along)))


# ---- distortion


def test_distortion_is_the_mean_over_hit_pixels_in_extents() -> None:
    output = draw(*cloud())
    hit = output.alpha > 0
    assert 0.1 < hit.double().mean() < 0.9
    expected = output.distortion[hit].mean() / EXTENT**2
    assert distortion(output.distortion, output.alpha, EXTENT).item() == pytest.approx(expected.item(), rel=1e-12)
    mask = torch.zeros_like(output.alpha)
    mask[:, 5:12] = 1
    inside = output.distortion[hit & (mask > 0)].mean() / EXTENT**2
    found = distortion(output.distortion, output.alpha, EXTENT, mask).item()
    assert found == pytest.approx(inside.item(), rel=1e-12) and abs(found - expected.item()) > 1e-3 * found
    largest = output.distortion.max().item() / EXTENT**2
    assert largest_distortion(output.distortion, EXTENT) == pytest.approx(largest, rel=1e-12)
    assert (
        largest_distortion(output.distortion, EXTENT, 1 - (output.distortion == output.distortion.max()).double())
        < largest
    )


def test_depths_far_apart_count_by_the_logarithm() -> None:
    output = draw(*cloud())
    hit, s = output.alpha > 0, 0.05
    values = output.distortion[hit] / EXTENT**2
    assert (values > 4 * s**2).any() and (values < s**2).any()
    expected = (s**2 * torch.log(1 + values / s**2)).mean()
    found = distortion(output.distortion, output.alpha, EXTENT, scale=s)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    plain = distortion(output.distortion, output.alpha, EXTENT)
    assert found < 0.9 * plain
    assert distortion(output.distortion, output.alpha, EXTENT, scale=1e3).item() == pytest.approx(plain.item())


@pytest.mark.parametrize("depth_model", ["center", "ray"])
@pytest.mark.parametrize(("scale", "gap"), [(0.0, math.inf), (0.05, math.inf), (0.0, 0.3)], ids=["plain", "log", "gap"])
def test_distortion_reaches_the_gaussians_exactly(scale: float, gap: float, depth_model: str) -> None:
    means, scales, quats = cloud(5)
    inputs = tuple(each.requires_grad_() for each in (means, torch.exp(scales) * 0.2, quats))

    def term(*values: Tensor) -> Tensor:
        output = draw(*values, depth_model=depth_model, distortion_gap=gap)
        return distortion(output.distortion, output.alpha, EXTENT, scale=scale)

    value = term(*inputs)
    gradients = torch.autograd.grad(value, inputs)
    assert value > 1e-3 and all(each.abs().max() > 1e-5 for each in gradients)
    assert gradcheck(term, inputs, eps=1e-7, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 0.05])
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e6])
def test_distortion_outside_the_mask_has_no_part(junk: float, scale: float) -> None:
    output = draw(*cloud())
    mask = torch.zeros_like(output.alpha)
    mask[:, 5:12] = 1
    spoilt = torch.where(mask > 0, output.distortion, junk).requires_grad_()
    value = distortion(spoilt, output.alpha, EXTENT, mask, scale)
    (gradient,) = torch.autograd.grad(value, spoilt)
    assert value.item() == distortion(output.distortion, output.alpha, EXTENT, mask, scale).item() > 0
    assert gradient[mask == 0].abs().max() == 0 and gradient[mask > 0].max() > 0


def test_nothing_hit_is_zero_with_zero_gradient() -> None:
    image = torch.ones(1, 4, 5, requires_grad=True)
    for alpha, mask in ((torch.zeros(1, 4, 5), None), (torch.ones(1, 4, 5), torch.zeros(1, 4, 5))):
        value = distortion(image, alpha, EXTENT, mask, scale=0.05)
        (gradient,) = torch.autograd.grad(value, image)
        assert value.item() == 0 and gradient.abs().max() == 0


# ---- ray direction


def test_ray_ratio_is_the_formula() -> None:
    values = cloud()
    found = ray_ratio(*values, CENTER)
    assert found.min() < 0.7 and found.max() > 1.5
    torch.testing.assert_close(found, plain_ratio(*values), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("scales", "expected"),
    [((1, 1, 1), 1.0), ((1, 1, 1e-9), math.sqrt(2)), ((1e-9, 1, 1), 1e-9), ((5, 1, 1), 5.0), ((1, 5, 5), 0.2)],
)
def test_ray_ratio_of_plain_shapes(scales: tuple[float, float, float], expected: float) -> None:
    """The ray goes along x."""
    values = (torch.tensor([[4.0, 0, 0]]), torch.tensor([scales], dtype=torch.float32), torch.tensor([[3.0, 0, 0, 0]]))
    assert ray_ratio(*values, torch.zeros(3)).item() == pytest.approx(expected, rel=1e-6)


def test_a_thin_needle_keeps_its_digits_in_float32() -> None:
    """tr Σ − dᵀΣd as a difference would be 0 or worse."""
    turned = torch.tensor([[0.9, 0.1, -0.3, 0.2]])
    scales = torch.tensor([[1.0, 1e-5, 2e-5]])
    direction = torch.linalg.eigh(covariances(scales.double(), turned.double())[0])[1][:, -1]
    means = direction[None] * 3
    exact = ray_ratio(means, scales.double(), turned.double(), torch.zeros(3, dtype=torch.float64)).item()
    assert exact > 3e4
    rough = ray_ratio(means.float(), scales, turned, torch.zeros(3)).item()
    assert math.isfinite(rough) and rough > 1e4  # float32 knows the ray's direction no better


def test_ray_direction_is_the_mean_over_the_visible() -> None:
    values, visible = cloud(), some_visible()
    expected = torch.relu(plain_ratio(*values) - RATIO_MAX)[visible].mean()
    assert ray_direction(*values, CENTER, visible, RATIO_MAX).item() == pytest.approx(expected.item(), rel=1e-10)


def test_ray_direction_gradients() -> None:
    inputs, visible = tuple(each.requires_grad_() for each in cloud()), some_visible()

    def term(*values: Tensor) -> Tensor:
        return ray_direction(*values, CENTER, visible, RATIO_MAX)

    value = term(*inputs)
    gradients = torch.autograd.grad(value, inputs)
    over = (plain_ratio(*inputs) > RATIO_MAX) & visible
    assert value > 0.05 and 2 <= over.sum() < visible.sum()
    for each in gradients:
        assert each[over].abs().amax(dim=1).min() > 1e-5 and not each[~over].any()
    assert gradcheck(term, inputs, eps=1e-7, atol=1e-8, rtol=1e-6)


def test_nothing_visible_is_zero_with_zero_gradient() -> None:
    inputs = tuple(each.requires_grad_() for each in cloud())
    value = ray_direction(*inputs, CENTER, torch.zeros(12, dtype=torch.bool), RATIO_MAX)
    assert value.item() == 0 and not any(each.any() for each in torch.autograd.grad(value, inputs))


def test_a_step_down_shortens_the_needle() -> None:
    means, scales, quats = cloud()
    log_scales = scales.log().requires_grad_()
    visible = torch.ones(12, dtype=torch.bool)
    before = ray_direction(means, log_scales.exp(), quats, CENTER, visible, RATIO_MAX)
    (gradient,) = torch.autograd.grad(before, log_scales)
    assert ray_direction(means, (log_scales - gradient).exp(), quats, CENTER, visible, RATIO_MAX) < 0.9 * before


# ---- opacity and scale


@pytest.mark.parametrize("term", [opacity, lambda values: scale(values, EXTENT)])
def test_opacity_and_scale(term: Callable[[Tensor], Tensor]) -> None:
    values = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    factor = 1.0 if term is opacity else 1 / EXTENT
    assert term(values).item() == pytest.approx(values.mean().item() * factor) and term(values) > 0.1
    assert gradcheck(term, (values,), eps=1e-6, atol=1e-8, rtol=1e-6)
    assert term(values[:0]).item() == 0


# ---- all


@pytest.mark.parametrize("unit", [1000.0, 1e-3])
def test_the_unit_of_the_scene_does_not_matter(unit: float) -> None:
    """Metres become millimetres: cameras, centers, scales and extent alike."""
    terms = []
    for length in (1.0, unit):
        means, scales, quats = cloud(unit=length)
        output = draw(means, scales, quats, length)
        terms.append(
            {
                "distortion": distortion(output.distortion, output.alpha, EXTENT * length),
                "largest": largest_distortion(output.distortion, EXTENT * length),
                "ray": ray_direction(means, scales, quats, CENTER * length, some_visible(), RATIO_MAX),
                "scale": scale(scales, EXTENT * length),
            }
        )
    for name, value in terms[0].items():
        assert float(value) > 1e-4 and float(terms[1][name]) == pytest.approx(float(value), rel=1e-9)


# ---- the effective rank


def test_the_effective_rank_is_that_of_scales_as_they_are_trained() -> None:
    """The formula itself, its gradient and its borders: tests/rasterizer/test_effective_rank.py."""
    scales = torch.tensor([[0.3, 0.2, 0.02], [0.3, 0.003, 0.004]], dtype=torch.float64)
    shares = [0.09 / 0.1304, 0.04 / 0.1304, 0.0004 / 0.1304]
    rank = math.exp(-sum(share * math.log(share) for share in shares))
    found = effective_rank(scales.log(), torch.tensor([True, False]), 2.5)
    assert float(found) == pytest.approx(math.log(1.50001 / (rank - 1 + 1e-5))) and found > 0.1
