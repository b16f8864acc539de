"""How close a mesh is to the true surface: the measures of MuSHRoom (Ren et al. 2024), and F-scores at more distances.

Accuracy is the distance of the mesh to the true surface, completion that of the true surface to the mesh, both over
points uniform by area: means over vertices would weigh finely meshed places more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from scene.types import Mesh

DISTANCES = (0.01, 0.02, 0.05)  # meters, of the F-scores
SAMPLES = 200_000  # points on the mesh, and at most as many on the true surface
NEAREST_FACES = 12  # whose distances to a point are compared: those whose centers are nearest

Distance = Callable[[np.ndarray], np.ndarray]  # of points (P, 3), world units, to the surface (P,)


@dataclass(frozen=True)
class Truth:
    """A true surface."""

    points: np.ndarray  # (T, 3) on all of it that was seen, uniform by area
    distance: Distance  # to all of it, seen or not
    meters_per_unit: float = 1.0


def mesh_scores(mesh: Mesh, truth: Truth, seed: int = 0) -> dict[str, float]:
    """The scores of a mesh, lengths in meters.

    "accuracy", "completion" and their medians; "chamfer_l1", the mean of both; "precision_2cm", "recall_2cm" and
    "f_2cm", their harmonic mean, the shares of points nearer than that, and at 1 and 5 cm; "normal_consistency", the
    mean |cos| between normals at nearest points, both ways; "normal_error", the median angle, degrees.
    """
    rng = np.random.default_rng(seed)
    on_mesh, mesh_normals = sample_surface(mesh, SAMPLES, rng)
    on_truth = truth.points[rng.permutation(len(truth.points))[:SAMPLES]]
    accuracy = truth.meters_per_unit * truth.distance(on_mesh)
    near, face = nearest_on_mesh(mesh, on_truth)
    completion = truth.meters_per_unit * near
    truth_normals = surface_normals(on_truth, truth.distance)
    backward = np.abs((face_normals(mesh)[face] * truth_normals).sum(axis=1))
    there = cKDTree(on_truth).query(on_mesh)[1]
    forward = np.abs((mesh_normals * truth_normals[there]).sum(axis=1))
    scores = {
        "accuracy": float(accuracy.mean()),
        "accuracy_median": float(np.median(accuracy)),
        "completion": float(completion.mean()),
        "completion_median": float(np.median(completion)),
        "chamfer_l1": float(accuracy.mean() + completion.mean()) / 2,
        "normal_consistency": float(forward.mean() + backward.mean()) / 2,
        "normal_error": float(np.degrees(np.median(np.arccos(np.clip(forward, 0, 1))))),
    }
    for limit in DISTANCES:
        precision, recall = float((accuracy < limit).mean()), float((completion < limit).mean())
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        scores |= {f"{name}_{100 * limit:g}cm": value for name, value in zip(
            ("precision", "recall", "f"), (precision, recall, f), strict=True)}  # fmt: skip
    return scores


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3) points uniform by area, and (count, 3) the normals of their faces."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(areas), count, p=areas / areas.sum())
    u, v = rng.random((2, count, 1))
    beyond = u + v > 1
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    return a[face] + u * (b - a)[face] + v * (c - a)[face], face_normals(mesh)[face]


def face_normals(mesh: Mesh) -> np.ndarray:
    """(F, 3) float64 of length 1; 0 for a face without area."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)


def nearest_on_mesh(mesh: Mesh, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (P,) of points (P, 3) to the mesh, and the faces (P,) they are to.

    Exact where the nearest face is among the NEAREST_FACES by their centers, as with the small faces of a lattice.
    """
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    candidates = cKDTree((a + b + c) / 3).query(points, k=min(NEAREST_FACES, len(a)))[1].reshape(len(points), -1)
    best, face = np.full(len(points), np.inf), np.zeros(len(points), np.intp)
    for column in candidates.T:
        distance = point_to_triangle(points, a[column], b[column], c[column])
        face = np.where(distance < best, column, face)
        best = np.minimum(best, distance)
    return best, face


def point_to_triangle(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(P,) distances of points to triangles, all (P, 3): to the plane where the foot is inside, else to an edge."""
    normal = np.cross(b - a, c - a)
    square = (normal * normal).sum(axis=1)
    inside = square > 0
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= (np.cross(end - start, p - start) * normal).sum(axis=1) >= 0
    plane = np.abs(((p - a) * normal).sum(axis=1)) / np.sqrt(np.where(square > 0, square, 1))
    edges = np.min([_to_segment(p, start, end) for start, end in ((a, b), (b, c), (c, a))], axis=0)
    return np.where(inside, plane, edges)


def _to_segment(p: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    way = end - start
    square = (way * way).sum(axis=1)
    part = np.clip(((p - start) * way).sum(axis=1) / np.where(square > 0, square, 1), 0, 1)
    return np.linalg.norm(p - start - part[:, None] * way, axis=1)


def surface_normals(points: np.ndarray, distance: Distance, step: float = 1e-4) -> np.ndarray:
    """(P, 3) normals, of either sign, of a surface at points on it: the gradient of the distance a `step` beside it,
    along that axis which leads away from the surface most. `step` is in world units."""
    beside = np.stack([distance(points + step * axis) for axis in np.eye(3)])
    off = points + step * np.eye(3)[beside.argmax(axis=0)]
    small = step / 4
    gradient = np.stack([distance(off + small * axis) - distance(off - small * axis) for axis in np.eye(3)], axis=1)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)


def uniform(points: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """(P', 3) one of the points (P, 3) in each cube of this edge: about uniform by area where they are dense."""
    shuffled = points[rng.permutation(len(points))]
    cells = np.floor(shuffled / spacing).astype(np.int64)
    return shuffled[np.unique(cells, axis=0, return_index=True)[1]]
