"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_SCENES = Path(__file__).resolve().parents[2] / "shared" / "scenes"


def real_scene(name: str) -> Path:
    """The folder of a real scene, or a skip: real photos are not ours to publish, so a clone has none."""
    path = REAL_SCENES / name
    if not path.exists():
        pytest.skip(f"the real scene {name!r} is not at {REAL_SCENES}; it may not be published with the project")
    return path
