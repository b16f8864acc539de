"""The depth losses that look at each pixel for itself, in the formulas' own symbols: Z rendered, Z* target, V valid."""

from __future__ import annotations

import torch
from torch import Tensor

from diff_gaussian_rasterization import inv_depth_l1
from utils.losses.depth.masked import DepthImages, Pixels, spread
from utils.losses.depth.registry import register

NEAREST_SHARE = 0.1  # of the mean target depth: nothing nearer gets more weight in `inv_weighted_l1`
VARIANCE_FOCUS = 0.85  # of `silog`: 1 would forgive any common scale


@register("inv_l1", "mean |1/Z - 1/Z*|", of_images=True)
def inv_l1(images: DepthImages) -> Tensor:
    """Mean of |inv_depth/alpha − 1/Z*|, 1/`unit`, in one pass over the images each way: it is the default."""
    valid, weight = (None if each is None else each[None] for each in (images.valid, images.weight))
    inv_depth, alpha, target = images.inv_depth[None], images.alpha[None], images.target[None]
    return inv_depth_l1(inv_depth, alpha, target, valid, weight, unit=images.unit, depth_max=images.depth_max)


@register("l1", "mean |Z - Z*|")
def l1(pixels: Pixels) -> Tensor:
    """Mean of |Z − Z*|, world units."""
    return pixels.mean((pixels.rendered - pixels.target).abs())


@register("log_l1", "mean |ln(1 + Z) - ln(1 + Z*)|")
def log_l1(pixels: Pixels) -> Tensor:
    """Mean of |ln(1 + Z) − ln(1 + Z*)|; Z > −1 in valid pixels."""
    return pixels.mean((pixels.rendered.log1p() - pixels.target.log1p()).abs())


@register("inv_weighted_l1", "mean |Z - Z*|/max(Z*, 0.1*mean Z*)")
def inv_weighted_l1(pixels: Pixels) -> Tensor:
    """Mean of |Z − Z*|/max(Z*, 0.1·mean Z*): a relative error, but not of what is much nearer than the scene."""
    floor = NEAREST_SHARE * pixels.mean(pixels.target)
    return pixels.mean((pixels.rendered - pixels.target).abs() / torch.maximum(pixels.target, floor))


@register("silog", "sqrt(mean e^2 - 0.85*(mean e)^2), e = ln Z - ln Z*")
def silog(pixels: Pixels) -> Tensor:
    """√(mean e² − 0.85·(mean e)²), e = ln Z − ln Z* (Eigen et al. 2014, eq. 4); Z > 0 in valid pixels.

    A common factor c of Z costs √0.15·|ln c| where nothing else is wrong. Written as √(var e + 0.15·(mean e)²), which
    loses no digits. The root's singular point is a perfect rendering: there the value is 0 and so is the gradient, the
    middle of its subgradients.
    """
    error = pixels.rendered.log() - pixels.target.log()
    square = pixels.mean(pixels.centered(error).square()) + (1 - VARIANCE_FOCUS) * pixels.mean(error).square()
    perfect = square == 0
    return torch.where(perfect, 0.0, torch.where(perfect, 1.0, square).sqrt())


@register("ssi", "mean |s*Z + t - Z*|, s and t of least squares")
def ssi(pixels: Pixels) -> Tensor:
    """Mean of |s·Z + t − Z*| with the scale s and shift t of least squares over V (Ranftl et al. 2020, eq. 4).

    The gradient goes through s and t too: along a change of Z that they undo it is 0. Where the valid Z are all equal,
    to rounding, as a single pixel is, every s fits equally well: s is 0 there, t the mean of Z*, and the gradient 0.
    """
    depth, target = pixels.centered(pixels.rendered), pixels.centered(pixels.target)
    variance = pixels.mean(depth.square())
    rounding = 4 * torch.finfo(depth.dtype).eps
    varied = variance > rounding**2 * pixels.mean(pixels.rendered.square())
    scale = torch.where(varied, pixels.mean(depth * target) / torch.where(varied, variance, 1.0), 0.0)
    return pixels.mean((spread(scale, depth) * depth - target).abs())
