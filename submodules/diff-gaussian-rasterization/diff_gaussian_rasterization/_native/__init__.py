"""Builds the native library, and finds it: `load()` gives the path of a library that is up to date.

Three ways lead to it, told apart by what lies around this file:

* a wheel built where torch was installed has the library inside: it is taken as it is;
* a checkout (or an editable install, which uses one) has the sources beside it: they are compiled into `build/native`
  there, and again whenever one of them has changed, one object per edit;
* a wheel built without torch has the sources inside: they are compiled once, at the first import, into a cache.

Only torch's headers are needed, and torch is never imported here: the library uses the stable ABI alone, so that one
build serves every torch from 2.10 on, and every Python. Where there is an nvcc, it has CUDA kernels too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("diff_gaussian_rasterization runs on Linux and macOS; on Windows, use it in WSL")

from .builder import build, is_fresh
from .cache import build_cached
from .plan import LIBRARY
from .toolchain import BuildError, find_torch

__all__ = ["LIBRARY", "BuildError", "build_checkout", "load", "sees_torch"]

PACKAGE = Path(__file__).resolve().parents[1]


def checkout() -> Path | None:
    """The folder that holds csrc/ and this package side by side, or None where the package is installed by itself."""
    root = PACKAGE.parent
    return root if (root / "csrc").is_dir() and (root / "setup.py").is_file() else None


def sees_torch() -> bool:
    """Whether there is a torch here whose headers will do."""
    torch = find_torch()
    return torch is not None and torch.is_new_enough()


def build_checkout(root: Path) -> Path:
    """The library of a checkout: built inside it, or in the cache where nothing may be written there."""
    directory = root / "build" / "native"
    if os.access(directory if directory.exists() else root, os.W_OK) or is_fresh(root, directory):
        return build(root, directory)
    return build_cached(root)


def load() -> Path:
    """The path of a library that is up to date; built first if need be, with one line on stderr saying so.

    Raises: BuildError.
    """
    root = checkout()
    if root is not None:
        return build_checkout(root)
    packaged = PACKAGE / LIBRARY
    return packaged if packaged.is_file() else build_cached(PACKAGE)
