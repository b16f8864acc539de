"""What a strategy decides on several ranks is what it decides on one from the same state: the same rows and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from arguments import parse_train_options
from gaussian_renderer import RenderSettings
from scene import load_scene
from scene.gaussians.columns import Columns
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.shard import Shard
from tests.helpers.clouds import random_gaussians
from tests.helpers.ranks import run_ranks
from training.corrections import Corrections
from training.draw import draw_of
from training.startup import first_state
from training.strategies import strategy_options
from utils.distributed import ONE, Ranks

LIMIT = 160
FLAGS = f"--densification_interval 4 --densify_from_iter 3 --max_gaussians {LIMIT} --prune_min_weight 0"


def by_chance(gaussians: Gaussians, seed: int) -> Tensor:
    """(N,) in [0, 1), those that the rows would have on one rank."""
    every = torch.rand(gaussians.total, generator=torch.Generator().manual_seed(seed))
    return Columns(gaussians).own(every)


def decided(
    ranks: Ranks, dataset: Path, name: str, flags: str, steps: tuple[int, ...]
) -> tuple[list[dict[str, int]], dict[str, Tensor]]:
    """What steps with something to decide count, and all Gaussians after them."""
    words = f"-m unused --strategy {name} --iterations 40 {FLAGS} {flags}".split()
    options = parse_train_options(["-s", str(dataset), *words], strategies=strategy_options())
    state = first_state(options, load_scene(dataset, quiet=True), torch.device("cpu"), ranks)
    gaussians, strategy = state.gaussians, state.strategy
    counts = []
    for step in steps:
        chance = by_chance(gaussians, step)
        if hasattr(strategy, "statistics"):
            strategy.statistics.rows["grad_sum"].copy_(chance * 1e-3)
            strategy.statistics.rows["views"].fill_(1.0)
        gaussians.opacities.detach()[chance < 0.1] = -6.0  # to be pruned, or moved
        draw = draw_of(gaussians, Corrections(), torch.full((3,), 0.2), RenderSettings(near=0.05, sh_degree=0))
        counts.append(strategy.after_step(step, draw))
        assert gaussians.total <= LIMIT
        assert {len(each) for pair in state.optimizer.moments.values() for each in pair} == {len(gaussians)}
        if step == 8:
            state.balance()
    columns = Columns(gaussians)
    return counts, {name: columns.whole(gaussians.parameters[name].detach()) for name in PARAMETERS}


@pytest.mark.parametrize(
    ("name", "flags", "steps"),
    [
        *((name, "", (4, 8, 12, 16)) for name in ("budget", "threshold", "mcmc")),
        ("budget", "--select_to 100", (4, 8, 12, 16, 29, 30, 36)),  # pressed down twice, and all that are too many
    ],
)
def test_the_same_rows_are_chosen_on_any_number_of_ranks(
    name: str, flags: str, steps: tuple[int, ...], dataset: Path
) -> None:
    counts, expected = decided(ONE, dataset, name, flags, steps)
    assert all(any(count.values()) for count in counts[:4]) and 90 < len(expected["means"]) <= LIMIT
    assert bool(flags) == (counts[-1].get("selection", 0) > 0)
    for size in (2, 3):
        for found_counts, found in run_ranks(size, decided, dataset, name, flags, steps):
            assert found_counts == counts
            for parameter, values in expected.items():
                assert torch.equal(found[parameter], values), parameter


def columns_of(ranks: Ranks) -> list[Tensor]:
    """The own rows' ids, found in a column of all of them; all ids from the ranks that own them."""
    ids = torch.tensor([1, 5, 6, 9, 20, 21, 30, 44])
    owned = [ids[[0, 4, 5, 7]], ids[:0], ids[[1, 2, 3, 6]]]
    whole = random_gaussians(len(ids), sh_degree=0)
    rows = torch.isin(ids, owned[ranks.rank])
    shard = Shard(ranks, owned[ranks.rank], 50)
    gaussians = Gaussians({name: whole.parameters[name].detach()[rows] for name in PARAMETERS}, shard)
    columns = Columns(gaussians)
    flags = columns.whole(shard.ids % 2 == 0)
    return [columns.own(ids) - shard.ids, columns.whole(shard.ids) - ids, (flags != (ids % 2 == 0)).long()]


def test_columns_are_in_the_order_of_one_rank() -> None:
    """One rank owns nothing."""
    for found in run_ranks(3, columns_of):
        assert not any(each.any() for each in found)
