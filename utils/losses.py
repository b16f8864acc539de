"""Losses of a rendered image against its photo: short functions that return scalars; the caller weighs and logs them.

Masks select: a pixel outside the mask enters neither the numerator nor the denominator, so it has gradient exactly 0.
A mask without any pixel gives a loss of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian window, pixels
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants for images in [0,1]

Similarity = Callable[[Tensor, Tensor], Tensor]  # two (3,H,W) images -> their (3,H,W) structural similarity


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of (C,H,W) `values` with the weights of a (1,H,W) mask in [0,1]; of all without one."""
    if mask is None:
        return values.mean()
    total = mask.sum(dtype=torch.float64).to(values.dtype) * values.shape[0]  # the same for any number of threads
    return (values * mask).sum() / torch.where(total > 0, total, 1.0)


def select(images: Tensor, mask: Tensor | None) -> Tensor:
    """`images` with 0 outside the mask, whatever was there: a product with the mask would keep NaN and infinity."""
    return images if mask is None else torch.where(mask > 0, images, 0.0)


def l1(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of two (3,H,W) images inside the (1,H,W) mask."""
    return masked_mean((select(image, mask) - select(target, mask)).abs(), mask)


def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """(3,H,W) structural similarity at each pixel and channel."""
    channels = image.shape[0]
    # The target's moments have no gradient: apart, they stay out of the backward pass.
    mean_x, square_x, product = blur(torch.cat([image, image * image, image * target])).split(channels)
    mean_y, square_y = blur(torch.cat([target, target * target])).split(channels)
    variance_x, variance_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
    covariance = product - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    return luminance * (2 * covariance + C2) / (variance_x + variance_y + C2)


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity (Wang et al. 2004, eq. 13) of two (3,H,W) images in [0,1]; 1 when they are equal.

    11×11 Gaussian window, σ 1.5, zero padding, mean over all pixels and channels. With a mask both images are set to 0
    outside it before windowing, as they are beyond the border, and the mean is over the pixels inside it: values
    outside the mask, NaN too, have no part.
    """
    return masked_mean(ssim_map(select(image, mask), select(target, mask)), mask)


def dssim(image: Tensor, target: Tensor, mask: Tensor | None = None, similarity: Similarity = ssim_map) -> Tensor:
    """Structural dissimilarity, 1 − `ssim`; 0 where the mask is empty. `similarity` may be a faster `ssim_map`."""
    return masked_mean(1 - similarity(select(image, mask), select(target, mask)), mask)


def blur(images: Tensor) -> Tensor:
    """SSIM's window over each of the (M,H,W) images, zero beyond the border: columns, then rows."""
    count = len(images)
    offsets = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(count, 1, WINDOW)
    columns = F.conv2d(images[None], weights[..., None], padding=(WINDOW // 2, 0), groups=count)
    return F.conv2d(columns, weights[:, :, None], padding=(0, WINDOW // 2), groups=count)[0]


def photometric(
    image: Tensor, target: Tensor, mask: Tensor | None = None, similarity: Similarity = ssim_map
) -> dict[str, Tensor]:
    """The terms of 3DGS's loss (Kerbl et al. 2023, eq. 7), unweighted: `l1` and `dssim` = 1 − SSIM."""
    return {"l1": l1(image, target, mask), "dssim": dssim(image, target, mask, similarity)}


def weigh(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of the terms, each times its weight."""
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum()
