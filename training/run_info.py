"""What run.json says of a run: versions, machine, source code, command, time."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from diff_gaussian_rasterization import get_num_threads
from utils.cores import usable_cores

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "scipy", "opencv-python-headless")


def describe_run(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Everything known at the start of a run; `command` is `sys.argv` when None."""
    return {
        "command": shlex.join(sys.argv if command is None else command),
        "start": now(),
        "versions": versions(),
        "machine": machine(),
        "git": git_state(ROOT),
    }


def now() -> str:
    """The time to the second, ISO 8601 with the offset from UTC."""
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that results depend on; None for one that is not installed as a package."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, threads of the rasterizer, memory, system."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "threads": get_num_threads(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that `folder`, the root of a repository, is at, and whether files differ from it. None without git."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "HEAD")
    if top is None or commit is None or Path(top).resolve() != folder.resolve():
        return None
    return {"commit": commit, "modified": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def peak_memory_mib() -> float | None:
    """The most memory that this process has held, MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def peak_gpu_memory_mib() -> float | None:
    """The most memory that torch's allocator has held on the GPU, MiB; None where none was used."""
    return round(torch.cuda.max_memory_allocated() / 2**20, 1) if torch.cuda.is_initialized() else None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
