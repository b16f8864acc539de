"""`expose`: an image as a photo with its own exposure shows it."""

from __future__ import annotations

from torch import Tensor

from . import ops
from .checks import check_device, check_tensor


@ops.memory_errors
def expose(color: Tensor, exposure: Tensor) -> Tensor:
    """(3, H, W): the color c of each pixel as Eᵀc + e, with E the first three columns of `exposure` and e the last.

    Differentiable in both. Nothing is clamped.

    Args:
        color: (3, H, W), float32 or float64.
        exposure: (3, 4), of the same dtype.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape or device; the message names it.
    """
    color = check_tensor("color", color, (3, "H", "W"))
    check_device("color", color)
    shown: Tensor = ops.expose(color, check_tensor("exposure", exposure, (3, 4), color, like_name="color"))
    return shown
