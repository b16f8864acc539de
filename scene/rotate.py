"""Gaussians in turned axes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from scene.types import Camera, GaussianArrays


def rotate_gaussians(gaussians: GaussianArrays, rotation: np.ndarray) -> GaussianArrays:
    """The same Gaussians after x → rotation · x, (3, 3): means, axes and the spherical harmonics of their colors."""
    quats = multiply_quats(quat_of(rotation), gaussians.quats.astype(np.float64))
    return replace(
        gaussians,
        means=(gaussians.means @ rotation.T).astype(np.float32),
        quats=quats.astype(np.float32),
        shs=rotate_shs(gaussians.shs, rotation),
    )


def rotate_camera(camera: Camera, rotation: np.ndarray) -> Camera:
    """The same camera after x → rotation · x, (3, 3)."""
    pose = camera.camera_from_world.copy()
    pose[:3, :3] = pose[:3, :3] @ rotation.T
    return replace(camera, camera_from_world=pose)


def rotate_shs(shs: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(N, K, 3) coefficients of colors that are seen from the turned direction as before from the old one.

    Each band turns by itself. Its matrix follows from the basis at enough directions before and after the turn.
    """
    degree = round(shs.shape[1] ** 0.5) - 1
    directions = np.random.default_rng(0).normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before, after = sh_basis(directions), sh_basis(directions @ rotation.T)
    turned = shs.copy()
    for band in range(1, degree + 1):
        rows = slice(band**2, (band + 1) ** 2)
        matrix = np.linalg.lstsq(after[:, rows], before[:, rows], rcond=None)[0]
        turned[:, rows] = np.einsum("ij,njc->nic", matrix, shs[:, rows]).astype(np.float32)
    return turned


def sh_basis(directions: np.ndarray) -> np.ndarray:
    """(P, 16) real spherical harmonics of degree 0 to 3 at (P, 3) unit directions, in the order and with the signs of
    3DGS files (csrc/math/sh.h)."""
    x, y, z = directions.T
    xx, yy, zz = x * x, y * y, z * z
    return np.stack(
        [
            np.full(len(x), 1 / (2 * np.sqrt(np.pi))),
            *(np.sqrt(3 / (4 * np.pi)) * each for each in (-y, z, -x)),
            *(np.sqrt(15 / (4 * np.pi)) * each for each in (x * y, -y * z)),
            np.sqrt(5 / (16 * np.pi)) * (2 * zz - xx - yy),
            *(np.sqrt(15 / (4 * np.pi)) * each for each in (-x * z, (xx - yy) / 2)),
            -np.sqrt(35 / (32 * np.pi)) * y * (3 * xx - yy),
            np.sqrt(105 / (4 * np.pi)) * x * y * z,
            -np.sqrt(21 / (32 * np.pi)) * y * (4 * zz - xx - yy),
            np.sqrt(7 / (16 * np.pi)) * z * (2 * zz - 3 * xx - 3 * yy),
            -np.sqrt(21 / (32 * np.pi)) * x * (4 * zz - xx - yy),
            np.sqrt(105 / (16 * np.pi)) * z * (xx - yy),
            -np.sqrt(35 / (32 * np.pi)) * x * (xx - 3 * yy),
        ],
        axis=1,
    )


def quat_of(rotation: np.ndarray) -> np.ndarray:
    """(4,) the unit quaternion w x y z of a (3, 3) rotation."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([w, x, y, z])


def multiply_quats(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N, 4) products of one quaternion w x y z, (4,), with (N, 4) others."""
    w, axis, scalars, axes = left[0], left[1:], right[:, :1], right[:, 1:]
    product = w * axes + scalars * axis + np.cross(axis, axes)
    return np.concatenate([w * scalars - axes @ axis[:, None], product], axis=1)
