"""From what cameras see to a mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from scene.mesh.colors import vertex_colors
from scene.mesh.components import compact, without_small
from scene.mesh.marching_cubes import RANGE, extract, joined
from scene.mesh.tsdf import TRUNCATION, DepthView, chunks, find_blocks, fuse, without_edges
from scene.types import Mesh
from utils.errors import UserError

METERS = 0.01  # of a voxel, at least
PIXELS = 2.0  # of a voxel at the middle depth, at least
WIDEST_PIXEL = 2.0  # voxels: what is so far that a pixel is wider is left out
SAMPLED = 7  # of the pixels, every so manieth tells the middle depth

Steps = Callable[[Sequence[int]], Iterator[int]]  # shows how many of the numbers have been asked for


def usual_voxel(views: Sequence[DepthView], meters_per_unit: float | None) -> float:
    """Edge of a voxel, world units: two pixels at the middle depth, and 1 cm at least where the unit's length is known.

    Raises: UserError where the views show nothing.
    """
    depths = np.concatenate([view.depth.flatten()[::SAMPLED].cpu().numpy() for view in views])
    if not (depths > 0).any():
        raise UserError("no view shows a surface: there is nothing to make a mesh of")
    focal = float(np.median([view.camera.fx for view in views]))
    pixel = float(np.median(depths[depths > 0])) / focal
    return max(PIXELS * pixel, METERS / meters_per_unit if meters_per_unit else 0.0)


def make_mesh(
    views: Sequence[DepthView],
    voxel: float,
    *,
    max_depth: float | None = None,
    min_faces: int = 0,
    max_bytes: float = 1e9,
    steps: Steps = iter,
) -> Mesh:
    """The surface that the views' depth maps show, in the views' colors.

    Args:
        voxel: edge of a cell, world units.
        max_depth: what is farther from a camera is left out; None: where a pixel is wider than two voxels.
        min_faces: smaller connected components are removed.
        max_bytes: of memory for the distances.
        steps: shows progress.

    Raises: UserError where nothing is left, and for a scene too large for its voxels.
    """
    views = [_within(view, voxel, max_depth) for view in views]
    blocks = find_blocks(views, voxel)
    if len(blocks) and int(blocks.abs().max()) >= RANGE // 16 - 1:
        raise UserError(f"--voxel {voxel:.3g} is too small: the scene is more than {RANGE:,} voxels across")
    parts = list(chunks(blocks.to(views[0].depth.device), max_bytes))
    shown = steps(range(len(parts) * len(views)))
    whole = joined(
        [extract(part, *fuse((view for view, _ in zip(views, shown, strict=False)), part, voxel)) for part in parts]
    )
    vertices, faces = compact(whole.vertices * voxel, without_small(whole.faces, min_faces))
    if len(faces) == 0:
        raise UserError("the depth maps show no surface that two cells of the lattice agree on: try another --voxel")
    colors = vertex_colors(vertices, views, TRUNCATION * voxel)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), colors)


def _within(view: DepthView, voxel: float, max_depth: float | None) -> DepthView:
    limit = max_depth or WIDEST_PIXEL * voxel * view.camera.fx
    depth = without_edges(view.depth)
    return replace(view, depth=depth.where(depth <= limit, 0))
