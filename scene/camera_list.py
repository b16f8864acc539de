"""cameras.json, as it stands beside the Gaussians of a model: viewers read it, and so do view.py and export.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from scene.readers.base import rigid
from scene.readers.json_input import Finite, Pixels, Positive, decoded, read_json
from scene.types import Camera
from utils.errors import UserError
from utils.files import write_json

Three = Annotated[list[float], Meta(min_length=3, max_length=3)]


class CameraEntry(Struct):
    """A camera in cameras.json; other trainers write no principal point, which is then the middle."""

    img_name: str
    width: Pixels
    height: Pixels
    position: Three
    rotation: Annotated[list[Three], Meta(min_length=3, max_length=3)]  # world_from_camera
    fx: Positive
    fy: Positive
    cx: Finite | None = None
    cy: Finite | None = None


def read_cameras(path: Path) -> list[Camera]:
    """The cameras of a model folder's cameras.json. UserError where there are none."""
    if not path.is_file():
        raise UserError(f"{path} is not there; train.py writes it into its model folder")
    entries = decoded(read_json(path), list[CameraEntry], path)
    if not entries:
        raise UserError(f"{path} has no cameras; train.py writes those of the dataset into it")
    return [_camera(entry, path) for entry in entries]


def _camera(entry: CameraEntry, path: Path) -> Camera:
    width, height = int(entry.width), int(entry.height)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = entry.rotation, entry.position
    pose = np.linalg.inv(rigid(world_from_camera, f"{path}: {entry.img_name}"))
    cx, cy = width / 2 if entry.cx is None else entry.cx, height / 2 if entry.cy is None else entry.cy
    return Camera(entry.img_name, width, height, entry.fx, entry.fy, cx, cy, pose)


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
