"""Runs the plan, or finds that there is nothing to do."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .plan import BY_NVCC, LIBRARY, Step, cuda_sources, plan, sources
from .toolchain import (
    WITHOUT_CUDA,
    BuildError,
    Compiler,
    Cuda,
    cuda_key,
    find_compiler,
    find_ninja,
    find_nvcc,
    find_torch,
    require_compiler,
    require_cuda,
    require_torch,
)

# The flags and the commands: a library depends on them as it does on the sources.
RECIPE = sorted(Path(__file__).resolve().parent.glob("*.py"))


def fingerprint(root: Path) -> dict[str, str]:
    """What a library depends on, as cheaply as it can be told: one stat for each file, no process started."""
    files = [*sources(root), *RECIPE]
    rows = [
        f"{p.name if p in RECIPE else p.relative_to(root)} {p.stat().st_mtime_ns} {p.stat().st_size}" for p in files
    ]
    compiler, torch = find_compiler(), find_torch()
    return {
        "sources": hashlib.sha256("\n".join(rows).encode()).hexdigest(),
        "compiler": f"{shlex.join(compiler.words)} {compiler.file.stat().st_mtime_ns}" if compiler else "",
        "torch": f"{torch.folder} {torch.version}" if torch else "",
        "cuda": cuda_key(),
    }


def is_fresh(root: Path, directory: Path) -> bool:
    """Whether the library in `directory` is what the sources, the compilers and torch of today would give.

    A compiler or an nvcc that has gone since is no reason to build again: it could not be done, nor need it.
    """
    try:
        then = json.loads((directory / "fingerprint.json").read_text())
    except (OSError, ValueError):
        return False
    now = fingerprint(root)
    return (directory / LIBRARY).is_file() and all(then.get(k) == v for k, v in now.items() if v)


def build(root: Path, directory: Path) -> Path:
    """Brings `directory`/libdgr.so up to date with `root`/csrc and returns its path.

    Does nothing, in about a millisecond, if it is up to date already. Several processes may call it at once.

    Raises: BuildError without a compiler, without torch's headers, with an nvcc that is too old or with sources that do
        not compile.
    """
    library = directory / LIBRARY
    if is_fresh(root, directory):
        return library
    compiler, torch, cuda = require_compiler(), require_torch(), cuda_of(root)
    (directory / "stub").mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock"):
        if not is_fresh(root, directory):  # another process may have built it while this one waited
            before = fingerprint(root)  # a file edited while the compiler runs is compiled again next time
            run_steps(plan(root, directory, compiler, torch, cuda), root, directory, compiler)
            (directory / "fingerprint.json").write_text(json.dumps(before, indent=1))
    return library


def cuda_of(root: Path) -> Cuda | None:
    """What the CUDA kernels of `root` are built with; None without nvcc, or without such kernels."""
    nvcc = find_nvcc() if cuda_sources(root) else None
    return require_cuda(nvcc) if nvcc else None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`; waits while another process does."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_steps(steps: Sequence[Step], root: Path, directory: Path, compiler: Compiler) -> None:
    """Runs those steps whose inputs have changed, by ninja; all of them where there is no ninja."""
    ninja = find_ninja()
    if ninja is None:
        announce([step.compiles for step in steps if step.compiles], compiler)
        run_plainly(steps, root)
        return
    file = directory / "build.ninja"
    file.write_text(ninja_file(steps, directory))
    command = [ninja, "-f", str(file), "-C", str(root)]
    environment = {**os.environ, "NINJA_STATUS": "[%f/%t] "}  # what is read below, whatever the user likes to see
    dry = subprocess.run([*command, "-n"], capture_output=True, text=True, check=False, env=environment)
    if not dry.returncode and "no work to do" in dry.stdout:
        return
    announce(re.findall(r"\] compile (.*)", dry.stdout), compiler)
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if run.returncode:
        raise BuildError(ninja_failure(run.stdout + run.stderr))


def announce(compiled: Sequence[str], compiler: Compiler) -> None:
    if not compiled:  # only linking
        return
    files = f"{len(compiled)} file{'s' * (len(compiled) != 1)}"
    cuda = " and nvcc, a minute or two" if any(what.endswith(BY_NVCC) for what in compiled) else ""
    print(
        f"diff_gaussian_rasterization: compiling {files} with {compiler.version()}{cuda}", file=sys.stderr, flush=True
    )


def ninja_file(steps: Sequence[Step], directory: Path) -> str:
    """The steps in ninja's language."""

    def paths(names: Sequence[str]) -> str:
        return " ".join(re.sub(r"([$ :])", r"$\1", name) for name in names)

    lines = [
        "# Written by diff_gaussian_rasterization/_native/builder.py",
        f"builddir = {paths([str(directory)])}",
        "rule run",
        "  command = $command",
        "  description = $label",
        "rule run_with_depfile",
        "  command = $command",
        "  description = $label",
        "  depfile = $out.d",
        "  deps = gcc",
    ]
    for step in steps:
        rule = "run_with_depfile" if step.compiles else "run"
        watched = f" | {paths(step.watched)}" if step.watched else ""
        lines += [
            f"build {paths([step.output])}: {rule} {paths(step.inputs)}{watched}",
            f"  command = {step.command.replace('$', '$$')}",
            f"  label = {'compile ' + step.compiles if step.compiles else 'link ' + step.output}",
        ]
    return "\n".join(lines) + "\n"


def ninja_failure(output: str) -> str:
    """The first failed command out of what ninja printed, and what that command said."""
    lines = output.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("FAILED")), None)
    if start is None:
        return failure("ninja", output)
    said = [line for line in lines[start + 2 :] if not line.startswith(("ninja: ", "FAILED", "["))]
    return failure(lines[start + 1], "\n".join(said))


def failure(command: str, output: str, lines: int = 20) -> str:
    said = output.strip().splitlines()
    more = f"\n... and {len(said) - lines} lines more" if len(said) > lines else ""
    text = "\n".join(said[:lines]) + more
    if ".cu " in command:
        command += f"\n{WITHOUT_CUDA}"
    return f"diff_gaussian_rasterization: its native library does not compile.\n{text}\nThe command was\n{command}"


def run_plainly(steps: Sequence[Step], root: Path) -> None:
    """All compilations side by side, then the rest in its order."""

    def run(step: Step) -> None:
        result = subprocess.run(step.command, shell=True, cwd=root, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BuildError(failure(step.command, result.stderr + result.stdout))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, [s for s in steps if s.compiles]))
    for step in steps:
        if not step.compiles:
            run(step)
