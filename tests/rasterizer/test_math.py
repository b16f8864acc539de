"""The derivative of every formula in csrc/math, proved by a C++ program that needs no torch."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "submodules" / "diff-gaussian-rasterization" / "csrc"


def test_every_vjp_agrees_with_central_differences(tmp_path: Path) -> None:
    program = tmp_path / "check_vjps"
    compile_command = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}"]
    subprocess.run([*compile_command, str(HERE / "check_vjps.cpp"), "-o", str(program)], check=True)
    result = subprocess.run([str(program)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(" ok ") >= 36, result.stdout
