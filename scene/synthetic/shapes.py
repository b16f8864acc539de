"""The shapes the synthetic room is made of: each knows its rays, normals, distances and a map of its surface, exactly.

Vectors are stored component first, (3, R), so that every component is one contiguous array; a shape computes in the
dtype it is given. `t` counts in lengths of the ray's direction, and infinity means that there is no hit. Rays start
outside of the shapes they are to meet: one from inside may or may not find the wall it leaves through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

NEAREST = 1e-4  # metres: hits closer than this belong to the surface the ray starts on


@dataclass(frozen=True)
class Chart:
    """A rectangle (u, v) in [0, 1]² that covers a part of a shape's surface."""

    width: float  # metres along u
    height: float  # metres along v
    wraps: bool = False  # u = 0 and u = 1 are the same line


class Shape(ABC):
    """A surface in its own frame; `pose` (4, 4) is world_from_local, rigid. Methods named `local_*` stay there."""

    def __init__(self, pose: np.ndarray, low: tuple[float, float, float], high: tuple[float, float, float]) -> None:
        """`low` and `high` are opposite corners of the shape's local bounding box."""
        self.pose = np.asarray(pose, dtype=np.float64)
        self.low, self.high = np.array(low), np.array(high)

    @property
    @abstractmethod
    def charts(self) -> tuple[Chart, ...]:
        """The charts that together cover the surface once."""

    @abstractmethod
    def local_hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        """t (R,) of the nearest entry of rays o + t·d; o is (3, R) or (3, 1), d (3, R), of any length."""

    @abstractmethod
    def local_normal(self, p: np.ndarray) -> np.ndarray:
        """(3, R) unit shading normals at surface points."""

    @abstractmethod
    def local_distance(self, p: np.ndarray) -> np.ndarray:
        """(R,) distance, never negative, of any points to the surface, metres."""

    @abstractmethod
    def locate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Surface points to (chart (R,) int, u (R,), v (R,))."""

    @abstractmethod
    def place(self, chart: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The inverse of `locate`: (3, R) surface points."""

    def hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        """`local_hit` of rays in the world."""
        return self.local_hit(self.to_local(o), self.turn(d))

    def distance(self, p: np.ndarray) -> np.ndarray:
        """`local_distance` of points in the world."""
        return self.local_distance(self.to_local(p))

    def to_local(self, p: np.ndarray) -> np.ndarray:
        """Points of the world in the local frame."""
        return self.turn(p - self.pose[:3, 3:].astype(p.dtype))

    def turn(self, d: np.ndarray) -> np.ndarray:
        """Directions of the world in the local frame."""
        return np.einsum("ji,jr->ir", self.pose[:3, :3].astype(d.dtype), d)  # @ would start BLAS threads in ours

    def to_world(self, p: np.ndarray) -> np.ndarray:
        """Local points in the world."""
        return self.turn_back(p) + self.pose[:3, 3:].astype(p.dtype)

    def turn_back(self, d: np.ndarray) -> np.ndarray:
        """Local directions in the world."""
        return np.einsum("ij,jr->ir", self.pose[:3, :3].astype(d.dtype), d)

    def corners(self) -> np.ndarray:
        """(3, 8) corners of the bounding box in the world."""
        picks = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8)
        return self.to_world(np.where(picks == 0, self.low[:, None], self.high[:, None]))


class Rectangle(Shape):
    """The part |x| ≤ width/2, |y| ≤ height/2 of the plane z = 0; its front is +z."""

    def __init__(self, pose: np.ndarray, width: float, height: float) -> None:
        super().__init__(pose, (-width / 2, -height / 2, 0.0), (width / 2, height / 2, 0.0))
        self.width, self.height = width, height

    @property
    def charts(self) -> tuple[Chart, ...]:
        return (Chart(self.width, self.height),)

    def local_hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -o[2] / d[2]
            inside = (np.abs(o[0] + t * d[0]) <= self.width / 2) & (np.abs(o[1] + t * d[1]) <= self.height / 2)
        return np.where(inside & (t > NEAREST), t, np.inf).astype(d.dtype, copy=False)

    def local_normal(self, p: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array([[0], [0], [1]], p.dtype), p.shape)

    def local_distance(self, p: np.ndarray) -> np.ndarray:
        return norm(np.maximum(np.abs(p) - np.array([[self.width / 2], [self.height / 2], [0.0]]), 0.0))

    def locate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros(p.shape[1], np.intp), p[0] / self.width + 0.5, p[1] / self.height + 0.5

    def place(self, chart: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.stack([(u - 0.5) * self.width, (v - 0.5) * self.height, np.zeros_like(u)])


class Box(Shape):
    """A box of the given full `size` (x, y, z) about the origin."""

    def __init__(self, pose: np.ndarray, size: tuple[float, float, float]) -> None:
        x, y, z = (edge / 2 for edge in size)
        super().__init__(pose, (-x, -y, -z), (x, y, z))
        self.size = size

    @property
    def charts(self) -> tuple[Chart, ...]:
        x, y, z = self.size
        return (Chart(y, z), Chart(y, z), Chart(x, z), Chart(x, z), Chart(x, y), Chart(x, y))  # -x +x -y +y -z +z

    def local_hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        half = self.high[:, None].astype(d.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / d
            middle, reach = -o * inverse, half * np.abs(inverse)
            (x0, y0, z0), (x1, y1, z1) = middle - reach, middle + reach
            enter, leave = np.maximum(np.maximum(x0, y0), z0), np.minimum(np.minimum(x1, y1), z1)
        return np.where((enter <= leave) & (enter > NEAREST), enter, np.inf).astype(d.dtype, copy=False)

    def local_normal(self, p: np.ndarray) -> np.ndarray:
        axis, positive = self._face(p)
        normal = np.zeros_like(p)
        normal[axis, np.arange(p.shape[1])] = np.where(positive, 1, -1)
        return normal

    def local_distance(self, p: np.ndarray) -> np.ndarray:
        beyond = np.abs(p) - self.high[:, None]
        return norm(np.maximum(beyond, 0.0)) + np.maximum(-beyond.max(axis=0), 0.0)

    def locate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        axis, positive = self._face(p)
        q = p / np.array(self.size, p.dtype)[:, None] + p.dtype.type(0.5)
        return 2 * axis + positive, np.where(axis == 0, q[1], q[0]), np.where(axis == 2, q[1], q[2])

    def place(self, chart: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        axis, positive = divmod(chart, 2)
        points = np.empty((3, len(u)), u.dtype)
        first, second = (each for each in range(3) if each != axis)
        points[first], points[second] = (u - 0.5) * self.size[first], (v - 0.5) * self.size[second]
        points[axis] = self.high[axis] if positive else self.low[axis]
        return points

    def _face(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axis = (np.abs(p) - self.high[:, None].astype(p.dtype)).argmax(axis=0)
        return axis, p[axis, np.arange(p.shape[1])] > 0


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(R,) dot products of (D, R) vectors: ten times faster than a sum over so short an axis."""
    total = a[0] * b[0]
    for first, second in zip(a[1:], b[1:], strict=True):
        total += first * second
    return total


def norm(p: np.ndarray) -> np.ndarray:
    """(R,) lengths of (D, R) vectors."""
    return np.sqrt(dot(p, p))


def unit(p: np.ndarray) -> np.ndarray:
    """(3, R) vectors made unit length; none may be zero."""
    return p / norm(p)
