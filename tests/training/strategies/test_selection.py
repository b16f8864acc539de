"""Natural selection: what the photos hold up stays, as many as are wanted; the same bytes on resume and on ranks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

import train
from scene.gaussians.model import PARAMETERS
from scene.gaussians.optimizer import Optimizer
from tests.helpers.clouds import random_gaussians
from training.strategies import selection as selection_module
from training.strategies.base import StrategyInputs
from training.strategies.densify import DensityStatistics
from training.strategies.selection import FIRST_PRESSURE, Selection
from utils.errors import UserError

ITERATIONS, COUNT = 400, 50


def selected(wanted: int, held: range, rest: float | None = None) -> tuple[list[int], Selection, list[int]]:
    """Of 50 Gaussians and a run whose photos hold up the rows `held`: which stay, and how many after each step.
    `rest`: to what opacity the others are brought as soon as selection has begun."""
    gaussians = random_gaussians(COUNT)
    gaussians.opacities.detach().fill_(0.5)
    gaussians.shs_dc.detach()[:, 0, 0] = torch.arange(COUNT)  # by which rows are known again
    optimizer, statistics = Optimizer(gaussians, dict.fromkeys(PARAMETERS, 0.05)), DensityStatistics(COUNT)
    inputs = SimpleNamespace(iterations=ITERATIONS, gaussians=gaussians, optimizer=optimizer)
    selection, counts = Selection(cast(StrategyInputs, inputs), wanted), list[int]()
    for step in range(1, ITERATIONS + 1):
        before = len(gaussians)
        assert selection.after_step(step, statistics) == before - len(gaussians)
        needed = torch.isin(gaussians.shs_dc.detach()[:, 0, 0].long(), torch.tensor(held))
        gaussians.opacities.detach()[needed] = 0.5
        if rest is not None and step == 281:
            gaussians.opacities.detach()[~needed] = math.log(rest / (1 - rest))
        counts.append(len(gaussians))
    kept = gaussians.shs_dc.detach()[:, 0, 0].long().tolist()
    assert len(optimizer.moments["means"].first) == len(statistics.rows["views"]) == len(kept)
    return kept, selection, counts


def test_what_the_photos_hold_up_stays() -> None:
    kept, selection, counts = selected(20, held=range(10, 25))
    assert set(range(10, 25)) <= set(kept) and len(kept) == 20
    assert counts[:280] == [COUNT] * 280
    assert counts[359] == 20 and counts == sorted(counts, reverse=True)
    assert selection.pressure > FIRST_PRESSURE  # at first it was too weak


def test_who_is_held_up_but_not_wanted_goes_at_the_end() -> None:
    kept, _, counts = selected(20, held=range(COUNT))
    assert counts[358] == COUNT and len(kept) == counts[359] == 20


def test_the_pressure_falls_where_opacities_do_by_themselves() -> None:
    kept, selection, counts = selected(20, held=range(10), rest=0.05)
    assert 0 < selection.pressure < FIRST_PRESSURE and counts[358] == COUNT and len(kept) == 20


def test_what_has_sunk_does_not_wait_for_the_end() -> None:
    kept, _, counts = selected(20, held=range(10), rest=0.004)
    assert counts[298] == COUNT and counts[299] == len(kept) == 10


@pytest.mark.parametrize("wanted", [0, COUNT, 1000])
def test_nothing_is_pressed_where_all_are_wanted(wanted: int) -> None:
    kept, selection, _ = selected(wanted, held=range(0))
    assert len(kept) == COUNT and selection.pressure == 0


def test_the_expected_part_is_that_of_the_line() -> None:
    inputs = cast(StrategyInputs, SimpleNamespace(iterations=ITERATIONS, gaussians=None, optimizer=None))
    shares = [Selection(inputs, 300).share_left(progress, 1000) for progress in (0.0, 0.7, 0.8, 0.9, 1.0)]
    assert shares == pytest.approx([1.0, 1.0, 1 - 0.7 / 16, 0.3, 0.3])
    assert Selection(inputs, 0).share_left(1.0, 1000) == Selection(inputs, 1000).share_left(1.0, 1000) == 1.0


@pytest.mark.usefixtures("without_pages")
def test_a_run_whose_gaussians_all_sink_ends_with_a_line(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection_module, "PRUNED_UNDER", 1.1)
    words = ["-s", str(dataset), "-m", str(tmp_path), "--quiet", "--iterations", "70", "--select_to", "20"]
    with pytest.raises(UserError, match="iteration 50: no Gaussian is left"):
        train.main([*words, "--prune_min_weight", "0", "--spike_ratio", "0"])


@pytest.mark.usefixtures("without_pages")
def test_a_run_ends_with_as_many_as_are_asked_for_and_goes_on_from_the_middle(dataset: Path, tmp_path: Path) -> None:
    grown = "--max_gaussians 160 --densification_interval 8 --prune_min_weight 0 --spike_ratio 0 --select_to 70"
    words = ["-s", str(dataset), "-m", str(tmp_path), "--quiet", "--iterations", "160", *grown.split()]
    train.main([*words, "--checkpoint_iterations", "112", "125", "144"])
    result = tmp_path / "point_cloud/iteration_160/point_cloud.ply"
    straight = result.read_bytes()

    def count(iteration: int) -> int:
        state: dict[str, Any] = torch.load(tmp_path / f"chkpnt{iteration}.pth", weights_only=True)
        assert (state["strategy"]["state"]["selection"]["pressure"] > 0) == (iteration > 112)
        return len(state["gaussians"]["means"])

    assert count(112) == 160 and count(144) == 70
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("densification", {}).get("selection", 0) for line in lines) == 90
    result.unlink()
    (tmp_path / "chkpnt144.pth").unlink()
    train.main(["-m", str(tmp_path), "--resume", "--quiet"])
    assert result.read_bytes() == straight
