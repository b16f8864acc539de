"""cameras.json, which viewers read beside the Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scene.types import Camera
from utils.files import write_json


def write_cameras(folder: Path, cameras: Sequence[Camera]) -> None:
    """Write cameras.json in the model folder."""
    write_json(folder / "cameras.json", [_entry(index, camera) for index, camera in enumerate(cameras)])


def _entry(index: int, camera: Camera) -> dict[str, Any]:
    """A camera as viewers read it: position and axes (columns of `rotation`) in the world, intrinsics in pixels."""
    return {
        "id": index,
        "img_name": camera.name,
        "width": camera.width,
        "height": camera.height,
        "position": camera.center.tolist(),
        "rotation": camera.camera_from_world[:3, :3].T.tolist(),
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
    }
