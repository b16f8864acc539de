"""Record3D's exports, of an iPhone's depth camera: EXR and JPG, EXR_RGBD/{metadata.json,rgb/0.jpg,depth/0.exr}; and
.r3d, a zip of {metadata,rgbd/0.jpg,rgbd/0.depth,rgbd/0.conf}, also unpacked.

The metadata have the camera's matrix K by columns, for w × h pixels, and a pose for each frame: qx qy qz qw tx ty tz,
world_from_camera, OpenGL's axes, metres. Depth is in metres: a channel of half or whole floats, or what scene.depth.r3d
unpacks, whose confidence is 0, 1 or 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from scene.readers.base import (
    OPENCV_FROM_OPENGL,
    SURE_DEPTH,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    confidence_of,
    lost_frames,
    opencv_lens,
    pose_of_quaternion,
)
from scene.readers.json_input import Pixels, decoded, read_json
from utils.errors import UserError

LAYOUT = "metadata.json and rgb/, also in EXR_RGBD/, or an .r3d file (Record3D)"
PHOTOS = (".jpg", ".jpeg", ".png")
METRES = 1.0
MIN_LEVEL = 2  # of 0, 1 and 2 in its confidence maps
Seven = Annotated[list[float], msgspec.Meta(min_length=7, max_length=7)]


class _File(msgspec.Struct):
    w: Pixels
    h: Pixels
    K: Annotated[list[float], msgspec.Meta(min_length=9, max_length=9)]
    poses: list[Seven]
    perFrameIntrinsicCoeffs: list[Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]] | None = None


@dataclass(frozen=True)
class _Export:
    """Where the files are."""

    metadata: Path
    photos: Path  # the folder
    depths: Path  # the folder, there or not
    suffixes: tuple[str, ...]  # of depth maps, the usual one first


def can_read(source: Path) -> bool:
    return _export(source) is not None


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming the file, for one that is not understood, and for frames without a pose."""
    export = _export(source)
    if export is None:
        raise UserError(f"{source} has no {LAYOUT}")
    path = export.metadata
    content = decoded(read_json(path), _File, path)
    photos = {int(photo.stem): photo for photo in export.photos.iterdir() if _is_photo(photo)}
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
                depth_path=_depth(export, photo.stem),
                confidence=confidence_of(photo.with_suffix(".conf"), MIN_LEVEL),
            )
        )
    missing = [number for number in range(len(content.poses)) if number not in photos]
    return ParsedDataset(
        kind="Record3D",
        frames=tuple(frames),
        missing=tuple(f"{export.photos.name}/{number}.jpg" for number in missing),
        depth_scale=METRES,
        meters_per_unit=1.0,
        files=(path,),
        unused={
            **dict.fromkeys(lost, "its pose is not finite"),
            export.depths: "the depth map of no photo that is used",
        },
        is_video=True,
        notes=("lengths in metres", *([SURE_DEPTH] if any(frame.confidence for frame in frames) else [])),
        warnings=lost_frames(lost),
    )


def _export(source: Path) -> _Export | None:
    """The first export that is there, in the dataset's folder or in one that the app names."""
    pictures = (".exr", ".png", ".npy")
    exports = [
        *(_Export(at / "metadata.json", at / "rgb", at / "depth", pictures) for at in (source, source / "EXR_RGBD")),
        _Export(source / "metadata", source / "rgbd", source / "rgbd", (".depth",)),
    ]
    return next((each for each in exports if each.metadata.is_file() and each.photos.is_dir()), None)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTOS and path.stem.isascii() and path.stem.isdecimal()


def _depth(export: _Export, stem: str) -> Path | None:
    """Where the depth map is, or would be; None where there are none."""
    candidates = [export.depths / f"{stem}{suffix}" for suffix in export.suffixes]
    found = next((path for path in candidates if path.is_file()), candidates[0])
    return found if found.parent.is_dir() else None


def _intrinsics(content: _File, number: int) -> list[float]:
    """fx fy cx cy, of the frame where each has its own."""
    own = content.perFrameIntrinsicCoeffs
    if own and number < len(own):
        return own[number]
    matrix = np.reshape(content.K, (3, 3)).T
    return [float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
