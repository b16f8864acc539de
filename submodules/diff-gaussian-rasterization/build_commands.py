"""Setuptools' commands, as this package needs them. The root's setup.py uses them too.

torch is never asked for as a build requirement: under pip's build isolation a second torch, gigabytes of it, would be
fetched to be thrown away. Where torch can be seen (`--no-build-isolation`), the library is compiled now. Where it
cannot, the sources are shipped inside the package, which compiles them when it is first imported.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import Distribution
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    raise SystemExit("error: setuptools is too old, 77 or newer is needed: pip install 'setuptools>=77'") from None

HERE = Path(__file__).resolve().parent
NAME = "diff_gaussian_rasterization"


def load_native() -> ModuleType:
    """The package's builder, without the package: importing that would import torch, and the library to be built."""
    folder = HERE / NAME / "_native"
    spec = importlib.util.spec_from_file_location("_native", folder / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_native"] = module
    spec.loader.exec_module(module)
    return module


native = load_native()
COMPILES_NOW = native.sees_torch()


class BuildPackage(build_py):
    """Puts the library, or its sources, into the package."""

    def run(self) -> None:
        package = Path(self.build_lib) / NAME
        if not self.editable_mode:
            shutil.rmtree(package, ignore_errors=True)  # what an earlier build left there, be it library or sources
        super().run()
        if COMPILES_NOW:
            library = compile_library()
            if not self.editable_mode:
                shutil.copy2(library, package)
        elif not self.editable_mode:
            shutil.copytree(HERE / "csrc", package / "csrc")


def compile_library() -> Path:
    try:
        return native.build_checkout(HERE)
    except native.BuildError as error:
        raise SystemExit(f"error: {error}") from None


class BuildWheel(bdist_wheel):
    """Tags the wheel for any Python: the library uses torch's stable ABI and nothing of Python's."""

    def get_tag(self) -> tuple[str, str, str]:
        platform = super().get_tag()[2]
        return ("py3", "none", platform)


class PlatformDistribution(Distribution):
    """A distribution that is bound to a platform if the library is inside."""

    def has_ext_modules(self) -> bool:
        return COMPILES_NOW


def setup_arguments() -> dict[str, Any]:
    """What both setup.py files give to setuptools.setup."""
    return {"cmdclass": {"build_py": BuildPackage, "bdist_wheel": BuildWheel}, "distclass": PlatformDistribution}
