"""`photometric`: how much two images differ, as the two terms of 3DGS's loss, in one pass each way."""

from __future__ import annotations

import torch
from torch import Tensor

from . import ops
from .checks import check_device, check_tensor


@ops.memory_errors
def photometric(image: Tensor, target: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The means of |image − target| and of 1 − SSIM (Wang et al. 2004, eq. 13) over all channels; 0 where equal.

    SSIM has an 11×11 Gaussian window with σ = 1.5 pixels, zero padding, C1 = 0.01² and C2 = 0.03²: for values in [0,1].
    In float32, rounding of the variances E[x²] − E[x]² changes it by up to some 1e-4 in bright flat regions.

    With a mask both images are set to 0 where it is 0, whatever was there, and the means have its weights. Without any
    weight they are 0. Differentiable in both images, not in the mask.

    Args:
        image: (C, H, W), float32 or float64.
        target: (C, H, W), of the same dtype.
        mask: (1, H, W), of the same dtype, in [0,1].

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape or device; the message names it.
    """
    image = check_tensor("image", image, ("C", "H", "W"))
    check_device("image", image)
    target = check_tensor("target", target, image.shape, image, like_name="image")
    if mask is not None:
        mask = check_tensor("mask", mask, (1, *image.shape[1:]), image, like_name="image")
    l1, dssim, _, _ = ops.photometric(image, target, mask, _partial_count(image, target))
    return l1, dssim


def _partial_count(image: Tensor, target: Tensor) -> int:
    """How many maps of derivatives the backward pass will read; see csrc/params.h."""
    if not torch.is_grad_enabled():
        return 0
    return 4 if target.requires_grad else 3 if image.requires_grad else 0
