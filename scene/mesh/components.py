"""Connected components of a mesh."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def without_small(faces: np.ndarray, min_faces: int) -> np.ndarray:
    """(F', 3) those of the faces (F, 3) whose connected component has at least `min_faces`."""
    if len(faces) == 0:
        return faces
    vertices = int(faces.max()) + 1
    start, end = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(vertices, vertices))
    component = connected_components(graph, directed=False)[1][faces[:, 0]]
    return faces[np.bincount(component)[component] >= min_faces]


def compact(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices that faces use, in their order, and the faces of these."""
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces]
