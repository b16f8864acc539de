"""What a build needs of this machine: a C++ compiler, torch's headers, ninja; nvcc for the CUDA kernels."""

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
OLDEST_CUDA = (12, 0)
CUDA_SWITCH = "DGR_CUDA"  # 0: no CUDA, though there be an nvcc
ARCHITECTURES_VARIABLE = "TORCH_CUDA_ARCH_LIST"  # as for other extensions of torch: "8.6", "8.0;9.0+PTX"
WITHOUT_CUDA = f"{CUDA_SWITCH}=0 in the environment builds the library without CUDA"

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


@dataclass(frozen=True)
class Cuda:
    """A CUDA toolkit, as its nvcc describes it."""

    nvcc: Path
    version: str
    libraries: tuple[str, ...]  # folders, in one of which lies the static runtime
    architectures: tuple[str, ...]  # sm_90: machine code; compute_90: PTX, which newer cards translate for themselves

    def summary(self) -> str:
        return " ".join((self.version, *self.architectures))


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


def find_nvcc() -> Path | None:
    """CUDA_HOME's nvcc, the PATH's or /usr/local/cuda's; none where CUDA is switched off."""
    if MACOS or os.environ.get(CUDA_SWITCH) == "0":
        return None
    home = os.environ.get("CUDA_HOME")
    for candidate in (f"{home}/bin/nvcc" if home else "nvcc", "nvcc", "/usr/local/cuda/bin/nvcc"):
        file = shutil.which(candidate)
        if file:
            return Path(file)
    return None


def cuda_key() -> str:
    """What of CUDA a library depends on, told without starting nvcc; empty where there is none to build with."""
    if os.environ.get(CUDA_SWITCH) == "0":
        return "off"
    nvcc = find_nvcc()
    return f"{nvcc} {nvcc.stat().st_mtime_ns} {os.environ.get(ARCHITECTURES_VARIABLE, '')}" if nvcc else ""


def ask_nvcc(nvcc: Path, *options: str) -> str:
    try:
        result = subprocess.run([nvcc, *options], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise BuildError(f"`{nvcc} {' '.join(options)}` failed: {said.strip()}\n{WITHOUT_CUDA}") from None
    return result.stdout + result.stderr


def require_cuda(nvcc: Path) -> Cuda:
    """Asks nvcc what it is: it may be a wrapper, which lies nowhere near its toolkit."""
    version = re.search(r"release (\d+)\.(\d+)", ask_nvcc(nvcc, "--version"))
    if version is None or (int(version[1]), int(version[2])) < OLDEST_CUDA:
        raise BuildError(
            f"diff_gaussian_rasterization needs CUDA {'.'.join(map(str, OLDEST_CUDA))} or newer and found "
            f"{version[0] if version else 'an unknown release'} in {nvcc}: name a newer one's folder in CUDA_HOME; "
            f"{WITHOUT_CUDA}"
        )
    dry_run = ask_nvcc(nvcc, "--dryrun", "-x", "cu", os.devnull, "-o", os.devnull)
    named = os.environ.get(ARCHITECTURES_VARIABLE, "").strip()
    architectures = parse_architectures(named) if named else major_architectures(ask_nvcc(nvcc, "--list-gpu-code"))
    libraries = re.findall(r'"-L([^"]+)"', dry_run)
    return Cuda(nvcc, f"{version[1]}.{version[2]}", tuple(libraries), architectures)


def parse_architectures(text: str) -> tuple[str, ...]:
    """ "8.6;9.0+PTX" -> sm_86, sm_90, compute_90."""
    found: list[str] = []
    for word in re.split(r"[;,\s]+", text):
        match = re.fullmatch(r"(\d+)\.(\d[af]?)(\+PTX)?", word)
        if match is None:
            raise BuildError(f"{ARCHITECTURES_VARIABLE} is {text!r}; it must be a list like '8.6;9.0+PTX'")
        found += [f"sm_{match[1]}{match[2]}"] + [f"compute_{match[1]}{match[2]}"] * bool(match[3])
    return tuple(found)


def major_architectures(listed: str) -> tuple[str, ...]:
    """The first card of every generation that nvcc knows, whose code later ones run too, and PTX for those to come.

    That is nvcc's own all-major, spelt out so that the library can say what is in it.
    """
    numbers = sorted({int(number) for number in re.findall(r"sm_(\d+)\b", listed)})
    first = [number for number in numbers if number % 10 == 0 or number == numbers[0]]
    return (*(f"sm_{number}" for number in first), f"compute_{first[-1]}")
