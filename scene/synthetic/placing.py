"""How pieces of the synthetic room are put in place, and what several of them share. Positions are in room axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.synthetic.plan import WORLD_FROM_ROOM, Solid
from scene.synthetic.round_shapes import Rod
from scene.synthetic.shapes import Box
from scene.synthetic.textures import Texture, srgb

Point = Sequence[float] | np.ndarray

OAK = (srgb("#d9ae78"), srgb("#a06a3a"))
WALNUT = (srgb("#9a6440"), srgb("#5a3320"))
WHITE = srgb("#ece7dc")
BLACK = srgb("#34323a")
BRASS = srgb("#c79a4b")
COVERS = [
    srgb(code) for code in ("#b5432f", "#2f6b7e", "#d9a441", "#4c7a58", "#7c3f5c", "#33507f", "#d8cdb6", "#c9713c")
]
PAPER = srgb("#efe6d0")


def at(position: Point, yaw: float = 0.0, axes: np.ndarray | None = None) -> np.ndarray:
    """world_from_local of something at a room position, turned by `yaw` radians about the vertical after `axes`,
    whose columns are the local x, y, z in the room."""
    c, s = np.cos(yaw), np.sin(yaw)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ (np.eye(3) if axes is None else axes)
    pose[:3, 3] = position
    return WORLD_FROM_ROOM @ pose


def facing(normal: Point, up: Point = (0, 0, 1)) -> np.ndarray:
    """Axes of something whose local z looks along `normal` and whose local y is as far `up` as that allows."""
    z = np.asarray(normal, dtype=float) / np.linalg.norm(normal)
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def rod(start: Point, end: Point, radius: float, texture: Texture, gloss: float = 0.0) -> Solid:
    """A round bar between two room positions."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    along = end - start
    up = (0, 1, 0) if abs(along[2]) > 0.9 * np.linalg.norm(along) else (0, 0, 1)
    length = float(np.linalg.norm(along))
    return Solid(Rod(at(start, axes=facing(along, up)), radius, length), texture, gloss=gloss, thin=radius < 0.012)


def around(center: Point, yaw: float, offset: Point) -> np.ndarray:
    """The room position of a piece's own coordinates `offset`."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y, z = offset
    return np.asarray(center) + np.array([c * x - s * y, s * x + c * y, z])


def blade_axes(way: Point, roll: float = 0.0) -> np.ndarray:
    """Axes of a leaf that grows along `way`: x along it, z its upper side, turned about x by `roll` radians."""
    x = np.asarray(way, dtype=float) / np.linalg.norm(way)
    y = np.cross((0, 0, 1), x)
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([x, c * y + s * z, c * z - s * y], axis=1)


def book(
    center: Point, size: tuple[float, float, float], yaw: float, cover: np.ndarray, standing: bool = False
) -> Solid:
    """A book of (width, depth, thickness) on its back, or standing with its spine to −y. Its spine is at local −y."""
    width, depth, height = size
    axes = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]) if standing else None
    gold = srgb("#e8cf8a")

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        x, y, z = p
        soft = np.maximum(blur, 0.002)
        inner = np.minimum(height / 2 - 0.004 - np.abs(z), y + depth / 2 - 0.006)
        page = np.clip(inner / soft + 0.5, 0, 1) * np.maximum(np.abs(x) > width / 2 - 1e-4, y > depth / 2 - 1e-4)
        bands = np.clip(0.5 - (np.abs(np.abs(x) - 0.3 * width) - 0.005) / soft, 0, 1) * (y < 1e-4 - depth / 2)
        title = np.clip(0.5 - (np.maximum(np.abs(x) - 0.25 * width, np.abs(y) - 0.2 * depth)) / soft, 0, 1)
        title = title * (np.abs(z) > height / 2 - 1e-4)
        out = cover + (gold - cover) * np.maximum(bands, 0.35 * title)
        return out + (PAPER * (0.94 + 0.06 * np.sin(1400 * z) * np.exp(-((1400 * blur) ** 2) / 24)) - out) * page

    return Solid(Box(at(center, yaw, axes), size), texture)
