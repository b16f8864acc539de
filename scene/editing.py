"""Edits of a cloud of Gaussians as a whole: moved, cropped, thinned, with fewer spherical harmonics; and the cameras
that move with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from scene.spherical_harmonics import SH_COUNTS, rotate_sh
from scene.types import Camera, GaussianArrays
from utils.errors import UserError

TOLERANCE = 1e-4  # by which the stretch of a matrix may differ between directions: typed numbers are rounded


@dataclass(frozen=True)
class Similarity:
    """x → scale · rotation · x + translation. `rotation` is orthogonal; with determinant −1 it mirrors."""

    rotation: np.ndarray  # (3, 3) float64
    translation: np.ndarray  # (3,) float64, in the new units
    scale: float = 1.0  # > 0

    @classmethod
    def turn(cls, rotation: np.ndarray) -> Similarity:
        """x → rotation · x."""
        return cls(rotation, np.zeros(3))

    @classmethod
    def from_matrix(cls, matrix: np.ndarray, where: str) -> Similarity:
        """Of a (4, 4) matrix. UserError, which begins with `where`, for one that shears, or scales axes differently."""
        linear = matrix[:3, :3]
        if not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise UserError(f"{where} must be finite numbers with the last row 0 0 0 1")
        u, lengths, vt = np.linalg.svd(linear)
        scale = float(np.mean(lengths))
        if scale == 0 or np.ptp(lengths) > TOLERANCE * scale:
            found = ", ".join(f"{length:.4g}" for length in lengths)
            raise UserError(
                f"{where} stretches space by {found} along three axes; Gaussians stay Gaussians of the file formats "
                "only if it rotates, mirrors, moves and scales all axes alike"
            )
        return cls(u @ vt, matrix[:3, 3], scale)


def transform(gaussians: GaussianArrays, similarity: Similarity) -> GaussianArrays:
    """The Gaussians moved with the world: means, scales, quaternions and the directions of their colors."""
    rotation = similarity.rotation
    means = similarity.scale * (gaussians.means.astype(np.float64) @ rotation.T) + similarity.translation
    # A Gaussian is symmetric: where space is mirrored, its axes may point backward and make a rotation again.
    turn = Rotation.from_matrix(rotation * np.sign(np.linalg.det(rotation))).as_quat(scalar_first=True)
    return GaussianArrays(
        means=means.astype(np.float32),
        scales=gaussians.scales + np.float32(np.log(similarity.scale)),
        quats=multiply_quats(turn, gaussians.quats).astype(np.float32),
        opacities=gaussians.opacities,
        shs=rotate_sh(gaussians.shs, rotation),
    )


def transform_camera(camera: Camera, similarity: Similarity) -> Camera:
    """The camera that sees of the moved world what `camera` saw; of a mirrored one no camera does."""
    pose = camera.camera_from_world.copy()
    pose[:3, :3] = pose[:3, :3] @ similarity.rotation.T
    pose[:3, 3] = similarity.scale * pose[:3, 3] - pose[:3, :3] @ similarity.translation
    return replace(camera, camera_from_world=pose)


def multiply_quats(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) w x y z: first b, then a, (4,) each or (N, 4)."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a, np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b, np.float64), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def rows(gaussians: GaussianArrays, chosen: np.ndarray) -> GaussianArrays:
    """Some of the Gaussians: (N,) bool, or indices."""
    return GaussianArrays(**{name: value[chosen] for name, value in vars(gaussians).items()})


def inside_box(means: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N,) bool: which means lie in the box between two opposite corners, (6,), given in any order."""
    low, high = np.sort(corners.reshape(2, 3), axis=0)
    return np.asarray(((means >= low) & (means <= high)).all(axis=1))


def inside_sphere(means: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    """(N,) bool: which means lie in the sphere."""
    return np.asarray(np.linalg.norm(means - center, axis=1) <= radius)


def at_most(gaussians: GaussianArrays, count: int, importance: np.ndarray) -> GaussianArrays:
    """The `count` Gaussians of the largest importance, (N,), in their order; all where there are no more."""
    if len(gaussians.means) <= count:
        return gaussians
    return rows(gaussians, np.sort(np.argsort(-importance, kind="stable")[:count]))


def opacity_times_area(gaussians: GaussianArrays) -> np.ndarray:
    """(N,) float64: how much of the world each Gaussian covers, by its two longest axes. It knows of no occlusion."""
    longest = np.sort(gaussians.scales.astype(np.float64), axis=1)[:, 1:]
    return np.exp(longest.sum(axis=1)) / (1 + np.exp(-gaussians.opacities[:, 0].astype(np.float64)))


def with_sh_degree(gaussians: GaussianArrays, degree: int) -> GaussianArrays:
    """The coefficients up to `degree`; those that are not there yet are 0."""
    kept = gaussians.shs[:, : SH_COUNTS[degree]]
    missing = SH_COUNTS[degree] - kept.shape[1]
    shs = np.pad(kept, ((0, 0), (0, missing), (0, 0)))
    return GaussianArrays(**{**vars(gaussians), "shs": shs})
