"""Do the photos differ in exposure? What one point of the scene looks like in several of them says so.

A point has one brightness, and a photo one gain: their logarithms add up to what is seen. A photo of dark things is
dark, and its gain is not. Two halves of what is seen, in blocks, give each photo two gains: an exposure is in both, and
a shadow, a highlight, or a point that something hides is in one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix

from scene.depth.maps import load_depth, z_of
from scene.images import load_image, roughly
from scene.occlusion import in_sight
from scene.photo_agreement import features, mutual_matches
from scene.types import Camera, PointCloud, Scene, View
from utils.errors import DamagedFile
from utils.sampling import subsample

MAX_POINTS, MAX_VIEWS = 8_000, 48  # that are looked at, evenly chosen
DARKEST, BRIGHTEST = 0.03, 0.97  # of what a photo shows: noise is below, and what was cut off is above
MARGIN = 0.05  # of a point's depth: what lies farther behind others is hidden
SOFTNESS = 0.1  # of a logarithm of brightness: residuals beyond it hardly count (Cauchy)
ROUNDS = 8  # of reweighting
LEAST_LINK = 0.05  # eigenvalue of what is told of the gains, of 1 where all photos show the same points
BLOCKS = 6  # along the diagonal of the scene, or across a photo
MIN_SEEN = 15  # points of each half that a photo must share with others
MIN_VIEWS = 3
MAX_NOISE = 0.1  # median residual: with more, the points do not lie on what is photographed
LEAST = 0.03  # standard deviation of the gains, as a part of the brightness: what is worth modeling
LEAST_AGREEMENT = 0.6  # correlation of the gains that the two halves give
LEAST_EXIF = 0.1  # standard deviation of the logarithm of what a camera says of its exposure
NEIGHBOURS = 2  # of each photo, whose features are matched with its own
LOOKS_ALONG = 0.7  # least cosine between the axes of neighbours
EXIF, TIME, APERTURE, SPEED = 0x8769, 0x829A, 0x829D, 0x8827  # tags: the directory, and three of its entries


class Exposures(NamedTuple):
    """Whether photos differ in exposure, and a sentence that says so."""

    differs: bool
    text: str


class Gains(NamedTuple):
    """How the gains of photos differ."""

    views: int  # that could be compared
    spread: float  # standard deviation of their logarithms, as far as both halves say it
    agreement: float  # correlation of the two halves
    noise: float  # median residual of a point in a photo

    @property
    def known(self) -> bool:
        """Whether enough is seen of the same points."""
        return self.views >= MIN_VIEWS and self.noise <= MAX_NOISE

    @property
    def differ(self) -> bool:
        return self.known and self.spread >= LEAST and self.agreement >= LEAST_AGREEMENT


class Shown(NamedTuple):
    """A photo to be compared."""

    camera: Camera
    gray: np.ndarray  # (H,W) in [0,1], blurred a little
    counts: np.ndarray  # (H,W) bool
    depth: np.ndarray | None  # (H,W) world units, 0 where it is not known


class _Seen(NamedTuple):
    """Points in photos, each (S,)."""

    point: np.ndarray
    view: np.ndarray
    log: np.ndarray  # of the brightness
    half: np.ndarray  # bool


def measure_exposures(scene: Scene) -> Exposures:
    """Compare the training photos by the scene's points, or by features where no points are measured; where photos
    share too few of either, by what their files say."""
    views = [roughly(view) for view in subsample(scene.train, MAX_VIEWS)]
    if any(view.background is not None for view in views):
        return Exposures(False, "")  # renderings, which no camera has exposed
    with ThreadPoolExecutor() as pool:
        whole = [(view, photo) for view, photo in zip(views, pool.map(_show, views), strict=True) if photo is not None]
    views, shown = [view for view, _ in whole], [photo for _, photo in whole]
    gains = compare_points(shown, scene.measured) if len(scene.measured) else None
    if gains is None or not gains.known:
        gains = compare_features(views, shown)
    if gains.known:
        return _judged(gains)
    stops = exif_spread([view.image_path for view in views])
    if stops is None or stops < LEAST_EXIF:
        return Exposures(False, "")
    return Exposures(True, f"the photos' files name exposures that differ by {_percent(stops)}{LEARNED}")


LEARNED = ": a color transform is learned for each photo (--exposure off for none)"


def _judged(gains: Gains) -> Exposures:
    if not gains.differ:
        return Exposures(False, "")
    return Exposures(
        True, f"the photos' exposures differ by {_percent(gains.spread)} (standard deviation of {gains.views}){LEARNED}"
    )


def _percent(log: float) -> str:
    return f"{100 * (math.exp(log) - 1):.0f} %"


def _show(view: View) -> Shown | None:
    """None for a view with a damaged file, which training names."""
    try:
        photo, numbers = load_image(view, rough=True), None
        if view.depth is not None and view.depth.kind == "sensor":
            numbers = load_depth(view)
    except DamagedFile:
        return None
    depth = None if numbers is None or view.depth is None else np.where(numbers > 0, z_of(numbers, view.depth), 0.0)
    gray = cv2.blur(np.ascontiguousarray(photo.color.mean(axis=0)), (3, 3))
    counts = (gray > DARKEST) & (gray < BRIGHTEST)
    return Shown(view.camera, gray, counts if photo.mask is None else counts & (photo.mask[0] > 0.5), depth)


# ---- points of the scene


def compare_points(photos: Sequence[Shown], points: PointCloud) -> Gains:
    """Compare photos by the points of the scene that they share."""
    positions = points.positions[subsample(range(len(points)), MAX_POINTS)].astype(np.float64)
    if len(positions) == 0:
        return Gains(0, 0.0, 0.0, 0.0)
    low, high = np.percentile(positions, (2, 98), axis=0)
    edge = max(float(np.linalg.norm(high - low)) / BLOCKS, np.finfo(float).tiny)
    half = np.floor((positions - low) / edge).sum(axis=1).astype(int) % 2 == 1
    seen = []
    for view, photo in enumerate(photos):
        index, log = _look(photo, positions)
        seen.append(_Seen(index, np.full(len(index), view), log, half[index]))
    return _compare(seen, len(photos), len(positions))


def _look(photo: Shown, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points that a photo shows, and the logarithms of their brightness there."""
    row, column, z, inside = photo.camera.project(positions)
    index = np.nonzero(inside)[0]
    row, column, z = row[index].astype(int), column[index].astype(int), z[index]
    kept = photo.counts[row, column] & _unhidden(photo, row, column, z)
    return index[kept], np.log(photo.gray[row[kept], column[kept]])


