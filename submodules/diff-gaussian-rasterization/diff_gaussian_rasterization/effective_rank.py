"""What needles cost: a mean over Gaussians in one pass each way."""

from __future__ import annotations

from torch import Tensor

from . import ops
from .checks import check_device, check_flags, check_number, check_tensor


@ops.memory_errors
def effective_rank_cost(log_scales: Tensor, visible: Tensor, min_rank: float = 2.0) -> Tensor:
    """Mean over the visible Gaussians of max(ln((r₀ − 1 + ε)/(r − 1 + ε)), 0), r their effective rank, ε = 10⁻⁵.

    r = exp(−Σ q·ln q) of the shares q = s²/Σs² of a covariance's variances is 1 for a needle, 2 for a disc, 3 for a
    ball. What has at least r₀ = `min_rank` costs nothing, needles cost the more the longer they are. With r₀ = 2 it is
    eq. 9 of Hyung et al. 2024 without its term of the thinnest axis. Differentiable in `log_scales`. Without a visible
    Gaussian the mean is 0; what is not visible has gradient exactly 0, whatever is there.

    Args:
        log_scales: (N, 3) ln s, s the standard deviations along a Gaussian's axes, of any unit, float32 or float64.
        visible: (N,) bool.
        min_rank: r₀, over 1.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape, device or range; the message names it.
    """
    log_scales = check_tensor("log_scales", log_scales, ("N", 3))
    check_device("log_scales", log_scales)
    visible = check_flags("visible", visible, log_scales.shape[:1], log_scales, like_name="log_scales")
    min_rank = check_number("min_rank", min_rank, 1, open_low=True)
    value: Tensor = ops.effective_rank_cost(log_scales, visible, min_rank)[0]
    return value
