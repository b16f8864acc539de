"""Shrinking: each rule fires on what it is for, the screen-size rule too; needles are cut, the rest goes."""

from __future__ import annotations

import math

import pytest
import torch

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from tests.helpers.clouds import random_gaussians
from training.strategies.densify import DensityStatistics, densify
from training.strategies.multiview_stats import MultiViewStats
from training.strategies.prune import Pruned, PruneLimits, SpikeRules, prune, prune_spikes
from training.strategies.rule_log import RuleLog
from training.strategies.split_needles import PIECES

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
    removed = prune(gaussians, optimizer, statistics, PruneLimits(max_world_size=0.5, max_screen_size=0.2))
    assert removed == Pruned(opacity=1, world_size=1, screen_size=1)
    assert torch.equal(gaussians.means, kept)
    assert len(optimizer.moments["means"].first) == len(statistics.rows["views"]) == 1


def test_rules_that_are_off_remove_nothing() -> None:
    gaussians, optimizer, statistics = sized([0.004, 0.5, 0.5], [0.1, 0.9, 0.1])
    see(statistics, [1, 1, 30])
    assert prune(gaussians, optimizer, statistics, PruneLimits()) == Pruned(1, 0, 0)
    assert len(gaussians) == 2


def test_what_the_rules_compare_is_kept_for_the_log() -> None:
    gaussians, optimizer, statistics = sized([0.004, 0.5, 0.6], [0.1, 0.9, 0.3])
    see(statistics, [1, 1, 30])
    log: RuleLog = {}
    prune(gaussians, optimizer, statistics, PruneLimits(max_world_size=0.5), log)
    assert set(log) == {"opacity", "world_size"}
    assert log["opacity"] == pytest.approx({"threshold": 0.005, "median": 0.5, "largest": 0.6})
    assert log["world_size"] == pytest.approx({"threshold": 0.5, "median": 0.3, "largest": 0.9})


def test_what_breaks_two_rules_counts_once() -> None:
    gaussians, optimizer, statistics = sized([0.001, 0.5], [0.9, 0.9])
    see(statistics, [50, 50])
    removed = prune(gaussians, optimizer, statistics, PruneLimits(max_world_size=0.5, max_screen_size=0.2))
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
    removed = prune(gaussians, optimizer, statistics, PruneLimits(max_screen_size=0.2))
    assert removed == Pruned(0, 0, 2) and len(gaussians) == 7
    statistics.reset()
    assert prune(gaussians, optimizer, statistics, PruneLimits(max_screen_size=0.2)) == Pruned(0, 0, 0)


# ---- spikes


class Cloud:
    """Opaque balls a hundredth large, all seen by ten views, with nothing against them."""

    def __init__(self, count: int = 10) -> None:
        self.gaussians, self.optimizer, self.statistics = sized([0.5] * count, [0.01] * count)
        self.gaussians.scales.detach()[:] = math.log(0.01)
        self.found = MultiViewStats.of_nothing(self.gaussians)
        self.found.views[:] = self.found.end_views[:] = self.found.end_on[:] = 10
        self.found.weight[:] = 5
        self.found.max_contribution[:] = 0.5

    def stretch(self, row: int, longest: float, middle: float = 0.01, end_on: float = 0.0) -> None:
        """Make a needle of which the first end is on the surface in so many of the ten views."""
        self.gaussians.scales.detach()[row] = torch.tensor([middle, longest, 0.001]).log()
        self.found.end_on[row, 0] = end_on

    def pruned(self, rules: SpikeRules) -> tuple[Pruned, list[int]]:
        """The counts, and the rows that went."""
        before = self.gaussians.means.detach().clone()
        removed = prune_spikes(self.gaussians, self.optimizer, self.statistics, self.found, rules)
        gone = [row for row, mean in enumerate(before) if not (self.gaussians.means == mean).all(dim=1).any()]
        for values in (*self.optimizer.moments["scales"], *self.statistics.rows.values()):
            assert len(values) == len(self.gaussians)
        return removed, gone


NEEDLES = SpikeRules(max_elongation=10, spike_size=0.1)
LEFT = len(PIECES) - 1  # pieces of a needle with one end off the surface; the middle one has the needle's center


def test_needles_are_cut_by_shape_size_and_ends() -> None:
    cloud = Cloud()
    cloud.stretch(2, longest=0.25)
    cloud.stretch(3, longest=0.25, middle=0.2)  # large, but flat
    cloud.stretch(4, longest=0.05, middle=0.001)  # long for its width, but small
    cloud.stretch(5, longest=0.25, end_on=7)  # mostly seen on the surface: an edge
    kept = cloud.gaussians.scales.detach()[3:].clone()
    assert cloud.pruned(NEEDLES) == (Pruned(needle=1), [])
    assert len(cloud.gaussians) == 9 + LEFT
    assert torch.equal(cloud.gaussians.scales[2:9], kept)
    assert (cloud.gaussians.scales[9:].exp() < 0.05).all() and not cloud.optimizer.moments["means"].first[9:].any()


@pytest.mark.parametrize("room, cut", [(0, 0), (LEFT - 1, 0), (2 * LEFT + 1, 2), (100, 3)])
def test_pieces_keep_to_the_limit(room: int, cut: int) -> None:
    cloud = Cloud()
    for row in (2, 3, 4):
        cloud.stretch(row, longest=0.5)
        cloud.found.end_on[row, 1] = 10
    rules = SpikeRules(max_elongation=10, spike_size=0.1, max_gaussians=10 + room)
    assert cloud.pruned(rules)[0] == Pruned(needle=cut)
    assert len(cloud.gaussians) == 10 + cut * (LEFT - 1) <= 10 + room


