"""Which points of a scene a camera sees, where only points say what hides what."""

from __future__ import annotations

import math

import numpy as np

from scene.types import Camera

POINTS_IN_A_CELL = 8  # for each point that it takes to hide others
LEAST_CELLS = 8  # along the longer side of a picture with few points


def in_sight(
    camera: Camera, row: np.ndarray, column: np.ndarray, z: np.ndarray, *, margin: float, hidden_by: int
) -> np.ndarray:
    """(P,) bool: which points in a camera's picture are not behind others.

    The picture is parted into cells with some points each. What lies behind `hidden_by` points of its cell, by more
    than the part `margin` of their depth, is hidden: 1 is for evidence, which nothing hidden may spoil; with 2 a single
    wrong point before all others hides nothing.

    Args:
        row, column: (P,) pixels, inside the picture.
        z: (P,) depths, world units.
    """
    edge = math.sqrt(camera.width * camera.height * POINTS_IN_A_CELL * hidden_by / max(1, len(z)))  # pixels
    edge = min(edge, max(camera.width, camera.height) / LEAST_CELLS)
    cell = (row // edge) * (camera.width // edge + 1) + column // edge
    order = np.lexsort((z, cell))
    cell, depths = cell[order], z[order]
    first, last = np.searchsorted(cell, cell), np.searchsorted(cell, cell, side="right") - 1
    hides = depths[np.minimum(first + hidden_by - 1, last)]
    open_ = np.empty(len(z), bool)
    open_[order] = depths <= (1 + margin) * hides
    return open_
