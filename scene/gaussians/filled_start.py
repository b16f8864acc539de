"""More points to start from, where photos show something and none of the scene's points: skies, lawns, bare walls.

Structure from motion has points where texture is shared by several photos. What lies between and behind them would
have to grow out of Gaussians that are elsewhere, and few photos do not force it to. So each photo is divided into
cells, and one without a point in it or beside it gets one, in the color of a random pixel. Its depth is that of the
points nearest to the pixel in the photo, or a multiple of it: the one at which the other photos show its color best.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scene.gaussians.agreement import Thumbnail, disagreement, thumbnail
from scene.images import glance, roughly
from scene.types import Camera, PointCloud, View
from utils.sampling import subsample

CELLS = 32  # along the longer side of a photo
SMALLEST = 6  # pixels, the side of a cell: small photos have fewer cells
NEIGHBOURS = 4  # whose median depth is tried first
TRIED = tuple(2 ** (step / 2) for step in range(-2, 9))  # times that depth: half of it to 16 times as deep
MOST = 20_000  # points that are added, of those of all photos
MAX_VIEWS = 100  # that are looked at, evenly chosen
FOR_DOUBLING = 0.01  # difference of colors by which another depth must be better, for each factor of 2


class Pixels(NamedTuple):
    """Pixels of a photo, with depths."""

    row: np.ndarray  # (P,) int
    column: np.ndarray
    z: np.ndarray  # (P,) world units

    def some(self, chosen: np.ndarray) -> Pixels:
        return Pixels(*(values[chosen] for values in self))


class Look(NamedTuple):
    """What the empty cells of a photo show, and the photo in small."""

    empty: Pixels
    colors: np.ndarray  # (P,3) float32
    photo: Thumbnail


def add_where_none(points: PointCloud, views: Sequence[View], seed: int = 0) -> tuple[PointCloud, str]:
    """The points, with more behind them where photos show none of them; and a sentence about it, "" if none was added.

    The same points and views give the same. Damaged photos, masked and transparent pixels get none.
    """
    rng, chosen = np.random.default_rng(seed), [roughly(view) for view in subsample(views, MAX_VIEWS)]
    cells = [empty_cells(view.camera, points, rng) for view in chosen]
    total = sum(len(pixels.row) for pixels in cells)
    kept = np.zeros(total, bool)
    kept[rng.permutation(total)[:MOST]] = True
    parts = np.split(kept, np.cumsum([len(pixels.row) for pixels in cells])[:-1])
    wanted = [pixels.some(part) for pixels, part in zip(cells, parts, strict=True)]
    if total == 0:
        return points, ""
    with ThreadPoolExecutor() as pool:
        looks = [look for look in pool.map(_look, chosen, wanted) if look is not None]
        places = list(pool.map(lambda look: _places(look, looks), looks))
    added = [PointCloud(found.astype(np.float32), look.colors) for look, found in zip(looks, places, strict=True)]
    count = sum(len(cloud) for cloud in added)
    if count == 0:
        return points, ""
    return points.joined(*added), f"{count:,} of the points are guessed, where photos show none of the others"


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


def _look(view: View, empty: Pixels) -> Look | None:
    """What the photo shows, but for pixels that do not count in it; None for a damaged one."""
    photo = glance(view)
    if photo is None:
        return None
    mask = None if photo.mask is None else photo.mask[0]
    if mask is not None:
        empty = empty.some(mask[empty.row, empty.column] > 0.5)
    small = thumbnail(view.camera, photo.color.transpose(1, 2, 0), mask)
    return Look(empty, photo.color[:, empty.row, empty.column].T, small)


def _places(look: Look, looks: Sequence[Look]) -> np.ndarray:
    """(P,3) where the empty cells of a photo lie, by the depth that the photos agree on best."""
    row, column, z = look.empty
    if len(z) == 0:
        return np.zeros((0, 3))
    own, others = look.photo.shown(row, column), [other.photo for other in looks if other is not look]
    places = np.stack([look.photo.camera.unproject(row, column, factor * z) for factor in TRIED])
    cost = disagreement(places, own, others) + FOR_DOUBLING * np.abs(np.log2(TRIED))[:, None]
    return places[cost.argmin(axis=0), np.arange(len(z))]
