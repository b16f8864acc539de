"""Colors of vertices: means over the views that see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from scene.mesh.tsdf import DepthView, planes

UNSEEN = 128  # gray level of a vertex that no view shows


def vertex_colors(vertices: np.ndarray, views: Sequence[DepthView], tolerance: float) -> np.ndarray:
    """(V, 3) uint8 of vertices (V, 3), by the pixels they fall on, weighted by cos²θ/z⁴ so that the nearest view that
    looks straight at a vertex counts most. `tolerance`: world units that a vertex may lie behind a view's surface."""
    points = torch.from_numpy(vertices.astype(np.float64)).to(views[0].depth.device)
    total = torch.zeros((len(points), 3), device=points.device)
    weights = torch.zeros(len(points), device=points.device)
    for view in views:
        camera, pose = view.camera, torch.from_numpy(view.camera.camera_from_world).to(points.device)
        x, y, z = (points @ pose[:3, :3].T + pose[:3, 3]).T
        row, column = camera.pixels(x, y, z.clamp_min(torch.finfo(z.dtype).tiny))
        inside = (z > 0) & (row >= 0) & (row < camera.height) & (column >= 0) & (column < camera.width)
        some = torch.nonzero(inside)[:, 0]
        index = row[some].long() * camera.width + column[some].long()
        near = (z[some] - view.depth.flatten()[index]).abs() < tolerance
        some, index = some[near], index[near]
        weight = planes(view)[..., 4].flatten()[index].square()
        total[some] += weight[:, None] * view.color.flatten(0, 1)[index]
        weights[some] += weight
    mean = torch.where(
        weights[:, None] > 0, total / weights.clamp_min(torch.finfo(weights.dtype).tiny)[:, None], UNSEEN
    )
    return mean.round().clamp(0, 255).byte().cpu().numpy()
