"""How much there is to see in a scene: photos that show the same thing show no more than one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.types import Camera, PointCloud

MAX_POINTS = 4_000  # that are looked at


def photos_to_cover(cameras: Sequence[Camera], points: PointCloud) -> float:
    """How many photos would show the scene if none showed what another does: 1 where all show the same, at most as many
    as there are; 1 where there are no points.

    A camera adds the mean, over the points in its picture, of 1 over the number of cameras that see them. What hides
    points is not known: behind walls there is more than this says.
    """
    positions = points.positions[:: max(1, len(points) // MAX_POINTS)]
    seen = np.stack([camera.project(positions)[3] for camera in cameras])
    shares = 1 / np.maximum(seen.sum(axis=0), 1)
    return max(1.0, float(sum(shares[inside].mean() for inside in seen if inside.any())))
