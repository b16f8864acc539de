"""Terms of a loss over the depths of `rasterize`, each a mean over pixels in one pass each way.

A pixel where nothing is rendered, or that has no weight, has no part in a mean, and gradient exactly 0, whatever is
there. Without any weight a mean is 0.
"""

from __future__ import annotations

import math

from torch import Tensor

from . import ops
from .checks import check_device, check_flags, check_number, check_tensor


@ops.memory_errors
def inv_depth_l1(
    inv_depth: Tensor,
    alpha: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    unit: float = 1.0,
    depth_max: float = math.inf,
) -> Tensor:
    """The mean of |1/Z − 1/Z*| with 1/Z = Σ(w/z)/Σw, 1/`unit`. Differentiable in `inv_depth` and `alpha`.

    Args:
        inv_depth: (1, H, W) Σ(w/z) of `rasterize`, 1/world units, float32 or float64.
        alpha: (1, H, W) Σw; a pixel counts where it is over 0.
        target: (1, H, W) Z*, world units; a pixel counts where it is over 0 and finite.
        valid: (1, H, W) bool, which pixels count as well; None: all.
        weight: (1, H, W) ≥ 0, the weight of each pixel; None: 1.
        unit: of depths, world units.
        depth_max: in `unit`s; targets as far or farther do not count.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape, device or range; the message names it.
    """
    alpha = check_tensor("alpha", alpha, (1, "H", "W"))
    check_device("alpha", alpha)
    inv_depth, target = (
        check_tensor(name, image, alpha.shape, alpha, like_name="alpha")
        for name, image in (("inv_depth", inv_depth), ("target", target))
    )
    if valid is not None:
        valid = check_flags("valid", valid, alpha.shape, alpha, like_name="alpha")
    if weight is not None:
        weight = check_tensor("weight", weight, alpha.shape, alpha, like_name="alpha")
    unit = check_number("unit", unit, 0, open_low=True)
    if depth_max != math.inf:
        depth_max = check_number("depth_max", depth_max, 0)
    value: Tensor = ops.inv_depth_l1(inv_depth, alpha, target, valid, weight, unit, depth_max)[0]
    return value


@ops.memory_errors
def mean_distortion(
    distortion: Tensor, alpha: Tensor, mask: Tensor | None = None, *, unit: float = 1.0, scale: float = 0.0
) -> Tensor:
    """The mean of the distortion D, or with a `scale` s > 0 of s²·ln(1 + D/s²), `unit`².

    Differentiable in `distortion`.

    Args:
        distortion: (1, H, W) of `rasterize`, world units², float32 or float64.
        alpha: (1, H, W) Σw; a pixel counts where it is over 0.
        mask: (1, H, W) ≥ 0, the weight of each pixel; None: 1.
        unit: of depths, world units.
        scale: s, in `unit`s.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape, device or range; the message names it.
    """
    alpha = check_tensor("alpha", alpha, (1, "H", "W"))
    check_device("alpha", alpha)
    distortion = check_tensor("distortion", distortion, alpha.shape, alpha, like_name="alpha")
    if mask is not None:
        mask = check_tensor("mask", mask, alpha.shape, alpha, like_name="alpha")
    unit, scale = check_number("unit", unit, 0, open_low=True), check_number("scale", scale, 0)
    value: Tensor = ops.mean_distortion(distortion, alpha, mask, unit, scale)[0]
    return value
