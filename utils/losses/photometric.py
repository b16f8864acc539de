"""Losses of a rendered image against its photo: short functions that return scalars; the caller weighs and logs them.

Masks select: a pixel outside the mask enters neither the numerator nor the denominator, so it has gradient exactly 0.
A mask without any pixel gives a loss of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd import Variable

from diff_gaussian_rasterization import photometric as fused_photometric


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of (C,H,W) `values` with the weights of a (1,H,W) mask in [0,1]."""
    total = mask.sum(dtype=torch.float64).to(values.dtype) * values.shape[0]  # the same for any number of threads
    return (values * mask).sum() / torch.where(total > 0, total, 1.0)


def select(images: Tensor, mask: Tensor | None) -> Tensor:
    """`images` with 0 outside the mask, whatever was there: a product with the mask would keep NaN and infinity."""
    return images if mask is None else torch.where(mask > 0, images, 0.0)


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity (Wang et al. 2004, eq. 13) of two (3,H,W) images in [0,1]; 1 when they are equal.

    11×11 Gaussian window, σ 1.5, zero padding, mean over all pixels and channels. With a mask both images are set to 0
    outside it before windowing, as they are beyond the border, and the mean is over the pixels inside it: values
    outside the mask, NaN too, have no part.
    """
    return 1 - photometric(image, target, mask)["dssim"]


def photometric(image: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """The terms of 3DGS's loss (Kerbl et al. 2023, eq. 7), unweighted: `l1` and `dssim` = 1 − SSIM.

    Two (3,H,W) images, a (1,H,W) mask; the extension has both terms in one pass.
    """
    return dict(zip(("l1", "dssim"), fused_photometric(image, target, mask), strict=True))


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of the terms, each times its weight."""
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def backward_weighted_sum(losses: Sequence[tuple[Mapping[str, Tensor], Mapping[str, float]]], *more: Tensor) -> None:
    """The backward pass of the sum of all losses, terms with their weights, and of `more`, () each.

    To the bit that of `weighted_sum`, without the sum: the gradient by a term is its weight.
    """
    summed = [(value, weights[name]) for terms, weights in losses for name, value in terms.items()]
    summed += [(value, 1.0) for value in more]
    moved = [(value, weight) for value, weight in summed if value.requires_grad]
    values = [value for value, _ in moved]
    cotangents = torch.tensor([weight for _, weight in moved], dtype=values[0].dtype)
    seeds = cotangents.to(values[0].device, non_blocking=True).unbind()
    # What torch.autograd.backward calls once it has imported sympy, 0.8 s of the first step, to compare their shapes.
    Variable._execution_engine.run_backward(
        tuple(values), seeds, False, False, (), allow_unreachable=True, accumulate_grad=True
    )
