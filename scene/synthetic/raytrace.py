"""Rays through the synthetic room: the nearest hit, and whether anything stands between two points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scene.synthetic.plan import Solid
from scene.synthetic.room import Room
from scene.synthetic.shapes import Rectangle, Shape, dot

SLACK = 1e-3  # metres added to bounding spheres: more than float32 loses in their test


@dataclass(frozen=True)
class Ball:
    """A sphere around something, to pass it by cheaply."""

    center: np.ndarray  # (3, 1)
    radius: float

    def reached(self, bundle: Bundle, limit: np.ndarray | float) -> np.ndarray:
        """Indices of the rays that come into the sphere before t = limit."""
        center = self.center[:, 0].astype(bundle.o.dtype)
        along = center @ bundle.d - bundle.od
        gap = bundle.oo - 2 * (center @ bundle.o) + (center @ center - self.radius**2)
        square = along * along - gap * bundle.dd
        some = np.flatnonzero((square >= 0) & ((along > 0) | (gap < 0)))
        entry = along[some] - np.sqrt(square[some])
        return some[entry < (limit if isinstance(limit, float) else limit[some]) * bundle.dd[some]]


class Bundle:
    """Rays o + t·d, both (3, R), with the products every sphere test needs."""

    def __init__(self, o: np.ndarray, d: np.ndarray, some: np.ndarray | None = None) -> None:
        self.o, self.d = (o, d) if some is None else (o[:, some], d[:, some])
        self.od, self.oo, self.dd = dot(self.o, self.d), dot(self.o, self.o), dot(self.d, self.d)


def ball_around(shapes: list[Shape]) -> Ball:
    """A sphere that holds the bounding boxes of all shapes."""
    corners = np.concatenate([shape.corners() for shape in shapes], axis=1)
    center = (corners.min(axis=1) + corners.max(axis=1))[:, None] / 2
    return Ball(center, float(np.linalg.norm(corners - center, axis=0).max()) + SLACK)


class Tracer:
    """Nearest hits of arbitrary rays. Walls and the window, all rectangles, are apart: they bound the convex room."""

    def __init__(self, room: Room) -> None:
        self.walls: list[tuple[int, Solid]] = []
        self.groups: list[tuple[Ball, list[tuple[Ball, int, Shape]]]] = []
        number = 0
        for group in room.groups:
            members = []
            for solid in group:
                if isinstance(solid.shape, Rectangle):
                    self.walls.append((number, solid))
                else:
                    members.append((ball_around([solid.shape]), number, solid.shape))
                number += 1
            if members:
                self.groups.append((ball_around([shape for _, _, shape in members]), members))

    def nearest(self, o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """t (R,) and the solid's number (R,), −1 for none, of rays o + t·d, both (3, R)."""
        best, number = np.full(d.shape[1], np.inf, d.dtype), np.full(d.shape[1], -1, np.int32)
        for k, wall in self.walls:
            _keep_nearer(best, number, np.arange(d.shape[1]), wall.shape.hit(o, d), k)
        bundle = Bundle(o, d)
        for ball, members in self.groups:
            some = ball.reached(bundle, best)
            if not len(some):
                continue
            part = Bundle(o, d, some)
            for each, k, shape in members:
                near = each.reached(part, best[some])
                if len(near):
                    _keep_nearer(best, number, some[near], shape.hit(part.o[:, near], part.d[:, near]), k)
        return best, number

    def blocked(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        """(R,) bool: whether any solid but the walls stands between o and o + d."""
        result = np.zeros(d.shape[1], bool)
        bundle = Bundle(o, d)
        for ball, members in self.groups:
            some = ball.reached(bundle, 1.0)
            some = some[~result[some]]
            part = Bundle(o, d, some)
            for each, _, shape in members:
                near = each.reached(part, 1.0)
                if len(near):
                    result[some[near]] |= shape.hit(part.o[:, near], part.d[:, near]) < 1
        return result


def _keep_nearer(best: np.ndarray, number: np.ndarray, rays: np.ndarray, t: np.ndarray, solid: int) -> None:
    nearer = t < best[rays]
    best[rays[nearer]] = t[nearer]
    number[rays[nearer]] = solid
