"""Pictures as (H,W,3) uint8 RGB arrays: to and from PNG files and tensors, and colors for maps of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from utils.errors import UserError
from utils.files import atomic_write
from utils.metrics_log import is_number
from utils.png import is_whole_png

NOTHING = (24, 26, 31)  # color of a pixel that has no value
COLOR_MAPS = {"turbo": cv2.COLORMAP_TURBO, "inferno": cv2.COLORMAP_INFERNO}
# A fifth smaller than cv2's defaults, at three times their time: still half a second for the largest sheets.
PNG_SETTINGS = (cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED)
SCALES = ("linear", "square root", "logarithmic")


def to_bytes(image: Tensor) -> np.ndarray:
    """(H,W,C) uint8 of a (C,H,W) tensor in [0,1], rounded to the nearest; what lies outside is clamped."""
    values = (image.detach().clamp(0, 1) * 255).round().byte()
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write (H,W,3) RGB or (H,W) gray uint8, atomically."""
    with atomic_write(path) as file:
        file.write(encode_png(picture))


def encode_png(picture: np.ndarray) -> bytes:
    """The bytes of a PNG file with (H,W,3) RGB or (H,W) gray uint8."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    done, data = cv2.imencode(".png", pixels, PNG_SETTINGS)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} and type {picture.dtype} cannot be written as PNG")
    return bytes(data)


def read_png(path: Path) -> np.ndarray:
    """(H,W,3) uint8 RGB. UserError when there is no picture in the file.

    cv2 gets the bytes and not the path, which it cannot have where that is no UTF-8.
    """
    whole = path.is_file() and is_whole_png(path)
    pixels = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR) if whole else None
    if pixels is None:
        raise UserError(f"{path} {'holds no picture' if path.exists() else 'is not there'}; run render.py again")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def resized(picture: np.ndarray, width: int) -> np.ndarray:
    """The picture, `width` pixels wide, its shape kept; areas are averaged when it gets smaller."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    smaller = width < picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


@dataclass(frozen=True)
class ColorScale:
    """Which color a number gets: `low` has the first of the map, `high` the last, as does all beyond them."""

    colors: str  # one of COLOR_MAPS
    low: float
    high: float
    scale: str = "linear"  # one of SCALES
    reverse: bool = False  # `low` has the last color
    unit: str = ""

    def paint(self, values: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """(H,W,3) uint8 of (H,W) numbers; NOTHING where they are not finite or `valid`, (H,W) bool, says so."""
        known = np.isfinite(values) if valid is None else np.isfinite(values) & valid
        positions = self._positions(np.where(known, values, self.low))
        codes = np.round(255 * (1 - positions if self.reverse else positions)).astype(np.uint8)
        painted = cv2.cvtColor(cv2.applyColorMap(codes, COLOR_MAPS[self.colors]), cv2.COLOR_BGR2RGB)
        return np.where(known[..., None], painted, np.array(NOTHING, np.uint8))

    def bar(self, width: int, height: int) -> np.ndarray:
        """A legend: the colors from `low` on the left to `high` on the right."""
        codes = np.linspace(255, 0, width) if self.reverse else np.linspace(0, 255, width)
        row = cv2.applyColorMap(np.round(codes).astype(np.uint8)[None], COLOR_MAPS[self.colors])
        return np.repeat(cv2.cvtColor(row, cv2.COLOR_BGR2RGB), height, axis=0)

    def describe(self) -> dict[str, Any]:
        """The fields, for JSON; `from_described` makes this scale of them again."""
        return asdict(self)

    @classmethod
    def from_described(cls, values: Any) -> ColorScale | None:
        """What `describe` has written to a file; None where it is no such thing any more."""
        try:
            scale = cls(**values)
            known = scale.colors in COLOR_MAPS and scale.scale in SCALES and isinstance(scale.unit, str)
            return scale if known and is_number(scale.high) and 0 <= scale.low < scale.high else None
        except TypeError:
            return None

    def _positions(self, values: np.ndarray) -> np.ndarray:
        """Where each value lies on the way from `low` to `high`, in [0,1]."""
        bounds = np.array([self.low, self.high], dtype=np.float64)
        inside = np.clip(values.astype(np.float64), *bounds)
        if self.scale == "square root":
            inside, bounds = np.sqrt(inside), np.sqrt(bounds)
        elif self.scale == "logarithmic":
            inside, bounds = np.log(inside), np.log(bounds)
        return (inside - bounds[0]) / (bounds[1] - bounds[0])


def depth_scale(samples: Sequence[np.ndarray]) -> ColorScale:
    """Colors for depths (world units, > 0), near ones warm: most of what the `samples` hold lies inside the range."""
    low, high = _percentiles(samples, 1, 99, default=(1.0, 2.0))
    low = max(low, 1e-6 * high, math.ulp(1.0))
    return ColorScale("turbo", low, max(high, 1.01 * low), "logarithmic", reverse=True, unit="world units")


def depth_error_scale(depths: ColorScale) -> ColorScale:
    """Colors for differences of depth, up to 5 % of the middle of the range of `depths`."""
    return ColorScale("inferno", 0.0, 0.05 * math.sqrt(depths.low * depths.high), unit="world units")


def distortion_scale(samples: Sequence[np.ndarray]) -> ColorScale:
    """Colors for the rasterizer's distortion (≥ 0, world units²).

    By its square root, a length: in the square itself a few thick places would leave all others black.
    """
    _, high = _percentiles(samples, 0, 99, default=(0.0, 1.0))
    return ColorScale("inferno", 0.0, max(high, 1e-12), "square root", unit="world units²")


def _percentiles(
    samples: Sequence[np.ndarray], low: float, high: float, default: tuple[float, float]
) -> tuple[float, float]:
    values = np.concatenate([np.asarray(each, dtype=np.float64).ravel() for each in samples] or [np.empty(0)])
    values = values[np.isfinite(values)]
    return tuple(np.percentile(values, (low, high)).tolist()) if len(values) else default
