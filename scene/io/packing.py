"""What the compact formats share: colors, 8-bit opacities, and quaternions by their three smallest components."""

from __future__ import annotations

import numpy as np

from scene.spherical_harmonics import SH_DC

SHARPEST = 0.25  # of a step of an 8-bit opacity: 0 stands for that much above 0, 255 for as much below 1, not for ±∞
ROOT_HALF = np.sqrt(0.5)  # the largest absolute value of what is not the largest component of a unit quaternion
OTHERS = np.array([(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)])  # the components beside the largest


def colors_of(dc: np.ndarray) -> np.ndarray:
    """The colors of coefficients of degree 0: not in [0, 1] as such."""
    return 0.5 + SH_DC * dc


def dc_of(colors: np.ndarray) -> np.ndarray:
    """The coefficients of degree 0 of colors."""
    return (colors - 0.5) / SH_DC


def alpha_bytes(logits: np.ndarray) -> np.ndarray:
    """uint8 opacities, rounded."""
    return np.round(255 / (1 + np.exp(-np.clip(logits.astype(np.float64), -80, 80)))).astype(np.uint8)


def logits_of(alphas: np.ndarray) -> np.ndarray:
    """float32 logits of 8-bit opacities; 6.9 for 255, 0.999 opaque."""
    steps = np.clip(alphas.astype(np.float64), SHARPEST, 255 - SHARPEST)
    return np.log(steps / (255 - steps)).astype(np.float32)


def smallest_three(quats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of the largest component of (N, 4) quaternions, and the other three of the unit quaternion in which it
    is positive, (N, 3) float64 in [−√½, √½]."""
    unit = quats.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    largest = np.abs(unit).argmax(axis=1)
    row = np.arange(len(unit))
    unit *= np.where(unit[row, largest] < 0, -1.0, 1.0)[:, None]
    return largest, np.take_along_axis(unit, OTHERS[largest], axis=1)


def from_smallest_three(largest: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 4) float32 unit quaternions, the inverse."""
    quats = np.empty((len(largest), 4))
    np.put_along_axis(quats, OTHERS[largest], others, axis=1)
    left = np.sqrt(np.maximum(0.0, 1 - (others**2).sum(axis=1)))
    np.put_along_axis(quats, largest[:, None], left[:, None], axis=1)
    return quats.astype(np.float32)


def to_steps(values: np.ndarray, steps: int) -> np.ndarray:
    """uint32: values of [0, 1] in `steps` steps, rounded; what is outside is clamped."""
    return np.round(np.clip(values, 0, 1) * steps).astype(np.uint32)


def morton_order(means: np.ndarray) -> np.ndarray:
    """Indices along a curve through space (Morton 1966), so that neighbors in the file are neighbors in the world."""
    low, high = means.min(axis=0, initial=np.inf), means.max(axis=0, initial=-np.inf)
    span = np.maximum(high.astype(np.float64) - low, np.finfo(np.float64).tiny)
    cells = ((means.astype(np.float64) - low) / span * (2**21 - 1)).astype(np.uint64)
    code = np.zeros(len(means), np.uint64)
    for axis in range(3):
        code |= _every_third_bit(cells[:, axis]) << np.uint64(axis)
    return np.argsort(code, kind="stable")


def _every_third_bit(values: np.ndarray) -> np.ndarray:
    """The 21 bits of each value with two zeros between neighbors."""
    steps = (
        (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    )  # fmt: skip
    for shift, mask in steps:
        values = (values | values << np.uint64(shift)) & np.uint64(mask)
    return values
