"""Open3D's and Redwood's RGB-D recordings: trajectory.log, photos in color/, image/ or rgb/, maps in depth/.

trajectory.log has five lines for each frame: three numbers, the first of which is the frame's, and world_from_camera,
4 × 4, OpenCV's axes, metres. Names of photos and maps begin with the frame's number; or their order is that of frames.
A JSON file with an `intrinsic_matrix`, by columns, has the camera; without it, it is PrimeSense's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from scene.pairing import IMAGE_SUFFIXES
from scene.readers.base import (
    MILLIMETRES,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    lost_frames,
    opencv_lens,
    read_text,
    rigid,
)
from scene.readers.json_input import Pixels, decoded, read_json
from scene.types import CameraModel
from utils.errors import UserError

LAYOUT = "trajectory.log, also in scene/, with color/ and depth/ (Open3D, Redwood)"
TRAJECTORIES = ("trajectory.log", "scene/trajectory.log")
PHOTO_FOLDERS = ("color", "image", "rgb")
NUMBER = re.compile("[0-9]{1,18}")
USUAL = opencv_lens(640, 480, (525.0, 525.0, 319.5, 239.5))
ASSUMED = "PrimeSense's camera assumed, as no JSON file has an intrinsic_matrix (525, 525, 319.5, 239.5 at 640×480)"


class _Camera(msgspec.Struct):
    width: Pixels
    height: Pixels
    intrinsic_matrix: Annotated[list[float], msgspec.Meta(min_length=9, max_length=9)]


def can_read(source: Path) -> bool:
    return _trajectory(source) is not None and _photo_folder(source) is not None


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming file and line, for what is not understood."""
    path, folder = _trajectory(source) or source, _photo_folder(source) or source
    lens, camera_file = _lens(source)
    photos, maps = _by_number(folder), _by_number(source / "depth")
    frames, missing, lost = [], [], []
    for number, line, matrix in _poses(path):
        photo = photos.get(number)
        if photo is None:
            missing.append(f"{folder.name}/{number:05}")
        elif not np.isfinite(matrix).all():
            lost.append(photo)
        else:
            pose = np.linalg.inv(rigid(matrix, f"{path}, line {line}"))
            listed = maps.get(number, source / "depth" / f"{number:05}.png") if maps else None
            frames.append(PosedImage(photo.relative_to(source).as_posix(), photo, lens, pose, depth_path=listed))
    return ParsedDataset(
        kind="Open3D RGB-D",
        frames=tuple(frames),
        missing=tuple(missing),
        depth_scale=MILLIMETRES,
        files=(path, *([camera_file] if camera_file else [])),
        unused={
            **dict.fromkeys((folder, source / "depth"), f"{path.name} has no pose of it"),
            **dict.fromkeys(lost, "its pose is not finite"),
        },
        is_video=True,
        notes=() if camera_file else (ASSUMED,),
        warnings=lost_frames(lost),
    )


def _trajectory(source: Path) -> Path | None:
    return next((source / name for name in TRAJECTORIES if (source / name).is_file()), None)


def _photo_folder(source: Path) -> Path | None:
    return next((source / name for name in PHOTO_FOLDERS if (source / name).is_dir()), None)


def _by_number(folder: Path) -> dict[int, Path]:
    """The images of a folder by the number of their frame: that which their names begin with, counted from the first
    where none is left out, else from 1 or 0; or their place in the order of names that begin with none, or the same."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    digits = [match[0] if (match := NUMBER.match(path.name)) else "" for path in paths]
    if not all(digits) or len({int(each) for each in digits}) < len(paths):
        return dict(enumerate(paths))
    numbers = [int(each) for each in digits]
    first = min(numbers, default=0)
    whole = max(numbers, default=0) - first + 1 == len(numbers)
    return {number - (first if whole or first == 1 else 0): path for number, path in zip(numbers, paths, strict=True)}


def _poses(path: Path) -> list[tuple[int, int, np.ndarray]]:
    """The frame's number, the line it is in, and the (4, 4) of each pose; a frame that comes twice counts once."""
    rows = [(number, line.split()) for number, line in enumerate(read_text(path).splitlines(), start=1) if line.strip()]
    found: dict[int, tuple[int, int, np.ndarray]] = {}
    for start in range(0, len(rows), 5):
        line, head = rows[start]
        try:
            frame = int(head[0])
            matrix = np.array([row for _, row in rows[start + 1 : start + 5]], dtype=np.float64).reshape(4, 4)
            if len(head) != 3 or frame < 0:
                raise ValueError
        except ValueError:
            raise UserError(f"{path}, line {line}: no pose; it must be 3 numbers, and 4 lines of 4 numbers") from None
        found.setdefault(frame, (frame, line, matrix))
    return list(found.values())


def _lens(source: Path) -> tuple[CameraModel, Path | None]:
    """The camera of the first JSON file that has one, and that file."""
    for path in sorted(source.glob("*.json")):
        content = read_json(path)
        if isinstance(content, dict) and "intrinsic_matrix" in content:
            camera = decoded(content, _Camera, path)
            matrix = np.reshape(camera.intrinsic_matrix, (3, 3)).T
            values = [float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
            return opencv_lens(int(camera.width), int(camera.height), values, where=str(path)), path
    return USUAL, None
