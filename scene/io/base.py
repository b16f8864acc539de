"""What a format of files of Gaussians is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from scene.types import GaussianArrays


class Format(Protocol):
    """A module of `scene.io` with these names, and a line in its registry."""

    def write(self, path: Path, gaussians: GaussianArrays) -> None:
        """Write through `utils.files.atomic_write`, so that the file appears whole or not at all."""
        ...

    def read(self, path: Path) -> GaussianArrays:
        """Raises: UserError, naming the file, for one that holds no Gaussians."""
        ...
