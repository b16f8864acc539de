"""What holds of every operator: the same bits for any number of threads, the same tests on each instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import instruction_set

ROOT = Path(__file__).resolve().parents[2]


def check_threads(results: Callable[[], Sequence[Tensor]]) -> None:
    """`results` are tensors that are not all 0, and the same bits for 1, 2 and 4 threads."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(results())
    finally:
        torch.set_num_threads(before)
    assert all(each.any() for each in found[0])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def check_instruction_set(tests: Path, name: str, chosen: str) -> None:
    """The tests of a file that pytest's -k `chosen` selects pass on an instruction set; skipped where the processor
    lacks it. The one that this process runs with is what all other tests see."""
    if not instruction_set().startswith("v") or instruction_set() < name:
        pytest.skip(f"this processor cannot run {name}")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(tests), "-k", chosen]
    environment = {**os.environ, "DGR_ISA": name}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and " passed" in result.stdout and "skipped" not in result.stdout, result.stdout
