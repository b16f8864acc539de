"""Depth and normals that agree: the slope of the rendered inverse depth against that of the Gaussians themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.losses.photometric import masked_mean, select

EDGE_STEP = 0.05  # relative step of inverse depth between neighbors that is an edge


def slope_consistency(
    inv_depth: Tensor,
    alpha: Tensor,
    slope: Tensor,
    focal: tuple[float, float],
    photo: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """Σ over x and y of the mean over neighbors of f/ζ·|∂ζ − h|·exp(−|∂I|), without unit.

    `inv_depth`, `alpha` (1,H,W) and `slope` (2,H,W) are the rasterizer's: ζ = inv_depth/alpha, whose difference between
    neighbors is ∂ζ, and h = slope/alpha, the mean of the two. On the plane of a Gaussian 1/z is affine in the pixel,
    with its normal's x and y for slopes: so this compares the normals of the depth with those of the Gaussians.
    `focal`: of x and y, pixels. `photo`: (3,H,W) I, whose edges count less; ∂I is the mean over its channels. `mask`:
    (1,H,W) in [0,1].

    Neighbors are left out where either is not hit or their ζ differ by over 5 %: one before another is no slope.
    """
    hit = alpha > 0
    counted = hit.to(alpha.dtype) if mask is None else hit * mask
    cover = torch.where(hit, alpha, 1.0)
    level, rise = inv_depth / cover, slope / cover
    along_x = _disagreement(level, rise[:1], photo, counted, focal[0], 2)
    return along_x + _disagreement(level, rise[1:], photo, counted, focal[1], 1)


def _disagreement(level: Tensor, rise: Tensor, photo: Tensor, counted: Tensor, focal: float, axis: int) -> Tensor:
    def pairs(image: Tensor) -> tuple[Tensor, Tensor]:
        last = image.shape[axis] - 1
        return image.narrow(axis, 0, last), image.narrow(axis, 1, last)

    (first, second), (one, other), (near, far) = pairs(level), pairs(counted), pairs(photo)
    middle, step = (first + second) / 2, second - first
    known = one * other * (step.abs() <= EDGE_STEP * middle)
    apart = (step - sum(pairs(rise)) / 2).abs() * torch.exp(-(far - near).abs().mean(dim=0, keepdim=True))
    return masked_mean(select(focal * apart / torch.where(known > 0, middle, 1.0), known), known)
