"""Shrinking: each rule fires on what it is for, the screen-size rule too."""

from __future__ import annotations

import math

import torch

from scene.densify import densify
from scene.gaussians import PARAMETERS, Gaussians
from scene.optimizer import Optimizer
from scene.prune import Pruned, PruneRules, prune
from scene.spikes import SpikeStatistics
from tests.clouds import random_gaussians

RATES = dict.fromkeys(PARAMETERS, 1e-3)


def sized(opacities: list[float], scales: list[float]) -> tuple[Gaussians, Optimizer, SpikeStatistics]:
    """Gaussians with these opacities, and these standard deviations along their second axis."""
    gaussians = random_gaussians(len(opacities))
    gaussians.opacities.detach()[:, 0] = torch.tensor(opacities).logit()
    gaussians.scales.detach()[:] = math.log(1e-3)
    gaussians.scales.detach()[:, 1] = torch.tensor(scales).log()
    return gaussians, Optimizer(gaussians, RATES), SpikeStatistics(len(opacities))


def see(statistics: SpikeStatistics, radii: list[int], size: int = 100) -> None:
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


# ---- spikes


def spiky(count: int = 10) -> tuple[Gaussians, Optimizer, SpikeStatistics]:
    """Opaque balls a hundredth large, seen by ten views, with nothing against them."""
    gaussians, optimizer, statistics = sized([0.5] * count, [0.01] * count)
    gaussians.scales.detach()[:] = math.log(0.01)
    statistics.rows["spike_views"][:] = 10
    statistics.rows["weight"][:] = 5
    return gaussians, optimizer, statistics


def stretch(gaussians: Gaussians, row: int, longest: float, middle: float = 0.01) -> None:
    gaussians.scales.detach()[row] = torch.tensor([middle, longest, 0.001]).log()


def survivors(gaussians: Gaussians, before: torch.Tensor) -> list[int]:
    """Which rows of `before`, the centres, are still there."""
    return [row for row, mean in enumerate(before) if (gaussians.means == mean).all(dim=1).any()]


def pruned(cloud: tuple[Gaussians, Optimizer, SpikeStatistics], rules: PruneRules) -> tuple[Pruned, list[int]]:
    before = cloud[0].means.detach().clone()
    removed = prune(*cloud, rules)
    assert sum(removed) == len(before) - len(cloud[0]) and len(cloud[2].rows["weight"]) == len(cloud[0])
    left = survivors(cloud[0], before)
    return removed, [row for row in range(len(before)) if row not in left]


def test_needles_go_by_shape_and_size() -> None:
    cloud = spiky()
    stretch(cloud[0], 2, longest=0.25)
    stretch(cloud[0], 3, longest=0.25, middle=0.2)  # large, but flat
    stretch(cloud[0], 4, longest=0.05, middle=0.001)  # long for its width, but small
    rules = PruneRules(max_elongation=10, spike_size=0.1)
    assert pruned(cloud, rules) == (Pruned(needle=1), [2])


def test_needles_along_rays_go_first() -> None:
    cloud = spiky()
    for row, longest in ((2, 0.9), (4, 0.3), (6, 0.4), (8, 0.5)):
        stretch(cloud[0], row, longest)
    cloud[2].rows["ray_views"][torch.tensor([4, 6])] = 6
    cloud[2].rows["ray_views"][2] = 5  # not more than half of the ten that saw it
    rules = PruneRules(max_elongation=10, spike_size=0.1, max_fraction=0.2)
    assert pruned(cloud, rules) == (Pruned(needle=2), [4, 6])
    rules = PruneRules(max_elongation=10, spike_size=0.1, max_fraction=0.15)  # one of the eight left
    assert pruned(cloud, rules) == (Pruned(needle=1), [2])  # 90 to 1 before 50 to 1


def test_spikes_along_rays_go_by_several_views() -> None:
    cloud = spiky()
    for row, longest in ((1, 0.2), (2, 0.2), (3, 0.2), (4, 0.02)):
        stretch(cloud[0], row, longest)
    cloud[2].rows["ray_views"][:5] = torch.tensor([0.0, 6, 2, 5, 10])  # 5 of 10 is not most; the last is small
    cloud[2].rows["spike_views"][2] = 2  # two of two views, but two are not several
    rules = PruneRules(min_ray_views=3, spike_size=0.1)
    assert pruned(cloud, rules) == (Pruned(ray=1), [1])


