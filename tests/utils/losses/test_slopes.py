"""The term that compares the slopes of the depth with those of the Gaussians."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import RasterOutput, rasterize
from utils.losses.slopes import EDGE_STEP, slope_consistency

FOCAL = (21.0, 24.0)


def plane(slope: tuple[float, float], height: int = 6, width: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """inv_depth, alpha and slope of a plane that is seen through a little, and a photo of one color."""
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    alpha = torch.linspace(0.5, 1, height * width, dtype=torch.float64).reshape(1, height, width)
    level = 0.5 + slope[0] * x + slope[1] * y
    slopes = torch.tensor(slope, dtype=torch.float64)[:, None, None] * alpha
    return level * alpha, alpha, slopes, torch.full((3, height, width), 0.5, dtype=torch.float64)


def by_hand(inv_depth: Tensor, alpha: Tensor, slope: Tensor, photo: Tensor, mask: Tensor) -> float:
    """Pair by pair."""
    level, rise = (inv_depth / alpha)[0], slope / alpha
    means = []
    for axis, (dy, dx) in enumerate(((0, 1), (1, 0))):
        total, count = 0.0, 0.0
        for i in range(level.shape[0] - dy):
            for j in range(level.shape[1] - dx):
                one, other = (i, j), (i + dy, j + dx)
                middle, step = (level[one] + level[other]) / 2, level[other] - level[one]
                share = float(mask[0][one] * mask[0][other])
                if share == 0 or not (alpha[0][one] > 0 and alpha[0][other] > 0) or abs(step) > EDGE_STEP * middle:
                    continue
                edge = torch.exp(-(photo[:, other[0], other[1]] - photo[:, i, j]).abs().mean())
                apart = abs(step - (rise[axis][one] + rise[axis][other]) / 2)
                total += share * float(FOCAL[axis] / middle * apart * edge)
                count += share
        means.append(total / count)
    return sum(means)


def test_a_plane_with_its_own_slopes_costs_nothing() -> None:
    inv_depth, alpha, slope, photo = plane((0.004, -0.003))
    assert slope_consistency(inv_depth, alpha, slope, FOCAL, photo).item() == pytest.approx(0, abs=1e-12)
    found = slope_consistency(inv_depth, alpha, torch.zeros_like(slope), FOCAL, photo).item()
    assert found == pytest.approx(by_hand(inv_depth, alpha, 0 * slope, photo, torch.ones_like(alpha))) and found > 0.1


def test_it_is_the_sum_over_pairs_without_edges_and_masked_pixels() -> None:
    inv_depth, alpha, slope, photo = plane((0.004, -0.003))
    rng = torch.Generator().manual_seed(0)
    photo, slope = torch.rand(photo.shape, generator=rng, dtype=torch.float64), slope * 1.5
    mask = (torch.randint(0, 3, alpha.shape, generator=rng) / 2).double()
    inv_depth = torch.cat([inv_depth[:, :, :4], 1.2 * inv_depth[:, :, 4:]], dim=2)  # a step of 20 % is no slope
    found = slope_consistency(inv_depth, alpha, slope, FOCAL, photo, mask).item()
    assert found == pytest.approx(by_hand(inv_depth, alpha, slope, photo, mask), rel=1e-12) and found > 0.01
    spoilt = torch.where(mask > 0, inv_depth, torch.nan).requires_grad_()
    value = slope_consistency(spoilt, alpha, slope, FOCAL, photo, mask)
    (gradient,) = torch.autograd.grad(value, spoilt)
    assert value.item() == found and not gradient[mask == 0].any() and gradient.isfinite().all() and gradient.any()


def test_nothing_hit_is_zero_with_zero_gradient() -> None:
    image = torch.zeros(1, 4, 5, requires_grad=True)
    value = slope_consistency(image, torch.zeros(1, 4, 5), torch.zeros(2, 4, 5), FOCAL, torch.zeros(3, 4, 5))
    assert value.item() == 0 and not torch.autograd.grad(value, image)[0].any()
    column = torch.ones(1, 4, 1)
    assert slope_consistency(column, column, torch.zeros(2, 4, 1), FOCAL, torch.zeros(3, 4, 1)) == 0


def draw(means: Tensor, scales: Tensor, quats: Tensor, opacities: Tensor, viewmat: Tensor) -> RasterOutput:
    camera: dict[str, Any] = dict(fx=FOCAL[0], fy=FOCAL[1], cx=6.0, cy=5.0, width=12, height=10, near=0.1)
    colors, black = torch.full((len(means), 3), 0.5, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    return rasterize(
        means, scales, quats, opacities, colors=colors, viewmat=viewmat, background=black, depth_model="ray",
        depth_slope=True, **camera,
    )  # fmt: skip


def test_it_reaches_the_gaussians_exactly() -> None:
    """Large discs about a plane, each turned a little: differences by all inputs, the camera included."""
    rng = torch.Generator().manual_seed(1)
    n = 5

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=rng, dtype=torch.float64)

    means = torch.cat([0.6 * normal(2), 4 + 0.02 * normal(1)], dim=1)
    scales = torch.tensor([1.2, 1.0, 0.1], dtype=torch.float64) * torch.exp(0.1 * normal(3))
    quats = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64) + 0.1 * normal(4)
    inputs = (means, scales, quats, torch.sigmoid(normal(1)), torch.eye(4, dtype=torch.float64))
    photo = torch.rand(3, 10, 12, generator=rng, dtype=torch.float64)

    def term(*values: Tensor) -> Tensor:
        output = draw(*values)
        assert output.depth_slope is not None
        return slope_consistency(output.inv_depth, output.alpha, output.depth_slope, FOCAL, photo)

    leaves = tuple(each.requires_grad_() for each in inputs)
    value = term(*leaves)
    assert value > 0.01 and draw(*leaves).alpha.min() > 0.05
    assert all(each.abs().max() > 1e-4 for each in torch.autograd.grad(value, leaves))
    assert gradcheck(term, leaves, eps=1e-7, atol=1e-6, rtol=1e-6)


def test_a_step_down_turns_discs_into_their_surface() -> None:
    """Discs whose centers lie on a slanted plane, and which face the camera instead."""
    x, y = torch.meshgrid(torch.linspace(-1, 1, 7).double(), torch.linspace(-1, 1, 7).double(), indexing="ij")
    x, y = x.flatten(), y.flatten()
    means = torch.stack([x, y, 4 + 0.5 * x], dim=1)
    scales = torch.tensor([0.25, 0.25, 0.01], dtype=torch.float64).repeat(len(x), 1)
    quats = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).repeat(len(x), 1).requires_grad_()
    opacities, viewmat = torch.full((len(x), 1), 0.8, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    flat = torch.full((3, 10, 12), 0.5, dtype=torch.float64)

    def term() -> Tensor:
        output = draw(means, scales, quats, opacities, viewmat)
        assert output.depth_slope is not None
        return slope_consistency(output.inv_depth, output.alpha, output.depth_slope, FOCAL, flat)

    before = term()
    optimizer = torch.optim.Adam([quats], lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        term().backward()
        optimizer.step()
    after, (w, _, turn, _) = term(), quats.detach()[24]
    assert after < 0.5 * before
    assert 0.6 * 0.4636 < -2 * float(torch.atan2(turn, w)) < 1.3 * 0.4636  # atan ½ about y
