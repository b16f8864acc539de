"""`ssim_map`: how alike two images are around each pixel, differentiable in both."""

from __future__ import annotations

import torch
from torch import Tensor

from . import ops
from .checks import check_device, check_tensor


@ops.memory_errors()
def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """(C, H, W) structural similarity (Wang et al. 2004, eq. 13) of two images, pixel by pixel; 1 where equal.

    11×11 Gaussian window with σ = 1.5 pixels, zero padding, C1 = 0.01² and C2 = 0.03²: for values in [0,1]. In float32,
    rounding of the variances E[x²] − E[x]² changes the similarity by up to some 1e-4 in bright flat regions.

    Args:
        image: (C, H, W), float32 or float64.
        target: (C, H, W), of the same dtype.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape or device; the message names it.
    """
    image = check_tensor("image", image, ("C", "H", "W"))
    check_device("image", image)
    target = check_tensor("target", target, image.shape, image, like_name="image")
    return ops.ssim(image, target, _partial_count(image, target))[0]


def _partial_count(image: Tensor, target: Tensor) -> int:
    """How many maps of derivatives the backward pass will read; see csrc/params.h."""
    if not torch.is_grad_enabled():
        return 0
    return 4 if target.requires_grad else 3 if image.requires_grad else 0
