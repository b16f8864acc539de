"""ScanNet as its reader exports it: color/0.jpg, depth/0.png, pose/0.txt and intrinsic/intrinsic_{color,depth}.txt.

Depth has fewer pixels than color and a camera of its own; extrinsic_depth.txt, where there is one, says where that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from scene.image_header import read_header
from scene.readers.base import (
    MILLIMETRES,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    is_off_center,
    lens_of_matrix,
    lost_frames,
    read_matrix,
    read_pose,
    rigid,
)
from scene.types import CameraModel, DepthCamera
from utils.errors import UserError
from utils.sampling import subsample

FULL_SIZE = (1296, 968)  # of the color camera, for which intrinsic_color.txt holds even where photos are smaller
SIZES = 5  # maps that are asked for their size
MATRICES = ("intrinsic_color", "intrinsic_depth", "extrinsic_depth")
LAYOUT = "color/ and pose/ (ScanNet)"


def can_read(source: Path) -> bool:
    return (source / "color").is_dir() and (source / "pose").is_dir()


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming the file, for intrinsics that are not there, and for what is no pose."""
    photos = sorted((path for path in (source / "color").iterdir() if path.stem.isdecimal()), key=lambda p: int(p.stem))
    if not photos:
        raise UserError(f"{source / 'color'} has no photos; they must be called 0.jpg, 1.jpg, ...")
    lens, notes = _photo_lens(source / "intrinsic" / "intrinsic_color.txt", photos[0])
    depth_paths = {photo: source / "depth" / f"{photo.stem}.png" for photo in photos}
    depth_camera = _depth_camera(source / "intrinsic", [path for path in depth_paths.values() if path.is_file()])
    frames, lost = [], []
    for photo, depth_path in depth_paths.items():
        pose_path = source / "pose" / f"{photo.stem}.txt"
        pose = read_pose(pose_path) if pose_path.is_file() else None
        if pose is None:
            lost.append(pose_path)
            continue
        name = str(photo.relative_to(source))
        frames.append(PosedImage(name, photo, lens, pose, depth_path=depth_path, depth_camera=depth_camera))
    return ParsedDataset(
        kind="ScanNet",
        frames=tuple(frames),
        depth_scale=MILLIMETRES,
        files=(
            *(source / "pose" / f"{frame.image_path.stem}.txt" for frame in frames),
            *(source / "intrinsic" / f"{name}.txt" for name in MATRICES),
        ),
        unused={source / "color" / f"{path.stem}{photos[0].suffix}": "it has no finite pose" for path in lost},
        is_video=True,
        notes=notes,
        warnings=lost_frames(lost),
    )


def _photo_lens(path: Path, photo: Path) -> tuple[CameraModel, tuple[str, ...]]:
    """The color camera's lens; photos that were made smaller than their intrinsics are recognised by these."""
    header = read_header(photo)
    width, height = header.width, header.height
    matrix = _intrinsics(path)
    if is_off_center(matrix, width, height) and not is_off_center(matrix, *FULL_SIZE):
        note = f"intrinsic_color.txt taken to hold for {FULL_SIZE[0]}×{FULL_SIZE[1]} pixels, not {width}×{height}"
        return lens_of_matrix(matrix, *FULL_SIZE, str(path)), (note,)
    return lens_of_matrix(matrix, width, height, str(path)), ()


def _depth_camera(folder: Path, maps: Sequence[Path]) -> DepthCamera | None:
    """None where nothing is said of it: the maps are then registered to the photos."""
    path = folder / "intrinsic_depth.txt"
    if not maps or not path.is_file():
        return None
    sizes = []
    for each in subsample(maps, SIZES):
        with suppress(UserError):  # of a damaged map, which is named where it is used
            header = read_header(each)
            sizes.append((header.width, header.height))
    if not sizes:
        return None
    (width, height), _ = Counter(sizes).most_common(1)[0]
    placed = folder / "extrinsic_depth.txt"
    photo_from_depth = rigid(read_matrix(placed), str(placed)) if placed.is_file() else np.eye(4)
    return DepthCamera(lens_of_matrix(_intrinsics(path), width, height, str(path)), photo_from_depth)


def _intrinsics(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"{path} is not there: it must hold the camera's matrix, 4 lines of 4 numbers")
    matrix = read_matrix(path)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise UserError(f"{path} is no camera matrix: focal lengths {matrix[0, 0]:g} and {matrix[1, 1]:g}")
    return matrix
