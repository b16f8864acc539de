"""The formulas of the losses and of Adam on narrower instruction sets than that on which the other tests run here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diff_gaussian_rasterization import instruction_set

HERE = Path(__file__).resolve().parent
FILES = ("adam", "depth_terms", "effective_rank", "expose", "photometric_op")
CHOSEN = "formula or gradient or digits or part or identity"  # of their tests: values and derivatives


@pytest.mark.parametrize("name", ["v1", "v3"])
@pytest.mark.slow
def test_formulas_and_gradients(name: str) -> None:
    if not instruction_set().startswith("v") or instruction_set() <= name:
        pytest.skip(f"{name} is not narrower than what the other tests run on here")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", CHOSEN]
    result = subprocess.run(
        [*command, *(str(HERE / f"test_{file}.py") for file in FILES)],
        cwd=HERE.parents[1],
        env={**os.environ, "DGR_ISA": name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0 and " passed" in result.stdout and "skipped" not in result.stdout, result.stdout
