"""Libraries that have no checkout to be built in: compiled once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import tempfile
from pathlib import Path

from .builder import RECIPE, build, cuda_of, locked
from .plan import LIBRARY, sources
from .toolchain import BuildError, find_compiler, find_torch, require_compiler

CACHE_VARIABLE = "DGR_CACHE"


def cache_folder() -> Path:
    """Where libraries are kept that have no checkout to be built in."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diff_gaussian_rasterization"


def source_key(root: Path) -> str:
    """Changes with the sources, the flags, the platform and torch's version."""
    digest = hashlib.sha256()
    for path in [*sources(root), *RECIPE]:
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    torch = find_torch()
    digest.update(f"{platform.system()} {platform.machine()} torch {torch.version if torch else ''}".encode())
    return digest.hexdigest()[:16]


def build_cached(root: Path) -> Path:
    """The library of `root`/csrc out of the cache, where it is put at the first call."""
    cache, key, compiler = cache_folder(), source_key(root), find_compiler()
    if compiler is None:  # one that was there once has left its library: that will do
        for library in sorted(cache.glob(f"{key}-*/{LIBRARY}")):
            return library
        require_compiler()
    assert compiler is not None
    cuda = cuda_of(root)
    words = f"{shlex.join(compiler.words)} {compiler.version()} {cuda.summary() if cuda else ''}"
    library = cache / f"{key}-{hashlib.sha256(words.encode()).hexdigest()[:8]}" / LIBRARY
    if library.is_file():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with locked(library.parent / "lock"):
            if not library.is_file():
                with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
                    os.replace(build(root, Path(scratch)), library)
    except OSError as error:
        raise BuildError(
            f"diff_gaussian_rasterization cannot write its native library to {library.parent}: {error.strerror} "
            f"(set {CACHE_VARIABLE} to a folder that can be written)"
        ) from error
    return library
