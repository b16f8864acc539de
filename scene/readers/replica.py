"""Replica as iMAP and NICE-SLAM render it: results/frame000000.jpg, results/depth000000.png and traj.txt.

traj.txt has a line for each frame: world_from_camera, 4 × 4 numbers. cam_params.json, in the scene's folder or beside
it, has the camera; without it, it is the one that they all have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from scene.readers.base import ParsedDataset, PosedImage, ReadOptions, lost_frames, opencv_lens, read_text, rigid
from scene.readers.json_input import Finite, Pixels, Positive, decoded, read_json
from scene.types import CameraModel
from utils.errors import UserError

USUAL = {"w": 1200, "h": 680, "fx": 600.0, "fy": 600.0, "cx": 599.5, "cy": 339.5, "scale": 6553.5}
ASSUMED = "its usual camera assumed, as there is no cam_params.json (600, 600, 599.5, 339.5 at 1200×680)"
LAYOUT = "traj.txt and results/ (Replica)"


class _Camera(msgspec.Struct):
    w: Pixels
    h: Pixels
    fx: Positive
    fy: Positive
    cx: Finite
    cy: Finite
    scale: Annotated[float, msgspec.Meta(gt=1e-6, le=1e9)]  # steps of a depth map in a metre


class _File(msgspec.Struct):
    camera: _Camera


def can_read(source: Path) -> bool:
    return (source / "traj.txt").is_file() and (source / "results").is_dir()


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError for a trajectory or a camera that is not understood, and for frames without a pose."""
    lens, steps, notes = _camera(source)
    poses = _trajectory(source / "traj.txt")
    frames, lost = [], []
    for photo in sorted((source / "results").glob("frame*.*")):
        digits = photo.stem.removeprefix("frame")
        if not digits.isdecimal():
            continue
        if int(digits) >= len(poses):
            raise UserError(f"{source / 'traj.txt'} has {len(poses)} poses, a line each, and none for {photo}")
        pose = poses[int(digits)]
        if pose is None:
            lost.append(photo)
            continue
        depth_path = photo.with_name(f"depth{digits}.png")
        frames.append(PosedImage(str(photo.relative_to(source)), photo, lens, pose, depth_path=depth_path))
    return ParsedDataset(
        kind="Replica",
        frames=tuple(frames),
        depth_scale=1 / steps,
        files=(source / "traj.txt", source / "cam_params.json"),
        unused=dict.fromkeys(lost, "its pose is not finite"),
        is_video=True,
        notes=notes,
        warnings=lost_frames(lost),
    )


def _trajectory(path: Path) -> list[np.ndarray | None]:
    """camera_from_world of each line; None where it is not finite."""
    poses: list[np.ndarray | None] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            matrix = np.array(line.split(), dtype=np.float64).reshape(4, 4)
        except ValueError:
            raise UserError(f"{path}, line {number}: {line!r} is no pose; it must be 4 × 4 numbers") from None
        finite = np.isfinite(matrix).all()
        poses.append(np.linalg.inv(rigid(matrix, f"{path}, line {number}")) if finite else None)
    return poses


def _camera(source: Path) -> tuple[CameraModel, float, tuple[str, ...]]:
    """The lens, steps of the depth maps in a metre, and a note where that is assumed."""
    candidates = (source / "cam_params.json", source.resolve().parent / "cam_params.json")
    path = next((path for path in candidates if path.is_file()), None)
    values = dict(USUAL)
    if path is not None:
        values = msgspec.structs.asdict(decoded(read_json(path), _File, path).camera)
    intrinsics = [values[name] for name in ("fx", "fy", "cx", "cy")]
    lens = opencv_lens(int(values["w"]), int(values["h"]), intrinsics, where=str(path))
    return lens, values["scale"], () if path else (ASSUMED,)
