"""Whose rows are whose: chosen among all ranks, moved between them, and what they take of each rank's memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from arguments import OptimizationOptions
from gaussian_renderer import RenderSettings
from gaussian_renderer.sharded import Request, render_batch
from scene.gaussians.average import Average
from scene.gaussians.model import PARAMETERS
from scene.gaussians.optimizer import Optimizer, edit_rows
from tests.helpers.clouds import random_gaussians
from tests.helpers.ranks import run_ranks
from tests.helpers.scenes import cameras
from training.distributed.balance import is_uneven, planned_moves, rebalance
from training.rates import learning_rates
from training.startup import share_of
from training.strategies.densify import DensityStatistics, top_k_mask
from utils.distributed import ONE, Ranks
from utils.selection import first_with_share, keys_of, median_and_largest, top_k

COUNT = 400


def values() -> tuple[Tensor, Tensor]:
    """Numbers of both signs, many of them equal, and whether they are candidates."""
    generator = torch.Generator().manual_seed(2)
    numbers = (8 * torch.randn(COUNT, generator=generator)).round() / 4
    return torch.where(numbers == 0, -0.0, numbers), torch.rand(COUNT, generator=generator) < 0.6


def chosen(ranks: Ranks) -> list[Any]:
    """What is chosen of the values, in the order of their ids."""
    numbers, candidates = values()
    ids = torch.arange(ranks.rank, COUNT, ranks.size)
    found: list[Any] = []
    for count in (0, 1, 50, 170, COUNT):
        mask = top_k(numbers[ids], candidates[ids], count, ids, ranks)
        found.append(ranks.gather(ids[mask]).sort().values.tolist())
    keys, amounts = keys_of(numbers[ids], ids), numbers[ids].abs()
    mask = first_with_share(keys, amounts, 0.3, ranks)
    return [*found, ranks.gather(ids[mask]).sort().values.tolist(), median_and_largest(numbers[ids], ids, COUNT, ranks)]


def test_choices_are_those_of_one_process() -> None:
    numbers, candidates = values()
    cloud = random_gaussians(1)  # on one rank: sorted
    expected = [
        top_k_mask(numbers, candidates, count, cloud).nonzero().squeeze(1).tolist() for count in (0, 1, 50, 170, COUNT)
    ]
    order = numbers.argsort(stable=True)
    within = numbers[order].abs().double().cumsum(0) <= 0.3 * numbers.abs().double().sum()
    everything = [*expected, order[within].sort().values.tolist(), (float(numbers.median()), float(numbers.max()))]
    assert len(expected[3]) == 170 and len(expected[4]) == int(candidates.sum()) and 0 < int(within.sum()) < COUNT
    assert chosen(ONE) == everything
    for found in run_ranks(3, chosen):
        assert found == everything


def edited(ranks: Ranks) -> list[Tensor]:
    """Rows copied, dropped and moved, in the order of their ids: means, moments, averages, statistics."""
    gaussians = random_gaussians(60, sh_degree=1)
    if ranks.size > 1:
        gaussians = share_of(gaussians, ranks)
    ids = torch.arange(60) if gaussians.shard is None else gaussians.shard.ids
    optimizer = Optimizer(gaussians, learning_rates(OptimizationOptions(), 1.0, 0, 30_000))
    statistics = DensityStatistics(len(gaussians))
    statistics.rows["views"] += ids
    for name in PARAMETERS:
        optimizer.moments[name].first.copy_(2 * gaussians.parameters[name].detach())
    optimizer.average = Average({name: 3 * gaussians.parameters[name] for name in PARAMETERS})
    lucky = (ids % 3 == 0) & (ids < 40)  # all on rank 0 of three
    parents = lucky.nonzero().squeeze(1)
    copies = {name: torch.cat([gaussians.parameters[name].detach()[lucky]] * 2) for name in PARAMETERS}
    edit_rows(gaussians, optimizer, statistics, ids % 7 != 0, copies, [parents, parents])
    if gaussians.shard is not None:
        assert is_uneven(gaussians.shard.counts)
        statistics.load_state(rebalance(gaussians, optimizer, statistics.state()))
        assert max(gaussians.shard.counts) - min(gaussians.shard.counts) <= 1 and not is_uneven(gaussians.shard.counts)
        assert bool((gaussians.shard.ids.diff() > 0).all())
        ids = gaussians.shard.ids
    else:
        ids = torch.arange(len(gaussians))
    assert torch.equal(optimizer.moments["shs_rest"].first[:3], 2 * gaussians.shs_rest.detach()[:3]) or len(ids) < 3
    order = ranks.gather(ids).argsort()
    of_means = optimizer.moments["means"].first, optimizer.average.values["means"]
    columns = gaussians.means.detach(), *of_means, statistics.rows["views"]
    return [ranks.gather(each)[order] for each in columns]


def test_rows_stay_together_and_in_order() -> None:
    expected = edited(ONE)
    assert len(expected[0]) == 60 - 9 + 2 * 14
    for found in run_ranks(3, edited):
        assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


@pytest.mark.parametrize("counts", [[10, 0, 0], [5, 5, 6], [0, 1], [7, 100, 3, 60]])
def test_moves_even_out(counts: list[int]) -> None:
    moves = planned_moves(counts)
    after = [count - sum(moves[rank]) + sum(row[rank] for row in moves) for rank, count in enumerate(counts)]
    assert sum(after) == sum(counts) and max(after) - min(after) <= 1
    assert not any(sum(moves[rank]) and sum(row[rank] for row in moves) for rank in range(len(counts)))


def memory(ranks: Ranks) -> tuple[int, int]:
    """Bytes of a step: parameters and moments; what the graph keeps between forward and backward, without these."""
    count = 3000
    gaussians = random_gaussians(count)
    if ranks.size > 1:
        gaussians = share_of(gaussians, ranks)
    optimizer = Optimizer(gaussians, learning_rates(OptimizationOptions(), 1.0, 0, 30_000))
    known = [gaussians.parameters[name] for name in PARAMETERS]
    owned = sum(3 * each.numel() * each.element_size() for each in known)  # with both moments
    assert sum(each.numel() for pair in optimizer.moments.values() for each in pair) * 4 * 3 == 2 * owned
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if all(storage.data_ptr() != each.untyped_storage().data_ptr() for each in known):
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    requests = [Request(each, torch.zeros(3), RenderSettings(0.05, 3)) for each in cameras(max(ranks.size, 1))]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        batch = render_batch(gaussians, requests)
    assert any(view.output is not None and view.output.alpha.max() > 0.5 for view in batch.views)
    return owned, sum(kept.values())


def test_memory_of_a_rank_falls() -> None:
    """At two ranks at most 0.6 of one: parameters, moments, and all that is kept of splats, pictures too."""
    owned, kept = memory(ONE)
    for each in run_ranks(2, memory):
        assert each[0] == pytest.approx(owned / 2, rel=0.01)
        assert sum(each) <= 0.6 * (owned + kept), (each, owned, kept)
