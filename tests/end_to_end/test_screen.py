"""What train.py says on the screen while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from tests.end_to_end.test_train import make_dataset
from training import outputs


@pytest.fixture(autouse=True)
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "write_summary", lambda folder: [])


@pytest.mark.parametrize("quiet", [False, True])
def test_distortion_line_and_flags_without_effect(
    quiet: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-s", str(make_dataset(tmp_path / "data")), "-m", str(tmp_path / "out"), "--iterations", "100"]
    train.main([*command, "--port", "6009", *(["--quiet"] if quiet else [])])
    shown = capsys.readouterr().out
    for text in ("[Iter 100] Depth Distortion Stats: mean=", "--port has no effect here: there is no viewer server\n"):
        assert (text in shown) is not quiet


def test_gaussians_that_are_not_finite_are_said_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_state = train.first_state

    def poisoned(*arguments: Any) -> Any:
        state = first_state(*arguments)
        with torch.no_grad():
            state.gaussians.parameters["scales"][0] = 60.0  # e^60 squared is more than a float holds
        return state

    monkeypatch.setattr(train, "first_state", poisoned)
    data = make_dataset(tmp_path / "data")
    train.main(["-s", str(data), "-m", str(tmp_path / "out"), "--iterations", "3"])
    assert capsys.readouterr().out.count("1 Gaussians were not drawn") == 1
    log = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert [line["num_nonfinite"] for line in log if "num_nonfinite" in line] == [1]
