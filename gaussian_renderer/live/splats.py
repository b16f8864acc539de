"""Gaussians as the browser draws them while the camera moves: without spherical harmonics, and not too many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from scene.gaussians.initialize import SH_DC
from scene.gaussians.model import Gaussians
from utils.quaternion import rotate

MAX_SPLATS = 200_000  # sent, 32 bytes each


class Splats(NamedTuple):
    """Arrays as viser takes them; lengths in units, of which one is `unit` world units: covariances are sent in half
    precision."""

    centers: np.ndarray  # (M,3)
    covariances: np.ndarray  # (M,3,3)
    rgbs: np.ndarray  # (M,3) in [0,1]
    opacities: np.ndarray  # (M,1)


@torch.no_grad()
def splats_of(gaussians: Gaussians, unit: float) -> Splats:
    """All of them, or the MAX_SPLATS of the largest opacity times area where there are more."""
    scales, opacities = gaussians.activated_scales, gaussians.activated_opacities
    rows = torch.arange(len(gaussians), device=gaussians.device)
    if len(rows) > MAX_SPLATS:
        area = scales.prod(dim=1) / scales.min(dim=1).values
        rows = (opacities[:, 0] * area).topk(MAX_SPLATS).indices
    axes = torch.stack(
        [rotate(gaussians.quats[rows], torch.eye(3).to(scales)[axis].expand(len(rows), 3)) for axis in range(3)], dim=2
    )
    spread = axes * (scales[rows] / unit)[:, None, :]
    rgbs = (0.5 + SH_DC * gaussians.shs_dc[rows, 0]).clamp(0, 1)
    values = gaussians.means[rows] / unit, spread @ spread.transpose(1, 2), rgbs, opacities[rows]
    return Splats(*(each.cpu().numpy() for each in values))
