"""The emulated kernels with a sanitizer, driven in a process of their own: it must be loaded before all else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .emulated import CSRC, HERE, build

ROOT = HERE.parents[2]
CHANNELS = "CHANNEL_COUNTS[] = {1, 3, 4, 8, 16}"
IN_DOUBLE = "f(double(), guard.stream())"  # how operators.h calls a kernel for double


@dataclass(frozen=True)
class Sanitizer:
    """One of g++'s."""

    flags: tuple[str, ...]
    runtime: str  # its library
    options: dict[str, str]  # environment variables
    fixed_addresses: bool = False  # it wants memory to lie where it did before addresses were made random
    has_double: bool = True  # kernels for double, beside those for float

    def runtime_path(self) -> str:
        """The path of its runtime; empty where g++ has none."""
        command = ["g++", f"-print-file-name={self.runtime}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        return found if Path(found).is_absolute() else ""

    def build(self, folder: Path) -> Path:
        """The library, with kernels only for the channels and types that drive.py runs, which compile sooner."""
        csrc, library = folder / "csrc", folder / "emulated.so"
        shutil.copytree(CSRC, csrc)
        _replace(csrc / "params.h", CHANNELS, "CHANNEL_COUNTS[] = {3, 8}")
        if not self.has_double:
            _replace(csrc / "operators.h", IN_DOUBLE, "-1")  # an error
            for path in (csrc / "cuda").glob("*.cu"):
                path.write_text(re.sub(r"^DGR_INSTANTIATE_\w+\(double\)$", "", path.read_text(), flags=re.MULTILINE))
        build(library, *self.flags, csrc=csrc)
        return library

    def drive(self, library: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs drive.py with these arguments."""
        paths = os.pathsep.join([str(ROOT), str(ROOT / "submodules/diff-gaussian-rasterization")])
        variables = {"PYTHONPATH": paths, "LD_PRELOAD": self.runtime_path(), "OMP_NUM_THREADS": "1", **self.options}
        fixed = ["setarch", "-R"] if self.fixed_addresses and shutil.which("setarch") else []
        python = [*fixed, sys.executable, "-X", "faulthandler"]
        command = [*python, "-m", "tests.rasterizer.cuda.drive", str(library), *words]
        return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


# What is undefined is an illegal instruction, and faulthandler says in which operator: messages take as long again to
# compile. A null pointer is found by its address.
ADDRESS = Sanitizer(
    ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize=null", "-fsanitize-undefined-trap-on-error"),
    "libasan.so",
    {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"},
)
THREAD = Sanitizer(
    ("-g1", "-fsanitize=thread"),
    "libtsan.so",
    {"TSAN_OPTIONS": "ignore_noninstrumented_modules=1:exitcode=0:suppress_equal_addresses=0"},
    fixed_addresses=True,
    has_double=False,
)
RACE = "WARNING: ThreadSanitizer: data race"


def _replace(path: Path, old: str, new: str) -> None:
    """What stands once in a file; its lines keep their numbers."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def reports(said: str, kind: str) -> dict[str, str]:
    """What was said after each line "kind name", by the name."""
    parts = re.split(rf"^{kind} (.*)\n", said, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
