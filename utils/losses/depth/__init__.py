"""Losses of rendered depth against target depth, one function per name, all of the same shape: `depth_loss`.

Z is the rendered depth, Z* the target, both (H,W) in world units, V the valid pixels. What is not in V has no part in a
value, and gradient exactly 0, whatever number stands there, NaN too; each mean divides by what is in V. Without any
valid pixel a loss is 0, with gradient 0. In V nothing is hidden: a NaN there makes the loss NaN, and nothing clamps.

A pixel may count for less: a `weight`, or a float `valid`, makes every mean a weighted one, Σ w·x / Σ w, also those
inside a formula. So a weight of 0 is the same as an invalid pixel, and one that is the same everywhere changes nothing.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from utils.errors import UserError
from utils.losses.depth import g2, mip, pointwise  # noqa: F401 (they enter their losses)
from utils.losses.depth.edge_weight import edge_weight
from utils.losses.depth.masked import depth_images, loss_mask, select_pixels
from utils.losses.depth.mip import Intrinsics, MipOptions, mip_variance
from utils.losses.depth.registry import LOSSES, parse_losses

__all__ = ["LOSSES", "NAMES", "MipOptions", "depth_loss", "edge_weight", "loss_mask", "mip_variance", "parse_losses"]

NAMES = tuple(sorted(LOSSES))


def depth_loss(
    name: str,
    depth: Tensor,
    inv_depth: Tensor,
    target: Tensor,
    valid: Tensor | None,
    *,
    alpha: Tensor | None = None,
    unit: float = 1.0,
    intrinsics: Intrinsics | None = None,
    depth_max: float = math.inf,
    weight: Tensor | None = None,
    variance: Tensor | None = None,
    options: Any = None,
) -> Tensor:
    """The depth loss `name` (one of NAMES), a scalar. Images are (H,W) or (1,H,W).

    `depth` and `inv_depth` are the rendered Σ w·z and Σ w/z, world units, which are taken over `alpha`, Σ w: where it
    is 0 there is no depth, and the pixel is not valid. Without `alpha` they are over it already. Only `inv_l1` reads
    inverse depth, and only that. `unit`: in which depths are taken, world units.
    `valid`, bool or float in [0,1], selects, None all pixels; beside that only targets in (0, `depth_max`) are valid,
    `depth_max` in `unit`s. `weight` is a factor >= 0 of each pixel, such as `edge_weight`.

    `options` is an instance of what the loss declares as its options, None for their defaults. The mip losses need
    `intrinsics` (fx, fy, cx, cy), pixels; `variance`, in `unit`s², is a result of `mip_variance`, not to make it again
    in each iteration.

    UserError for an unknown name, another loss's options, images of different sizes, and a mip loss without
    intrinsics.
    """
    if name not in NAMES:
        raise UserError(f"{name!r} is not a depth loss; those are {', '.join(NAMES)}")
    loss = LOSSES[name]
    options = _options_of(name, options)
    images = depth_images(depth, inv_depth, target, valid, weight, alpha=alpha, unit=unit, depth_max=depth_max)
    if loss.of_images:
        return loss.function(images)
    pixels = select_pixels(images)
    if not loss.frustums:
        return loss.function(pixels) if options is None else loss.function(pixels, options)
    if intrinsics is None:
        raise UserError(f"the depth loss {name} needs intrinsics (fx, fy, cx, cy)")
    if variance is None:
        variance = mip_variance(pixels.target, pixels.inside, intrinsics, options)
    return loss.function(pixels, intrinsics, variance)


def _options_of(name: str, given: Any) -> Any:
    """The options that the loss `name` is called with; None for a loss that declares none."""
    declared = LOSSES[name].options
    if given is None:
        return None if declared is None else declared()
    if declared is None or not isinstance(given, declared):
        accepted = "no options" if declared is None else declared.__name__
        raise UserError(f"the depth loss {name} takes {accepted}, not {type(given).__name__}")
    return given
