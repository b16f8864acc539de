"""Installs the extension alone; the root's setup.py installs it with everything else. pyproject.toml has the rest."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_commands import setup_arguments

setup(**setup_arguments())
