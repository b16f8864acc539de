"""A weight that falls at edges: sensor depth is least reliable there, and pulling Gaussians to it makes spikes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from utils.losses.depth.masked import image_of, loss_mask
from utils.losses.depth.windows import smallest

WINDOW = 3  # pixels


@torch.no_grad()
def edge_weight(target: Tensor, valid: Tensor | None, k: float) -> Tensor:
    """(H,W) in [0,1]: exp(−k·step), the `weight` of any depth loss; 0 in invalid pixels, 1 everywhere else at k = 0.

    step is the range of the valid target depths in the 3×3 window around a pixel over the pixel's own depth: without
    a unit, and 0 on a surface that faces the camera.
    """
    target, inside = image_of(target, "target"), loss_mask(target, valid)
    low = smallest(torch.where(inside, target, math.inf), WINDOW, 1)[0]
    high = -smallest(torch.where(inside, -target, math.inf), WINDOW, 1)[0]
    step = torch.where(inside, (high - low) / target, 0.0)
    return torch.where(inside, (-k * step).exp(), 0.0)
