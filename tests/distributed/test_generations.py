"""Processes that torchrun starts again meet each other, not what those before them have left in the store."""

from __future__ import annotations

import os
import time

import pytest
import torch

from tests.helpers.ranks import kept_store, run_processes
from utils.distributed import join, launch_of, leave, meeting_point


def met(port: int, late: int) -> list[int]:
    """The ranks that this process has met, where rank `late` comes a second later than the others."""
    os.environ["MASTER_PORT"] = str(port)
    launch = launch_of()
    if launch.rank == late:
        time.sleep(1.0)
    ranks = join(launch, torch.device("cpu"), meeting_point(launch))
    found = ranks.objects(launch.rank)
    leave(ranks)
    return found


def test_a_new_generation_does_not_read_the_addresses_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with kept_store() as port:  # as torchrun's, which outlives them
        for restarts in ("0", "1", "2"):
            monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
            assert run_processes(2, met, port, 0) == [[0, 1]] * 2
