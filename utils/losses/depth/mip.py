"""Depth losses that trust each target pixel as far as its geometry allows: the cone frustums of mip-NeRF.

A pixel sees a frustum along its ray; the variance of z in it is large at depth edges, on slanted surfaces and far
away. Barron et al. 2021, eq. 7, gives the variances along the ray and across it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import UserError
from utils.losses.depth.masked import Pixels, check_size, image_of, loss_mask
from utils.losses.depth.registry import register
from utils.losses.depth.windows import robust_range
from utils.options import option

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy, pixels; pixel (i, j) is sampled at (j + 0.5, i + 0.5)

EPSILON = 1e-8  # of the mean target depth: beside deviations, so that none is 0


@dataclass(frozen=True)
class MipOptions:
    """Options of the depth losses mip_l1 and mip_laplace"""

    mip_window: int = option(
        5,
        "side of the pixel window that the mip losses take the depth range from, in pixels, odd; "
        "raise it for maps that are blurred at edges",
        minimum=1,
    )
    mip_lambda_prior: float = option(
        0.5,
        "share of a pixel width that the mip losses add to the depth spread of each pixel; "
        "raise it to trust all maps less",
        minimum=0,
    )
    mip_alpha_clamp: float = option(
        0.3, "largest depth spread of a pixel in the mip losses, as a share of its depth", minimum=0
    )


@register("mip_l1", "mean |Z - Z*|/sigma, scaled, + |X - X*| + |Y - Y*|", frustums=True, options=MipOptions)
def mip_l1(pixels: Pixels, intrinsics: Intrinsics, variance: Tensor) -> Tensor:
    """Mean of |Z − Z*|·w + |X − X*| + |Y − Y*|, (X, Y, Z) and (X*, Y*, Z*) the back-projected points, world units.

    w is 1/(σ_Z + ε), scaled to mean 1 over the valid pixels, so that one weight of the loss suits all scenes.
    """
    error = (pixels.rendered - pixels.target).abs()
    trust = (_select(variance, pixels).sqrt() + _epsilon(pixels)).reciprocal()
    mean_trust = pixels.mean(trust)
    x, y = rays(pixels.target, intrinsics)
    return pixels.mean(error * trust) / torch.where(mean_trust == 0, 1.0, mean_trust) + pixels.mean(
        error * (x.abs() + y.abs())
    )


@register("mip_laplace", "mean |Z - Z*|/b + ln b, b = sigma/sqrt(2)", frustums=True, options=MipOptions)
def mip_laplace(pixels: Pixels, intrinsics: Intrinsics, variance: Tensor) -> Tensor:
    """Mean of |Z − Z*|/b + ln b, b = √(σ_Z²/2): −ln of a Laplace density, less ln 2. It may be negative."""
    scale = (_select(variance, pixels) / 2).sqrt().clamp(min=_epsilon(pixels))
    return pixels.mean((pixels.rendered - pixels.target).abs() / scale + scale.log())


@torch.no_grad()
def mip_variance(
    target: Tensor,
    valid: Tensor | None,
    intrinsics: Intrinsics,
    options: MipOptions,
) -> Tensor:
    """(H,W) σ_Z² of target depth, squared world units, >= 0 and without gradient; 0 in invalid pixels.

    A frustum is centered at its pixel's distance t_mu; its half length is half the range of the valid distances in the
    window around it, plus `mip_lambda_prior` pixel widths at that distance (1/√(fx·fy) at unit distance), and at most
    `mip_alpha_clamp`·t_mu. It depends on the target alone: make it once for an image. UserError for an even window.
    """
    window = options.mip_window
    if window < 1 or window % 2 == 0:
        raise UserError(f"the window of mip_l1 and mip_laplace is {window} pixels; an odd number is needed")
    target, inside = image_of(target, "target"), loss_mask(target, valid)
    x, y = rays(target, intrinsics)
    square = 1 + x**2 + y**2  # ‖ray‖²
    t = torch.where(inside, target, 1.0) * square.sqrt()
    width = 1 / math.sqrt(intrinsics[0] * intrinsics[1])
    delta = 0.5 * robust_range(t, inside, window) + options.mip_lambda_prior * width * t
    along, across = frustum_variances(t, torch.minimum(delta, options.mip_alpha_clamp * t), width * 2 / math.sqrt(12))
    return torch.where(inside, (along + across * (square - 1)) / square, 0.0)


def frustum_variances(t_mu: Tensor, t_delta: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """σ_t² and σ_r² of cone frustums from t_mu − t_delta to t_mu + t_delta, `radius` wide at unit distance (eq. 7)."""
    mu, delta = t_mu**2, t_delta**2
    scale = 3 * mu + delta
    along = delta / 3 - (4 / 15) * delta**2 * (12 * mu - delta) / scale**2
    across = radius**2 * (mu / 4 + (5 / 12) * delta - (4 / 15) * delta**2 / scale)
    return along, across


def rays(like: Tensor, intrinsics: Intrinsics) -> tuple[Tensor, Tensor]:
    """The slopes x/z, (1,W), and y/z, (H,1), of the rays through the pixels of an (H,W) image."""
    fx, fy, cx, cy = intrinsics
    height, width = like.shape
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    return ((columns + 0.5 - cx) / fx)[None], ((rows + 0.5 - cy) / fy)[:, None]


def _select(variance: Tensor, pixels: Pixels) -> Tensor:
    variance = image_of(variance, "variance")
    check_size(pixels.target, variance, "variance")
    return torch.where(pixels.inside, variance, 1.0)


def _epsilon(pixels: Pixels) -> Tensor:
    return EPSILON * pixels.mean(pixels.target)
