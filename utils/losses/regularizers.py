"""Terms of the loss that ask for a well-formed cloud, whatever the photos show. All are free of the scene's unit.

Each returns a scalar with an exact gradient. What counts is selected and divided by its own number; where nothing
counts, the term is 0 with gradient 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diff_gaussian_rasterization import effective_rank_cost, mean_distortion
from utils.losses.photometric import select
from utils.quaternion import rotate_back


def distortion(
    distortion: Tensor, alpha: Tensor, extent: float, mask: Tensor | None = None, scale: float = 0.0
) -> Tensor:
    """Mean over the hit pixels of the distortion with depth in scene extents: D, or with a `scale` s > 0, in extents,
    s²·ln(1 + D/s²).

    `distortion`: (1,H,W) of the rasterizer, Σ w·(z − M)² in world units², so it is divided by `extent`². A pixel is
    hit when any Gaussian has a part in it: where `alpha`, (1,H,W), is over 0. `mask`: (1,H,W) in [0,1].

    The logarithm (Cauchy's, α = 0 of the general robust loss, Barron 2019, eq. 1) is D where depths are close together,
    and grows slowly where they lie farther apart than s. At the edge of an object a pixel sees two depths, and is right
    to: as a square, these few pixels outweigh all others, and are put right by making the edge transparent.
    """
    return mean_distortion(distortion, alpha, mask, unit=extent, scale=scale)


def largest_distortion(distortion: Tensor, extent: float, mask: Tensor | None = None) -> Tensor:
    """The largest distortion of a pixel inside the mask, with depth in scene extents."""
    return select(distortion, mask).amax() / extent**2


def ray_direction(
    means: Tensor, scales: Tensor, quats: Tensor, camera_center: Tensor, visible: Tensor, ray_ratio_max: float
) -> Tensor:
    """Mean over the visible Gaussians of how far `ray_ratio` is over `ray_ratio_max`: spikes in the making.

    means (N,3), scales (N,3) activated, quats (N,4), camera_center (3,), all in world units; visible (N,) bool.
    """
    # What is not visible becomes a ball somewhere: rows that are left out would have to be counted by the host.
    means, scales, quats = (
        torch.where(visible[:, None], values, other)
        for values, other in ((means, camera_center + 1), (scales, 1.0), (quats, 1.0))
    )
    excess = torch.relu(ray_ratio(means, scales, quats, camera_center) - ray_ratio_max)
    return torch.where(visible, excess, 0.0).sum() / visible.sum().clamp(min=1)


def ray_ratio(means: Tensor, scales: Tensor, quats: Tensor, camera_center: Tensor) -> Tensor:
    """(N,) how elongated each Gaussian is along the ray from the camera: sqrt(dᵀΣd / (½(tr Σ − dᵀΣd))).

    1 for a ball, √2 for a disc seen edge on, 0 for a disc seen from the front. Arguments as of `ray_direction`. With
    the unit ray l in the Gaussian's own axes, dᵀΣd = Σ s²l² and tr Σ − dᵀΣd = Σ s²(1 − l²), in which 1 − l² is taken
    as the sum of the other two squares: a difference would lose the digits of a needle along the ray.
    """
    rays = torch.nn.functional.normalize(means - camera_center, dim=1)
    squares = rotate_back(quats, rays) ** 2
    others = squares.roll(1, dims=1) + squares.roll(2, dims=1)
    variances = scales**2
    along, across = (variances * squares).sum(dim=1), (variances * others).sum(dim=1)
    return torch.sqrt(along / (0.5 * across))


def effective_rank(log_scales: Tensor, visible: Tensor, min_rank: float) -> Tensor:
    """Mean over the visible Gaussians of max(ln((r₀ − 1 + 10⁻⁵)/(r − 1 + 10⁻⁵)), 0), r their effective rank.

    r is 1 for a needle, 2 for a disc, 3 for a ball; r₀ = `min_rank`, from which on nothing costs. log_scales (N,3), as
    they are trained; visible (N,) bool.
    """
    return effective_rank_cost(log_scales, visible, min_rank)


def alpha(rendered: Tensor, known: Tensor) -> Tensor:
    """Mean difference of the rendered alpha from that of a transparent rendering, (1,H,W) both.

    Before a background that never changes, fog in its color costs nothing, and a black surface may as well be a hole.
    """
    return (rendered - known).abs().mean()


def opacity(opacities: Tensor) -> Tensor:
    """Mean of the activated opacities, (N,1): what no photo needs fades (MCMC, Kheradmand et al. 2024)."""
    return opacities.sum() / max(opacities.numel(), 1)


def scale(scales: Tensor, extent: float) -> Tensor:
    """Mean of the activated scales, (N,3), in scene extents: what no photo needs shrinks (the same)."""
    return scales.sum() / (max(scales.numel(), 1) * extent)
