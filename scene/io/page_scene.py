"""Gaussians inside viewer.html: a PLY in fewer bytes, which the page's script unpacks and hands to the viewer.

Numbers are rounded to steps that nobody can see. Gaussians stand in the order of a space-filling curve, and their bytes
by columns, the first of all, the second of all, ...: neighbors are alike, and most bytes of a column the same. zlib
then makes them a fourth to a ninth as long. Browsers have its decoder (DecompressionStream) since 2023.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from scene.editing import rows
from scene.io import ply
from scene.io.packing import morton_order
from scene.types import GaussianArrays

END = b"end_header\n"
LOG_SCALE, QUAT, LOGIT, COEFFICIENT = 2.0**-7, 2.0**-9, 2.0**-6, 2.0**-8  # steps
PART_OF_SIZE = 2.0**-8  # a position's step, in parts of the Gaussian's mean extent
LEVEL = 6  # of zlib: higher ones take twice as long for 1 %


@dataclass(frozen=True)
class PageScene:
    """What a page holds of a PLY of `count` Gaussians."""

    packed: bytes  # zlib's: the header, then the bytes of the rows by columns
    header: int  # bytes
    count: int


def pack(gaussians: GaussianArrays) -> PageScene:
    """The PLY of rounded Gaussians, packed."""
    data = ply.encode(rounded(rows(gaussians, morton_order(gaussians.means))))
    header = data.index(END) + len(END)
    columns = np.frombuffer(data, np.uint8)[header:].reshape(max(1, len(gaussians.means)), -1).T
    return PageScene(zlib.compress(data[:header] + columns.tobytes(), LEVEL), header, len(gaussians.means))


def unpack(scene: PageScene) -> bytes:
    """The PLY, as the page's script makes it of the same."""
    data = zlib.decompress(scene.packed)
    columns = np.frombuffer(data, np.uint8)[scene.header :].reshape(-1, max(1, scene.count))
    return data[: scene.header] + columns.T.tobytes()


def rounded(gaussians: GaussianArrays) -> GaussianArrays:
    """The same in steps: quaternions of length 1 with w ≥ 0, and positions by the size of each Gaussian."""
    quats = gaussians.quats / np.linalg.norm(gaussians.quats, axis=1, keepdims=True)
    size = 2.0 ** np.round(gaussians.scales.mean(axis=1, keepdims=True, dtype=np.float64) / np.log(2))
    return GaussianArrays(
        means=_in_steps(gaussians.means, PART_OF_SIZE * size),
        scales=_in_steps(gaussians.scales, LOG_SCALE),
        quats=_in_steps(np.where(quats[:, :1] < 0, -quats, quats), QUAT),
        opacities=_in_steps(gaussians.opacities, LOGIT),
        shs=_in_steps(gaussians.shs, COEFFICIENT),
    )


def _in_steps(values: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """float32 multiples of `step`; 0 is written without its sign, which is a byte like no other."""
    return (np.round(values.astype(np.float64) / step) * step + 0.0).astype(np.float32)
