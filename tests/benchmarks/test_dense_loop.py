"""The bare loop that the blend kernels are measured against is written with their formulas, and follows them."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "dense_loop.cpp"


def test_it_compiles() -> None:
    command = ["g++", "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-DDGR_ISA=bench"]
    subprocess.run([*command, str(SOURCE)], check=True)
