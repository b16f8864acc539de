"""The first Gaussians: one for each point of the scene, as in section 5.1 of 3DGS (Kerbl et al. 2023)."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree

from scene.gaussians.model import Gaussians
from scene.spherical_harmonics import SH_DC
from scene.types import PointCloud
from utils.errors import UserError

INITIAL_OPACITY = 0.1
NEIGHBOURS = 3
LONE_POINT_SCALE = 0.01  # of the extent, where a point has no neighbour to take its scale from
SMALLEST_SCALE = 1e-6  # of the extent; below it lies rounding, not geometry
MAX_OF_WAY = 1 / 3  # of the distance to the nearest camera: few points, far apart, would begin as fog around it


def initialize(
    points: PointCloud,
    sh_degree: int,
    extent: float,
    device: str | torch.device = "cpu",
    centers: np.ndarray | None = None,
) -> Gaussians:
    """Isotropic Gaussians at the points, in their colors, each as large as the mean distance to its 3 neighbours.

    `extent` (world units, > 0) is that of the scene: it gives a scale where the points do not. `centers`, (K, 3), are
    those of the cameras: no scale is over a third of the distance to the nearest. Points that are not finite are left
    out. UserError when no point is left.
    """
    finite = np.isfinite(points.positions).all(axis=1) & np.isfinite(points.colors).all(axis=1)
    positions, colors = points.positions[finite], points.colors[finite]
    if len(positions) == 0:
        raise UserError(
            f"the scene has no points to start from ({len(points)} given, none finite); "
            "a COLMAP scene needs points3D.bin or points3D.txt, other scenes a point cloud in PLY"
        )
    count = len(positions)
    sizes = point_scales(positions, extent)
    if centers is not None:
        way, _ = cKDTree(centers).query(positions)
        sizes = np.minimum(sizes, np.maximum(MAX_OF_WAY * way, SMALLEST_SCALE * extent))
    scales = np.repeat(np.log(sizes)[:, None], 3, axis=1)
    quats = np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (count, 1))
    opacities = np.full((count, 1), math.log(INITIAL_OPACITY / (1 - INITIAL_OPACITY)))
    values = dict(
        means=positions,
        scales=scales,
        quats=quats,
        opacities=opacities,
        shs_dc=((colors - 0.5) / SH_DC)[:, None],
        shs_rest=np.zeros((count, (sh_degree + 1) ** 2 - 1, 3)),
    )
    return Gaussians({name: torch.tensor(value, dtype=torch.float32, device=device) for name, value in values.items()})


def point_scales(positions: np.ndarray, extent: float) -> np.ndarray:
    """(P,) the mean distance of each of the (P,3) positions to its 3 nearest neighbours, world units, always > 0.

    Points at the same place are neighbours of each other at distance 0, which is no scale: places are counted once.
    With fewer than 4 places the mean is over those there are; with a single one it is 0.01 × `extent`.
    """
    places, place_of_point = np.unique(positions.astype(np.float64), axis=0, return_inverse=True)
    if len(places) == 1:
        return np.full(len(positions), LONE_POINT_SCALE * extent)
    nearest = min(NEIGHBOURS, len(places) - 1)
    distances, _ = cKDTree(places).query(places, k=nearest + 1)  # the first is the place itself
    scales = np.maximum(distances[:, 1:].mean(axis=1), SMALLEST_SCALE * extent)
    return np.asarray(scales[place_of_point.reshape(-1)])
