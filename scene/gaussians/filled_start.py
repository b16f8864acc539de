"""More points to start from, where photos show something and none of the scene's points: skies, lawns, bare walls.

Structure from motion has points where texture is shared by several photos. What lies between and behind them would
have to grow out of Gaussians that are elsewhere, and few photos do not force it to. So each photo is divided into
cells, and one without a point in it or beside it gets one, in the color of a random pixel, as deep in the photo as the
points that are nearest to that pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scene.images import load_image
from scene.types import NO_POINTS, Camera, PointCloud, View
from utils.errors import DamagedFile
from utils.sampling import subsample

CELLS = 32  # along the longer side of a photo
SMALLEST = 6  # pixels, the side of a cell: small photos have fewer cells
NEIGHBOURS = 4  # whose median depth a cell gets
MOST = 20_000  # points that are added, of those of all photos
MAX_VIEWS = 100  # that are looked at, evenly chosen


class Pixels(NamedTuple):
    """Pixels of a photo, with depths."""

    row: np.ndarray  # (P,) int
    column: np.ndarray
    z: np.ndarray  # (P,) world units

    def some(self, chosen: np.ndarray) -> Pixels:
        return Pixels(*(values[chosen] for values in self))


def add_where_none(points: PointCloud, views: Sequence[View], seed: int = 0) -> tuple[PointCloud, str]:
    """The points, with more behind them where photos show none of them; and a sentence about it, "" if none was added.

    The same points and views give the same. Damaged photos, masked and transparent pixels get none.
    """
    rng, chosen = np.random.default_rng(seed), subsample(views, MAX_VIEWS)
    empty = [empty_cells(view.camera, points, rng) for view in chosen]
    total = sum(len(pixels.row) for pixels in empty)
    if total == 0:
        return points, ""
    kept = np.zeros(total, bool)
    kept[rng.permutation(total)[:MOST]] = True
    parts = np.split(kept, np.cumsum([len(pixels.row) for pixels in empty])[:-1])
    wanted = [(view, pixels.some(part)) for view, pixels, part in zip(chosen, empty, parts, strict=True) if part.any()]
    with ThreadPoolExecutor() as pool:
        added = [cloud for cloud in pool.map(lambda pair: _cloud(*pair), wanted) if len(cloud)]
    count = sum(len(cloud) for cloud in added)
    if count == 0:
        return points, ""
    whole = points.joined(*added)
    return whole, f"{count:,} of the points are guessed, where photos show none of the others"


def empty_cells(camera: Camera, points: PointCloud, rng: np.random.Generator) -> Pixels:
    """A pixel of each cell of the picture that has no point in it or beside it, and the median depth of the nearest.

    None where the camera sees too few points to tell a depth by.
    """
    row, column, z, inside = camera.project(points.positions)
    row, column, z = row[inside], column[inside], z[inside]
    if len(z) < NEIGHBOURS:
        return Pixels(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    side = max(max(camera.width, camera.height) / CELLS, SMALLEST)
    seen = np.zeros((int(np.ceil(camera.height / side)), int(np.ceil(camera.width / side))), np.uint8)
    seen[(row / side).astype(int), (column / side).astype(int)] = 1
    down, across = np.nonzero(cv2.dilate(seen, np.ones((3, 3), np.uint8)) == 0)
    y = np.minimum((down + rng.random(len(down))) * side, camera.height - 1).astype(int)
    x = np.minimum((across + rng.random(len(down))) * side, camera.width - 1).astype(int)
    _, nearest = cKDTree(np.stack([row, column], axis=1)).query(np.stack([y, x], axis=1), k=NEIGHBOURS)
    return Pixels(y, x, np.median(z[nearest], axis=1))


def _cloud(view: View, pixels: Pixels) -> PointCloud:
    """The pixels in space, in the photo's colors, but for those that do not count in it."""
    try:
        photo = load_image(replace(view, background=None))  # so it takes alpha for a mask
    except DamagedFile:
        return NO_POINTS
    if photo.mask is not None:
        pixels = pixels.some(photo.mask[0, pixels.row, pixels.column] > 0.5)
    positions = view.camera.unproject(pixels.row, pixels.column, pixels.z)
    return PointCloud(positions.astype(np.float32), photo.color[:, pixels.row, pixels.column].T)
