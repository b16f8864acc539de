"""The commands that make the library: which files are compiled, how often, with which flags."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .toolchain import MACOS, Compiler, Torch

LIBRARY = "libgsr.so"  # on macOS too, since torch loads it by its path; no Python module, so not named like one
TORCH_TARGET = "-DTORCH_TARGET_VERSION=0x020A000000000000"  # OLDEST_TORCH as the stable ABI's headers spell it

# -ffast-math is left out on purpose: it breaks the rounding in the exponential and the tests for NaN.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
# A warning is an error with the compiler the tests run with. A newer one may warn of what nobody has seen yet, and that
# should not stop a user.
WARNINGS = ("-Wall", "-Wextra")
TESTED_COMPILER = re.compile(r"^g\+\+ .*\b12\.\d+\.\d+")

# The kernels are compiled once for each of these instruction sets; the library chooses among them when it is loaded.
KERNELS = "cpu/kernels.cpp"
X86_VARIANTS = {"v1": "x86-64", "v3": "x86-64-v3", "v4": "x86-64-v4"}


@dataclass(frozen=True)
class Step:
    """One command of the build, run by a shell in the folder that holds csrc/."""

    command: str
    output: str
    inputs: tuple[str, ...]
    watched: tuple[str, ...] = ()  # not named by the command, but a change of one means running it again
    compiles: str = ""  # what, if it compiles something; `output`.d then lists the headers that were read


def sources(root: Path) -> list[Path]:
    """Every file of csrc/ that can be compiled or included."""
    return sorted(p for p in (root / "csrc").rglob("*") if p.suffix in {".cpp", ".h", ".cu", ".cuh"})


def variants() -> dict[str, tuple[str, ...]]:
    """The kernels' variants on this machine: name -> the flags of its instruction set."""
    if platform.machine().lower() in {"x86_64", "amd64"}:
        return {name: (f"-march={march}",) for name, march in X86_VARIANTS.items()}
    return {"portable": ()}


@dataclass(frozen=True)
class Recipe:
    """Makes steps for one tree of sources (`root`, which holds csrc/) and one build folder."""

    root: Path
    directory: Path
    compiler: Compiler

    def place(self, name: str) -> str:
        """A file of the build, as commands name it: relative to `root` where it lies below it.

        The compiler's messages are shorter so, and a checkout moved together with its build is still up to date.
        """
        path = self.directory / name
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def compile(self, source: Path, name: str, flags: Sequence[str], watched: Sequence[str] = ()) -> Step:
        errors = ("-Werror",) if TESTED_COMPILER.match(self.compiler.version()) else ()
        text, output = str(source.relative_to(self.root)), self.place(f"{name}.o")
        words = (*self.compiler.words, *FLAGS, *WARNINGS, *errors, *flags)
        files = ("-MMD", "-MF", f"{output}.d", "-c", text, "-o", output)
        return Step(shlex.join([*words, *files]), output, (text,), tuple(watched), name)

    def link(self, objects: Sequence[str]) -> list[Step]:
        """The library, linked against nothing of torch's but a name.

        An empty stub that says it is libtorch_cpu.so leaves the same trace in our library as the real one would, so
        torch's own libraries are not needed to build. The library takes its place at once, by a rename: a process that
        has the old one loaded keeps it.
        """
        library, new = self.place(LIBRARY), self.place(f"{LIBRARY}.new")
        rename = shlex.join(["mv", "-f", new, library])
        if MACOS:
            words = (*self.compiler.words, "-dynamiclib", "-undefined", "dynamic_lookup", *objects, "-o", new)
            return [Step(f"{shlex.join(words)} && {rename}", library, tuple(objects))]
        stub = self.place("stub/libtorch_cpu.so")
        empty = (*self.compiler.words, "-shared", "-x", "c++", "/dev/null", "-Wl,-soname,libtorch_cpu.so", "-o", stub)
        torch_by_name = ("-Wl,--no-as-needed", stub, "-Wl,--as-needed", "-Wl,--exclude-libs,ALL")
        words = (*self.compiler.words, "-shared", *objects, *torch_by_name, "-o", new)
        return [
            Step(shlex.join(empty), stub, ()),
            Step(f"{shlex.join(words)} && {rename}", library, (*objects, stub)),
        ]


def plan(root: Path, directory: Path, compiler: Compiler, torch: Torch) -> list[Step]:
    """Every command that makes `directory`/libgsr.so out of `root`/csrc: slow ones first, the last one links.

    The kernels never see a torch header: an inline function of one, compiled for a newer instruction set, could be the
    copy that the linker keeps for everybody.
    """
    recipe, csrc = Recipe(root, directory, compiler), root / "csrc"
    steps = [
        recipe.compile(csrc / KERNELS, f"kernels_{name}", (*flags, f"-DGSR_ISA={name}"))
        for name, flags in variants().items()
    ]
    with_torch = (TORCH_TARGET, "-isystem", str(torch.folder / "include"))
    for source in sorted([*csrc.glob("*.cpp"), *csrc.glob("cpu/*.cpp")]):
        if source != csrc / KERNELS:
            name = "_".join(source.relative_to(csrc).with_suffix("").parts)
            steps.append(recipe.compile(source, name, with_torch, [str(torch.folder / "version.py")]))
    # CUDA's objects join here: nvcc for csrc/cuda/*.cu where there is one, cudart linked statically.
    return steps + recipe.link([step.output for step in steps])
