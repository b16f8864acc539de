"""The CUDA backend compiled for the CPU over emulator.h: its operators, for CPU tensors, in `torch.ops.emulated`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch

from diff_gaussian_rasterization._native.plan import TORCH_TARGET

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[2] / "submodules" / "diff-gaussian-rasterization" / "csrc"
TORCH = Path(torch.__file__).parent


def build(library: Path, *flags: str) -> None:
    """Compiles the emulated backend: about 8 seconds."""
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
    target = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-shared", TORCH_TARGET)
    folders = (f"-I{HERE}", f"-I{CSRC}", f"-isystem{TORCH / 'include'}", f"-L{TORCH / 'lib'}", "-ltorch_cpu")
    files = (str(HERE / "emulated.cpp"), str(HERE / "emulated_operators.cpp"), "-o", str(library))
    subprocess.run(["g++", *target, *warnings, *flags, *files, *folders], check=True)


def load(library: Path) -> Any:
    """The built operators; one library in a process."""
    torch.ops.load_library(str(library))
    return torch.ops.emulated
