"""What every depth loss stands on: the valid pixels, their weights, and sums that do not depend on the threads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import UserError

FILLER = 1.0  # in pixels without part: a depth with a finite logarithm and reciprocal


@dataclass(frozen=True)
class Pixels:
    """A rendered map and the target depth, (H,W) each, FILLER in every pixel of weight 0, whatever was there.

    So a formula is finite everywhere, its mean has no part of those pixels, and its gradient there is exactly 0.
    """

    rendered: Tensor  # depth, or for inv_l1 inverse depth
    target: Tensor  # depth
    inside: Tensor  # bool: the valid pixels
    weight: Tensor  # >= 0: > 0 in the valid pixels, 0 in all others
    count: Tensor  # the sum of the weights; 1 where there is no valid pixel

    def mean(self, values: Tensor) -> Tensor:
        """The mean of (H,W) `values` over the valid pixels, with their weights; 0 without any."""
        return total(values * self.weight) / self.count

    def centered(self, values: Tensor) -> Tensor:
        """`values` less their mean, (H,W)."""
        return values - spread(self.mean(values), values)


def select_pixels(
    rendered: Tensor, target: Tensor, valid: Tensor | None, weight: Tensor | None, depth_max: float
) -> Pixels:
    """Maps of (H,W) or (1,H,W) as the losses take them. UserError where two of them differ in size."""
    rendered, target = image_of(rendered, "the rendered map"), image_of(target, "target")
    check_size(target, rendered, "the rendered map")
    inside = loss_mask(target, valid, depth_max)
    weights = inside.to(target.dtype)
    if valid is not None and valid.is_floating_point():
        weights = torch.where(inside, image_of(valid, "valid").to(target.dtype), 0.0)
    if weight is not None:
        weight = image_of(weight, "weight").to(target.dtype)
        check_size(target, weight, "weight")
        inside = inside & (weight != 0)  # not > 0: a NaN is to be seen, not to pass for "no part"
        weights = torch.where(inside, weights * weight, 0.0)
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
        return image[0]
    if image.dim() != 2:
        raise UserError(f"{name} of a depth loss has shape {tuple(image.shape)}; (H, W) or (1, H, W) is needed")
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
