"""KITTI's odometry sequences: calib.txt, image_2/000000.png and poses.txt, and depth maps of KITTI's depth benchmark.

calib.txt has the rectified projection matrices P0 to P3, 3 × 4 by rows. poses.txt, or poses/<sequence>.txt two folders
above, has a line of 3 × 4 numbers for each frame: where camera 0 is in the world, metres. Depth maps (depth/, or
proj_depth/groundtruth/image_02) have 1/256 m, 0 where there is none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scene.image_header import read_header
from scene.readers.base import ParsedDataset, PosedImage, ReadOptions, lens_of_matrix, lost_frames, read_text, rigid
from utils.errors import UserError

LAYOUT = "calib.txt, image_2/ and poses.txt (KITTI odometry)"
STEP = 1 / 256  # metres
PHOTOS, CAMERA = "image_2", "P2"
DEPTHS = ("depth", "proj_depth/groundtruth/image_02", "proj_depth/velodyne_raw/image_02")


def can_read(source: Path) -> bool:
    return (source / "calib.txt").is_file() and (source / PHOTOS).is_dir() and _poses_file(source) is not None


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming file and line, for what is not understood, and for photos without a pose."""
    path = _poses_file(source) or source
    poses, matrix = _poses(path), _projection(source / "calib.txt")
    photos = sorted((source / PHOTOS).glob("*.png")) + sorted((source / PHOTOS).glob("*.jpg"))
    if not photos:
        raise UserError(f"{source / PHOTOS} has no photos; they must be called 000000.png, 000001.png, ...")
    header = read_header(photos[0])
    lens = lens_of_matrix(matrix, header.width, header.height, f"{source / 'calib.txt'}: {CAMERA}")
    beside = np.eye(4)  # of the color camera from camera 0: P = K [I t]
    beside[:3, 3] = np.linalg.inv(matrix[:, :3]) @ matrix[:, 3]
    beside = rigid(beside, f"{source / 'calib.txt'}: {CAMERA}")
    folder = next((source / name for name in DEPTHS if (source / name).is_dir()), None)
    frames, lost = [], []
    for place, photo in enumerate(photos):
        number = int(photo.stem) if photo.stem.isascii() and photo.stem.isdecimal() else place
        if number >= len(poses):
            raise UserError(f"{path} has {len(poses)} poses, a line each, and none for {photo}")
        pose = poses[number]
        if pose is None:
            lost.append(photo)
            continue
        depth = None if folder is None else _depth(folder, number)
        name = photo.relative_to(source).as_posix()
        frames.append(PosedImage(name, photo, lens, beside @ np.linalg.inv(pose), depth_path=depth))
    unused = {} if folder is None else {folder: "the depth map of no photo that is used"}
    return ParsedDataset(
        kind="KITTI",
        frames=tuple(frames),
        depth_scale=STEP,
        files=(path, source / "calib.txt"),
        unused={**unused, **dict.fromkeys(lost, "its pose is not finite")},
        is_video=True,
        warnings=lost_frames(lost),
    )


def _poses_file(source: Path) -> Path | None:
    """In the folder, or where the benchmark has it."""
    place = source.resolve()
    candidates = (source / "poses.txt", place.parent.parent / "poses" / f"{place.name}.txt")
    return next((path for path in candidates if path.is_file()), None)


def _poses(path: Path) -> list[np.ndarray | None]:
    """World_from_camera_0 of each line, (4, 4); None where it is not finite."""
    poses: list[np.ndarray | None] = []
    for number, line in enumerate(filter(str.strip, read_text(path).splitlines()), start=1):
        pose = np.eye(4)
        try:
            pose[:3] = np.array(line.split(), dtype=np.float64).reshape(3, 4)
        except ValueError:
            raise UserError(f"{path}, line {number}: {line!r} is no pose; it must be 3 × 4 numbers") from None
        poses.append(rigid(pose, f"{path}, line {number}") if np.isfinite(pose).all() else None)
    return poses


def _projection(path: Path) -> np.ndarray:
    """(3, 4) of the color camera. Raises: UserError, naming the file."""
    lines = dict(line.split(":", 1) for line in read_text(path).splitlines() if ":" in line)
    try:
        matrix = np.array(lines[CAMERA].split(), dtype=np.float64).reshape(3, 4)
    except (KeyError, ValueError):
        raise UserError(f"{path} has no projection matrix {CAMERA}: a line '{CAMERA}: ' and 3 × 4 numbers") from None
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or matrix[2, 2] != 1:
        raise UserError(f"{path}: {CAMERA} is no projection matrix of a camera: {matrix.tolist()}")
    return matrix


def _depth(folder: Path, number: int) -> Path:
    """Odometry's names have six digits, those of the depth benchmark ten."""
    candidates = (folder / f"{number:06}.png", folder / f"{number:010}.png")
    return next((path for path in candidates if path.is_file()), candidates[0])
