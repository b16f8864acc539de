"""Small datasets that reader tests write: cameras around a cloud of points, and photos of smooth ramps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scene.types import Camera, PointCloud, View


def looking_at_origin(angle: float, distance: float = 3.0) -> np.ndarray:
    """(4, 4) camera_from_world of a camera that circles the origin and looks at it, y down."""
    center = distance * np.array([np.sin(angle), -0.2, -np.cos(angle)])
    forward = -center / np.linalg.norm(center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ center
    return pose


def cameras(count: int, width: int = 40, height: int = 30) -> list[Camera]:
    return [
        Camera(f"{i:03}.png", width, height, 35.0, 36.0, 19.5, 15.5, looking_at_origin(0.5 * i)) for i in range(count)
    ]


def points(count: int = 50) -> PointCloud:
    rng = np.random.default_rng(1)
    colors = rng.integers(0, 256, (count, 3)).astype(np.float32) / 255
    return PointCloud(rng.normal(size=(count, 3)).astype(np.float32), colors)


def views_of(folder: Path, photos: Sequence[np.ndarray], background: float | None = None) -> list[View]:
    """Views of these pixels, (H,W,3 or 4) uint8 in cv2's order, written into the folder."""
    views = []
    for index, pixels in enumerate(photos):
        height, width = pixels.shape[:2]
        path = folder / f"{index}.png"
        assert cv2.imwrite(str(path), pixels)
        camera = Camera(path.name, width, height, 50.0, 50.0, width / 2, height / 2, np.eye(4))
        views.append(View(camera, path, background=background))
    return views


def write_photo(path: Path, width: int, height: int, channels: int = 3) -> np.ndarray:
    """A smooth picture; returns its pixels, RGB(A), 8-bit."""
    columns, rows = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = [columns, rows, 0.5 * columns + 0.5 * rows, columns > 0.5][:channels]
    pixels = np.round(255 * np.stack(planes, axis=-1)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    assert cv2.imwrite(str(path), pixels[..., order])
    return pixels
