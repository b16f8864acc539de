"""Stray Scanner: rgb.mp4, odometry.csv, camera_matrix.csv, depth/000000.png and confidence/000000.png, of LiDAR.

odometry.csv has, behind a line of names, the number of a frame of the video, its place and its quaternion:
world_from_camera, OpenCV's axes, metres. camera_matrix.csv has 3 × 3 numbers for the frames as the sensor has them.
Depth is in millimetres; confidence is 0, 1 or 2. Frames of the video are written to the model folder.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from scene.image_header import read_header
from scene.inputs.video import frames_of
from scene.inputs.workspace import needed
from scene.readers.base import (
    MILLIMETRES,
    SURE_DEPTH,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    confidence_of,
    lens_of_matrix,
    pose_of_quaternion,
    read_text,
)
from scene.types import CameraModel
from utils.errors import UserError

VIDEO, POSES, MATRIX = "rgb.mp4", "odometry.csv", "camera_matrix.csv"
LAYOUT = "rgb.mp4, odometry.csv and camera_matrix.csv (Stray Scanner)"
COLUMNS = "frame x y z qx qy qz qw".split()
MIN_LEVEL = 2  # of 0, 1 and 2 in its confidence maps


def can_read(source: Path) -> bool:
    return all((source / name).is_file() for name in (VIDEO, POSES, MATRIX))


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming file and line, for what is not understood, and without a workspace."""
    poses, lost = _poses(source / POSES)
    workspace = needed(options.workspace, source, "the frames of a video")
    photos = frames_of(
        source / VIDEO, workspace, options.frames, among=sorted(poses), upright=False, quiet=options.quiet
    )
    lens = _lens(source / MATRIX, next(iter(photos.values())))
    frames = []
    for number, photo in photos.items():
        if number in poses:
            depth = _depth(source / "depth", number)
            sure = confidence_of(source / "confidence" / f"{number:06}.png", MIN_LEVEL)
            frames.append(PosedImage(photo.name, photo, lens, poses[number], depth_path=depth, confidence=sure))
    return ParsedDataset(
        kind="Stray Scanner",
        frames=tuple(frames),
        depth_scale=MILLIMETRES,
        files=tuple(source / name for name in (VIDEO, POSES, MATRIX)),
        unused=dict.fromkeys((source / "depth", source / "confidence"), "a part of the frames is enough"),
        is_video=True,
        notes=(
            f"{len(frames)} frames of {VIDEO}, the sharpest of their neighbors",
            *([SURE_DEPTH] if any(frame.confidence for frame in frames) else []),
        ),
        warnings=tuple(
            f"{len(lost)} frames are skipped, such as {lost[0]} of {source / POSES}: their poses are not finite"
            for _ in lost[:1]
        ),
    )


def _poses(path: Path) -> tuple[dict[int, np.ndarray], list[int]]:
    """camera_from_world by the number of the frame, and the numbers of those whose pose is not finite."""
    rows = csv.reader(read_text(path).splitlines())
    header = [name.strip() for name in next(rows, [])]
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise UserError(f"{path}: its first line names no {', '.join(absent)}; it must name {', '.join(COLUMNS)}")
    places = [header.index(name) for name in COLUMNS]
    found: dict[int, np.ndarray] = {}
    lost = []
    for row in rows:
        if not row:
            continue
        try:
            number, *values = (float(row[place]) for place in places)
            frame = int(number)
        except (ValueError, IndexError, OverflowError):
            raise UserError(f"{path}, line {rows.line_num}: {','.join(row)!r} must be {', '.join(COLUMNS)}") from None
        pose = pose_of_quaternion(values[:3], values[3:], f"{path}, line {rows.line_num}: the pose")
        if pose is None:
            lost.append(frame)
        else:
            found[frame] = np.linalg.inv(pose)
    if not found:
        raise UserError(f"{path} has no pose")
    return found, lost


def _lens(path: Path, photo: Path) -> CameraModel:
    try:
        matrix = np.array(read_text(path).replace(",", " ").split(), dtype=np.float64).reshape(3, 3)
    except ValueError:
        raise UserError(f"{path} is no camera matrix: it must hold 3 lines of 3 numbers with commas") from None
    header = read_header(photo)
    return lens_of_matrix(matrix, header.width, header.height, str(path))


def _depth(folder: Path, number: int) -> Path | None:
    """Where the map is, or would be; early versions of the app wrote npy. None where there are none."""
    candidates = [folder / f"{number:06}{suffix}" for suffix in (".png", ".npy")]
    found = next((path for path in candidates if path.is_file()), candidates[0])
    return found if folder.is_dir() else None
