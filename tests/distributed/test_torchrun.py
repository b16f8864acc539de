"""torchrun itself: a rank that is killed is named, all are started again, and the run ends as if nothing had been."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import train
from tests.helpers.ranks import run_processes

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "--iterations 24 --quiet --viewer_html_mb 0 --densification_interval 4 --checkpoint_iterations 8"


@pytest.mark.slow
@pytest.mark.usefixtures("without_pages")
def test_a_rank_killed_at_any_step_is_named_and_the_run_goes_on(dataset: Path, tmp_path: Path) -> None:
    killed_at = random.randrange(2, 12)  # of 12 steps
    words = ["-s", str(dataset), *FLAGS.split()]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--max-restarts=1"]
    torchrun.append("--monitor-interval=3")  # seconds, in which the other rank says what it saw before it is ended
    ended = subprocess.run(
        [*torchrun, "-m", "tests.helpers.killed_once", *words, "-m", str(tmp_path / "killed")],
        cwd=ROOT, env={**os.environ, "KILLED_AT": str(killed_at)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = f"killed at step {killed_at}: {ended.stderr}"
    assert ended.returncode == 0 and "rank 0 stops, since rank 1 has ended without a word" in ended.stderr, said
    run_processes(2, train.main, [*words, "-m", str(tmp_path / "straight")])
    found, expected = (
        (tmp_path / name / "point_cloud" / "iteration_24" / "point_cloud.ply").read_bytes()
        for name in ("killed", "straight")
    )
    assert found == expected, said
