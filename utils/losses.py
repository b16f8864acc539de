"""Losses of a rendered image against its photo: short functions that return scalars; the caller weighs and logs them.

Masks select: a pixel outside the mask enters neither the numerator nor the denominator, so it has gradient exactly 0.
A mask without any pixel gives a loss of 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diff_gaussian_rasterization import ssim_map


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


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity (Wang et al. 2004, eq. 13) of two (3,H,W) images in [0,1]; 1 when they are equal.

    11×11 Gaussian window, σ 1.5, zero padding, mean over all pixels and channels. With a mask both images are set to 0
    outside it before windowing, as they are beyond the border, and the mean is over the pixels inside it: values
    outside the mask, NaN too, have no part.
    """
    return masked_mean(ssim_map(select(image, mask), select(target, mask)), mask)


def dssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Structural dissimilarity, 1 − `ssim`; 0 where the mask is empty."""
    return masked_mean(1 - ssim_map(select(image, mask), select(target, mask)), mask)


def photometric(image: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """The terms of 3DGS's loss (Kerbl et al. 2023, eq. 7), unweighted: `l1` and `dssim` = 1 − SSIM."""
    return {"l1": l1(image, target, mask), "dssim": dssim(image, target, mask)}


def weigh(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of the terms, each times its weight."""
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum()
