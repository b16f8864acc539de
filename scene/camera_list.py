"""cameras.json, as it stands beside the Gaussians of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from scene.types import Camera
from utils.errors import UserError, reason


def read_cameras(path: Path) -> list[Camera]:
    """The cameras of a model folder's cameras.json. UserError where there are none."""
    try:
        cameras = [_camera(entry) for entry in json.loads(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError, np.linalg.LinAlgError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); train.py writes it into its model folder") from None
    if not cameras:
        raise UserError(f"{path} has no cameras; train.py writes those of the dataset into it")
    return cameras


def _camera(entry: dict[str, Any]) -> Camera:
    width, height = int(entry["width"]), int(entry["height"])
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = entry["rotation"], entry["position"]
    center = entry.get("cx", width / 2), entry.get("cy", height / 2)
    pose = np.linalg.inv(world_from_camera)
    return Camera(str(entry["img_name"]), width, height, entry["fx"], entry["fy"], *center, pose)
