"""Points to start from where a scene has neither points nor depth: random ones, where the cameras look.

Cameras that look at something in common start from the volume that most of them see, carved by what the photos show to
be empty (the visual hull of alpha and masks). What is behind that, and everything around cameras that look outward,
starts from points along the rays of pixels, in all distances from near to far, for nobody knows which is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scene.gaussians.agreement import disagreement, thumbnail
from scene.images import glance, roughly
from scene.types import Camera, PointCloud, View
from utils.errors import UserError
from utils.sampling import subsample

POINTS = 50_000
MAX_VIEWS = 100  # that vote, evenly chosen
GRID = 64  # cells along each side of the box that is voted on
ROUNDS = 3  # of voting, each in the box of what the last one left
PADDING = 1  # cells around that box
MAJORITY = 0.5  # of the cameras see what they have in common
ASIDE = 10  # times as far from where the axes meet as others: such an axis, also farther than cameras are, is left out
TOO_NEAR = 0.15  # of the cameras' median distance from what they look at: nearer to a camera nothing starts
COVERED = {"alpha": 0.95, "mask": 0.5}  # of the views of a place show something there, or it is empty; masks may err
OPAQUE = 0.02  # alpha over this is something
BEHIND = 0.4  # of the points lie along rays, where no alpha says that there is nothing behind
AROUND = (3.0, 50.0)  # along rays of cameras that look outward, in parts of their distance from each other
TRIES, COMPARED = 6, 24  # distances that are drawn for a point along a ray, and photos that judge them
BEYOND = (1.0, 10.0)  # behind what cameras have in common, in their distances from it


@dataclass(frozen=True)
class Look:
    """A camera and what its photo shows."""

    camera: Camera
    color: np.ndarray  # (H,W,3) float32
    cover: np.ndarray | None  # (H,W) float32, alpha or mask; None where all of the photo counts


@dataclass(frozen=True)
class Aim:
    """What cameras look at: a place, how far they are from it in the median, and how many have it before them."""

    middle: np.ndarray  # (3,) the point nearest to all their axes
    distance: float  # world units, > 0
    share: float  # of the cameras


def random_start(views: Sequence[View], count: int = POINTS, seed: int = 0) -> tuple[PointCloud, str]:
    """`count` points for cameras that look wherever they do, and a sentence about them. The same views give the same.

    Colors are the mean of what the views show at a point, or that of the pixel on whose ray it lies. Damaged photos
    show nothing. Raises: UserError where all are damaged.
    """
    chosen = [roughly(view) for view in subsample(views, MAX_VIEWS)]
    with ThreadPoolExecutor() as pool:
        looks = [look for look in pool.map(_look, chosen) if look is not None]
    if not looks:
        raise UserError(f"none of {len(chosen)} photos can be decoded, such as {chosen[0].image_path}")
    transparent = all(view.background is not None for view in chosen)
    rng, aim = np.random.default_rng(seed), aim_of([look.camera for look in looks])
    cells = common_volume(looks, aim, "alpha" if transparent else "mask") if aim.share > MAJORITY else None
    if cells is None:
        points = _along_rays(looks, aim.distance, count, rng, AROUND)
        return points, f"no points are given, so {count} random ones along the rays of all cameras are the start"
    behind = 0 if _all_is_known(looks) and transparent else int(BEHIND * count)
    inside = _inside(cells, looks, count - behind, rng)
    if behind:
        far = _along_rays(looks, aim.distance, behind, rng, BEYOND)
        inside = inside.joined(far)
    return inside, f"no points are given, so {count} random ones where the cameras look are the start"


def aim_of(cameras: Sequence[Camera]) -> Aim:
    """Where the axes of cameras meet best; those of cameras that are far from all others are left out."""
    centers = np.stack([camera.center for camera in cameras])
    axes = np.stack([camera.camera_from_world[2, :3] for camera in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle, beside = _meeting(centers, across)
    common = beside <= max(ASIDE * np.median(beside), np.median(np.linalg.norm(middle - centers, axis=1)))
    if not common.all():
        centers, axes = centers[common], axes[common]
        middle, _ = _meeting(centers, across[common])
    ways = middle - centers
    lengths = np.linalg.norm(ways, axis=1)
    spread = float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max())
    ahead = (ways * axes).sum(axis=1) > 0.5 * lengths
    distance = float(np.median(lengths))
    if ahead.mean() <= MAJORITY:
        distance = spread
    return Aim(middle, distance or 1.0, float(ahead.mean()))


def _meeting(centers: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) the point that is nearest to axes, by least squares, and (C,) how far it lies beside each. `across`,
    (C,3,3), takes from a way what lies along the axis."""
    middle = np.linalg.lstsq(across.sum(axis=0), (across @ centers[:, :, None]).sum(axis=0)[:, 0], rcond=1e-6)[0]
    return middle, np.linalg.norm((across @ (middle - centers)[:, :, None])[:, :, 0], axis=1)


@dataclass(frozen=True)
class Cells:
    """Cubes of space."""

    centers: np.ndarray  # (C,3) world units
    side: float


