"""A depth map as what each splat is held against, not only their mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diff_gaussian_rasterization import mean_distortion
from utils.neighbours import largest_about

EDGE_STEP = 0.05  # relative step of depth that is an edge
EDGE_PIXELS = 2  # so far from an edge a sensor mixes what lies before and behind it


def sensor_depth(depth: Tensor, valid: Tensor) -> Tensor:
    """(1,H,W) the depths that splats may be held against: 0 where `depth`, (1,H,W), is not `valid` or near an edge.

    An edge is a step of over 5 % within 2 pixels between depths that are known.
    """
    farthest = largest_about(torch.where(valid, depth, -math.inf), EDGE_PIXELS)
    nearest = -largest_about(torch.where(valid, -depth, -math.inf), EDGE_PIXELS)
    return torch.where(valid & (farthest <= (1 + EDGE_STEP) * nearest), depth, 0.0)


def distance_to_sensor(distortion: Tensor, depth: Tensor, extent: float, mask: Tensor | None = None) -> Tensor:
    """Mean over the pixels whose depth is known of Σ w·min((z − Z*)², limit²), in scene extents².

    `distortion`: (1,H,W) of the rasterizer about the sensor's depth Z*, world units². `depth`: (1,H,W) of
    `sensor_depth`, 0 where it is not known. `mask`: (1,H,W) in [0,1].
    """
    return mean_distortion(distortion, depth, mask, unit=extent)
