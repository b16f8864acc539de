"""More points to start from, where photos show something and none of the scene's points: skies, lawns, bare walls.

Structure from motion has points where texture is shared by several photos. What lies between and behind them would
have to grow out of Gaussians that are elsewhere, and few photos do not force it to. So each photo is divided into
cells, and one without a point in it or beside it gets one, in the color of a random pixel. Its depth is that of the
points nearest to the pixel in the photo, or a multiple of it: the one at which the other photos show its color best,
which is a sweep over planes (Collins 1996) with few of them, for a start and not for a surface.
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
from scene.types import Camera, PointCloud, View
from utils.errors import DamagedFile
from utils.sampling import subsample

CELLS = 32  # along the longer side of a photo
SMALLEST = 6  # pixels, the side of a cell: small photos have fewer cells
NEIGHBOURS = 4  # whose median depth is tried first
TRIED = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # times that depth
MOST = 20_000  # points that are added, of those of all photos
MAX_VIEWS = 100  # that are looked at, evenly chosen
THUMBNAIL = 96  # pixels, the longer side of the photos that colors are compared in
FOR_DOUBLING = 0.01  # difference of colors by which another depth must be better, for each factor of 2
UNSEEN = 0.1  # difference of colors that stands for a place that no other photo shows


class Pixels(NamedTuple):
    """Pixels of a photo, with depths."""

    row: np.ndarray  # (P,) int
    column: np.ndarray
    z: np.ndarray  # (P,) world units

    def some(self, chosen: np.ndarray) -> Pixels:
        return Pixels(*(values[chosen] for values in self))


class Look(NamedTuple):
    """A photo, what its empty cells show, and itself in small."""

    camera: Camera
    empty: Pixels
    colors: np.ndarray  # (P,3) float32, of those
    thumbnail: np.ndarray  # (h,w,3) float32, NaN where the photo does not count

    def shown(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """(P,3) colors of the thumbnail at pixels of the photo."""
        height, width = self.thumbnail.shape[:2]
        y, x = row * height / self.camera.height, column * width / self.camera.width
        return self.thumbnail[y.astype(int), x.astype(int)]


def add_where_none(points: PointCloud, views: Sequence[View], seed: int = 0) -> tuple[PointCloud, str]:
    """The points, with more behind them where photos show none of them; and a sentence about it, "" if none was added.

    The same points and views give the same. Damaged photos, masked and transparent pixels get none.
    """
    rng, chosen = np.random.default_rng(seed), subsample(views, MAX_VIEWS)
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
    added = [PointCloud(_places(look, looks).astype(np.float32), look.colors) for look in looks]
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
    try:
        photo = load_image(replace(view, background=None))  # so it takes alpha for a mask
    except DamagedFile:
        return None
    scale = THUMBNAIL / max(view.camera.width, view.camera.height)
    size = max(1, round(scale * view.camera.width)), max(1, round(scale * view.camera.height))
    thumbnail = cv2.resize(photo.color.transpose(1, 2, 0), size, interpolation=cv2.INTER_AREA)
    if photo.mask is not None:
        thumbnail[cv2.resize(photo.mask[0], size, interpolation=cv2.INTER_AREA) <= 0.5] = np.nan
        empty = empty.some(photo.mask[0, empty.row, empty.column] > 0.5)
    return Look(view.camera, empty, photo.color[:, empty.row, empty.column].T, thumbnail)


def _places(look: Look, looks: Sequence[Look]) -> np.ndarray:
    """(P,3) where the empty cells of a photo lie, by the depth that the photos agree on best."""
    row, column, z = look.empty
    own, others = look.shown(row, column), [other for other in looks if other is not look]
    best, places = np.full(len(z), np.inf), np.zeros((len(z), 3))
    for factor in TRIED:
        tried = look.camera.unproject(row, column, factor * z)
        cost = _difference(tried, own, others) + FOR_DOUBLING * abs(np.log2(factor))
        better = cost < best
        best[better], places[better] = cost[better], tried[better]
    return places


def _difference(places: np.ndarray, colors: np.ndarray, looks: Sequence[Look]) -> np.ndarray:
    """(P,) the mean difference of colors from what photos show there, of the half that differs least: from others it
    may be hidden."""
    differences = np.full((len(looks), len(places)), np.nan, np.float32)
    for look, found in zip(looks, differences, strict=True):
        row, column, _, inside = look.camera.project(places)
        found[inside] = np.abs(look.shown(row[inside], column[inside]) - colors[inside]).mean(axis=1)
    differences.sort(axis=0)  # NaN last
    count = np.isfinite(differences).sum(axis=0)
    least = np.arange(len(looks))[:, None] < (count + 1) // 2
    total = np.where(least, differences, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum((count + 1) // 2, 1), UNSEEN)
