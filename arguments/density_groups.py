"""The settings of what changes the number of Gaussians, a group per stage."""

from __future__ import annotations

from dataclasses import dataclass

from utils.options import option

USUAL_INTERVAL = 100


@dataclass(frozen=True)
class SpikeOptions:
    """Pruning by statistics over all training views; 0 switches a rule off"""

    prune_min_weight: float = option(
        0.12,
        "blending weight that a Gaussian must reach in some pixel of some view, else it is pruned; "
        "0 switches the rule off; lower it to keep more detail",
        minimum=0,
    )
    prune_weight_share: float = option(
        0.02,
        "share of the total blending weight that prune_min_weight removes at most at once",
        minimum=0,
        maximum=1,
    )
    floater_views: int = option(
        3,
        "number of views in which a Gaussian must lie in front of the measured depth, and on it in none, to be "
        "pruned; 0 switches the rule off; raise it for depth maps that are often too far",
        minimum=0,
    )
    spike_ratio: float = option(
        10.0,
        "ratio of longest to middle axis above which a Gaussian is a needle, which is split where it leaves the "
        "surface; 0 switches the rule off; lower it to split more",
        minimum=0,
    )
    spike_extent: float = option(
        0.005,
        "longest axis up to which no Gaussian is treated as a spike, in scene extents; lower it if small spikes remain",
        minimum=0,
    )
    spike_tolerance: float = option(
        0.005,
        "distance beyond which a point counts as off the surface, in scene extents; raise it for noisy depth maps",
        minimum=0,
    )
    spike_ray_views: int = option(
        0,
        "number of views in which a Gaussian must be elongated along the view ray to be pruned; "
        "0 switches the rule off",
        minimum=0,
    )
    spike_spread: float = option(
        0.0,
        "spread of depth in its pixels above which a Gaussian is pruned, in scene extents; 0 switches the rule off",
        minimum=0,
    )
    prune_max_fraction: float = option(
        0.5, "share of all Gaussians that one rule prunes at most at once, worst first", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class DensificationOptions:
    """Densification"""

    strategy: str = option(
        "budget",
        "densification strategy, which decides which Gaussians are added, split and pruned: budget grows to "
        "--max_gaussians where the error is largest, threshold by --densify_grad_threshold, adc by the rules of the "
        "3DGS paper, mcmc is 3DGS-MCMC",
    )
    densify_from_iter: int | None = option(
        None,
        "step after which Gaussians are densified and pruned",
        minimum=0,
        follows="500, or a tenth of --iterations if that is less",
    )
    densify_until_iter: int | None = option(
        None,
        "step before which Gaussians are densified and pruned and opacities reset; later ones cost time and memory",
        minimum=0,
        follows="half of --iterations",
    )
    densification_interval: int | None = option(
        None,
        "number of steps from one densification to the next",
        minimum=1,
        follows="100; with budget and mcmc an eighth of the steps that densify, if that is less",
    )
    opacity_reset_interval: int = option(3_000, "number of steps from one opacity reset to the next", minimum=1)
    densify_grad_threshold: float | None = option(
        None,
        "mean view-space gradient above which a Gaussian is densified, in half image sizes; "
        "lower it for more Gaussians and more detail",
        minimum=0,
        follows="0.0002 for photos of a megapixel and over, more for smaller ones",
    )
    percent_dense: float = option(
        0.01, "scale up to which a Gaussian is cloned and above which it is split, in scene extents", minimum=0
    )
    max_gaussians: int | None = option(
        None,
        "largest number of Gaussians; 0 sets no limit; set it if memory runs out",
        "--cap_max",
        minimum=0,
        follows="1 for each pixel of a photo, 4 with --strategy adc, with budget and mcmc 0.08 for each pixel of the "
        "photos that show the scene if none shows what another does (2.5 at least), and at least 1.5 times the points",
    )

    @property
    def interval(self) -> int:
        """The paper's `densification_interval`, where none is given."""
        return USUAL_INTERVAL if self.densification_interval is None else self.densification_interval
