"""The .splat format of the viewer antimatter15/splat: 32 bytes for each Gaussian, without a header.

Position and scale (linear) as three float32 each, then bytes: red, green, blue, opacity, and the quaternion w x y z as
128 + 128 q. Colors do not change with the view: spherical harmonics above degree 0 have no place in it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scene.io.checks import finite, read_bytes
from scene.io.packing import alpha_bytes, colors_of, dc_of, logits_of, to_steps
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.files import atomic_write

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 3), ("alpha", "u1"), ("quat", "u1", 4)])
SMALLEST, LARGEST = -80.0, 80.0  # log scales whose exponentials float32 has


def write(path: Path, gaussians: GaussianArrays) -> None:
    """Write what degree 0 has, the most visible first: viewers draw while they load."""
    table = np.empty(len(gaussians.means), ROW)
    table["mean"] = gaussians.means
    table["scale"] = np.exp(np.clip(gaussians.scales, SMALLEST, LARGEST))
    table["color"] = to_steps(colors_of(gaussians.shs[:, 0]), 255)
    table["alpha"] = alpha_bytes(gaussians.opacities[:, 0])
    unit = gaussians.quats / np.linalg.norm(gaussians.quats, axis=1, keepdims=True)
    table["quat"] = np.clip(np.round(128 + 128 * unit), 0, 255)
    importance = gaussians.scales.astype(np.float64).sum(axis=1) + np.log(np.maximum(table["alpha"], 1))
    with atomic_write(path) as file:
        file.write(table[np.argsort(-importance, kind="stable")].tobytes())


def read(path: Path) -> GaussianArrays:
    """Gaussians of degree 0. Raises: UserError for a file that is not of whole rows, or empty."""
    data = read_bytes(path)
    if not data or len(data) % ROW.itemsize:
        raise UserError(f"{path} has {len(data):,} bytes; a .splat file has {ROW.itemsize} for each Gaussian")
    table = np.frombuffer(data, ROW)
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = np.log(table["scale"])
    arrays = GaussianArrays(
        means=table["mean"].astype(np.float32),
        scales=np.where(table["scale"] == 0, np.float32(SMALLEST), scales),
        quats=(table["quat"].astype(np.float32) - 128) / 128,
        opacities=logits_of(table["alpha"])[:, None],
        shs=dc_of(table["color"] / 255.0).astype(np.float32)[:, None],
    )
    return finite(path, arrays)
