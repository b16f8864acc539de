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


def build(library: Path, *flags: str, csrc: Path = CSRC) -> None:
    """Compiles the emulated backend: about 8 seconds. `csrc`: where its kernels are."""
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
    target = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-shared", "-pthread", TORCH_TARGET)
    includes = (f"-I{HERE}", f"-I{HERE / 'emulator'}", f"-I{csrc}", f"-isystem{TORCH / 'include'}")
    files = (str(HERE / "emulated.cpp"), str(HERE / "emulated_operators.cpp"), "-o", str(library))
    links = (f"-L{TORCH / 'lib'}", "-ltorch_cpu")
    subprocess.run(["g++", *target, *warnings, *flags, *includes, *files, *links], check=True)


def load(library: Path) -> Any:
    """The built operators; one library in a process."""
    torch.ops.load_library(str(library))
    return torch.ops.emulated
