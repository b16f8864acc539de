"""Marching cubes: closed surfaces that face outward, the same in any number of pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from scene.mesh.components import compact, without_small
from scene.mesh.cube_table import CORNERS, EDGES, triangles
from scene.mesh.marching_cubes import BLOCK, Piece, extract, joined

RADIUS = 20.3


def blocks_of(reach: int) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(-reach, reach)] * 3)


def corners_of(blocks: Tensor) -> Tensor:
    """(B, 17, 17, 17, 3) places of corners, in cells."""
    local = torch.cartesian_prod(*[torch.arange(BLOCK + 1)] * 3).reshape(BLOCK + 1, BLOCK + 1, BLOCK + 1, 3)
    return (BLOCK * blocks[:, None, None, None] + local).double()


def half_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each directed edge of the faces once, and how often it is there."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(edges, axis=0, return_counts=True)


def is_closed(faces: np.ndarray) -> bool:
    """Whether each edge is passed as often one way as the other."""
    edges, count = half_edges(faces)
    back, back_count = half_edges(faces[:, ::-1])
    return np.array_equal(edges, back) and np.array_equal(count, back_count)


def sphere() -> Piece:
    blocks = blocks_of(2)
    values = corners_of(blocks).norm(dim=-1) - RADIUS
    return extract(blocks, values, torch.ones_like(values, dtype=torch.bool))


def test_the_table_is_that_of_marching_cubes() -> None:
    table, counts = triangles()
    assert table.shape == (256, 5, 3) and counts.sum() == 820  # as in the table that everybody has
    assert counts[0] == counts[255] == 0
    for pattern in range(256):
        used = {int(edge) for edge in table[pattern, : counts[pattern]].ravel()}
        ends = {k: (corner, corner | 1 << axis) for k, (corner, axis) in enumerate(EDGES)}
        crossed = {k for k, (a, b) in ends.items() if (pattern >> a ^ pattern >> b) & 1}
        assert used == crossed, "each edge between inside and outside has a vertex, and no other"
    assert CORNERS[6].tolist() == [0, 1, 1]


def test_a_sphere_is_closed_round_and_faces_outward() -> None:
    piece = sphere()
    edges, count = half_edges(piece.faces)
    assert is_closed(piece.faces) and (count == 1).all()
    assert len(piece.vertices) - len(edges) // 2 + len(piece.faces) == 2  # Euler
    np.testing.assert_allclose(np.linalg.norm(piece.vertices, axis=1), RADIUS, atol=0.01)
    a, b, c = (piece.vertices[piece.faces[:, k]] for k in range(3))
    volume = (a * np.cross(b, c)).sum() / 6  # positive: outward
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.003)


def test_any_signs_give_a_closed_surface_in_any_number_of_pieces() -> None:
    rng, size = np.random.default_rng(0), 2 * BLOCK + 1
    field = rng.normal(size=(size, size, size))
    for axis in range(3):
        np.moveaxis(field, axis, 0)[[0, -1]] = 1  # nothing reaches the border
    blocks = blocks_of(1) + 1
    starts = (BLOCK * blocks).tolist()
    parts = [field[x : x + BLOCK + 1, y : y + BLOCK + 1, z : z + BLOCK + 1] for x, y, z in starts]
    values = torch.from_numpy(np.stack(parts))
    known = torch.ones_like(values, dtype=torch.bool)
    whole = extract(blocks, values, known)
    assert len(whole.faces) > 50_000 and is_closed(whole.faces)
    assert (half_edges(whole.faces)[1] > 1).mean() < 1e-3  # rarely, parts touch along an edge
    pieces = joined([extract(blocks[k : k + 3], values[k : k + 3], known[k : k + 3]) for k in range(0, 8, 3)])
    np.testing.assert_array_equal(pieces.keys, whole.keys)
    np.testing.assert_array_equal(pieces.vertices, whole.vertices)
    assert is_closed(pieces.faces) and len(pieces.faces) == len(whole.faces)


def test_cells_with_an_unknown_corner_stay_open() -> None:
    blocks = blocks_of(2)
    places = corners_of(blocks)
    piece = extract(blocks, places.norm(dim=-1) - RADIUS, places[..., 2] <= 3)
    assert not is_closed(piece.faces) and piece.vertices[:, 2].max() == 3
    nothing = extract(blocks, places.norm(dim=-1) + 1, places[..., 2] <= 3)
    assert nothing.faces.shape == (0, 3) and joined([]).vertices.shape == (0, 3)


def test_small_components_go() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 3], [5, 6, 7], [8, 9, 10], [9, 10, 11]])
    assert without_small(faces, 2).tolist() == [[0, 1, 2], [2, 1, 3], [8, 9, 10], [9, 10, 11]]
    assert len(without_small(faces, 3)) == 0 and len(without_small(faces[:0], 3)) == 0
    vertices, kept = compact(np.arange(36.0).reshape(12, 3), faces[3:])
    assert vertices[:, 0].tolist() == [24, 27, 30, 33] and kept.tolist() == [[0, 1, 2], [1, 2, 3]]
