"""The loss of G2-MonoDepth (Wang et al. 2023): absolute depth, relative depth, and the gradients of relative depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.depth.masked import Pixels, spread, total
from utils.losses.depth.registry import register

SCALES = (1, 2, 4, 8)  # pixels averaged in each direction
GRADIENT_WEIGHT = 0.5
KEPT_SHARE = 0.5  # an average of pixels counts where more of them are valid
EPSILON = 1e-6  # world units: beside the mean deviation that a map is divided by


@register("g2", "mean |Z - Z*| + mean |z - z*| + 0.5*grad, z and z* standardized")
def g2(pixels: Pixels) -> Tensor:
    """adepth + rdepth + 0.5·rgrad, the three terms of `g2_terms`."""
    absolute, relative, gradient = g2_terms(pixels)
    return absolute + relative + GRADIENT_WEIGHT * gradient


@register("grad", "mean |Sobel(z - z*)| over four scales, z and z* standardized")
def grad(pixels: Pixels) -> Tensor:
    """The third term of `g2_terms` alone: whether depth steps and slopes are where they should be, at any scale."""
    return _over_scales(pixels, _relative_error(pixels))


def g2_terms(pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
    """Mean |Z − Z*|; the same of the standardised maps; and that of the Sobel gradients of these, over four scales.

    Averaging and Sobel's filter are linear, so all is done on the difference of the two maps. A scale that does not fit
    into the image, or keeps no pixel, counts as 0.
    """
    difference = _relative_error(pixels)
    gradient = _over_scales(pixels, difference)  # first: the order of the nodes is that in which gradients add up
    absolute = pixels.mean((pixels.rendered - pixels.target).abs())
    return absolute, pixels.mean(difference.abs()), gradient


def _relative_error(pixels: Pixels) -> Tensor:
    return standardized(pixels, pixels.rendered) - standardized(pixels, pixels.target)


def _over_scales(pixels: Pixels, difference: Tensor) -> Tensor:
    """The mean over the scales of the mean gradients of a (H,W) difference."""
    return torch.stack([_gradients(*_averages(pixels, difference, scale)) for scale in SCALES]).mean()


def standardized(pixels: Pixels, values: Tensor) -> Tensor:
    """(d − mean d)/(mean |d − mean d| + 1e-6) over the valid pixels.

    Of a constant map that is 0, with the finite gradient of the formula: the deviations' over 1e-6, where the mean
    deviation's own kink has derivative 0.
    """
    centered = pixels.centered(values)
    return centered / spread(pixels.mean(centered.abs()) + EPSILON, values)


def _averages(pixels: Pixels, values: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Means of scale×scale `values`, of the valid ones alone, and their weights: 0 where half or less are valid."""
    if scale == 1:
        return values, pixels.weight
    if min(values.shape) < scale:
        return values[:0], values[:0]
    weight, sums = _pool(pixels.weight, scale), _pool(values * pixels.weight, scale)
    share = _pool(pixels.inside.to(values.dtype), scale)
    kept = share > KEPT_SHARE
    return sums / torch.where(kept, weight, 1.0), torch.where(kept, weight / share, 0.0)


def _pool(values: Tensor, scale: int) -> Tensor:
    return F.avg_pool2d(values[None], scale)[0]


def _gradients(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of |Sobel_x| + |Sobel_y| of (H,W) `values`."""
    weight_sum = total(weight)
    inside = F.pad((weight != 0).to(values.dtype), (1, 1, 1, 1))
    padded = F.pad(values, (1, 1, 1, 1))
    size = _sobel(padded, inside).abs() + _sobel(padded.T, inside.T).T.abs()
    return total(size * weight) / torch.where(weight_sum == 0, 1.0, weight_sum)


def _sobel(padded: Tensor, inside: Tensor) -> Tensor:
    """(H,W) horizontal Sobel gradients of (H+2,W+2) values.

    Each is a sum of three differences, of rows one above the other. One counts where both of its ends and the pixel
    between them are `inside` (1, others 0): a gradient across an invalid pixel, or across the border, is none.
    """
    whole = inside[:, :-2] * inside[:, 1:-1] * inside[:, 2:]
    rows = (padded[:, 2:] - padded[:, :-2]) * whole
    return rows[:-2] + 2 * rows[1:-1] + rows[2:]
