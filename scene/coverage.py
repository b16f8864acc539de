"""How much there is to see in a scene: photos that show the same thing show no more than one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.occlusion import in_sight
from scene.types import Camera, PointCloud

MAX_POINTS = 20_000  # that are looked at, so many that each cell of a picture has some
MARGIN = 0.5  # of a point's depth: what lies farther behind others is hidden; less hides a floor by its own nearer part


def photos_to_cover(cameras: Sequence[Camera], points: PointCloud) -> float:
    """How many photos would show the scene if none showed what another does: 1 where all show the same, at most as many
    as there are; 1 where there are no points.

    A camera adds the mean, over the points that it sees, of 1 over the number of cameras that see them.
    """
    positions = points.positions[:: max(1, len(points) // MAX_POINTS)]
    seen = np.stack([_seen(camera, positions) for camera in cameras])
    shares = 1 / np.maximum(seen.sum(axis=0), 1)
    return max(1.0, float(sum(shares[shown].mean() for shown in seen if shown.any())))


def _seen(camera: Camera, positions: np.ndarray) -> np.ndarray:
    """(P,) bool: which positions are in the camera's picture, and not far behind others as what is beyond a wall is."""
    row, column, z, inside = camera.project(positions)
    inside[inside] = in_sight(camera, row[inside], column[inside], z[inside], margin=MARGIN, hidden_by=2)
    return inside
