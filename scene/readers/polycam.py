"""Polycam's raw data: keyframes/{images,cameras,depth,confidence}, and corrected_images and corrected_cameras.

Files of one frame share their name, a time. Corrected photos are undistorted, and their cameras optimized: where a
frame has both they are used, as Polycam says they should be. A camera's JSON has world_from_camera by its elements
t_00 to t_23, ARKit's world and OpenGL's camera axes, metres. Depth is in mm; confidence is 0, 127 or 255.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from scene.readers.base import (
    MILLIMETRES,
    OPENCV_FROM_OPENGL,
    SURE_DEPTH,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    confidence_of,
    lost_frames,
    opencv_lens,
    rigid,
)
from scene.readers.json_input import Finite, Pixels, Positive, decoded, read_json

LAYOUT = "keyframes/images and keyframes/cameras (Polycam's raw data)"
MIN_LEVEL = 255  # of 0, 127 and 255 in its confidence maps
OPTIMIZED, AS_TRACKED = ("corrected_images", "corrected_cameras"), ("images", "cameras")


class _Camera(msgspec.Struct):
    fx: Positive
    fy: Positive
    cx: Finite
    cy: Finite
    width: Pixels
    height: Pixels
    t_00: float
    t_01: float
    t_02: float
    t_03: float
    t_10: float
    t_11: float
    t_12: float
    t_13: float
    t_20: float
    t_21: float
    t_22: float
    t_23: float

    def pose(self) -> np.ndarray:
        """(4, 4) world_from_camera, OpenGL's axes."""
        rows = [[getattr(self, f"t_{row}{column}") for column in range(4)] for row in range(3)]
        return np.array([*rows, [0.0, 0.0, 0.0, 1.0]])


def can_read(source: Path) -> bool:
    keyframes = source / "keyframes"
    return any(all((keyframes / name).is_dir() for name in pair) for pair in (AS_TRACKED, OPTIMIZED))


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming the file, for one that is not understood."""
    keyframes = source / "keyframes"
    names = {path.stem for _, folder in (AS_TRACKED, OPTIMIZED) for path in (keyframes / folder).glob("*.json")}
    frames, files, missing, lost = [], [], [], []
    for name in sorted(names):
        photo, path = next(
            (pair for pair in _pairs(keyframes, name) if all(map(Path.is_file, pair))), (None, keyframes / name)
        )
        if photo is None:
            missing.append(f"keyframes/images/{name}.jpg")
            continue
        camera = decoded(read_json(path), _Camera, path)
        if not np.isfinite(camera.pose()).all():
            lost.append(path)
            continue
        pose = rigid(camera.pose(), f"{path}: t_00 to t_23")
        lens = opencv_lens(
            int(camera.width), int(camera.height), (camera.fx, camera.fy, camera.cx, camera.cy), where=str(path)
        )
        depth = keyframes / "depth" / f"{name}.png"
        frames.append(
            PosedImage(
                name=photo.relative_to(source).as_posix(),
                image_path=photo,
                lens=lens,
                camera_from_world=OPENCV_FROM_OPENGL @ np.linalg.inv(pose),
                depth_path=depth if depth.parent.is_dir() else None,
                confidence=confidence_of(keyframes / "confidence" / f"{name}.png", MIN_LEVEL),
            )
        )
        files.append(path)
    corrected = sum("corrected" in frame.name for frame in frames)
    tracked = len(frames) - corrected
    return ParsedDataset(
        kind="Polycam",
        frames=tuple(frames),
        missing=tuple(missing),
        depth_scale=MILLIMETRES,
        files=tuple(files),
        unused=_unused(source) | dict.fromkeys(lost, "its pose is not finite"),
        is_video=True,
        notes=(
            *([f"{corrected} frames with optimized poses and corrected photos"] if corrected else []),
            *([f"{tracked} frames with the poses of tracking alone"] if tracked else []),
            *([SURE_DEPTH] if any(frame.confidence for frame in frames) else []),
        ),
        warnings=lost_frames(lost),
    )


def _pairs(keyframes: Path, name: str) -> list[tuple[Path, Path]]:
    """Photo and camera of a frame, as they may be there, the better ones first."""
    return [
        (keyframes / images / f"{name}.{suffix}", keyframes / cameras / f"{name}.json")
        for images, cameras in (OPTIMIZED, AS_TRACKED)
        for suffix in ("jpg", "png")
    ]


def _unused(source: Path) -> dict[Path, str]:
    """Why whole folders, or files beside them, are not used."""
    keyframes = source / "keyframes"
    better = "the corrected one of this frame is used"
    of_no_frame = {keyframes / name: "of no frame that is used" for name in ("depth", "confidence")}
    return of_no_frame | {keyframes / name: better for name in AS_TRACKED}
