"""The surface where a signed distance is 0, cut out of blocks of a lattice by marching cubes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scene.mesh.cube_table import CORNERS, EDGES, triangles

BLOCK = 16  # cells along the edge of a block, which has one more corner
RANGE = 1 << 20  # corners are at -RANGE .. RANGE from the origin, so that an edge's key fits into 64 bits


class Piece(NamedTuple):
    """A part of a surface. Vertices of pieces that touch have the same keys."""

    keys: np.ndarray  # (V,) int64, ascending: the edge of the lattice that a vertex lies on
    vertices: np.ndarray  # (V, 3) float64, in cells
    faces: np.ndarray  # (F, 3) int64


def extract(blocks: Tensor, values: Tensor, known: Tensor) -> Piece:
    """The surface within blocks of cells.

    Args:
        blocks: (B, 3) int64, which block; block b begins at the corner 16·b.
        values: (B, 17, 17, 17) signed distances at the corners, negative inside, indexed x, y, z.
        known: the same shape, bool; a cell with an unknown corner has no surface.
    """
    table, counts = (torch.from_numpy(each).to(values.device) for each in triangles())
    pattern, usable = torch.zeros_like(known[:, 1:, 1:, 1:], dtype=torch.int64), torch.ones_like(known[:, 1:, 1:, 1:])
    inside = values < 0
    for bit, (x, y, z) in enumerate(CORNERS.tolist()):
        part = np.s_[:, x : x + BLOCK, y : y + BLOCK, z : z + BLOCK]
        pattern |= inside[part].long() << bit
        usable &= known[part]
    cells = torch.nonzero(usable & (pattern > 0) & (pattern < 255))
    found = pattern[tuple(cells.T)]
    cell = torch.repeat_interleave(torch.arange(len(cells), device=values.device), counts[found])
    first = torch.cumsum(counts[found], 0) - counts[found]
    edges = table[found[cell], torch.arange(len(cell), device=values.device) - first[cell]]  # (F, 3)
    return _weld(blocks, values, cells[cell], edges)


def _weld(blocks: Tensor, values: Tensor, cells: Tensor, edges: Tensor) -> Piece:
    """Triangles with `edges` (F, 3) of `cells` (F, 4), block and place, as a piece that has each vertex once."""
    starts = torch.from_numpy(CORNERS[[corner for corner, _ in EDGES]]).to(values.device)
    axes = torch.tensor([axis for _, axis in EDGES], device=values.device)
    local = cells[:, None, 1:] + starts[edges]  # (F, 3, 3): the lower end of each vertex's edge
    axis, block = axes[edges], cells[:, :1].expand(-1, 3)
    place = BLOCK * blocks[block] + local
    x, y, z = (place + RANGE).unbind(dim=-1)
    keys = ((x * 2 * RANGE + y) * 2 * RANGE + z) * 3 + axis
    unique, index, inverse = np.unique(keys.cpu().numpy(), return_index=True, return_inverse=True)
    chosen = torch.from_numpy(index).to(values.device)
    local, axis, block, place = (each.flatten(0, 1)[chosen] for each in (local, axis, block, place))
    step = torch.nn.functional.one_hot(axis, 3)
    low = values[(block, *local.T)].double()
    high = values[(block, *(local + step).T)].double()
    part = low / (low - high)
    vertices = place.double() + step * part[:, None]
    return Piece(unique, vertices.cpu().numpy(), inverse.reshape(-1, 3))


def joined(pieces: list[Piece]) -> Piece:
    """All pieces as one, welded where they touch."""
    if not pieces:
        return Piece(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    keys, index, inverse = np.unique(
        np.concatenate([piece.keys for piece in pieces]), return_index=True, return_inverse=True
    )
    starts = np.cumsum([0, *(len(piece.keys) for piece in pieces[:-1])])
    faces = [inverse[piece.faces + start] for piece, start in zip(pieces, starts, strict=True)]
    return Piece(keys, np.concatenate([piece.vertices for piece in pieces])[index], np.concatenate(faces))
