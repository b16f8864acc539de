"""A strategy is one class and one line in the registry; this file adds one and trains with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from scene.gaussians.optimizer import edit_rows
from training.checkpoint import load_checkpoint
from training.strategies import STRATEGIES
from training.strategies.base import Draw, Strategy
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

FLAGS = "--eval --quiet --save_iterations 6 --densify_from_iter 0"


class DropLast(Strategy):
    """Removes the last Gaussian after every second step."""

    dropped = 0

    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        if iteration % 2:
            return {}
        gaussians, optimizer, _ = self.inputs.gaussians, self.inputs.optimizer, draw
        keep = torch.arange(len(gaussians)) < len(gaussians) - 1
        edit_rows(gaussians, optimizer, None, keep)
        self.dropped += 1
        return {"last": 1}

    def state_dict(self) -> dict[str, Any]:
        return {"dropped": self.dropped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.dropped = state["dropped"]


def run(dataset: Path, model: Path, flags: str) -> list[dict[str, Any]]:
    train.main(["-s", str(dataset), "-m", str(model), *FLAGS.split(), *flags.split()])
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def test_a_registered_strategy_trains_and_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRATEGIES, "drop_last", DropLast)
    model = tmp_path / "toy"
    log = run(dataset, model, "--strategy drop_last --iterations 6 --checkpoint_iterations 6")
    assert [entry["densification"] for entry in log if "densification" in entry] == [{"last": 1}] * 3
    kept = load_checkpoint(model / "chkpnt6.pth")
    assert kept["strategy"] == {"name": "drop_last", "state": {"dropped": 3}}

    run(dataset, model, "--resume --iterations 8 --checkpoint_iterations 8")
    further = load_checkpoint(model / "chkpnt8.pth")
    assert further["strategy"]["state"] == {"dropped": 4}
    assert len(further["gaussians"]["means"]) == len(kept["gaussians"]["means"]) - 1

    with pytest.raises(UserError, match="--strategy budget: the checkpoint was made with --strategy drop_last"):
        run(dataset, model, "--resume --iterations 10 --strategy budget")


def test_an_unknown_strategy_is_refused_before_anything_is_written(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(dataset, tmp_path / "out", "--strategy nothing --iterations 2")
    error = capsys.readouterr().err
    assert raised.value.code == 2 and "--strategy: invalid choice: 'nothing'" in error and "budget" in error
    assert not (tmp_path / "out").exists()
