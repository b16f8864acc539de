"""What every depth loss stands on: the valid pixels, their weights, and sums that do not depend on the threads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import UserError

FILLER = 1.0  # in pixels without part: a depth with a finite logarithm and reciprocal


@dataclass(frozen=True)
class DepthImages:
    """What a rendering and a map show of depth, (H,W) each: nothing is divided or selected yet."""

    depth: Tensor  # Σ w·z, world units
    inv_depth: Tensor  # Σ w/z, 1/world units
    alpha: Tensor  # Σ w; where it is 0 there is no depth
    target: Tensor  # depth, world units
    valid: Tensor | None  # bool: which pixels count, beside what the target says; None: all
    weight: Tensor | None  # of each pixel, >= 0; None: 1
    unit: float  # of depths in the loss, world units
    depth_max: float  # in `unit`: only targets in (0, depth_max) are valid


def depth_images(
    depth: Tensor,
    inv_depth: Tensor,
    target: Tensor,
    valid: Tensor | None,
    weight: Tensor | None,
    *,
    alpha: Tensor | None,
    unit: float,
    depth_max: float,
) -> DepthImages:
    """Images of (H,W) or (1,H,W). A float `valid` becomes a weight. UserError where two of them differ in size."""
    target = image_of(target, "target")
    depth, inv_depth = _like(target, depth, "depth"), _like(target, inv_depth, "inv_depth")
    alpha = torch.ones_like(target) if alpha is None else _like(target, alpha, "alpha")
    valid = None if valid is None else _like(target, valid, "valid")
    weight = None if weight is None else _like(target, weight, "weight").to(target.dtype)
    if valid is not None and valid.is_floating_point():
        share = torch.where(valid > 0, valid, 0.0).to(target.dtype)  # whatever stands in the others
        weight = share if weight is None else torch.where(share > 0, share * weight, 0.0)
        valid = None
    return DepthImages(depth, inv_depth, alpha, target, valid, weight, unit, depth_max)


@dataclass(frozen=True)
class Pixels:
    """Rendered depth over alpha and target depth, (H,W) each, FILLER in every pixel of weight 0, whatever was there.

    So a formula is finite everywhere, its mean has no part of those pixels, and its gradient there is exactly 0.
    """

    rendered: Tensor
    target: Tensor
    inside: Tensor  # bool: the valid pixels
    weight: Tensor  # >= 0: > 0 in the valid pixels, 0 in all others
    count: Tensor  # the sum of the weights; 1 where there is no valid pixel

    def mean(self, values: Tensor) -> Tensor:
        """The mean of (H,W) `values` over the valid pixels, with their weights; 0 without any."""
        return total(values * self.weight) / self.count

    def centered(self, values: Tensor) -> Tensor:
        """`values` less their mean, (H,W)."""
        return values - spread(self.mean(values), values)


def select_pixels(images: DepthImages) -> Pixels:
    """The depth of images as the losses take it, in `unit`s."""
    target, hit = images.target / images.unit, images.alpha > 0
    rendered = images.depth / torch.where(hit, images.alpha, 1.0) / images.unit
    inside = loss_mask(target, images.valid, images.depth_max) & hit
    weights = inside.to(target.dtype)
    if images.weight is not None:
        inside = inside & (images.weight != 0)  # not > 0: a NaN is to be seen, not to pass for "no part"
        weights = torch.where(inside, images.weight, 0.0)
    count = total(weights)
    return Pixels(
        rendered=torch.where(inside, rendered, FILLER),
        target=torch.where(inside, target, FILLER),
        inside=inside,
        weight=weights,
        count=torch.where(count == 0, 1.0, count),
    )


def loss_mask(target: Tensor, valid: Tensor | None, depth_max: float = math.inf) -> Tensor:
    """(H,W) bool: where `target` is finite, > 0 and < `depth_max`, and `valid` (bool, or float in [0,1]) is > 0."""
    target = image_of(target, "target")
    inside = (target > 0) & (target < depth_max)  # neither holds for NaN, the second not for infinity
    if valid is None:
        return inside
    valid = image_of(valid, "valid")
    check_size(target, valid, "valid")
    return inside & (valid if valid.dtype == torch.bool else valid > 0)


def image_of(image: Tensor, name: str) -> Tensor:
    """(H,W) of (H,W) or (1,H,W). UserError for any other shape."""
    if image.dim() == 3 and image.shape[0] == 1:
        return image.squeeze(0)  # not image[0], whose derivative fills an image with 0
    if image.dim() != 2:
        raise UserError(f"{name} of a depth loss has shape {tuple(image.shape)}; (H, W) or (1, H, W) is needed")
    return image


def _like(target: Tensor, image: Tensor, name: str) -> Tensor:
    """(H,W) of an image that is of the size of `target`; UserError where it is not."""
    image = image_of(image, name)
    check_size(target, image, name)
    return image


def check_size(target: Tensor, other: Tensor, name: str) -> None:
    """UserError where the (H,W) map `other`, called `name`, is not of the size of `target`."""
    if other.shape != target.shape:
        raise UserError(f"{name} of a depth loss has size {tuple(other.shape)} and its target {tuple(target.shape)}")


def total(values: Tensor) -> Tensor:
    """The sum of (H,W) `values`, row by row: the same bits for any number of threads, which `values.sum()` is not."""
    return values.sum(1).sum(0)


def spread(scalar: Tensor, like: Tensor) -> Tensor:
    """`scalar` in the shape of (H,W) `like`, in two steps, so that its gradient is added up as `total` adds."""
    return scalar.expand(like.shape[0], 1).expand(like.shape)
