"""A local origin for datasets in the coordinates of a country, where float32 has no digits left for a scene.

UTM coordinates of 5,800,000 m have steps of half a meter in float32. Such a dataset is moved in float64, before
anything is rounded. Its PLYs and cameras.json are relative to the local origin, which origin.json holds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scene.readers.base import ParsedDataset
from scene.types import PointCloud

FAR = 200.0  # times the scene's reach: from there on float32 has fewer than 17 bits for a place within it
REACH = 0.9  # of the cameras are within the reach: one far camera must not set it


def about_local_origin(recording: ParsedDataset) -> tuple[ParsedDataset, np.ndarray]:
    """The dataset with points in float32 about a local origin, and that origin, (3,) float64 in the dataset's frame.

    The origin is 0, and nothing is moved, where the cameras are not far from it.
    """
    centers = np.stack([_center(frame.camera_from_world) for frame in recording.frames])
    origin = _origin(centers, recording.points.positions)
    recording, notes = about_origin(recording, origin), recording.notes
    if origin.any():
        where = ", ".join(f"{value:.12g}" for value in origin)
        notes = (*notes, f"far from the origin of its coordinates: trained about the local origin ({where})")
    return replace(recording, notes=notes), origin


def about_origin(recording: ParsedDataset, origin: np.ndarray) -> ParsedDataset:
    """The dataset with points in float32 about `origin`, (3,) float64 in its frame; 0 moves nothing."""
    frames, positions = recording.frames, recording.points.positions
    if origin.any():
        frames = tuple(replace(frame, camera_from_world=_moved(frame.camera_from_world, origin)) for frame in frames)
        positions = positions - origin
    return replace(recording, frames=frames, points=PointCloud(positions.astype(np.float32), recording.points.colors))


def _origin(centers: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Near the median of (C, 3) camera centers, in round numbers; 0 where that is near enough.

    Cameras that hardly move have a reach, too: the distance of the points (P, 3) that they see.
    """
    middle = np.median(centers, axis=0)
    reach = float(np.quantile(np.linalg.norm(centers - middle, axis=1), REACH, method="lower"))
    if len(points):
        reach = max(reach, float(np.median(np.linalg.norm(points - middle, axis=1))))
    if reach == 0 or np.linalg.norm(middle) <= FAR * reach:
        return np.zeros(3)
    step = 10.0 ** np.floor(np.log10(reach))
    return np.round(middle / step) * step


def _center(camera_from_world: np.ndarray) -> np.ndarray:
    return -camera_from_world[:3, :3].T @ camera_from_world[:3, 3]


def _moved(camera_from_world: np.ndarray, origin: np.ndarray) -> np.ndarray:
    moved = camera_from_world.copy()
    moved[:3, 3] += moved[:3, :3] @ origin
    return moved
