"""nvcc's verdict on every CUDA file: no warnings, no spills, no more registers than the planned occupancy allows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from .emulated import CSRC

# Divisions and roots to 2 units in the last place instead of half of one, tiny numbers as 0: docs/measurements/gpu.md.
FLAGS = ("-std=c++17", "--expt-relaxed-constexpr", "-ftz=true", "-prec-div=false", "-prec-sqrt=false")
ARCHITECTURES = (75, 89, 90, 120)  # the oldest that nvcc 13 knows, and what most people have
KERNELS = ("adam", "bin", "blend", "blend_backward", "project", "ssim", "statistics")

REGISTERS = 65536  # of a multiprocessor, on all of these
SHARED_BYTES = 100 * 1024  # of the smallest multiprocessor since sm_80
SHARED_BYTES_OF_CUDA = 1024  # which it takes from every block

# float32 kernels: threads of a block, and how many blocks must fit on a multiprocessor at a time, by registers and by
# the shared memory of a small one (docs/measurements/gpu.md).
PLAN = {
    "project_kernel": (128, 6, 3),
    "project_backward_kernel": (128, 4, 3),
    "count_tiles": (256, 6, 8),
    "write_tiles": (256, 4, 8),
    "pack_splats": (256, 8, 8),
    "blend_kernel": (256, 4, 4),
    "blend_backward_kernel": (256, 4, 3),
    "statistics_kernel": (256, 4, 4),
    "finish_gradients": (256, 4, 8),
    "finish_statistics": (256, 8, 8),
    "ssim_kernel": (256, 4, 3),
    "ssim_backward_kernel": (256, 4, 4),
    "adam_kernel": (256, 8, 8),
}


class Usage(NamedTuple):
    kernel: str  # its mangled name
    architecture: int
    spilled: int  # bytes
    registers: int
    shared: int  # bytes


def find_nvcc() -> str:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on the PATH: the CUDA kernels run in the emulator but are not compiled for a card")
    return nvcc


def compile_cuda(name: str, architectures: tuple[int, ...], folder: Path) -> list[Usage]:
    """Compiles csrc/cuda/`name`.cu with warnings as errors; what ptxas says of each kernel."""
    targets = [word for a in architectures for word in ("-gencode", f"arch=compute_{a},code=sm_{a}")]
    strict = ("-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra", "-Xptxas", "-v")
    command = [
        find_nvcc(),
        *FLAGS,
        *targets,
        *strict,
        "-c",
        str(CSRC / "cuda" / f"{name}.cu"),
        "-o",
        str(folder / name),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    pattern = (
        r"Compiling entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers"
        r"(?:[^\n]*?(\d+) bytes smem)?"
    )
    return [
        Usage(kernel, int(architecture), int(spilled), int(registers), int(shared or 0))
        for kernel, architecture, spilled, registers, shared in re.findall(pattern, output, re.DOTALL)
    ]


def planned(kernel: str) -> str | None:
    """The name in PLAN of a float32 kernel."""
    return next((name for name in PLAN if re.search(rf"\d{name}If", kernel)), None)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_without_spills_in_the_registers_planned(name: str, tmp_path: Path) -> None:
    usages = compile_cuda(name, ARCHITECTURES, tmp_path)
    assert {usage.architecture for usage in usages} == set(ARCHITECTURES)
    checked = set()
    for usage in usages:
        assert usage.spilled == 0, usage
        kernel = planned(usage.kernel)
        if kernel is None:
            continue
        threads, by_registers, by_shared = PLAN[kernel]
        assert -(-usage.registers // 8) * 8 * threads * by_registers <= REGISTERS, usage
        assert (usage.shared + SHARED_BYTES_OF_CUDA) * by_shared <= SHARED_BYTES, usage
        checked.add((kernel, usage.architecture))
    assert len(checked) >= len(ARCHITECTURES)


def falloffs(name: str, folder: Path) -> list[list[str]]:
    """The arithmetic before each exponential of csrc/cuda/`name`.cu in float32, registers numbered as they come."""
    ptx = folder / f"{name}.ptx"
    source = str(CSRC / "cuda" / f"{name}.cu")
    subprocess.run([find_nvcc(), *FLAGS, "-arch=compute_90", "-ptx", source, "-o", str(ptx)], check=True)
    found: list[list[str]] = []
    recent: list[str] = []
    for line in ptx.read_text().splitlines():
        if re.search(r"\b(sub|mul|fma|neg|add)\.\S*f32", line):
            recent.append(line.strip())
        elif "ex2.approx" in line:
            registers = list(dict.fromkeys(re.findall(r"%f\d+", " ".join(recent[-8:]))))
            found.append([re.sub(r"%f\d+", lambda m: f"r{registers.index(m[0])}", x) for x in recent[-8:]])  # noqa: B023
    return found


def test_forward_and_backward_round_a_falloff_alike(tmp_path: Path) -> None:
    """Whether a splat counts at a pixel is decided anew in each kernel, and must not differ."""
    forward = falloffs("blend", tmp_path)
    assert len(forward) == 1 and "fma" in "".join(forward[0])
    others = falloffs("blend_backward", tmp_path) + falloffs("statistics", tmp_path)
    assert len(others) == 4 and all(other == forward[0] for other in others)


@pytest.mark.parametrize("name", ["bin_sort", "device"])
def test_what_the_emulator_replaces_compiles(name: str, tmp_path: Path) -> None:
    compile_cuda(name, (90,), tmp_path)


def test_every_file_is_compiled() -> None:
    assert {path.stem for path in (CSRC / "cuda").glob("*.cu")} == {*KERNELS, "bin_sort", "device"}
