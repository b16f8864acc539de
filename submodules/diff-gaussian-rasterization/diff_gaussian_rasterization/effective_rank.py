"""What needles cost: a mean over Gaussians in one pass each way."""

from __future__ import annotations

from torch import Tensor

from . import ops
from .checks import check_device, check_flags, check_tensor


@ops.memory_errors
def effective_rank_cost(log_scales: Tensor, visible: Tensor) -> Tensor:
    """Mean over the visible Gaussians of max(−ln(r − 1 + 10⁻⁵), 0), r the effective rank of their covariance.

    r = exp(−Σ q·ln q) of the shares q = s²/Σs² of the variances is 1 for a needle, 2 for a disc, 3 for a ball: so discs
    and balls cost nothing, and needles cost the more the longer they are (Hyung et al. 2024, eq. 9, without its term of
    the thinnest axis). Differentiable in `log_scales`. Without a visible Gaussian the mean is 0; what is not visible
    has gradient exactly 0, whatever is there.

    Args:
        log_scales: (N, 3) ln s, s the standard deviations along a Gaussian's axes, of any unit, float32 or float64.
        visible: (N,) bool.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape or device; the message names it.
    """
    log_scales = check_tensor("log_scales", log_scales, ("N", 3))
    check_device("log_scales", log_scales)
    visible = check_flags("visible", visible, log_scales.shape[:1], log_scales, like_name="log_scales")
    value: Tensor = ops.effective_rank_cost(log_scales, visible)[0]
    return value