def test_needles_along_rays_go_first() -> None:
    cloud = Cloud()
    for row, longest in ((2, 0.9), (4, 0.3), (6, 0.4), (8, 0.5)):
        cloud.stretch(row, longest)
    cloud.found.ray_views[[4, 6]] = 6
    cloud.found.ray_views[2] = 5  # not more than half of the ten that saw it
    rules = SpikeRules(max_elongation=10, spike_size=0.1, max_fraction=0.2)
    assert cloud.pruned(rules)[0] == Pruned(needle=2)
    lengths = cloud.gaussians.activated_scales.detach().amax(dim=1).tolist()
    assert sorted(round(length, 3) for length in lengths if length > 0.2) == [0.5, 0.9]  # rows 8 and 2


def test_spikes_along_rays_go_by_several_views() -> None:
    cloud = Cloud()
    for row, longest in ((1, 0.2), (2, 0.2), (3, 0.2), (4, 0.02)):
        cloud.stretch(row, longest)
    cloud.found.ray_views[:5] = torch.tensor([0.0, 6, 2, 5, 10])  # 5 of 10 is not most; the last is small
    cloud.found.views[2] = 2  # two of two views, but two are not several
    assert cloud.pruned(SpikeRules(min_ray_views=3, spike_size=0.1)) == (Pruned(ray=1), [1])


def test_what_no_photo_needs_goes() -> None:
    cloud = Cloud()
    cloud.found.max_contribution[:3] = torch.tensor([0.01, 0.04, 0.02])
    cloud.found.views[2] = 0  # what no view has seen is not judged
    assert cloud.pruned(SpikeRules(min_weight=0.03)) == (Pruned(weight=1), [0])


def test_what_carries_much_of_the_picture_stays_however_faint_it_is() -> None:
    """A cloud that has not formed: half of it is faint, and half of all weight is made of that half."""
    fog = Cloud()
    fog.found.weight[:] = 10.0
    fog.found.max_contribution[:5] = torch.tensor([0.05, 0.04, 0.01, 0.02, 0.03])
    assert fog.pruned(SpikeRules(min_weight=0.1, max_weight_share=0.25)) == (Pruned(weight=2), [2, 3])
    formed = Cloud()
    formed.found.max_contribution[:5] = 0.01
    formed.found.weight[:] = torch.tensor([0.1] * 5 + [10.0] * 5)
    assert formed.pruned(SpikeRules(min_weight=0.1, max_weight_share=0.02)) == (Pruned(weight=5), [0, 1, 2, 3, 4])
    mixed = Cloud()  # what is over the limit does not use up the share of what is under it
    mixed.found.weight[:] = 10.0
    mixed.found.max_contribution[:] = torch.linspace(1.0, 0.01, 10)
    assert mixed.pruned(SpikeRules(min_weight=0.1, max_weight_share=0.1)) == (Pruned(weight=1), [9])


def test_the_highest_share_of_the_distortion_goes() -> None:
    cloud = Cloud()
    cloud.found.distortion[:4] = torch.tensor([5 * 0.2**2, 5 * 0.4**2, 5 * 0.3**2, 1.0])
    cloud.found.weight[3] = 0  # not seen
    assert cloud.pruned(SpikeRules(max_spread=0.25, max_fraction=0.1)) == (Pruned(distortion=1), [1])
    again = Cloud()
    again.found.distortion[:4] = cloud.found.distortion[:4]
    assert again.pruned(SpikeRules(max_spread=0.25)) == (Pruned(distortion=3), [1, 2, 3])
    assert Cloud().pruned(SpikeRules(max_spread=0.25)) == (Pruned(), [])


def test_floaters_go_when_no_view_supports_them() -> None:
    cloud = Cloud()
    cloud.found.views_before[:5] = torch.tensor([2.0, 3, 9, 4, 0])
    cloud.found.views_on[:5] = torch.tensor([0.0, 0, 1, 0, 5])
    assert cloud.pruned(SpikeRules(min_views_before=3)) == (Pruned(floater=2), [1, 3])


def test_rules_about_spikes_are_off_unless_given() -> None:
    cloud = Cloud()
    cloud.stretch(2, longest=5.0)
    for rows in (cloud.found.ray_views, cloud.found.distortion, cloud.found.views_before):
        rows[:] = 10
    assert cloud.pruned(SpikeRules()) == (Pruned(), []) and len(cloud.gaussians) == 10


def test_no_rule_takes_more_than_its_fraction_and_the_worst_go_first() -> None:
    cloud = Cloud(20)
    cloud.found.max_contribution[:4] = torch.tensor([0.04, 0.01, 0.02, 0.03])
    cloud.found.views_before[10:] = torch.arange(3.0, 13)
    rules = SpikeRules(min_weight=0.05, min_views_before=3, max_fraction=0.1)
    cloud.found.views_on[:] = 0
    assert cloud.pruned(rules) == (Pruned(weight=2, floater=2), [1, 2, 18, 19])
    assert Cloud(20).pruned(SpikeRules(min_weight=0.6, max_fraction=0.04))[0] == Pruned()  # 0.8 of one


def test_what_one_rule_leaves_over_another_may_take() -> None:
    cloud = Cloud()
    for row in (1, 2):
        cloud.stretch(row, longest=0.5 + 0.1 * row)
    cloud.found.views_before[1] = 5
    rules = SpikeRules(max_elongation=10, spike_size=0.1, min_views_before=3, max_fraction=0.1)
    removed, gone = cloud.pruned(rules)
    assert removed == Pruned(needle=1, floater=1) and gone == [1]
