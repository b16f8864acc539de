"""What train.py says on the screen while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import train
from scene.gaussians import optimizer
from tests.helpers.ring import make_dataset
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


@pytest.mark.parametrize("quiet", [False, True])
def test_distortion_line_and_flags_without_effect(
    quiet: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-s", str(make_dataset(tmp_path / "data")), "-m", str(tmp_path / "out"), "--iterations", "100"]
    train.main([*command, "--port", "6009", *(["--quiet"] if quiet else [])])
    shown = capsys.readouterr().out
    for text in ("[Iter 100] Depth Distortion Stats: mean=", "--port has no effect here: --viewer shows"):
        assert (text in shown) is not quiet


def test_gaussians_that_are_not_finite_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_state = train.first_state

    def poisoned(*arguments: Any) -> Any:
        state = first_state(*arguments)
        with torch.no_grad():
            state.gaussians.parameters["scales"][0] = 60.0  # e^60 squared is more than a float holds
        return state

    monkeypatch.setattr(train, "first_state", poisoned)
    data = make_dataset(tmp_path / "data")
    words = r"iteration 1: 1 Gaussians were not drawn in \d+.png.*the square of a scale"
    with pytest.raises(UserError, match=words):
        train.main(["-s", str(data), "-m", str(tmp_path / "out"), "--iterations", "3"])
    assert not list((tmp_path / "out").glob("point_cloud/*"))


@pytest.mark.parametrize(("name", "column"), [("means", 0), ("shs_rest", 5), ("quats", 1)])
@pytest.mark.parametrize("step", [2, 3])
def test_no_run_finishes_with_gaussians_that_are_not_finite(
    name: str, column: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the last of 3 steps has made them so."""
    original = optimizer.Optimizer.step

    def spoiling(self: optimizer.Optimizer, *arguments: Any) -> None:
        original(self, *arguments)
        if self.steps == step:
            self.gaussians.parameters[name].detach().flatten(1)[4, column] = torch.nan

    monkeypatch.setattr(optimizer.Optimizer, "step", spoiling)
    data = make_dataset(tmp_path / "data")
    with pytest.raises(UserError, match=rf"iteration 3: [\s\S]*{name}"):
        train.main(["-s", str(data), "-m", str(tmp_path / "out"), "--iterations", "3"])
    assert not list((tmp_path / "out").glob("point_cloud/*")) and not list((tmp_path / "out").glob("chkpnt*"))
