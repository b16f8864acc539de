"""Installs the trainer and the rasterizer it uses. What is installed is said in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "submodules" / "diff-gaussian-rasterization"))

from build_commands import setup_arguments

setup(**setup_arguments())
