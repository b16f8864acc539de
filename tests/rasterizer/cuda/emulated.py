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
    """Compiles the emulated backend: over half a minute of processor time. `csrc`: where its kernels are."""
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
    target = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-pthread", TORCH_TARGET)
    includes = (f"-I{HERE}", f"-I{HERE / 'emulator'}", f"-I{csrc}", f"-isystem{TORCH / 'include'}")
    objects = []
    # The operators only hand tensors over: optimizing or watching them takes longer than it is worth.
    for name, how in (("emulated", ("-O1", *flags)), ("emulated_operators", ("-O0",))):
        objects.append(str(library.with_name(f"{name}.o")))
        compiling = ("g++", *target, *warnings, *how, *includes, "-c", str(HERE / f"{name}.cpp"))
        subprocess.run([*compiling, "-o", objects[-1]], check=True)
    links = ("-shared", "-pthread", f"-L{TORCH / 'lib'}", "-ltorch_cpu")
    subprocess.run(["g++", *flags, *objects, *links, "-o", str(library)], check=True)


def load(library: Path) -> Any:
    """The built operators; one library in a process."""
    torch.ops.load_library(str(library))
    return torch.ops.emulated
