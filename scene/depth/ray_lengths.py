"""Depth maps that hold distances from the camera's center, as ray tracers and laser scanners write them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.depth.sparse_check import DepthSamples

BETTER = 0.5  # of the spread about depths: distances that fit so well are what the map holds
LEAST_SPREAD = 0.01  # in logarithms, about depths: less is noise, or a lens so long that the two are one


def are_ray_lengths(telling: Sequence[DepthSamples]) -> bool:
    """Whether the numbers of most maps are a multiple of the points' distances rather than of their depths."""
    if not telling:
        return False
    depths = float(np.median([look.spread(look.z) for look in telling]))
    distances = float(np.median([look.spread(look.z * look.slant) for look in telling]))
    return depths > LEAST_SPREAD and distances < BETTER * depths
