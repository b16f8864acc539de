"""Compiles csrc/cuda with another nvcc than the tested one, a newer one from PyPI: `make check-nvcc`.

A warning is an error, and so are spilled registers in float32. After `python -m tests.rasterizer.cuda.other_nvcc` come
the folder in which the compiler lies, or in which pip puts it, 350 MB, and names of files without suffix, or none.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from diff_gaussian_rasterization._native.plan import CUDA_FLAGS

from .emulated import CSRC

PACKAGES = ("nvidia-cuda-nvcc==13.5.*", "nvidia-cuda-runtime==13.5.*", "nvidia-cuda-cccl==13.*")
ARCHITECTURE = "sm_90"


def toolkit(folder: Path) -> Path | None:
    """The toolkit's folder; None where pip finds none for this machine."""
    home = folder / "nvidia" / "cu13"
    if not (home / "bin" / "nvcc").is_file():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *PACKAGES]
        if subprocess.run(command, check=False).returncode:
            return None
    return home


def complaints(home: Path, source: Path) -> str:
    """What the compiler has against a file; empty if nothing."""
    nvcc, flags = home / "bin" / "nvcc", ("-Werror", "all-warnings", f"-arch={ARCHITECTURE}")
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, *CUDA_FLAGS, *flags, "-c", source, "-o", Path(folder) / "object.o"]
        result = subprocess.run(
            command, env={**os.environ, "CUDA_HOME": str(home)}, capture_output=True, text=True, check=False
        )
    said = result.stdout + result.stderr
    if result.returncode:
        return said
    kernels = re.findall(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores", said, re.DOTALL)
    return "\n".join(f"{name} spills {spilled} bytes" for name, spilled in kernels if int(spilled) > 0 and "If" in name)


def main(folder: str, *names: str) -> int:
    home = toolkit(Path(folder).resolve())
    if home is None:
        print("skipped: pip finds no other nvcc for this machine")
        return 0
    version = subprocess.run([home / "bin" / "nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    print(f"nvcc {re.findall(r'release ([0-9.]+)', version)[0]}, {ARCHITECTURE}")
    failed = False
    for source in sorted((CSRC / "cuda").glob("*.cu")):
        if names and source.stem not in names:
            continue
        began = time.monotonic()
        found = complaints(home, source)
        failed = failed or found != ""
        print(f"{source.name}: {found or 'compiles without a warning'} ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
