"""Adaptive density control, the shrinking half: what is transparent, too large, a spike or a floater goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scene.densify import strongest
from scene.gaussians import Gaussians
from scene.optimizer import Optimizer, edit_rows
from scene.spikes import SpikeStatistics


@dataclass(frozen=True)
class PruneRules:
    """What goes. None switches a rule off."""

    min_opacity: float = 0.005  # less opaque than this
    max_world_size: float | None = None  # longest standard deviation over this, world units
    max_screen_size: float | None = None  # radius in some view over this, in parts of the image's larger side
    spike_size: float = 0.0  # world units: no spike by shape or by ray has a longest standard deviation up to this
    min_ray_views: int | None = None  # a spike elongated along the view ray in so many views, and most that saw it
    max_elongation: float | None = None  # a spike with its longest axis over this many times its middle one
    max_spread: float | None = None  # `SpikeStatistics.spread` over this, world units
    min_views_before: int | None = None  # before the measured depth in so many views, and on it in none
    min_weight: float | None = None  # no pixel of any view gave it more weight than this: no photo needs it
    max_fraction: float = 1.0  # of all Gaussians: no rule removes more at once; the worst go first


class Pruned(NamedTuple):
    """How many Gaussians went by each rule; one that breaks several counts for the first."""

    opacity: int = 0
    world_size: int = 0
    screen_size: int = 0
    ray: int = 0
    needle: int = 0
    distortion: int = 0
    floater: int = 0
    weight: int = 0

    def __str__(self) -> str:
        """For the log: "pruned: 12 opacity, 3 needle"."""
        counts = (f"{count:,} {name.replace('_', ' ')}" for name, count in self._asdict().items() if count)
        return f"pruned: {', '.join(counts) or 'nothing'}"


class Offence(NamedTuple):
    """Who breaks a rule, and how badly."""

    rule: str  # a field of Pruned
    broken: Tensor  # (N,) bool
    severity: Tensor  # (N,) the higher the worse


@torch.no_grad()
def prune(gaussians: Gaussians, optimizer: Optimizer, statistics: SpikeStatistics, rules: PruneRules) -> Pruned:
    """Remove the Gaussians that break a rule. Uses `statistics`, so it comes before their reset.

    What no view has seen since the last reset is not judged by what views show.
    """
    gone = torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    limit = int(rules.max_fraction * len(gaussians))
    counts = {}
    for rule, broken, severity in _offences(gaussians, statistics, rules):
        chosen = broken & ~gone
        if chosen.sum() > limit:
            chosen = strongest(severity, chosen, limit)
        gone |= chosen
        counts[rule] = int(chosen.sum())
    edit_rows(gaussians, optimizer, statistics, ~gone)
    return Pruned(**counts)


def _offences(gaussians: Gaussians, statistics: SpikeStatistics, rules: PruneRules) -> Iterator[Offence]:
    """Each rule that is on, in the order in which they are applied."""
    opacities = gaussians.activated_opacities.squeeze(1)
    yield Offence("opacity", opacities < rules.min_opacity, -opacities)
    longest, middle, _ = gaussians.activated_scales.sort(dim=1, descending=True).values.unbind(1)
    if rules.max_world_size is not None:
        yield Offence("world_size", longest > rules.max_world_size, longest)
    if rules.max_screen_size is not None:
        screen_size = statistics.rows["screen_size"]
        yield Offence("screen_size", screen_size > rules.max_screen_size, screen_size)
    yield from _spike_offences(longest, middle, statistics, rules)


def _spike_offences(
    longest: Tensor, middle: Tensor, statistics: SpikeStatistics, rules: PruneRules
) -> Iterator[Offence]:
    rows, large = statistics.rows, longest > rules.spike_size
    along_rays = rows["ray_views"] > 0.5 * rows["spike_views"]
    if rules.min_ray_views is not None:
        yield Offence("ray", large & along_rays & (rows["ray_views"] >= rules.min_ray_views), longest)
    if rules.max_elongation is not None:
        broken = large & (longest > rules.max_elongation * middle)
        yield Offence(
            "needle", broken, along_rays.float() - middle / longest
        )  # those along the rays first, then by elongation
    if rules.max_spread is not None:
        spread = statistics.spread()
        yield Offence("distortion", spread > rules.max_spread, spread)
    if rules.min_views_before is not None:
        broken = (rows["views_before"] >= rules.min_views_before) & (rows["views_on"] == 0)
        yield Offence("floater", broken, rows["views_before"])
    if rules.min_weight is not None:
        broken = (rows["weight_max"] < rules.min_weight) & (rows["spike_views"] > 0)
        yield Offence("weight", broken, -rows["weight_max"])
