"""What run.json says of the machine and the command."""

from __future__ import annotations

import pytest
import torch

from training import run_info


def test_git_state_is_that_of_the_folder_itself(tmp_path):
    assert run_info.git_state(tmp_path) is None
    assert run_info.git_state(run_info.ROOT / "utils") is None, "a part of a repository is not its root"


def test_the_command_can_be_pasted():
    command = ["train.py", "-s", "my data", "-m", "out"]
    assert run_info.describe_run(command)["command"] == "train.py -s 'my data' -m out"


def test_the_memory_of_a_gpu_is_known_where_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert run_info.peak_gpu_memory_mib() is None
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**20)
    assert run_info.peak_gpu_memory_mib() == 3