def _unhidden(photo: Shown, row: np.ndarray, column: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(P,) bool: which points nothing hides. A depth map says it, where there is one, and nothing of what its holes
    show: beyond a window there may be anything."""
    if photo.depth is None:
        return in_sight(photo.camera, row, column, z, margin=MARGIN, hidden_by=1)
    measured = photo.depth[row, column]
    return np.asarray(np.abs(z - measured) <= MARGIN * measured)


# ---- features


def compare_features(views: Sequence[View], photos: Sequence[Shown]) -> Gains:
    """Compare photos by the features that neighbours share."""
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(features, views))
    seen: list[_Seen] = []
    count = 0
    for one, other in _neighbours([view.camera for view in views]):
        a, b = mutual_matches(found[one][1], found[other][1])
        points = np.arange(count, count + len(a))
        count += len(a)
        half = (found[one][0][a] * BLOCKS / photos[one].camera.width).astype(int).sum(axis=1) % 2 == 1
        for view, places in ((one, found[one][0][a]), (other, found[other][0][b])):
            photo = photos[view]
            column, row = (np.clip(places[:, axis].astype(int), 0, photo.gray.shape[1 - axis] - 1) for axis in (0, 1))
            kept = photo.counts[row, column]
            log = np.log(photo.gray[row[kept], column[kept]])
            seen.append(_Seen(points[kept], np.full(int(kept.sum()), view), log, half[kept]))
    return _compare(seen, len(views), count)


def _neighbours(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Each camera with the nearest ones that look along."""
    centers = np.stack([camera.center for camera in cameras])
    axes = np.stack([camera.camera_from_world[2, :3] for camera in cameras])
    distance = np.linalg.norm(centers[:, None] - centers, axis=2)
    distance[(axes @ axes.T < LOOKS_ALONG) | np.eye(len(cameras), dtype=bool)] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    pairs = (
        (one, int(other)) for one in range(len(cameras)) for other in nearest[one] if distance[one, other] < np.inf
    )
    return list(dict.fromkeys((min(pair), max(pair)) for pair in pairs))


# ---- gains


def _compare(parts: Sequence[_Seen], views: int, points: int) -> Gains:
    if not parts:
        return Gains(0, 0.0, 0.0, 0.0)
    seen = _Seen(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Seen._fields))
    gains, noise = [], []
    for each in (False, True):
        half = _Seen(*(values[seen.half == each] for values in seen))
        often = np.bincount(half.point, minlength=points)[half.point] > 1
        mine, residual = _gains(_Seen(*(values[often] for values in half)), views, points)
        gains.append(mine)
        noise.append(residual)
    both = np.isfinite(gains[0]) & np.isfinite(gains[1])
    if both.sum() < MIN_VIEWS:
        return Gains(int(both.sum()), 0.0, 0.0, float(np.mean(noise)))
    (first, shared), (_, second) = np.cov(gains[0][both], gains[1][both])
    agreement = shared / max(np.sqrt(first * second), np.finfo(float).tiny)
    return Gains(int(both.sum()), float(np.sqrt(max(shared, 0.0))), float(agreement), float(np.mean(noise)))