def common_volume(looks: Sequence[Look], aim: Aim, kind: str) -> Cells | None:
    """The cells that most cameras see and that their photos do not show to be empty; None where there are none."""
    low, side, found = aim.middle - aim.distance, 2 * aim.distance / GRID, None
    shape = np.full(3, GRID)
    for _ in range(ROUNDS):
        index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
        cells = Cells(low + (index + 0.5) * side, side)
        kept = _votes(cells, looks, aim, kind)
        if not kept.any():
            return found
        found = Cells(cells.centers[kept], side)
        first, last = index[kept].min(axis=0) - PADDING, index[kept].max(axis=0) + 1 + PADDING
        low, size = low + first * side, (last - first) * side
        if size.max() > 0.9 * side * GRID:
            break
        side = float(size.max()) / GRID
        shape = np.maximum(np.ceil(size / side).astype(int), 1)
    return found


def _votes(cells: Cells, looks: Sequence[Look], aim: Aim, kind: str) -> np.ndarray:
    """(C,) bool: the cells that are seen by most, covered in what sees them, and not right before a camera."""
    seen, covered = np.zeros(len(cells.centers)), np.zeros(len(cells.centers))
    free = np.ones(len(cells.centers), bool)
    for look in looks:
        row, column, inside = _project(look.camera, cells.centers)
        seen += inside
        ways = cells.centers - look.camera.center
        free &= np.einsum("ij,ij->i", ways, ways) > (TOO_NEAR * aim.distance) ** 2  # in a third of norm's time
        if look.cover is None:
            covered += inside
            continue
        wide = max(1, round(1.8 * cells.side * look.camera.fx / max(aim.distance, 1e-9)))  # pixels, a cell's diagonal
        widened = cv2.dilate(look.cover, np.ones((wide, wide), np.uint8))
        some = np.flatnonzero(inside)
        covered[some] += widened[row[some], column[some]] > OPAQUE
    enough = seen >= MAJORITY * max(seen.max(), 1)
    return free & enough & (covered >= COVERED[kind] * seen)


def _project(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and whether the pixel exists, (P,) each, of points in a camera's picture."""
    row, column, _, inside = camera.project(points)
    return np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int), inside


def _inside(cells: Cells, looks: Sequence[Look], count: int, rng: np.random.Generator) -> PointCloud:
    """Points spread evenly over the cells."""
    positions = cells.centers[rng.integers(len(cells.centers), size=count)]
    positions = positions + (rng.random((count, 3)) - 0.5) * cells.side
    total, weight = np.full((count, 3), 0.5 * 1e-3), np.full((count, 1), 1e-3)
    for look in looks:
        row, column, inside = _project(look.camera, positions)
        cover = np.ones(look.color.shape[:2], np.float32) if look.cover is None else look.cover
        share = (cover[row, column] * inside)[:, None]
        total += look.color[row, column] * share
        weight += share
    return PointCloud(positions.astype(np.float32), (total / weight).astype(np.float32))


def _along_rays(
    looks: Sequence[Look], distance: float, count: int, rng: np.random.Generator, reach: tuple[float, float]
) -> PointCloud:
    """Points on the rays of random pixels, from the first to the last of `reach` times `distance`: of some distances,
    drawn evenly in the logarithm, the one at which photos agree on the color best."""
    drawn = 2 * count  # some of which may lie right before another camera
    source = rng.integers(len(looks), size=drawn)
    u, v = rng.random(drawn), rng.random(drawn)
    z = distance * reach[0] * (reach[1] / reach[0]) ** rng.random((TRIES, drawn))
    photos = [thumbnail(look.camera, look.color, look.cover) for look in looks]
    positions, colors = np.zeros((drawn, 3)), np.zeros((drawn, 3))
    for number, look in enumerate(looks):
        some = source == number
        row, column = (u[some] * look.camera.height).astype(int), (v[some] * look.camera.width).astype(int)
        own = photos[number].shown(row, column)
        others = subsample([*photos[:number], *photos[number + 1 :]], COMPARED)
        places = np.stack([look.camera.unproject(row, column, depths) for depths in z[:, some]])
        best = disagreement(places, own, others).argmin(axis=0)
        positions[some] = places[best, np.arange(len(row))]
        colors[some] = look.color[row, column]
    to_camera, _ = cKDTree([look.camera.center for look in looks]).query(positions)
    some = np.flatnonzero(to_camera > TOO_NEAR * distance)[:count]
    return PointCloud(positions[some].astype(np.float32), colors[some].astype(np.float32))


def _look(view: View) -> Look | None:
    """None for a damaged photo."""
    loaded = glance(view)
    if loaded is None:
        return None
    return Look(view.camera, loaded.color.transpose(1, 2, 0), None if loaded.mask is None else loaded.mask[0])


def _all_is_known(looks: Sequence[Look]) -> bool:
    """Whether alpha shows in every photo that there is nothing behind what it shows."""
    return all(look.cover is not None and look.cover.min() < OPAQUE for look in looks)
