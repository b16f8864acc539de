"""Replica as iMAP and NICE-SLAM render it: results/frame000000.jpg, results/depth000000.png and traj.txt.

traj.txt has a line for each frame: world_from_camera, 4 × 4 numbers. cam_params.json, in the scene's folder or beside
it, has the camera; without it, it is the one that they all have.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scene.readers.base import ParsedDataset, PosedImage, ReadOptions, lost_frames, opencv_lens, rigid
from scene.types import CameraModel
from utils.errors import UserError

USUAL = {"w": 1200, "h": 680, "fx": 600.0, "fy": 600.0, "cx": 599.5, "cy": 339.5, "scale": 6553.5}
ASSUMED = "its usual camera assumed, as there is no cam_params.json (600, 600, 599.5, 339.5 at 1200×680)"
LAYOUT = "traj.txt and results/ (Replica)"


def can_read(source: Path) -> bool:
    return (source / "traj.txt").is_file() and (source / "results").is_dir()


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError for a trajectory or a camera that is not understood, and for frames without a pose."""
    lens, steps, notes = _camera(source)
    poses = _trajectory(source / "traj.txt")
    frames, lost = [], []
    for photo in sorted((source / "results").glob("frame*.*")):
        digits = photo.stem.removeprefix("frame")
        if not digits.isdigit():
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
        is_video=True,
        notes=notes,
        warnings=lost_frames(lost),
    )


def _trajectory(path: Path) -> list[np.ndarray | None]:
    """camera_from_world of each line; None where it is not finite."""
    poses: list[np.ndarray | None] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
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
        try:
            values = json.loads(path.read_text())["camera"]
            values = {name: float(values[name]) for name in USUAL}
        except (ValueError, KeyError, TypeError) as error:
            wanted = ", ".join(USUAL)
            raise UserError(f'{path} is no camera: {error!r}; it must be JSON: "camera" with {wanted}') from None
        if min(values[name] for name in ("w", "h", "fx", "fy", "scale")) <= 0:
            raise UserError(f"{path} is no camera: w, h, fx, fy and scale must be above 0")
    lens = opencv_lens(int(values["w"]), int(values["h"]), [values[name] for name in ("fx", "fy", "cx", "cy")])
    return lens, values["scale"], () if path else (ASSUMED,)