def _gains(seen: _Seen, views: int, points: int) -> tuple[np.ndarray, float]:
    """(V,) the logarithm of each photo's gain, NaN where too little says it, and the median residual.

    Least squares in the gains and the points' brightness, whose equations are solved for the gains alone; reweighted.
    """
    gain, weight, residual = np.zeros(views), np.ones(len(seen.log)), np.zeros(len(seen.log))
    for _ in range(ROUNDS if len(seen.log) else 0):
        per_point = np.bincount(seen.point, weight, minlength=points)
        share = weight / per_point[seen.point]
        links = csr_matrix((weight, (seen.point, seen.view)), shape=(points, views))
        scaled = csr_matrix((share, (seen.point, seen.view)), shape=(points, views))
        matrix = np.diag(np.bincount(seen.view, weight, minlength=views)) - (links.T @ scaled).toarray()
        level = np.bincount(seen.point, share * seen.log, minlength=points)
        target = np.bincount(seen.view, weight * (seen.log - level[seen.point]), minlength=views)
        gain = _solved(matrix, target, np.bincount(seen.view, weight, minlength=views))
        level = np.bincount(seen.point, share * (seen.log - gain[seen.view]), minlength=points)
        residual = seen.log - level[seen.point] - gain[seen.view]
        weight = 1 / (1 + (residual / SOFTNESS) ** 2)
    enough = np.bincount(seen.view, minlength=views) >= MIN_SEEN
    return np.where(enough, gain, np.nan), float(np.median(np.abs(residual))) if len(residual) else 0.0


def _solved(matrix: np.ndarray, target: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(V,) gains g of the least squares matrix @ g = target, `seen` (V,) being how much is seen in each photo.

    What hardly anything says is taken for 0. Photos of two rooms share a few points that only seem to be the same, as
    through a wall, and those few would say by how much the one room's exposure differs from the other's. The matrix is
    a graph's Laplacian, and where parts of a graph hardly hang together, a small eigenvalue of its normalized form
    tells it (Chung 1997, Spectral Graph Theory, section 2.2).
    """
    scale = 1 / np.sqrt(np.maximum(seen, np.finfo(float).tiny))
    scale[seen == 0] = 0.0
    values, modes = np.linalg.eigh(scale[:, None] * matrix * scale)
    told = values >= LEAST_LINK
    return scale * (modes[:, told] @ ((modes[:, told].T @ (scale * target)) / values[told]))


# ---- what the files say


def exif_spread(paths: Sequence[Path]) -> float | None:
    """Standard deviation of ln(time · ISO / aperture²) over the photos; None where a file does not say it."""
    values = [_exif_exposure(path) for path in paths]
    known = [value for value in values if value is not None]
    return float(np.std(known)) if known and len(known) == len(values) else None


def _exif_exposure(path: Path) -> float | None:
    try:
        with Image.open(path) as image:
            entries = image.getexif().get_ifd(EXIF)
        time, aperture, speed = (float(np.ravel(entries[tag])[0]) for tag in (TIME, APERTURE, SPEED))
        return math.log(time * speed / aperture**2)
    except (OSError, KeyError, ValueError, TypeError, ZeroDivisionError, IndexError, SyntaxError):
        return None
