"""Adaptive density control, the shrinking half: what is transparent, too large, a spike or a floater goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scene.gaussians.model import Gaussians
from scene.gaussians.optimizer import Optimizer, RowStatistics, edit_rows
from training.strategies.densify import DensityStatistics, top_k_mask
from training.strategies.multiview_stats import MultiViewStats
from training.strategies.rule_log import RuleLog, note
from training.strategies.split_needles import PIECES, needle_of_piece, split_needles
from utils.selection import first_with_share, keys_of


@dataclass(frozen=True)
class PruneLimits:
    """What goes with each densification. None switches a rule off."""

    min_opacity: float = 0.005  # less opaque than this
    max_world_size: float | None = None  # longest standard deviation over this, world units
    max_screen_size: float | None = None  # radius in some view over this, in parts of the image's larger side


@dataclass(frozen=True)
class SpikeRules:
    """What goes, or is cut, after a survey. None switches a rule off."""

    min_weight: float | None = None  # no pixel of any view gave it more weight than this: no photo needs it
    max_weight_share: float = 1.0  # ... but at most so many that they have this part of all weight; the least needed go
    min_views_before: int | None = None  # before the measured depth in so many views, and on it in none
    min_ray_views: int | None = None  # a spike elongated along the view ray in so many views, and most that saw it
    max_spread: float | None = None  # `MultiViewStats.spread` over this, world units
    max_elongation: float | None = None  # a spike with its longest axis over this many times its middle one ...
    spike_size: float = 0.0  # ... and no spike by ray or by shape has a longest standard deviation up to this
    max_fraction: float = 1.0  # of all Gaussians: no rule takes more at once; the worst go first
    max_gaussians: int = 0  # the pieces of needles never make more than this; 0: no limit


class Pruned(NamedTuple):
    """How many Gaussians went by each rule; one that breaks several counts for the first."""

    opacity: int = 0
    world_size: int = 0
    screen_size: int = 0
    weight: int = 0
    floater: int = 0
    ray: int = 0
    distortion: int = 0
    needle: int = 0  # cut to its pieces on the surface


class PruneRule(NamedTuple):
    """Who breaks a rule, and how badly."""

    rule: str  # a field of Pruned
    values: Tensor  # (N,) what is compared ...
    threshold: float  # ... with this
    broken: Tensor  # (N,) bool
    score: Tensor  # (N,) the higher the worse


@torch.no_grad()
def prune(
    gaussians: Gaussians,
    optimizer: Optimizer,
    statistics: DensityStatistics,
    limits: PruneLimits,
    log: RuleLog | None = None,
) -> Pruned:
    """Remove the Gaussians that break a rule. Uses `statistics`, so it comes before their reset.

    `log` receives what each rule compared.
    """
    opacities = gaussians.activated_opacities.squeeze(1)
    rules = [PruneRule("opacity", opacities, limits.min_opacity, opacities < limits.min_opacity, -opacities)]
    if limits.max_world_size is not None:
        longest = gaussians.activated_scales.amax(dim=1)
        rules.append(_over("world_size", longest, limits.max_world_size))
    if limits.max_screen_size is not None:
        rules.append(_over("screen_size", statistics.rows["screen_size"], limits.max_screen_size))
    selected = select_pruned(rules, gaussians.total, gaussians, log)
    counts = _counts(selected, gaussians)
    edit_rows(gaussians, optimizer, statistics, ~_any_of(selected, gaussians))
    return counts


@torch.no_grad()
def prune_spikes(
    gaussians: Gaussians,
    optimizer: Optimizer,
    statistics: RowStatistics,
    found: MultiViewStats,
    rules: SpikeRules,
    log: RuleLog | None = None,
) -> Pruned:
    """Remove what breaks a rule by the evidence `found`, and cut needles to their pieces on the surface.

    What no view has seen is not judged. `log` receives what each rule compared.
    """
    limit = int(rules.max_fraction * gaussians.total)
    selected = select_pruned(_spike_rules(gaussians, found, rules), limit, gaussians, log)
    counts = _counts(selected, gaussians)
    added, parents = None, list[Tensor]()
    if "needle" in selected:
        needles, off = selected["needle"], found.off_surface()
        added, parents = split_needles(gaussians, needles, off), [needle_of_piece(needles, off)]
    edit_rows(gaussians, optimizer, statistics, ~_any_of(selected, gaussians), added, parents)
    return counts


def _over(rule: str, values: Tensor, threshold: float) -> PruneRule:
    return PruneRule(rule, values, threshold, values > threshold, values)


def _spike_rules(gaussians: Gaussians, found: MultiViewStats, rules: SpikeRules) -> Iterator[PruneRule]:
    """Each rule that is on, in the order in which they are applied."""
    longest, middle, _ = gaussians.activated_scales.sort(dim=1, descending=True).values.unbind(1)
    large, along_rays = longest > rules.spike_size, found.ray_views > 0.5 * found.views
    if rules.min_weight is not None:
        needed = found.max_contribution
        broken = (needed < rules.min_weight) & (found.views > 0)
        broken = _of_little_weight(found, broken, rules.max_weight_share, gaussians)
        yield PruneRule("weight", needed, rules.min_weight, broken, -needed)
    if rules.min_views_before is not None:
        before = found.views_before
        broken = (before >= rules.min_views_before) & (found.views_on == 0)
        yield PruneRule("floater", before, rules.min_views_before, broken, before)
    if rules.min_ray_views is not None:
        broken = large & along_rays & (found.ray_views >= rules.min_ray_views)
        yield PruneRule("ray", found.ray_views, rules.min_ray_views, broken, longest)
    if rules.max_spread is not None:
        yield _over("distortion", found.spread(), rules.max_spread)
    if rules.max_elongation is not None:
        broken = large & (longest > rules.max_elongation * middle) & found.off_surface().any(dim=1)
        worst = along_rays.float() - middle / longest  # those along the rays first, then by elongation
        if rules.max_gaussians:
            room = (rules.max_gaussians - gaussians.total) // (len(PIECES) - 1)
            broken = top_k_mask(worst, broken, room, gaussians)
        yield PruneRule("needle", longest / middle, rules.max_elongation, broken, worst)


def _of_little_weight(found: MultiViewStats, broken: Tensor, share: float, gaussians: Gaussians) -> Tensor:
    """(N,) bool: those of `broken` with the smallest largest weights that together have at most `share` of all weight.

    What a photo shows is the sum of weights. Of a cloud that has formed, Gaussians that no pixel needs have hardly any
    of it; of one that has not, much is still made of many faint ones, and to take them all would be to take that away.
    """
    needed = torch.where(broken, found.max_contribution, torch.inf)
    if gaussians.shard is not None:
        keys = keys_of(needed, gaussians.shard.ids)
        return first_with_share(keys, found.weight, share, gaussians.ranks) & broken
    order = needed.argsort(stable=True)
    taken = found.weight[order].double().cumsum(0) <= share * found.weight.sum().double()
    few = torch.zeros_like(broken)
    few[order] = taken
    return few & broken


def select_pruned(
    rules: Iterable[PruneRule], limit: int, gaussians: Gaussians, log: RuleLog | None = None
) -> dict[str, Tensor]:
    """Rule -> (N,) bool, each Gaussian by one rule at most, and at most `limit` by each, on all ranks together."""
    selected: dict[str, Tensor] = {}
    for rule, values, threshold, broken, score in rules:
        note(log, rule, values, threshold, gaussians)
        for others in selected.values():
            broken = broken & ~others
        selected[rule] = top_k_mask(score, broken, limit, gaussians)
    return selected


def _any_of(selected: Mapping[str, Tensor], gaussians: Gaussians) -> Tensor:
    gone = torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    for chosen in selected.values():
        gone |= chosen
    return gone


def _counts(selected: Mapping[str, Tensor], gaussians: Gaussians) -> Pruned:
    """On all ranks."""
    counts = (
        gaussians.ranks.sum_(torch.stack([chosen.sum() for chosen in selected.values()])).tolist() if selected else []
    )
    return Pruned(**dict(zip(selected, counts, strict=True)))
