"""The commands that make the library: which files are compiled, how often, with which flags."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .toolchain import MACOS, Compiler, Cuda, Torch

LIBRARY = "libdgr.so"  # on macOS too, since torch loads it by its path; no Python module, so not named like one
TORCH_TARGET = "-DTORCH_TARGET_VERSION=0x020A000000000000"  # OLDEST_TORCH as the stable ABI's headers spell it

# -ffast-math is left out on purpose: it breaks the rounding in the exponential and the tests for NaN.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
# A warning is an error with the compiler the tests run with. A newer one may warn of what nobody has seen yet, and that
# should not stop a user.
WARNINGS = ("-Wall", "-Wextra")
TESTED_COMPILER = re.compile(r"^g\+\+ .*\b12\.\d+\.\d+")

# Divisions and roots to 2 units in the last place instead of half of one, tiny numbers as 0: docs/measurements/gpu.md.
CUDA_FLAGS = (
    *("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-ftz=true", "-prec-div=false", "-prec-sqrt=false"),
    *("-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall,-Wextra", "-Xfatbin", "-compress-all"),
    *("-Xptxas", "-v", "-Wno-deprecated-gpu-targets"),
)
TESTED_CUDA = "13.0"
CUDA_RUNTIME = ("-lcudart_static", "-ldl", "-lrt", "-lpthread")
BY_NVCC = " by nvcc"  # ends what a step of nvcc's says it compiles
CUDA_REPORT = ".ptxas"  # beside an object: registers, spills and shared memory of its kernels

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


def cuda_sources(root: Path) -> list[Path]:
    return sorted((root / "csrc" / "cuda").glob("*.cu"))


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

    def name_of(self, source: Path) -> str:
        return "_".join(source.relative_to(self.root / "csrc").with_suffix("").parts)

    @property
    def compiler_is_tested(self) -> bool:
        """Whether a warning of it would be news."""
        return TESTED_COMPILER.match(self.compiler.version()) is not None

    def compile(self, source: Path, name: str, flags: Sequence[str], watched: Sequence[str] = ()) -> Step:
        errors = ("-Werror",) if self.compiler_is_tested else ()
        text, output = str(source.relative_to(self.root)), self.place(f"{name}.o")
        words = (*self.compiler.words, *FLAGS, *WARNINGS, *errors, *flags)
        files = ("-MMD", "-MF", f"{output}.d", "-c", text, "-o", output)
        return Step(shlex.join([*words, *files]), output, (text,), tuple(watched), name)

    def compile_glue(self, source: Path, torch: Torch, *flags: str) -> Step:
        """What joins kernels to torch."""
        headers = ("-isystem", str(torch.folder / "include"))
        return self.compile(
            source, self.name_of(source), (TORCH_TARGET, *headers, *flags), [str(torch.folder / "version.py")]
        )

    def compile_cuda(self, source: Path, cuda: Cuda) -> Step:
        """Without a torch header, for one of which nvcc takes minutes. What ptxas reports is kept beside the object."""
        tested = cuda.version == TESTED_CUDA and self.compiler_is_tested  # all-warnings are the host compiler's, too
        name, errors = self.name_of(source), ("-Werror", "all-warnings") if tested else ()
        targets = [f"-gencode=arch={a.replace('sm_', 'compute_')},code={a}" for a in cuda.architectures]
        text, output = str(source.relative_to(self.root)), self.place(f"{name}.o")
        files = ("-MMD", "-MF", f"{output}.d", "-c", text, "-o", output)
        command = shlex.join([str(cuda.nvcc), *CUDA_FLAGS, *errors, *targets, *files])
        report = shlex.quote(self.place(name + CUDA_REPORT))
        return Step(f"{command} > {report} 2>&1 || {{ cat {report}; false; }}", output, (text,), (), name + BY_NVCC)

    def link(self, objects: Sequence[str], cuda: Cuda | None) -> list[Step]:
        """The library, linked against nothing of torch's but a name.

        An empty stub that says it is libtorch_cpu.so leaves the same trace in our library as the real one would, so
        torch's own libraries are not needed to build. The library takes its place at once, by a rename: a process that
        has the old one loaded keeps it. CUDA's runtime is linked statically, so that it loads where there is no CUDA.
        """
        library, new = self.place(LIBRARY), self.place(f"{LIBRARY}.new")
        rename = shlex.join(["mv", "-f", new, library])
        if MACOS:
            words = (*self.compiler.words, "-dynamiclib", "-undefined", "dynamic_lookup", *objects, "-o", new)
            return [Step(f"{shlex.join(words)} && {rename}", library, tuple(objects))]
        stub = self.place("stub/libtorch_cpu.so")
        empty = (*self.compiler.words, "-shared", "-x", "c++", "/dev/null", "-Wl,-soname,libtorch_cpu.so", "-o", stub)
        torch_by_name = ("-Wl,--no-as-needed", stub, "-Wl,--as-needed", "-Wl,--exclude-libs,ALL")
        runtime = (*(f"-L{folder}" for folder in cuda.libraries), *CUDA_RUNTIME) if cuda else ()
        words = (*self.compiler.words, "-shared", *objects, *torch_by_name, *runtime, "-o", new)
        return [
            Step(shlex.join(empty), stub, ()),
            Step(f"{shlex.join(words)} && {rename}", library, (*objects, stub)),
        ]


def plan(root: Path, directory: Path, compiler: Compiler, torch: Torch, cuda: Cuda | None = None) -> list[Step]:
    """Every command that makes `directory`/libdgr.so out of `root`/csrc: slow ones first, the last one links.

    The CPU's kernels never see a torch header: an inline function of one, compiled for a newer instruction set, could
    be the copy that the linker keeps for everybody.
    """
    recipe, csrc = Recipe(root, directory, compiler), root / "csrc"
    steps = [recipe.compile_cuda(source, cuda) for source in cuda_sources(root)] if cuda else []
    steps += [
        recipe.compile(csrc / KERNELS, f"kernels_{name}", (*flags, f"-DDGR_ISA={name}"))
        for name, flags in variants().items()
    ]
    glue = sorted({*csrc.glob("*.cpp"), *csrc.glob("cpu/*.cpp")} - {csrc / KERNELS})
    steps += [recipe.compile_glue(source, torch) for source in glue]
    if cuda:
        built_for = f'-DDGR_CUDA_BUILD="{cuda.summary()}"'
        steps += [recipe.compile_glue(source, torch, built_for) for source in sorted(csrc.glob("cuda/*.cpp"))]
    return steps + recipe.link([step.output for step in steps], cuda)
