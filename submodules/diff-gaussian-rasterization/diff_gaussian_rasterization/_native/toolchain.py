"""What a build needs of this machine: a C++ compiler, torch's headers, ninja."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MACOS = sys.platform == "darwin"
OLDEST_TORCH = (2, 10)

MISSING_COMPILER = (
    "diff_gaussian_rasterization needs a C++17 compiler to build its native library and found none: install one "
    "(Debian or Ubuntu `apt install g++`, Fedora `dnf install gcc-c++`, conda `conda install -c conda-forge "
    "cxx-compiler`, macOS `xcode-select --install`), or name yours in the environment variable CXX"
)


class BuildError(ImportError):
    """The native library could not be built. An ImportError, since it is an import that asked for it."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: the words its command begins with, and the file they name."""

    words: tuple[str, ...]
    file: Path

    def version(self) -> str:
        """The first line of what it says about itself."""
        output = subprocess.run([*self.words, "--version"], capture_output=True, text=True, check=False).stdout
        return output.splitlines()[0] if output else "unknown version"


@dataclass(frozen=True)
class Torch:
    """An installed torch, of which only the headers are wanted."""

    folder: Path
    version: str

    def is_new_enough(self) -> bool:
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        return numbers is not None and (int(numbers[1]), int(numbers[2])) >= OLDEST_TORCH


def find_compiler() -> Compiler | None:
    """CXX if it is set, else the platform's own. CXX may hold several words: `ccache g++`."""
    named = os.environ.get("CXX", "").strip()
    for candidate in [named] if named else ["clang++", "g++"] if MACOS else ["g++", "clang++", "c++"]:
        words = tuple(shlex.split(candidate))
        file = shutil.which(words[0])
        if file:
            return Compiler(words, Path(file))
    return None


def require_compiler() -> Compiler:
    compiler = find_compiler()
    if compiler is None:
        named = os.environ.get("CXX", "").strip()
        raise BuildError(f"{MISSING_COMPILER}{f' (it says {named!r}, which is not there)' if named else ''}")
    return compiler


def find_torch() -> Torch | None:
    """The torch that `import torch` would import, without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    try:
        version = re.search(r"__version__ = ['\"]([^'\"]+)", (folder / "version.py").read_text())
    except OSError:
        return None
    return Torch(folder, version[1] if version else "of an unknown version")


def require_torch() -> Torch:
    torch = find_torch()
    if torch is None or not torch.is_new_enough():
        found = "found none" if torch is None else f"found {torch.version} in {torch.folder}"
        raise BuildError(
            f"diff_gaussian_rasterization needs torch {'.'.join(map(str, OLDEST_TORCH))} or newer to build its native "
            f"library and {found}: `pip install torch`"
        )
    return torch


def find_ninja() -> str | None:
    try:
        from ninja import BIN_DIR
    except ImportError:
        return shutil.which("ninja")
    return shutil.which("ninja", path=BIN_DIR) or shutil.which("ninja")
