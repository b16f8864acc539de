"""Gaussians for the tests of file formats: of all directions, sizes, opacities and colors."""

from __future__ import annotations

import numpy as np

from scene.types import GaussianArrays


def splats(count: int = 20, sh_count: int = 16, seed: int = 3) -> GaussianArrays:
    """Unit quaternions, colors within 0 to 1, coefficients within ±1."""
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    shs = rng.uniform(-0.5, 0.5, (count, sh_count, 3))
    shs[:, 0] *= 3
    values = dict(
        means=rng.normal(size=(count, 3)),
        scales=rng.normal(size=(count, 3)) - 4,
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        opacities=rng.normal(size=(count, 1)) * 2,
        shs=shs,
    )
    return GaussianArrays(**{name: value.astype(np.float32) for name, value in values.items()})


def covariances(gaussians: GaussianArrays) -> np.ndarray:
    """(N, 3, 3) float64: what of scales and quaternions can be seen."""
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_quat(gaussians.quats, scalar_first=True).as_matrix()
    axes = axes * np.exp(gaussians.scales.astype(np.float64))[:, None]
    return axes @ axes.transpose(0, 2, 1)


def alphas(gaussians: GaussianArrays) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-gaussians.opacities.astype(np.float64))))


def in_order(original: GaussianArrays, read: GaussianArrays) -> GaussianArrays:
    """What was read in the order of the original, by place: formats may change it."""
    distance = np.linalg.norm(original.means[:, None] - read.means[None], axis=2)
    chosen = distance.argmin(axis=1)
    assert len(set(chosen)) == len(read.means) == len(original.means)
    return GaussianArrays(**{name: value[chosen] for name, value in vars(read).items()})
