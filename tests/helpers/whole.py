"""What holds of any dataset as a whole that is read right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scene.ledger import Ledger
from scene.types import Camera


def assert_complete(folder: Path, ledger: Ledger) -> None:
    """Each file is in one of the two lists, by a walk of its own."""
    every = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert every == set(ledger.used) | set(ledger.unused) and not set(ledger.used) & set(ledger.unused)


def from_cameras_alone(cameras: Sequence[Camera]) -> float:
    """The extent of cameras none of which is far from the others (Kerbl et al. 2023: 1.1 times their radius)."""
    centers = np.stack([camera.center for camera in cameras])
    return 1.1 * float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max())
