"""How thick the Gaussians themselves are along the rays, where the distortion knows only their middles."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.losses.photometric import masked_mean, select
from utils.quaternion import rotate_back


def ray_variance(means: Tensor, scales: Tensor, quats: Tensor, viewmat: Tensor, near: float) -> Tensor:
    """(N,1) variance of each Gaussian's z along the ray to its center p, world units²: z²/(pᵀΣ⁻¹p).

    means (N,3), scales (N,3) standard deviations, quats (N,4), viewmat (4,4) world to camera; p is from the camera, and
    the result is 0 for z ≤ `near`. With l the components of p along the Gaussian's own axes, pᵀΣ⁻¹p = Σ l²/s²: no term
    cancels another, so that it is as good for discs, which have no thickness, as for needles.
    """
    rotation, translation = viewmat[:3, :3], viewmat[:3, 3]
    z = means @ rotation[2] + translation[2]
    seen = z > near
    # What is not seen becomes a ball before the camera: 0/0 there would have no gradient.
    offsets = torch.where(seen[:, None], means + translation @ rotation, 1.0)
    depth, scales = torch.where(seen, z, 1.0), torch.where(seen[:, None], scales, 1.0)
    thinnest = scales.detach().amin(dim=1, keepdim=True)  # divides out: keeps 1/s² from overflowing
    across = rotate_back(quats, offsets) * (thinnest / scales)
    variance = (depth * thinnest[:, 0]) ** 2 / across.square().sum(dim=1)
    return torch.where(seen, variance, 0.0)[:, None]


def thickness(variance: Tensor, alpha: Tensor, extent: float, mask: Tensor | None = None) -> Tensor:
    """Mean over the hit pixels of Σ w·Var(z), in scene extents²: what of a pixel's variance of z is within Gaussians.

    `variance`: (1,H,W) `ray_variance` blended by the rasterizer, world units². `alpha`: (1,H,W), > 0 where it is hit.
    `mask`: (1,H,W) in [0,1].
    """
    counted = (alpha > 0).to(alpha.dtype) if mask is None else (alpha > 0) * mask
    return masked_mean(select(variance, counted) / extent**2, counted)