def test_what_no_photo_needs_goes() -> None:
    cloud = spiky()
    cloud[2].rows["weight_max"][:] = 0.5
    cloud[2].rows["weight_max"][:3] = torch.tensor([0.01, 0.04, 0.02])
    cloud[2].rows["spike_views"][2] = 0  # not seen since the reset
    assert pruned(cloud, PruneRules(min_weight=0.03)) == (Pruned(weight=1), [0])


def test_the_highest_share_of_the_distortion_goes() -> None:
    cloud = spiky()
    cloud[2].rows["distortion"][:4] = torch.tensor([5 * 0.2**2, 5 * 0.4**2, 5 * 0.3**2, 1.0])
    cloud[2].rows["weight"][3] = 0  # not seen since the reset
    assert pruned(cloud, PruneRules(max_spread=0.25, max_fraction=0.1)) == (Pruned(distortion=1), [1])
    assert pruned(cloud, PruneRules(max_spread=0.25)) == (Pruned(distortion=1), [1])  # row 2 of before
    assert pruned(cloud, PruneRules(max_spread=0.25)) == (Pruned(), [])


def test_floaters_go_when_no_view_supports_them() -> None:
    cloud = spiky()
    cloud[2].rows["views_before"][:5] = torch.tensor([2.0, 3, 9, 4, 0])
    cloud[2].rows["views_on"][:5] = torch.tensor([0.0, 0, 1, 0, 5])
    assert pruned(cloud, PruneRules(min_views_before=3)) == (Pruned(floater=2), [1, 3])


def test_rules_about_spikes_are_off_by_default() -> None:
    cloud = spiky()
    stretch(cloud[0], 2, longest=5.0)
    for name in ("ray_views", "distortion", "views_before"):
        cloud[2].rows[name][:] = 10
    assert pruned(cloud, PruneRules()) == (Pruned(), [])


def test_no_rule_removes_more_than_its_fraction_and_the_worst_go_first() -> None:
    opacities = [0.004, 0.001, 0.002, 0.003, *[0.5] * 16]
    gaussians, optimizer, statistics = sized(opacities, [*[0.1] * 10, *[0.5 + 0.01 * row for row in range(10)]])
    rules = PruneRules(max_world_size=0.3, max_fraction=0.1)
    removed, rows = pruned((gaussians, optimizer, statistics), rules)
    assert removed == Pruned(opacity=2, world_size=2) and rows == [1, 2, 18, 19]
    assert pruned((gaussians, optimizer, statistics), PruneRules(max_fraction=0.05))[0] == Pruned()  # 0.8 of one


def test_what_one_rule_leaves_over_another_may_take() -> None:
    cloud = spiky()
    for row in (1, 2):
        stretch(cloud[0], row, longest=0.5 + 0.1 * row)
    cloud[2].rows["views_before"][1] = 5
    rules = PruneRules(max_elongation=10, spike_size=0.1, min_views_before=3, max_fraction=0.1)
    assert pruned(cloud, rules) == (Pruned(needle=1, floater=1), [1, 2])


def test_evidence_is_still_there_after_densification() -> None:
    """It is reset after it is used, never before: neither by densification nor by the reset of its statistics."""
    gaussians, optimizer, statistics = spiky()
    statistics.rows["views_before"][4] = 5
    floater = gaussians.means.detach()[4].clone()
    statistics.observe(torch.tensor([[9.0, 0.0]] * 3 + [[0.0, 0.0]] * 7), torch.ones(10), 2, 2)
    generator = torch.Generator().manual_seed(0)
    options = dict(grad_threshold=1.0, clone_below=1e-6, max_gaussians=0, generator=generator)
    assert densify(gaussians, optimizer, statistics, **options) == (0, 3)
    statistics.reset()
    assert prune(gaussians, optimizer, statistics, PruneRules(min_views_before=3)) == Pruned(floater=1)
    assert len(gaussians) == 12 and not (gaussians.means == floater).all(dim=1).any()
    statistics.rows["views_before"][2] = 5
    statistics.reset_spikes()
    assert prune(gaussians, optimizer, statistics, PruneRules(min_views_before=3)) == Pruned()


def test_the_line_of_the_log() -> None:
    assert str(Pruned(opacity=1200, screen_size=1, needle=3)) == "pruned: 1,200 opacity, 1 screen size, 3 needle"
    assert str(Pruned()) == "pruned: nothing"
