"""What every reader of Gaussians ends with: values that are not finite do not pass."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from scene.types import GaussianArrays
from utils.errors import UserError

MAX_LOGIT = 16.0  # what an infinite opacity logit becomes
MAX_GROWTH = 1000  # times its size that a file may unpack to: Gaussians grow by 3 to 30
SMALL = 2**20  # bytes that any file may unpack to


def finite(place: Path | str, arrays: GaussianArrays) -> GaussianArrays:
    """Rows with NaN or infinite values dropped, infinite opacity logits clamped, quaternions of length 0 replaced by no
    rotation; a warning, which begins with the place, says how many of each."""
    infinite = np.isinf(arrays.opacities)
    opacities = np.where(infinite, np.copysign(np.float32(MAX_LOGIT), arrays.opacities), arrays.opacities)
    _warn(place, "infinite opacities clamped", int(infinite.sum()))
    unturned = np.asarray(~arrays.quats.any(axis=1))
    quats = np.where(unturned[:, None], np.array([1, 0, 0, 0], np.float32), arrays.quats)
    _warn(place, "quaternions of length 0 replaced by no rotation", int(unturned.sum()))
    values = {**vars(arrays), "opacities": opacities, "quats": quats}
    kept = np.ones(len(arrays.means), dtype=bool)
    for value in values.values():
        kept &= np.isfinite(value).all(axis=tuple(range(1, value.ndim)))
    _warn(place, "Gaussians with NaN or infinite values dropped", int((~kept).sum()))
    if kept.all():
        return GaussianArrays(**values)
    return GaussianArrays(**{name: value[kept] for name, value in values.items()})


def read_bytes(path: Path) -> bytes:
    """The whole file. UserError where there is none."""
    if not path.is_file():
        raise UserError(f"{path} is not there")
    return path.read_bytes()


def check_growth(path: Path, packed: int, unpacked: int) -> None:
    """UserError, before anything is unpacked, for a size that no packed Gaussians have: a bomb, or damage."""
    if unpacked > max(SMALL, MAX_GROWTH * packed):
        raise UserError(
            f"{path} would unpack from {packed:,} to {unpacked:,} bytes; up to {MAX_GROWTH} times its size is accepted"
        )


def _warn(place: Path | str, what: str, count: int) -> None:
    if count:
        warnings.warn(f"{place}: {count} {what}", stacklevel=3)
