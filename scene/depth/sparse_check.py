"""What a depth map shows of itself: its numbers at the pixels where points of the scene should be seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scene.depth.maps import read_map, read_size, valid_mask
from scene.depth.resample import at_pixels
from scene.image_header import MAX_TIMES
from scene.occlusion import in_sight
from scene.orientation import SIDEWAYS
from scene.types import Camera, DepthMap, PointCloud, View
from utils.errors import UserError

MIN_POINTS = 20  # in a view: fewer are no evidence
OCCLUSION = 0.1  # of a point's depth: what lies farther behind others may be hidden by them
HIDING = 5  # times as many points on a surface as before it: what hides the others
SAMPLES = 2048  # numbers of a map that the summary's percentiles are taken from


@dataclass(frozen=True)
class DepthSamples:
    """What one map shows of itself."""

    view: View
    found: DepthMap  # whose scale is not known yet
    dtype: np.dtype
    problem: str  # why it cannot be used; "" if it can
    numbers: np.ndarray  # (K,) float64, at the points it should see
    z: np.ndarray  # (K,) depths of those points, world units
    slant: np.ndarray  # (K,) how many times as far from the camera each is as it is deep
    samples: np.ndarray  # (S,) of the usable numbers
    valid: float  # share of usable pixels

    @property
    def path(self) -> Path:
        return self.found.path

    @property
    def has_enough_points(self) -> bool:
        return len(self.z) >= MIN_POINTS

    @property
    def log_scale(self) -> float:
        """Logarithm of the scale that brings the map to the points."""
        return middle_of_most(np.log(self.z / self.numbers))

    def may_be_hiding(self, scale: float, agreement: float) -> bool:
        """Whether points lie on the map's surface, as `scale` has it, and behind it, as where it shows a wall with
        another room beyond, and hardly any before it. `agreement`: a ratio of depths, over 1, that counts as none."""
        ratio = self.z / (self.numbers * scale)
        on, before = (ratio < agreement) & (ratio > 1 / agreement), ratio <= 1 / agreement
        return on.sum() >= max(MIN_POINTS, HIDING * before.sum())

    def spread(self, expected: np.ndarray) -> float:
        """Median deviation of the numbers from a multiple of `expected`, (K,), in logarithms."""
        ratios = np.log(expected / self.numbers)
        return float(np.median(np.abs(ratios - middle_of_most(ratios))))

    @property
    def rank_correlation(self) -> float:
        return float(np.corrcoef(np.argsort(np.argsort(self.numbers)), np.argsort(np.argsort(self.z)))[0, 1])


def sample_at_points(view: View, found: DepthMap, points: PointCloud, track: np.ndarray | None) -> DepthSamples:
    """Read a map and find it at the points that `view` sees; `track` says which those are, None leaves it to a guess.

    A map that cannot be read, or cannot be the view's, has a `problem`.
    """
    numbers, problem = np.zeros((1, 1), np.float32), ""
    try:
        width, height = read_size(found.path)
        problem = _wrong_size(width, height, view, found)
        if problem and view.orientation in SIDEWAYS and not _wrong_size(height, width, view, found):
            found, problem = replace(found, orientation=view.orientation), ""  # of the photo's stored pixels
        if not problem:
            numbers = read_map(found)
            problem = "is a color picture, not depth" if numbers.ndim != 2 else ""
            problem = problem or ("" if valid_mask(numbers, found).any() else "has no valid pixel")
    except UserError as error:
        problem = f"cannot be used ({error})"
    if problem:
        nothing = np.zeros(0)
        return DepthSamples(view, found, numbers.dtype, problem, nothing, nothing, nothing, nothing, 0.0)
    usable = valid_mask(numbers, found)
    row, column, z = visible_points(view, points, track)
    at_points = at_pixels(np.where(usable, numbers, 0), view, found)[row, column]
    good, samples = at_points > 0, numbers[usable]
    few = samples[:: max(1, len(samples) // SAMPLES)]
    slant = _slant(view.camera, row, column)
    seen = at_points[good].astype(float), z[good], slant[good]
    return DepthSamples(view, found, numbers.dtype, "", *seen, few, float(usable.mean()))


def _slant(camera: Camera, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Length of the ray through each pixel's center to where z is 1."""
    x, y = (column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy
    return np.asarray(np.sqrt(1 + x * x + y * y))


def _wrong_size(width: int, height: int, view: View, found: DepthMap) -> str:
    """Why a map of this size cannot be the view's; "" if it can. Asked before a map is decoded."""
    lens, whose = (view.camera_model, "photo") if found.camera is None else (found.camera.lens, "camera")
    right = (lens.width, lens.height) if lens is not None else (view.camera.width, view.camera.height)
    if width > MAX_TIMES * right[0]:
        return f"is {width}×{height} pixels, over {MAX_TIMES} times the width of its {whose} ({right[0]}×{right[1]})"
    rounding = 0.5 / height + 0.5 / right[1]
    if abs(width / height * right[1] / right[0] - 1) > 0.01 + rounding:
        return f"is {width}×{height} pixels, which is not the shape of its {whose} ({right[0]}×{right[1]})"
    return ""


def visible_points(
    view: View, points: PointCloud, track: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and z of the points that a view sees: those of its track, or those that no nearer one hides."""
    positions = points.positions if track is None else points.positions[track]
    camera = view.camera
    row, column, z, inside = camera.project(positions)
    row, column, z = row[inside].astype(int), column[inside].astype(int), z[inside]
    if track is None:
        open_ = in_sight(camera, row, column, z, margin=OCCLUSION, hidden_by=1)
        row, column, z = row[open_], column[open_], z[open_]
    return row, column, z


def middle_of_most(values: np.ndarray) -> float:
    """The median of the shortest interval that holds half of the values: what hidden points cannot pull to a side."""
    ordered = np.sort(values)
    half = (len(ordered) + 1) // 2
    start = int(np.argmin(ordered[half - 1 :] - ordered[: len(ordered) - half + 1]))
    return float(np.median(ordered[start : start + half]))
