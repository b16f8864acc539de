"""The triangles of marching cubes (Lorensen and Cline 1987), for each of the 256 patterns of signs at a cube's corners.

The table is computed and not typed. On each face of a cube the surface runs between the edges whose ends differ in
sign. A face with two inside corners at a diagonal is ambiguous: there inside corners are parted. This depends on the
face's signs alone, so that two cubes agree about the face they share, and the surface has no holes.
"""

from __future__ import annotations

import numpy as np

CORNERS = np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(8)])  # (8, 3) corner k of the unit cube
EDGES = [(k, axis) for axis in range(3) for k in range(8) if not k >> axis & 1]  # 12: lower corner and direction
FACES = (
    (0, 4, 6, 2),
    (1, 3, 7, 5),
    (0, 1, 5, 4),
    (2, 6, 7, 3),
    (0, 2, 3, 1),
    (4, 5, 7, 6),
)  # corners, ccw from outside


def triangles() -> tuple[np.ndarray, np.ndarray]:
    """(256, T, 3) edges of the triangles of each pattern, and (256,) how many there are. Bit k of a pattern says that
    corner k is inside."""
    cases = [_triangles_of(pattern) for pattern in range(256)]
    counts = np.array([len(case) for case in cases])
    table = np.zeros((256, counts.max(), 3), np.int64)
    for pattern, case in enumerate(cases):
        table[pattern, : len(case)] = np.array(case, np.int64).reshape(-1, 3)
    return table, counts


def _triangles_of(pattern: int) -> list[tuple[int, int, int]]:
    """Loops of edges, each cut into a fan."""
    follows: dict[int, int] = {}
    for face in FACES:
        follows |= _segments(face, pattern)
    found = []
    while follows:
        loop = [next(iter(follows))]
        while (edge := follows.pop(loop[-1])) != loop[0]:
            loop.append(edge)
        found += [(loop[0], loop[k + 1], loop[k]) for k in range(1, len(loop) - 1)]
    return found


def _segments(face: tuple[int, ...], pattern: int) -> dict[int, int]:
    """From where the way around a face leaves the inside back to where it has entered it."""
    inside = [bool(pattern >> corner & 1) for corner in face]
    edges = [_edge(face[k], face[(k + 1) % 4]) for k in range(4)]
    segments = {}
    for k in range(4):
        if inside[k] and not inside[(k + 1) % 4]:
            start = k
            while inside[start - 1]:
                start -= 1
            segments[edges[k]] = edges[start - 1]
    return segments


def _edge(a: int, b: int) -> int:
    return EDGES.index((min(a, b), (a ^ b).bit_length() - 1))
