"""Points on the synthetic room's surfaces that cameras see: sparse and noisy as from SfM, or dense and exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.synthetic.render import Picture, rays
from scene.types import Camera, PointCloud

SAME = 0.01  # a point is seen where the depth map agrees with its own depth to this share
PIXEL_NOISE = 0.4  # pixels: how well SfM finds a point in its pictures
DEPTH_NOISE = 2.0  # pixels: errors along the ray are as many times larger as rays cross at small angles


def unproject(camera: Camera, depth: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(P, 3) world positions of what pixels show; `depth` (P,) is z in the camera's frame."""
    origin, direction = rays(camera, column + 0.5, row + 0.5)
    return (origin + depth * direction).T


def times_seen(points: np.ndarray, cameras: Sequence[Camera], pictures: Sequence[Picture]) -> np.ndarray:
    """(P,) int: in how many pictures the points (P, 3) are visible."""
    count = np.zeros(len(points), int)
    for camera, picture in zip(cameras, pictures, strict=True):
        x, y, z = camera.camera_from_world[:3, :3] @ points.T + camera.camera_from_world[:3, 3:]
        ahead = z > 0.1
        safe = np.where(ahead, z, 1.0)
        column = np.floor(camera.fx * x / safe + camera.cx).astype(int)
        row = np.floor(camera.fy * y / safe + camera.cy).astype(int)
        inside = ahead & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        seen = np.flatnonzero(inside)
        shown = picture.depth[row[seen], column[seen]]
        count[seen] += np.abs(shown - z[seen]) < SAME * shown
    return count


def sample_points(
    cameras: Sequence[Camera], pictures: Sequence[Picture], count: int, least_views: int, seed: int, noisy: bool = False
) -> PointCloud:
    """About `count` colored points at random pixels, of those that `least_views` pictures show.

    With `noisy`, moved as SfM's errors would, and more where the picture has texture, for SfM needs that.
    """
    rng = np.random.default_rng([seed, 13, int(noisy)])
    share = -(-count * 2 // len(cameras))
    positions, colors = [], []
    for camera, picture in zip(cameras, pictures, strict=True):
        weight = _texture(picture.color) if noisy else np.square(picture.depth) / np.maximum(picture.facing, 0.1)
        pixel = rng.choice(weight.size, min(share, weight.size), replace=False, p=(weight / weight.sum()).ravel())
        row, column = np.divmod(np.sort(pixel), camera.width)
        positions.append(unproject(camera, picture.depth[row, column], row, column))
        colors.append(picture.color[row, column])
    points, tints = np.concatenate(positions), np.concatenate(colors)
    good = np.flatnonzero(times_seen(points, cameras, pictures) >= least_views)
    kept = np.sort(rng.permutation(good)[:count])
    points, tints = points[kept], tints[kept]
    if noisy:
        source = np.repeat(np.arange(len(cameras)), [len(part) for part in positions])[kept]
        points = points + _sfm_error(points, source, cameras, rng)
    return PointCloud(points.astype(np.float32), tints.astype(np.float32))


def _texture(color: np.ndarray) -> np.ndarray:
    """(H, W) positive weights that grow with the local contrast."""
    gray = color.mean(axis=2)
    steep = np.hypot(*np.gradient(gray))
    return steep + 0.02


def _sfm_error(
    points: np.ndarray, source: np.ndarray, cameras: Sequence[Camera], rng: np.random.Generator
) -> np.ndarray:
    """(P, 3) metres: a fraction of a pixel across the ray of the picture the point is from, more along it."""
    ray = points - np.stack([camera.center for camera in cameras])[source]
    distance = np.linalg.norm(ray, axis=1, keepdims=True)
    pixel = distance / np.array([camera.fx for camera in cameras])[source][:, None] * PIXEL_NOISE
    return pixel * rng.normal(size=points.shape) + pixel * DEPTH_NOISE * rng.normal(size=(len(ray), 1)) * ray / distance
