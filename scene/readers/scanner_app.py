"""3D Scanner App ("All data"): frame_00000.{json,jpg}, depth_00000.png and conf_00000.png, of an iPhone's LiDAR.

The app saves a photo for a part of its poses only. A pose (cameraPoseARFrame) is ARKit's: world_from_camera by rows,
OpenGL's axes, metres. The intrinsics, by rows, hold for the photo's own size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from scene.image_header import read_header
from scene.readers.base import (
    MILLIMETRES,
    OPENCV_FROM_OPENGL,
    SURE_DEPTH,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    confidence_of,
    lens_of_matrix,
    lost_frames,
    rigid,
)
from scene.readers.json_input import decoded, read_json
from scene.types import CameraModel
from utils.errors import UserError

LAYOUT = "frame_00000.json with cameraPoseARFrame (3D Scanner App)"
FRAMES = "frame_[0-9]*.json"
LOOKED_INTO = 5  # files, to tell the format: the first may be damaged
MIN_LEVEL = 2  # of 0, 1 and 2 in its confidence maps


class _Frame(msgspec.Struct):
    cameraPoseARFrame: Annotated[list[float], msgspec.Meta(min_length=16, max_length=16)]
    intrinsics: Annotated[list[float], msgspec.Meta(min_length=9, max_length=9)]


def can_read(source: Path) -> bool:
    return any(b"cameraPoseARFrame" in path.read_bytes() for path in sorted(source.glob(FRAMES))[:LOOKED_INTO])


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming the file, for one that is not understood."""
    frames, missing, lost = [], [], []
    bare: dict[Path, str] = {}
    has_depth = any(source.glob("depth_*.png"))
    for path in sorted(source.glob(FRAMES)):
        number = path.stem.removeprefix("frame_")
        photo, depth = path.with_suffix(".jpg"), source / f"depth_{number}.png"
        conf = source / f"conf_{number}.png"
        if not photo.is_file():
            missing.append(photo.name)
            bare |= dict.fromkeys((path, depth, conf), "there is no photo of this frame")
            continue
        entry = decoded(read_json(path), _Frame, path)
        pose = np.reshape(entry.cameraPoseARFrame, (4, 4))
        if not np.isfinite(pose).all():
            lost.append(path)
            continue
        camera_from_world = OPENCV_FROM_OPENGL @ np.linalg.inv(rigid(pose, f"{path}: cameraPoseARFrame"))
        lens = _lens(entry, photo, path)
        measured, sure = depth if has_depth else None, confidence_of(conf, MIN_LEVEL)
        frames.append(PosedImage(photo.name, photo, lens, camera_from_world, depth_path=measured, confidence=sure))
    return ParsedDataset(
        kind="3D Scanner App",
        frames=tuple(frames),
        missing=tuple(missing),
        depth_scale=MILLIMETRES,
        files=tuple(frame.image_path.with_suffix(".json") for frame in frames),
        unused=bare | dict.fromkeys(lost, "its pose is not finite"),
        is_video=True,
        notes=(SURE_DEPTH,) if any(frame.confidence for frame in frames) else (),
        warnings=lost_frames(lost),
    )


def _lens(entry: _Frame, photo: Path, path: Path) -> CameraModel:
    matrix = np.reshape(entry.intrinsics, (3, 3))
    try:
        header = read_header(photo)
    except UserError:  # a damaged photo is named, and left out, where all are checked
        width, height = max(1, round(2 * float(matrix[0, 2]))), max(1, round(2 * float(matrix[1, 2])))
    else:
        width, height = header.width, header.height
    return lens_of_matrix(matrix, width, height, f"{path}: intrinsics")
