"""Record3D's EXR and JPG export: EXR_RGBD/{metadata.json,rgb/0.jpg,depth/0.exr}, of an iPhone's LiDAR.

metadata.json has the camera's matrix K by columns, for w × h pixels, and a pose for each frame: qx qy qz qw tx ty tz,
world_from_camera, OpenGL's axes, metres. Depth is in metres, a channel of half or whole floats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from scene.readers.base import (
    OPENCV_FROM_OPENGL,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    lost_frames,
    opencv_lens,
    pose_of_quaternion,
)
from scene.readers.json_input import Pixels, decoded, read_json
from utils.errors import UserError

LAYOUT = "metadata.json and rgb/, also in EXR_RGBD/ (Record3D)"
PHOTOS, DEPTHS = (".jpg", ".jpeg", ".png"), (".exr", ".png", ".npy")
METRES = 1.0
Seven = Annotated[list[float], msgspec.Meta(min_length=7, max_length=7)]


class _File(msgspec.Struct):
    w: Pixels
    h: Pixels
    K: Annotated[list[float], msgspec.Meta(min_length=9, max_length=9)]
    poses: list[Seven]
    perFrameIntrinsicCoeffs: list[Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]] | None = None


def can_read(source: Path) -> bool:
    return _folder(source) is not None


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming the file, for one that is not understood, and for frames without a pose."""
    folder = _folder(source) or source
    path = folder / "metadata.json"
    content = decoded(read_json(path), _File, path)
    photos = {int(photo.stem): photo for photo in (folder / "rgb").iterdir() if _is_photo(photo)}
    beyond = sorted(number for number in photos if number >= len(content.poses))
    if beyond:
        raise UserError(f"{path} has {len(content.poses)} poses, and none for {photos[beyond[0]]}")
    frames, lost = [], []
    for number, photo in sorted(photos.items()):
        values = content.poses[number]
        pose = pose_of_quaternion(values[4:], values[:4], f"{path}: poses[{number}]")
        if pose is None:
            lost.append(photo)
            continue
        frames.append(
            PosedImage(
                name=photo.relative_to(source).as_posix(),
                image_path=photo,
                lens=opencv_lens(int(content.w), int(content.h), _intrinsics(content, number), where=f"{path}: K"),
                camera_from_world=OPENCV_FROM_OPENGL @ np.linalg.inv(pose),
                depth_path=_depth(folder, photo.stem),
            )
        )
    missing = [number for number in range(len(content.poses)) if number not in photos]
    return ParsedDataset(
        kind="Record3D",
        frames=tuple(frames),
        missing=tuple(f"rgb/{number}.jpg" for number in missing),
        depth_scale=METRES,
        files=(path,),
        unused={
            **dict.fromkeys(lost, "its pose is not finite"),
            folder / "depth": "the depth map of no photo that is used",
        },
        is_video=True,
        warnings=lost_frames(lost),
    )


def _folder(source: Path) -> Path | None:
    """The folder of the metadata: the dataset's, or one that is named as the app names it."""
    found = (folder for folder in (source, source / "EXR_RGBD") if (folder / "metadata.json").is_file())
    return next((folder for folder in found if (folder / "rgb").is_dir()), None)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTOS and path.stem.isascii() and path.stem.isdecimal()


def _depth(folder: Path, stem: str) -> Path | None:
    """Where the depth map is, or would be; None where there are none."""
    candidates = [folder / "depth" / f"{stem}{suffix}" for suffix in DEPTHS]
    found = next((path for path in candidates if path.is_file()), candidates[0])
    return found if found.parent.is_dir() else None


def _intrinsics(content: _File, number: int) -> list[float]:
    """fx fy cx cy, of the frame where each has its own."""
    own = content.perFrameIntrinsicCoeffs
    if own and number < len(own):
        return own[number]
    matrix = np.reshape(content.K, (3, 3)).T
    return [float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
