"""The trainer is installed in place or not at all: its folders' names are too common for site-packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXTENSION = Path("submodules") / "diff-gaussian-rasterization"
PACKAGES = ("arguments", "scene", "gaussian_renderer", "training", "utils")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real setup files, whose packages are empty."""
    root = tmp_path / "checkout"
    skip = shutil.ignore_patterns("csrc", "build", "*.egg-info", "__pycache__")
    shutil.copytree(REPOSITORY / EXTENSION, root / EXTENSION, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, root)
    for name in PACKAGES:
        (root / name).mkdir()
        (root / name / "__init__.py").touch()
    return root


def build(root: Path, folder: Path, hook: str) -> subprocess.CompletedProcess[str]:
    """What pip does for `pip install` ("build_wheel") or `pip install -e` ("build_editable"); torch cannot be seen."""
    code = f"""
import sys
sys.modules["torch"] = None
from setuptools import build_meta
build_meta.{hook}({str(folder)!r})
"""
    folder.mkdir()
    words = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=120)


def test_a_copy_is_refused_with_the_right_command(checkout: Path, tmp_path: Path) -> None:
    done = build(checkout, tmp_path / "wheels", "build_wheel")
    assert done.returncode != 0 and not list((tmp_path / "wheels").iterdir())
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "`pip install -e . --no-build-isolation`" in said and "site-packages" in said
    assert "`pip install ./submodules/diff-gaussian-rasterization`" in said


def test_in_place_it_is_installed(checkout: Path, tmp_path: Path) -> None:
    done = build(checkout, tmp_path / "wheels", "build_editable")
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert any("editable" in name for name in names)
    assert not [name for name in names if name.split("/")[0] in PACKAGES]
