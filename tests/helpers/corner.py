"""Photos of the corner of a room, three walls with a texture of their own, drawn ray by ray: what SfM can place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from scene.types import Camera

WALLS = ((2, 4.0), (0, 2.5), (1, 1.5))  # axis and place of each: behind, to the right, the floor
FOCAL, WIDTH, HEIGHT = 220.0, 240, 180


def cameras(count: int) -> list[Camera]:
    """On an arc before the corner, looking into it, y down."""
    result = []
    for number, angle in enumerate(np.linspace(-0.6, 0.6, count)):
        center = np.array([2 * np.sin(angle) - 0.5, 0.2 * np.cos(3 * angle), 1.5 - 1.5 * np.cos(angle)])
        forward = np.array([1.2, 0.3, 4.0]) - center
        forward /= np.linalg.norm(forward)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
        pose[:3, 3] = -pose[:3, :3] @ center
        name = f"photo {number:02}.png"  # with a blank, as many have
        result.append(Camera(name, WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, pose))
    return result


def photo(camera: Camera) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    points = camera.unproject(row.ravel(), column.ravel(), np.ones(row.size))
    rays, center = points - camera.center, camera.center
    nearest, color = np.full(len(rays), np.inf), np.zeros((len(rays), 3), np.uint8)
    for number, (axis, place) in enumerate(WALLS):
        along = (place - center[axis]) / rays[:, axis]
        hit = (along > 0) & (along < nearest)
        where = (center + along[:, None] * rays)[:, [other for other in range(3) if other != axis]]
        pixels = (60 * where + 900).astype(np.float32).reshape(camera.height, camera.width, 2)
        drawn = np.reshape(cv2.remap(_texture(number), pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR), (-1, 3))
        color[hit], nearest[hit] = drawn[hit], along[hit]
    return color.reshape(camera.height, camera.width, 3)


@lru_cache
def _texture(seed: int) -> np.ndarray:
    """Blobs of all sizes, 30 × 30 units of length."""
    rng, total = np.random.default_rng(seed), np.zeros((1800, 1800, 3), np.float32)
    for size in (15, 45, 150, 450):
        total += cv2.resize(rng.uniform(0, 1, (size, size, 3)).astype(np.float32), (1800, 1800))
    return np.clip(64 * total, 0, 255).astype(np.uint8)


def write_photos(folder: Path, seen: Sequence[Camera]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for camera in seen:
        assert cv2.imwrite(str(folder / camera.name), cv2.cvtColor(photo(camera), cv2.COLOR_RGB2BGR))
