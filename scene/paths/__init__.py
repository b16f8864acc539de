"""Paths for a camera to fly along: past the training cameras, around what they look at, or as a file describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene.paths.lens import PathLens
from scene.paths.nerfstudio import read_path_file
from scene.paths.orbit import orbit
from scene.paths.spline import spline
from scene.types import Camera, PointCloud
from utils.errors import UserError

BUILT_IN = ("orbit", "spline")
FPS, SECONDS = 30.0, 10.0  # where nothing else is asked for
FAR = 10.0  # extents of the scene from the nearest training camera: such a path was made for another model


@dataclass(frozen=True)
class PathRequest:
    """What `--path` and the flags beside it ask for; None leaves a choice to the path."""

    path: str  # one of BUILT_IN, or a file
    size: tuple[int, int] | None = None  # width and height, pixels
    fps: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class CameraPath:
    """The cameras of all frames, one after the other."""

    cameras: tuple[Camera, ...]
    fps: float
    text: str  # for people: what kind of path it is
    warning: str = ""


def camera_path(request: PathRequest, cameras: Sequence[Camera], points: PointCloud, extent: float) -> CameraPath:
    """The path that `request` asks for, in a scene with these training cameras, points and extent (world units).

    Raises: UserError for a path that is not known, a file that is none, or cameras that make no path.
    """
    if request.path in BUILT_IN:
        return _built_in(request, cameras, points)
    if not request.path.lower().endswith(".json"):
        raise UserError(
            f"--path {request.path} is not known; it must be {', '.join(BUILT_IN)} or a camera path file (.json)"
        )
    if request.seconds is not None:
        raise UserError(f"--seconds: {request.path} holds a frame for each picture; --fps says how fast they follow")
    found, fps = read_path_file(Path(request.path), request.size)
    fps = request.fps or fps or FPS
    return CameraPath(found, fps, f"the path of {request.path}", _far_off(found, cameras, extent))


def _built_in(request: PathRequest, cameras: Sequence[Camera], points: PointCloud) -> CameraPath:
    fps = request.fps or FPS
    count = max(1, round(fps * (request.seconds or SECONDS)))
    if request.path == "orbit":
        poses, text = orbit(cameras, points, count)
    else:
        poses, text = spline(cameras, count)
    lens = PathLens.like(cameras, request.size)
    return CameraPath(tuple(lens.camera(f"{k:05}", pose) for k, pose in enumerate(poses)), fps, text)


def _far_off(path: Sequence[Camera], cameras: Sequence[Camera], extent: float) -> str:
    """A warning where most of a path is nowhere near the training cameras; else ""."""
    known = np.stack([camera.center for camera in cameras])
    away = float(np.median([np.linalg.norm(known - camera.center, axis=1).min() for camera in path]))
    if away <= FAR * extent:
        return ""
    return (
        f"the path is {away / extent:.3g} extents of the scene away from the training cameras: its coordinates must "
        "be those of the model's PLY, and a model of nerfstudio has others"
    )
