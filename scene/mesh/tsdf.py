"""Depth maps fused into a truncated signed distance (Curless and Levoy 1996), on the blocks near surfaces alone.

A block is evaluated by itself, on its 17³ corners, from all views at once: no volume is stored, and memory is that of
the blocks in work. Corners that blocks share get the same bits in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scene.depth.maps import flying_pixels
from scene.mesh.marching_cubes import BLOCK
from scene.types import Camera

TRUNCATION = 4.0  # voxels
BLOCKS_AT_ONCE = 256  # within a view: what they take beside their sums is 60 bytes a corner
BYTES_PER_BLOCK = 48 * (BLOCK + 1) ** 3  # of sums, and of what cutting the surface out of them takes
MIN_COSINE = 0.1  # between ray and normal: a surface seen at a flatter angle is measured by other views


@dataclass(frozen=True)
class DepthView:
    """What a camera sees."""

    camera: Camera
    depth: Tensor  # (H, W) float32, z of the surface, world units; 0 where there is none
    color: Tensor  # (H, W, 3) uint8


def without_edges(depth: Tensor) -> Tensor:
    """(H, W) depth with 0 at edges, where a pixel mixes both sides."""
    z = depth.cpu().numpy()
    flying = flying_pixels(z, z > 0)
    return torch.where(torch.from_numpy(flying).to(depth.device), 0, depth)


def planes(view: DepthView) -> Tensor:
    """(H, W, 5): each pixel's plane and its weight.

    A plane n·X = o in the camera's frame, n (3) of length 1 away from the camera, o > 0, through the pixel's point,
    along the differences of inverse depth to its neighbors. The weight is cos θ/z², θ between ray and normal.
    """
    camera, z = view.camera, view.depth
    inverse = torch.where(z > 0, 1 / z, 0)
    row, column = (torch.arange(size, device=z.device) + 0.5 for size in z.shape)
    x, y = ((column - camera.cx) / camera.fx).expand(z.shape), ((row - camera.cy) / camera.fy)[:, None].expand(z.shape)
    a, b = camera.fx * _slope(inverse, 1), camera.fy * _slope(inverse, 0)
    normal = torch.stack([a, b, inverse - a * x - b * y], dim=2)  # N·X = 1
    length = normal.norm(dim=2)
    cosine = inverse / (length * torch.sqrt(1 + x * x + y * y))
    good = (z > 0) & (cosine > MIN_COSINE)
    weight = torch.where(good, cosine * inverse * inverse, 0)
    length = torch.where(good, length, 1)
    return torch.cat([normal / length[..., None], (1 / length)[..., None], weight[..., None]], dim=2)


def _slope(inverse: Tensor, axis: int) -> Tensor:
    """(H, W) difference of inverse depth from pixel to pixel, of both neighbors where both are there."""
    inverse = inverse.movedim(axis, 0)
    step = inverse[1:] - inverse[:-1]
    both = (inverse[1:] > 0) & (inverse[:-1] > 0)
    total, count = torch.zeros_like(inverse), torch.zeros_like(inverse)
    for part in (np.s_[1:], np.s_[:-1]):
        total[part] += torch.where(both, step, 0)
        count[part] += both
    return (total / count.clamp_min(1)).movedim(0, axis)


def find_blocks(views: Sequence[DepthView], voxel: float) -> Tensor:
    """(B, 3) int64, in order: the blocks that come within the truncation of a depth pixel, along its ray."""
    found = torch.zeros((0, 3), dtype=torch.int64)
    for view in views:
        row, column = (index.cpu().numpy() for index in torch.nonzero(view.depth > 0, as_tuple=True))
        z = view.depth[row, column].double().cpu().numpy()
        near, here, far = (view.camera.unproject(row, column, z + d * voxel) for d in (-TRUNCATION, 0, TRUNCATION))
        blocks = torch.from_numpy(np.concatenate([near, here, far]) / (BLOCK * voxel)).floor().long()
        found = torch.unique(torch.cat([found, torch.unique(blocks, dim=0)]), dim=0)
    return found


def fuse(views: Iterable[DepthView], blocks: Tensor, voxel: float) -> tuple[Tensor, Tensor]:
    """Signed distances, in truncations, at the corners of blocks (B, 3), and whether a view has seen them: both
    (B, 17, 17, 17), on the device of blocks and views.

    A corner's distance to the plane of the pixel it falls on, weighted over the views; what is farther behind a
    surface than the truncation, along the ray, is not seen, and what is farther before it is free.
    """
    device, side = blocks.device, BLOCK + 1
    corners = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 3).to(device) * voxel
    total = torch.zeros((len(blocks), side**3), device=device)
    weights = torch.zeros_like(total)
    starts = blocks.double() * (BLOCK * voxel)
    for view in views:
        pose = torch.from_numpy(view.camera.camera_from_world).to(device)
        origins, offsets = starts @ pose[:3, :3].T + pose[:3, 3], (corners @ pose[:3, :3].T).float()
        flat = planes(view).flatten(0, 1)
        middle = (origins + offsets[len(offsets) // 2]).float()
        for some in torch.nonzero(_may_see(view.camera, middle, voxel))[:, 0].split(BLOCKS_AT_ONCE):
            distance, weight = _distances(view.camera, flat, origins[some].float()[:, None] + offsets, voxel)
            total[some] += weight * distance
            weights[some] += weight
    known = weights > 0
    values = torch.where(known, total / weights, 1)
    return values.reshape(-1, side, side, side), known.reshape(-1, side, side, side)


def _may_see(camera: Camera, middle: Tensor, voxel: float) -> Tensor:
    """(B,) bool: whether balls around blocks, with `middle` (B, 3) in the camera's frame, come into the picture."""
    radius = 0.5 * BLOCK * voxel * 3**0.5
    x, y, z = middle.T
    seen = z > 0
    for across, focal, center, size in (
        (x, camera.fx, camera.cx, camera.width),
        (y, camera.fy, camera.cy, camera.height),
    ):
        for side, edge in ((1, center), (-1, size - center)):  # planes through the camera and an edge of the picture
            seen &= side * across * focal + edge * z > -radius * (focal**2 + edge**2) ** 0.5
    return seen


def _distances(camera: Camera, flat: Tensor, points: Tensor, voxel: float) -> tuple[Tensor, Tensor]:
    """Distances in truncations, at most 1, and weights, both (B, P), of points (B, P, 3) in the camera's frame."""
    x, y, z = points.unbind(dim=2)
    row, column = camera.pixels(x, y, z.clamp_min(torch.finfo(z.dtype).tiny))
    inside = (z > 0) & (row >= 0) & (row < camera.height) & (column >= 0) & (column < camera.width)
    index = torch.where(inside, row, 0).long() * camera.width + torch.where(inside, column, 0).long()
    nx, ny, nz, offset, weight = flat[index].unbind(dim=2)
    along = nx * x + ny * y + nz * z
    distance = (offset - along) / (TRUNCATION * voxel)
    near = (along - offset) * z < TRUNCATION * voxel * along  # the ray meets the plane at z·offset/along
    return distance.clamp(max=1), torch.where(inside & ((distance >= 0) | near), weight, 0)


def chunks(blocks: Tensor, max_bytes: float) -> Iterator[Tensor]:
    """The blocks in parts that take so much memory at most."""
    yield from blocks.split(max(1, int(max_bytes / BYTES_PER_BLOCK)))
