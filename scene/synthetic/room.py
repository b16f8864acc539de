"""The synthetic room: which shapes stand where, and what they are made of. A function of its seed, and of VERSION."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scene.synthetic import furniture, objects, shell
from scene.synthetic.plan import Solid
from scene.synthetic.shapes import Rectangle

VERSION = 1  # raised whenever the geometry of a seed changes
POINTS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Room:
    """Everything in the room; `groups` lists neighbours, so that rays can pass many shapes by at once."""

    seed: int
    groups: list[list[Solid]]

    @property
    def solids(self) -> list[Solid]:
        """All solids, in the order their numbers count."""
        return [solid for group in self.groups for solid in group]

    def distance_to_surface(self, points: np.ndarray) -> np.ndarray:
        """Distance of points (P, 3) to the nearest surface of any shape, (P,) float64, metres, never negative.

        Exact for each shape. Where one stands in another, as a leg in its table top, the buried part still counts: a
        point inside the furniture may be told a distance a little too short, a point in the free air never is,
        unless it is nearest to a floor or wall just behind something thin that lies on it.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"points has shape {points.shape}; it must be (P, 3)")
        nearest = np.full(len(points), np.inf)
        for start in range(0, len(points), POINTS_AT_ONCE):
            part = slice(start, start + POINTS_AT_ONCE)
            nearest[part] = self._nearest(np.ascontiguousarray(points[part].T))
        return nearest

    def _nearest(self, p: np.ndarray) -> np.ndarray:
        best = np.full(p.shape[1], np.inf)
        order = sorted((s.shape for s in self.solids), key=lambda shape: not isinstance(shape, Rectangle))
        for shape in order:
            # The distance to the bounding box is a lower bound: only points it leaves in doubt are looked at closely.
            local = shape.to_local(p)
            middle, half = (shape.low + shape.high)[:, None] / 2, (shape.high - shape.low)[:, None] / 2
            bound = np.linalg.norm(np.maximum(np.abs(local - middle) - half, 0.0), axis=0)
            near = np.flatnonzero(bound < best)
            best[near] = np.minimum(best[near], shape.local_distance(local[:, near]))
        return best


@lru_cache(maxsize=4)
def build_room(seed: int = 0) -> Room:
    """The room of a seed: the furniture is the same, its colors, places and the plant's growth differ a little."""
    return Room(seed, furnish(seed))


def distance_to_surface(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """`Room.distance_to_surface` of the room of a seed, in the world's coordinates."""
    return build_room(seed).distance_to_surface(points)


def furnish(seed: int) -> list[list[Solid]]:
    """All pieces, each a group of neighbours. They draw from one generator: their order is part of the room."""
    rng = np.random.default_rng([seed, 77])
    return [
        shell.walls(),
        shell.window(),
        shell.skirting(),
        shell.wall_pictures(),
        shell.rug(),
        furniture.table(rng),
        objects.tableware(rng),
        furniture.chair(rng),
        furniture.sideboard(),
        objects.ornaments(rng),
        objects.wall_shelf(rng),
        furniture.floor_lamp(),
        objects.plant(rng),
        furniture.pouf_and_ball(rng),
    ]
