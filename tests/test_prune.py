"""Shrinking: each rule fires on what it is for, the screen-size rule too."""

from __future__ import annotations

import math

import torch

from scene.densify import DensityStatistics, densify
from scene.gaussians import PARAMETERS, Gaussians
from scene.optimizer import Optimizer
from scene.prune import Pruned, PruneRules, prune
from tests.clouds import random_gaussians

RATES = dict.fromkeys(PARAMETERS, 1e-3)


def sized(opacities: list[float], scales: list[float]) -> tuple[Gaussians, Optimizer, DensityStatistics]:
    """Gaussians with these opacities, and these standard deviations along their second axis."""
    gaussians = random_gaussians(len(opacities))
    gaussians.opacities.detach()[:, 0] = torch.tensor(opacities).logit()
    gaussians.scales.detach()[:] = math.log(1e-3)
    gaussians.scales.detach()[:, 1] = torch.tensor(scales).log()
    return gaussians, Optimizer(gaussians, RATES), DensityStatistics(len(opacities))


def see(statistics: DensityStatistics, radii: list[int], size: int = 100) -> None:
    statistics.observe(torch.ones(len(radii), 2), torch.tensor(radii, dtype=torch.int32), size, size // 2)


def test_each_rule_alone() -> None:
    gaussians, optimizer, statistics = sized([0.004, 0.5, 0.5, 0.006], [0.1, 0.9, 0.1, 0.1])
    see(statistics, [1, 1, 30, 1])
    kept = gaussians.means.detach()[[3]].clone()
    removed = prune(gaussians, optimizer, statistics, PruneRules(max_world_size=0.5, max_screen_size=0.2))
    assert removed == Pruned(opacity=1, world_size=1, screen_size=1)
    assert torch.equal(gaussians.means, kept)
    assert len(optimizer.moments["means"].first) == len(statistics.rows["views"]) == 1


def test_rules_that_are_off_remove_nothing() -> None:
    gaussians, optimizer, statistics = sized([0.004, 0.5, 0.5], [0.1, 0.9, 0.1])
    see(statistics, [1, 1, 30])
    assert prune(gaussians, optimizer, statistics, PruneRules()) == Pruned(1, 0, 0)
    assert len(gaussians) == 2


def test_what_breaks_two_rules_counts_once() -> None:
    gaussians, optimizer, statistics = sized([0.001, 0.5], [0.9, 0.9])
    see(statistics, [50, 50])
    removed = prune(gaussians, optimizer, statistics, PruneRules(max_world_size=0.5, max_screen_size=0.2))
    assert removed == Pruned(1, 1, 0) and len(gaussians) == 0


def test_the_screen_size_is_still_known_after_densification() -> None:
    """The fault of widely used code: the statistic is reset before it is tested, so that the rule never fires."""
    gaussians, optimizer, statistics = sized([0.5] * 6, [0.1] * 6)
    see(statistics, [1, 40, 1, 30, 1, 1])
    see(statistics, [1, 0, 1, 2, 1, 1])  # the largest radius counts, not the latest
    statistics.rows["grad_sum"][:] = torch.tensor([9.0, 0, 0, 9, 0, 9])
    densified = densify(
        gaussians,
        optimizer,
        statistics,
        grad_threshold=1.0,
        clone_below=0.2,
        max_gaussians=0,
        generator=torch.Generator().manual_seed(0),
    )
    assert densified == (3, 0) and len(gaussians) == 9
    removed = prune(gaussians, optimizer, statistics, PruneRules(max_screen_size=0.2))
    assert removed == Pruned(0, 0, 2) and len(gaussians) == 7
    statistics.reset()
    assert prune(gaussians, optimizer, statistics, PruneRules(max_screen_size=0.2)) == Pruned(0, 0, 0)
