"""Adaptive density control, the shrinking half: what is transparent, or too large, goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from scene.densify import DensityStatistics
from scene.gaussians import Gaussians
from scene.optimizer import Optimizer, edit_rows


@dataclass(frozen=True)
class PruneRules:
    """What goes. None switches a rule off."""

    min_opacity: float = 0.005  # less opaque than this
    max_world_size: float | None = None  # longest standard deviation over this, world units
    max_screen_size: float | None = None  # radius in some view over this, in parts of the image's larger side


class Pruned(NamedTuple):
    """How many Gaussians went by each rule; one that breaks several counts for the first."""

    opacity: int
    world_size: int
    screen_size: int


@torch.no_grad()
def prune(gaussians: Gaussians, optimizer: Optimizer, statistics: DensityStatistics, rules: PruneRules) -> Pruned:
    """Remove the Gaussians that break a rule. Uses `statistics`, so it comes before their reset.

    A Gaussian that no view has seen since the last reset has no screen size and is not judged by it.
    """
    nothing = torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    transparent = gaussians.activated_opacities.squeeze(1) < rules.min_opacity
    large = wide = nothing
    if rules.max_world_size is not None:
        large = (gaussians.activated_scales.amax(dim=1) > rules.max_world_size) & ~transparent
    if rules.max_screen_size is not None:
        wide = (statistics.rows["screen_size"] > rules.max_screen_size) & ~transparent & ~large
    edit_rows(gaussians, optimizer, statistics, ~(transparent | large | wide))
    return Pruned(*(int(rule.sum()) for rule in (transparent, large, wide)))
