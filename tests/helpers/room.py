"""The synthetic room in a light that is worked out coarsely, which else takes most of the time of a small scene."""

from __future__ import annotations

from pathlib import Path

import pytest

from scene.synthetic.lighting import Quality
from scene.synthetic.write import write_scene

QUICK = Quality(spacing=6.0, sky=(2, 2), sun=1, bulb=1, gather=16)


def write_room(folder: Path, views: int, width: int, height: int) -> None:
    """`write_scene`, for those who do not look at the light."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("scene.synthetic.write.quality_for", lambda _: QUICK)
        write_scene(folder, views, width, height, quiet=True)
